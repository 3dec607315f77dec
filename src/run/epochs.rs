//! A run over a data set, epoch by epoch.

use super::average::Average;
use super::checkpointer::{CheckpointInterval, Checkpointer};
use super::clock::Moment;
use super::early_stopping::{Monitor, Verdict};
use super::history::{Epoch, History, Progress, StepRecord, StopReason};
use super::state::Partial;
use super::trainer::Trainer;
use super::training::{BatchLoss, Training};
use crate::data::{Dataset, shuffled};
use crate::error::{Error, Result};
use crate::network::Mlp;
use crate::optim::Rates;
use std::fmt;
use std::ops::ControlFlow;

/// A run, as an iterator over its finished epochs. Made by [`Trainer::run`]. No epoch follows an error.
/// A checkpoint that is due after an epoch is on the disk when the epoch is returned.
///
/// At the end of the run, however it ends, the network becomes that of the best epoch if there is early
/// stopping, else the average if weights are averaged, and [`Trainer::history`] returns the history.
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
#[must_use = "an iterator does nothing before its first epoch"]
pub struct Epochs<'t, 'a> {
    pub(super) trainer: &'t mut Trainer<'a>,
    pub(super) training: Training<'t>,
    pub(super) data: &'t Dataset,
    pub(super) order: Vec<u32>,
    pub(super) rates: Option<Rates>,
    pub(super) monitor: Monitor,
    pub(super) average: Option<Average>,
    /// The network after the best epoch.
    pub(super) best: Option<Mlp>,
    pub(super) history: History,
    /// The epoch that the run is in.
    pub(super) partial: Partial,
    /// What the callback gets, in the memory of the step before.
    pub(super) progress: Progress,
    pub(super) checkpointer: Option<Checkpointer>,
    pub(super) over: bool,
}

impl Epochs<'_, '_> {
    /// The network that is trained, as it is now.
    #[must_use]
    pub fn network(&self) -> &Mlp {
        self.training.network()
    }

    /// The average of the weights so far, with [`Trainer::exponential_average`] or
    /// [`Trainer::stochastic_average`]; none before a network is in it.
    #[must_use]
    pub fn average(&self) -> Option<&Mlp> {
        self.average.as_ref().and_then(Average::network)
    }

    /// What happened so far.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Ends the run.
    #[must_use]
    pub fn finish(mut self) -> History {
        self.end();
        self.history.clone()
    }

    pub(super) fn end(&mut self) {
        self.over = true;
        let average = self.average.take();
        if let Some(average) = average.as_ref().and_then(Average::network) {
            self.training.restore(average);
        }
        if let Some(best) = self.best.take() {
            self.training.restore(&best);
            self.history.best_epoch = self.monitor.best.map(|(_, epoch)| epoch);
        }
        self.history.steps = self.training.steps();
    }

    fn stop(&mut self, reason: StopReason) {
        self.history.stop_reason = reason;
    }

    /// Ends the run with an error.
    fn fail(&mut self) {
        self.stop(StopReason::Failed);
        self.end();
    }

    /// The rest of an epoch, or none where it was stopped in its middle.
    fn epoch(&mut self) -> Result<Option<Epoch>> {
        let epoch = self.history.epochs.len() + 1;
        shuffled(self.trainer.setup.seed, epoch as u64, &mut self.order);
        let order = std::mem::take(&mut self.order);
        let steps = self.steps(&order, epoch);
        self.order = order;
        steps?;
        if self.partial.batches < self.batches() {
            // There is a checkpoint of the stop: the epoch can be finished in another run.
            return Ok(None);
        }
        let Partial { samples, sum, weight, seconds, .. } = std::mem::take(&mut self.partial);
        let loss = if weight > 0.0 { sum / weight } else { 0.0 };
        self.take_average(epoch)?;
        let average = self.average.as_ref().and_then(Average::network);
        let validation = match self.trainer.validation {
            Some(set) => Some(self.training.evaluate_as(average, set)?),
            None => None,
        };
        let learning_rate = self.training.learning_rate();
        // Without a clock there is no speed, and JSON has no infinity.
        let samples_per_second = if seconds > 0.0 { samples as f64 / seconds } else { 0.0 };
        let report = Epoch { epoch, loss, validation, learning_rate, seconds, samples_per_second };
        if let Some(rates) = &mut self.rates {
            rates.epoch(report.validation.as_ref().map_or(loss, |v| v.loss));
        }
        if let Some(callback) = &mut self.trainer.on_epoch
            && callback(&report) == ControlFlow::Break(())
        {
            self.stop(StopReason::Callback);
        }
        if let Some(stopping) = &self.trainer.stopping {
            match self.monitor.update(stopping, &report) {
                Verdict::Better => {
                    let average = self.average.as_ref().and_then(Average::network);
                    self.best = Some(average.unwrap_or(self.training.network()).clone());
                }
                Verdict::Wait => {}
                // Whatever else stopped it: this run is over, and does not go on from a checkpoint.
                Verdict::Stop => self.stop(StopReason::EarlyStopping),
            }
        }
        self.history.epochs.push(report.clone());
        if self.is_over()
            || self.is_due(CheckpointInterval::Epochs(self.history.epochs.len() as u64))
        {
            self.save()?;
        }
        Ok(Some(report))
    }

