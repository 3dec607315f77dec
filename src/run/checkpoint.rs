//! Checkpoints: everything of a run in one file, from which it continues to the same bits as without the interruption.
//!
//! A checkpoint is a model file (its network loads with `Mlp::load`) with the rest of the run in
//! tensors whose names begin with `training.`: the optimiser's state, gradients that wait for an
//! update, the average of the weights, the network of the best epoch, and a text with the run's options and where it stands.
//! Randomness is counted, so no generator has a state.

use super::average::Average;
use super::checkpointer::{CheckpointInterval, Checkpointer};
use super::early_stopping::Monitor;
use super::epochs::Epochs;
use super::history::{History, StopReason};
use super::spec::{CheckpointKind, check_spec, run_spec};
use super::state::State;
use super::tensors::{TEXT, encode_checkpoint, fill, parts};
use super::text::{self, OptionText};
use super::training::Training;
use crate::error::{Error, Result};
use crate::format::{Contents, read_file};
use crate::io::empty_model;
use crate::optim::RatesState;

impl Epochs<'_, '_> {
    /// Before the first epoch: becomes the run of a checkpoint, and gets ready to write them.
    pub(super) fn begin(&mut self) -> Result<()> {
        if let Some((path, interval)) = &self.trainer.checkpoint {
            let (threads, spec) = (self.trainer.setup.threads, self.spec());
            self.checkpointer = Some(Checkpointer::new(path, *interval, threads, spec)?);
        }
        match self.trainer.resume.clone() {
            Some(path) => read_file(&path, |file| self.take(file)),
            None => Ok(()),
        }
    }

    fn spec(&self) -> Vec<OptionText> {
        run_spec(self.trainer, &self.training.setup, self.training.network(), self.data)
    }

    /// Whether a checkpoint is due after this number of steps or epochs.
    pub(super) fn is_due(&self, done: CheckpointInterval) -> bool {
        self.checkpointer.as_ref().is_some_and(|c| c.is_due(done))
    }

    /// Begins to write a checkpoint, if the run writes them.
    pub(super) fn save(&mut self) -> Result<()> {
        let Some(checkpointer) = &self.checkpointer else { return Ok(()) };
        let state = State {
            counts: self.training.counts,
            partial: self.partial,
            waiting: self.training.waiting(),
            rates: self.rates.as_ref().map(|r| r.state),
            monitor: self.monitor,
            has_best: self.best.is_some(),
            history: self.history.clone(),
        };
        let mut all = self.training.tensors();
        for (i, layer) in self.average().iter().flat_map(|n| &n.layers).enumerate() {
            all.extend(parts("average", i, layer.tensors()));
        }
        for (i, layer) in self.best.iter().flat_map(|n| &n.layers).enumerate() {
            all.extend(parts("best", i, layer.tensors()));
        }
        let text = text::write(&checkpointer.spec, &state);
        let bytes = encode_checkpoint(self.training.network(), &text, all)?;
        self.checkpointer.as_mut().map_or(Ok(()), |c| c.start(bytes))
    }

    /// Waits until the last checkpoint is written.
    pub(super) fn wait(&mut self) -> Result<()> {
        self.checkpointer.as_mut().map_or(Ok(()), Checkpointer::wait)
    }

    /// Becomes the run of a checkpoint.
    fn take(&mut self, mut file: Contents) -> Result<()> {
        let state = read_state(&mut file, &self.training, CheckpointKind::Run, &self.spec())?;
        let (done, epochs) = (state.history.epochs.len(), self.trainer.epochs);
        if done > epochs {
            let reason = format!("the checkpoint's run has done {done}, this one has {epochs}");
            return Err(Error::config("epochs", reason));
        }
        self.check(&state).map_err(|line| {
            file.refuse(format!("{TEXT}: the line {line:?} is not that of such a run"))
        })?;
        let mut best = state.has_best.then(|| self.training.network().clone());
        if let Some(average) = &mut self.average {
            average.resume(&state);
        }
        let mut all = self.training.tensors_mut(state.waiting.batches > 0);
        let average = self.average.as_mut().and_then(Average::network_mut);
        for (i, layer) in average.into_iter().flat_map(|n| &mut n.layers).enumerate() {
            all.extend(parts("average", i, layer.tensors_mut()));
        }
        for (i, layer) in best.iter_mut().flat_map(|n| &mut n.layers).enumerate() {
            all.extend(parts("best", i, layer.tensors_mut()));
        }
        fill(file, all)?;
        self.best = best;
        self.go_on_from(state);
        Ok(())
    }

