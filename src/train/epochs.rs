//! A run over a data set, epoch by epoch.

use super::checkpoint::Saving;
use super::clock::Moment;
use super::early_stopping::{Verdict, Watch};
use super::history::{Control, Ending, Epoch, History, Progress, StepRecord};
use super::state::Partial;
use super::trainer::Trainer;
use super::training::Training;
use crate::data::{Dataset, shuffled};
use crate::nn::Mlp;
use crate::optim::Rates;
use crate::{Error, Result};

/// A run, as an iterator over its epochs: for loops of your own around `fit`'s. Made by
/// [`Trainer::run`]. After an error there are no more epochs. A checkpoint that is due after an
/// epoch is on the disk when the epoch is answered.
///
/// ```
/// use deltarule::{Activation, Mlp, Sgd, Trainer, data};
///
/// let data = data::digits();
/// let mut net = Mlp::builder(64).dense(10, Activation::Softmax).build()?;
/// let mut trainer = Trainer::new(Sgd::new(0.01)).epochs(50);
/// let mut run = trainer.run(&mut net, &data)?;
/// while let Some(epoch) = run.next() {
///     if epoch?.loss < 0.5 {
///         break;
///     }
/// }
/// println!("{} epochs", run.finish().epochs.len());
/// # Ok::<(), deltarule::Error>(())
/// ```
pub struct Epochs<'t, 'a> {
    pub(super) trainer: &'t mut Trainer<'a>,
    pub(super) training: Training<'t>,
    pub(super) data: &'t Dataset,
    pub(super) order: Vec<u32>,
    pub(super) batch_size: usize,
    pub(super) rates: Option<Rates>,
    pub(super) watch: Watch,
    /// The network after the best epoch.
    pub(super) best: Option<Mlp>,
    pub(super) history: History,
    /// The epoch that the run is in.
    pub(super) partial: Partial,
    pub(super) saving: Option<Saving>,
    pub(super) over: bool,
}

impl Epochs<'_, '_> {
    /// The network as it is now.
    pub fn network(&self) -> &Mlp {
        self.training.network()
    }

    /// What happened so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Ends the run. With early stopping the network becomes that of the best epoch.
    pub fn finish(mut self) -> History {
        self.end();
        self.history
    }

    pub(super) fn end(&mut self) {
        self.over = true;
        if let Some(best) = self.best.take() {
            self.training.restore(&best);
            self.history.best_epoch = self.watch.best.map(|(_, epoch)| epoch);
        }
        self.history.steps = self.training.steps();
    }

    fn stop(&mut self, ending: Ending) {
        if !self.history.stopped {
            (self.history.stopped, self.history.ending) = (true, ending);
        }
    }

    fn epoch(&mut self) -> Result<Epoch> {
        let epoch = self.history.epochs.len() + 1;
        shuffled(self.trainer.seed, epoch as u64, &mut self.order);
        let order = std::mem::take(&mut self.order);
        let steps = self.steps(&order, epoch);
        self.order = order;
        steps?;
        let is_whole = !self.history.stopped;
        let Partial { samples, sum, seconds, .. } = std::mem::take(&mut self.partial);
        let loss = sum / samples.max(1) as f64;
        let validation = match self.trainer.validation {
            Some(set) if !self.history.stopped => Some(self.training.evaluate(set)?),
            _ => None,
        };
        let learning_rate = self.training.learning_rate();
        // Without a clock there is no speed, and JSON has no infinity.
        let samples_per_second = if seconds > 0.0 { samples as f64 / seconds } else { 0.0 };
        let report = Epoch { epoch, loss, validation, learning_rate, seconds, samples_per_second };
        if let Some(rates) = &mut self.rates {
            rates.epoch(report.validation.as_ref().map_or(loss, |v| v.loss));
        }
        if let Some(callback) = &mut self.trainer.on_epoch
            && callback(&report) == Control::Stop
        {
            self.stop(Ending::Callback);
        }
        if let Some(stopping) = &self.trainer.stopping
            && (self.trainer.validation.is_none() || report.validation.is_some())
        {
            match self.watch.look(stopping, &report)? {
                Verdict::Better => self.best = Some(self.training.network().clone()),
                Verdict::Wait => {}
                Verdict::Stop => self.stop(Ending::EarlyStopping),
            }
        }
        self.history.epochs.push(report.clone());
        let is_last = self.history.stopped || self.history.epochs.len() == self.trainer.epochs;
        // Of an epoch that was stopped in its middle there is a checkpoint from before its end.
        if is_whole && (is_last || self.is_due_after_epoch()) {
            self.save()?;
        }
        Ok(report)
    }

    /// The steps of an epoch that are not done yet.
    fn steps(&mut self, order: &[u32], epoch: usize) -> Result<()> {
        let steps = order.len().div_ceil(self.batch_size);
        let mut start = Moment::now();
        let done = self.partial.batches;
        for (i, batch) in order.chunks(self.batch_size).enumerate().skip(done) {
            if self.trainer.cancel.as_ref().is_some_and(|c| c.is_cancelled()) {
                self.stop(Ending::Cancelled);
                self.save()?;
                break;
            }
            if let Some(rates) = &self.rates {
                self.training.set_learning_rate(rates.rate())?;
            }
            let weights = self.trainer.sample_weights;
            let loss = self.training.step_samples(self.data, batch, weights);
            let loss = loss.map_err(|e| in_epoch(e, epoch))?;
            self.partial.batches += 1;
            self.partial.samples += batch.len();
            self.partial.sum += f64::from(loss) * batch.len() as f64;
            if let Some(rates) = &mut self.rates {
                rates.step();
            }
            let learning_rate = self.training.learning_rate();
            if self.trainer.record_steps {
                let step = self.training.steps();
                self.history.step_records.push(StepRecord { epoch, step, loss, learning_rate });
            }
            let is_due = self.is_due_after_step();
            if self.trainer.on_step.is_none() && !is_due {
                continue;
            }
            self.partial.seconds += start.elapsed().as_secs_f64();
            if let Some(callback) = &mut self.trainer.on_step {
                let (epochs, step) = (self.trainer.epochs, i + 1);
                let progress = Progress { epoch, epochs, step, steps, loss, learning_rate };
                if callback(&progress) == Control::Stop {
                    self.stop(Ending::Callback);
                }
            }
            if is_due || self.history.stopped {
                self.save()?;
            }
            start = Moment::now();
            if self.history.stopped {
                break;
            }
        }
        self.training.flush().map_err(|e| in_epoch(e, epoch))?;
        self.partial.seconds += start.elapsed().as_secs_f64();
        Ok(())
    }

    /// The next epoch; a checkpoint may still be under way then.
    pub(super) fn advance(&mut self) -> Option<Result<Epoch>> {
        if self.over {
            return None;
        }
        let report = self.epoch();
        self.over = report.is_err();
        if self.history.stopped || self.history.epochs.len() == self.trainer.epochs {
            self.end();
        }
        Some(report)
    }
}

impl Iterator for Epochs<'_, '_> {
    type Item = Result<Epoch>;

    fn next(&mut self) -> Option<Result<Epoch>> {
        let report = self.advance()?;
        let written = self.wait();
        self.over |= written.is_err();
        Some(report.and_then(|report| written.map(|()| report)))
    }
}

/// Adds the epoch to an error of a step.
fn in_epoch(e: Error, epoch: usize) -> Error {
    match e {
        Error::NonFinite { step, layer, .. } => Error::NonFinite { epoch, step, layer },
        other => other,
    }
}