    /// The average takes the network after so many epochs.
    fn take_average(&mut self, epochs: usize) -> Result<()> {
        let (net, updates) = (self.training.network(), self.training.counts.updates);
        self.average.as_mut().map_or(Ok(()), |average| average.take(net, updates, epochs))
    }

    /// Batches of an epoch.
    pub(super) fn batches(&self) -> usize {
        self.data.len().div_ceil(self.training.setup.batch_size)
    }

    /// Whether no epoch follows.
    fn is_over(&self) -> bool {
        self.history.stopped() || self.history.epochs.len() >= self.trainer.epochs
    }

    /// The steps of an epoch that are not done yet.
    fn steps(&mut self, order: &[u32], epoch: usize) -> Result<()> {
        let steps = self.batches();
        let mut start = Moment::now();
        let done = self.partial.batches;
        for (i, batch) in order.chunks(self.training.setup.batch_size).enumerate().skip(done) {
            if self.trainer.cancel.as_ref().is_some_and(|c| c.is_cancelled()) {
                self.stop(StopReason::Cancelled);
                self.save()?;
                break;
            }
            if let Some(rates) = &self.rates {
                self.training.set_learning_rate(rates.rate())?;
            }
            let weights = self.trainer.sample_weights;
            let updates = self.training.counts.updates;
            let loss = self.training.step_samples(self.data, batch, weights);
            let BatchLoss { loss, weight } = loss.map_err(|e| in_epoch(e, epoch))?;
            self.take_average(self.history.epochs.len())?;
            self.history.steps = self.training.steps();
            self.partial.batches += 1;
            self.partial.samples += batch.len();
            self.partial.sum += f64::from(loss) * weight;
            self.partial.weight += weight;
            if let Some(rates) = &mut self.rates {
                rates.step();
            }
            let learning_rate = self.training.learning_rate();
            let gradient_norms = match self.training.counts.updates > updates {
                true => self.training.gradient_norms(),
                false => &[],
            };
            let row_losses = self.training.row_losses();
            if self.trainer.record_steps {
                let (step, gradient_norms) = (self.training.steps(), gradient_norms.to_vec());
                let record = StepRecord { epoch, step, loss, learning_rate, gradient_norms };
                self.history.step_records.push(record);
            }
            if self.trainer.record_sample_losses {
                for (sample, loss) in batch.iter().zip(row_losses) {
                    self.history.sample_losses[*sample as usize] = *loss as f32;
                }
            }
            let is_due = self.is_due(CheckpointInterval::Steps(self.training.steps()));
            if self.trainer.on_step.is_none() && !is_due {
                continue;
            }
            self.partial.seconds += start.seconds();
            if let Some(callback) = &mut self.trainer.on_step {
                let (epochs, step) = (self.trainer.epochs, i + 1);
                let Progress { samples, row_losses: losses, gradient_norms: norms, .. } =
                    std::mem::take(&mut self.progress);
                self.progress = Progress {
                    epoch,
                    epochs,
                    step,
                    steps,
                    loss,
                    learning_rate,
                    samples: refill(samples, batch),
                    row_losses: refill(losses, row_losses),
                    gradient_norms: refill(norms, gradient_norms),
                };
                if callback(&self.progress) == ControlFlow::Break(()) {
                    self.stop(StopReason::Callback);
                }
            }
            if is_due || self.history.stopped() {
                self.save()?;
            }
            start = Moment::now();
            if self.history.stopped() {
                break;
            }
        }
        self.training.flush().map_err(|e| in_epoch(e, epoch))?;
        self.take_average(self.history.epochs.len())?;
        self.partial.seconds += start.seconds();
        Ok(())
    }

    /// The next epoch; a checkpoint may still be under way then.
    pub(super) fn advance(&mut self) -> Option<Result<Epoch>> {
        if self.over {
            return None;
        }
        match self.epoch() {
            Ok(report) => {
                if self.is_over() {
                    self.end();
                }
                report.map(Ok)
            }
            Err(e) => {
                self.fail();
                Some(Err(e))
            }
        }
    }

    /// Waits until the last checkpoint is written, or ends the run where it cannot be.
    pub(super) fn end_of_writing(&mut self) -> Result<()> {
        self.wait().inspect_err(|_| self.fail())
    }
}

impl Iterator for Epochs<'_, '_> {
    type Item = Result<Epoch>;

    fn next(&mut self) -> Option<Result<Epoch>> {
        let report = self.advance();
        match (report, self.end_of_writing()) {
            (Some(Err(e)), _) | (Some(Ok(_)) | None, Err(e)) => Some(Err(e)),
            (report, Ok(())) => report,
        }
    }
}

impl Drop for Epochs<'_, '_> {
    fn drop(&mut self) {
        self.end();
        self.trainer.history = std::mem::take(&mut self.history);
    }
}

impl fmt::Debug for Epochs<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Epochs");
        text.field("trainer", &self.trainer).field("training", &self.training);
        text.field("epochs", &self.history.epochs.len());
        text.field("batches", &self.partial.batches).finish_non_exhaustive()
    }
}

/// `values` in the memory of `list`.
fn refill<T: Copy>(mut list: Vec<T>, values: &[T]) -> Vec<T> {
    list.clear();
    list.extend_from_slice(values);
    list
}

/// Adds the epoch to an error of a step.
fn in_epoch(e: Error, epoch: usize) -> Error {
    match e {
        Error::NonFinite { step, layer, .. } => Error::NonFinite { epoch, step, layer },
        other => other,
    }
}