    /// Checks that a run of these options comes to a state; the line that says otherwise is the
    /// error.
    fn check(&self, state: &State) -> std::result::Result<(), &'static str> {
        let State { counts, partial, rates, monitor, history, .. } = state;
        let Monitor { best, waited } = monitor;
        let (done, batches) = (history.epochs.len(), self.batches());
        let steps = done.checked_mul(batches).and_then(|steps| steps.checked_add(partial.batches));
        let of_rates = |r: &RatesState| (r.steps, r.epochs) == (counts.steps, done as u64);
        let best_epoch = best.map_or(0, |(_, epoch)| epoch);
        let samples =
            partial.batches.saturating_mul(self.training.setup.batch_size).min(self.data.len());
        let monitor_fits = match self.trainer.stopping {
            Some(_) => best_epoch.checked_add(*waited) == Some(done),
            None => (best_epoch, *waited, best.is_some()) == (0, 0, false),
        };
        let losses = history.sample_losses.len();
        let losses_fit = losses == 0 || losses == self.data.len();
        match () {
            _ if partial.batches > batches || partial.samples != samples => Err("partial"),
            _ if steps.and_then(|n| u64::try_from(n).ok()) != Some(counts.steps) => Err("steps"),
            // Only a schedule changes the rate.
            _ if self.rates.is_none() && counts.lr != self.training.learning_rate() => Err("steps"),
            _ if rates.is_some() != self.rates.is_some() => Err("rates"),
            _ if rates.as_ref().is_some_and(|r| !of_rates(r)) => Err("rates"),
            _ if !monitor_fits => Err("watch"),
            _ if !losses_fit => Err("sample-losses"),
            _ if history.stopped() && self.trainer.stopping.is_none() => Err("ending"),
            _ => Ok(()),
        }
    }

    /// Takes all of a state but the tensors.
    fn go_on_from(&mut self, state: State) {
        self.training.resume(state.counts, state.waiting);
        if let (Some(rates), Some(state)) = (&mut self.rates, state.rates) {
            rates.state = state;
        }
        self.monitor = state.monitor;
        self.partial = state.partial;
        let History { precision, hardware, .. } = self.history;
        let none = std::mem::take(&mut self.history.sample_losses);
        self.history = History { precision, hardware, ..state.history };
        if self.history.sample_losses.len() != none.len() {
            // This run records them and the one before did not, or the other way round.
            self.history.sample_losses = none;
        }
        let is_whole = self.history.epochs.len() == self.trainer.epochs;
        if is_whole || self.history.stop_reason == StopReason::EarlyStopping {
            self.end();
        }
    }
}

/// The state in a checkpoint of this kind and with these options. Checks everything but the tensors.
pub(super) fn read_state(
    file: &mut Contents,
    training: &Training,
    kind: CheckpointKind,
    local: &[OptionText],
) -> Result<State> {
    // For its checks: that it is of a version that this one knows, and well-formed.
    empty_model(file)?;
    let bytes = file.bytes(TEXT)?;
    let refuse = |reason: String| file.refuse(format!("{TEXT}: {reason}"));
    let text = str::from_utf8(&bytes).map_err(|e| refuse(e.to_string()))?;
    let (options, state) = text::read(text).map_err(refuse)?;
    check_spec(kind, &options, local)?;
    if state.waiting.batches >= training.setup.adjustments.accumulate {
        return Err(file.refuse("more gradients than wait for one update"));
    }
    Ok(state)
}
