//! Checkpoints: everything of a run in one file, from which it goes on as if nothing had happened.
//!
//! A checkpoint is a model file (its network loads with `Mlp::load`) with the rest of the run in
//! tensors whose names begin with `training.`: the optimiser's state, gradients that wait for an
//! update, the network of the best epoch, and a text with the run's options and where it stands.
//! Randomness is counted, so no generator has a state.

use super::checkpointer::{CheckpointInterval, Saver};
use super::epochs::Epochs;
use super::history::{StopReason, History};
use super::spec::{Kind, recipe};
use super::state::{self, State};
use super::tensors::{TEXT, encode_checkpoint, fill, parts};
use super::trainer::Trainer;
use super::training::Training;
use crate::error::{Error, Result};
use crate::format::{Contents, read_file};
use crate::io::empty_model;
use crate::optim::RatesState;
use std::path::Path;

impl<'a> Trainer<'a> {
    /// Writes a checkpoint to `path`, again and again: everything from which
    /// [`Trainer::resume`] goes on, to the same bits as a run that was never interrupted.
    ///
    /// A checkpoint replaces the one before as a whole: after a crash at any moment there is one
    /// of them. There is also one after the last epoch, and where a callback or
    /// [`Cancel`](crate::Cancel) stops the run. Except with [`Threads::One`](crate::Threads::One)
    /// a thread of its own waits for the disk while the training goes on; the bytes that it writes
    /// are a second copy of the parameters and of the optimiser's state.
    ///
    /// Nothing that could not be read is written: where a parameter or a value of the optimiser's
    /// state is not finite, the run ends with [`Error::Value`] and the file is as it was.
    ///
    /// ```no_run
    /// use deltarule::{Activation, Adam, CheckpointInterval, Mlp, Trainer, data};
    /// use std::path::Path;
    ///
    /// let data = data::digits();
    /// let mut net = Mlp::builder(64).dense(10, Activation::Softmax).build()?;
    /// let path = Path::new("run.safetensors");
    /// let mut trainer =
    ///     Trainer::new(Adam::new(0.01)).epochs(100).checkpoint(path, CheckpointInterval::Epochs(1));
    /// if path.exists() {
    ///     trainer = trainer.resume(path);
    /// }
    /// let history = trainer.fit(&mut net, &data)?;
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    pub fn checkpoint(mut self, path: impl AsRef<Path>, every: Every) -> Self {
        self.saving = Some((path.as_ref().to_path_buf(), every));
        self
    }

    /// Lets every run go on from a checkpoint, also in the middle of an epoch: the network, the
    /// history and everything else become those of the checkpoint, so that the run ends with the
    /// same bits as one that was never interrupted. The number of threads may differ, and without
    /// a schedule the number of epochs. Whatever else decides the bits (network, optimiser,
    /// options, data) has to be the same; of a data set up to a thousand rows are compared.
    ///
    /// A run that early stopping ended stays ended, also where a callback stopped it in the same
    /// epoch.
    ///
    /// The run then fails with [`Error::Io`] when the file cannot be read, [`Error::Format`] when
    /// it is damaged in any way or no checkpoint, and [`Error::Config`] when it is of another run.
    pub fn resume(mut self, path: impl AsRef<Path>) -> Self {
        self.resuming = Some(path.as_ref().to_path_buf());
        self
    }
}

/// What a run knows of its checkpoints.
pub(super) struct Saving {
    saver: Saver,
    /// The run's options; they do not change.
    recipe: Vec<state::OptionText>,
}

impl Epochs<'_, '_> {
    /// Before the first epoch: becomes the run of a checkpoint, and gets ready to write them.
    pub(super) fn begin(&mut self) -> Result<()> {
        if let Some((path, every)) = self.trainer.saving.clone() {
            let saver = Saver::new(&path, every, self.trainer.setup.threads)?;
            self.saving = Some(Saving { saver, recipe: recipe(self) });
        }
        match self.trainer.resuming.clone() {
            Some(path) => read_file(&path, |file| self.take(file)),
            None => Ok(()),
        }
    }

    /// Whether a checkpoint is due after the step that was just made.
    pub(super) fn is_due_after_step(&self) -> bool {
        let steps = self.training.steps();
        self.saving.as_ref().is_some_and(|s| s.saver.is_due_after_step(steps))
    }

    /// Whether a checkpoint is due after the epoch that just ended.
    pub(super) fn is_due_after_epoch(&self) -> bool {
        let epochs = self.history.epochs.len() as u64;
        self.saving.as_ref().is_some_and(|s| s.saver.is_due_after_epoch(epochs))
    }

    /// Begins to write a checkpoint, if the run writes them.
    pub(super) fn save(&mut self) -> Result<()> {
        let Some(mut saving) = self.saving.take() else { return Ok(()) };
        let started = self.encode(&saving.recipe).and_then(|bytes| saving.saver.start(bytes));
        self.saving = Some(saving);
        started
    }

    /// Waits until the last checkpoint is written.
    pub(super) fn wait(&mut self) -> Result<()> {
        self.saving.as_mut().map_or(Ok(()), |s| s.saver.wait())
    }

    /// The bytes of a checkpoint.
    fn encode(&self, recipe: &[state::OptionText]) -> Result<Vec<u8>> {
        let training = &self.training;
        let state = State {
            counts: training.counts(),
            partial: self.partial,
            waiting: training.waiting(),
            rates: self.rates.as_ref().map(|r| r.state()),
            watch: self.watch.state(),
            has_best: self.best.is_some(),
            history: self.history.clone(),
        };
        let mut all = training.tensors();
        for (i, layer) in self.best.iter().flat_map(|n| &n.layers).enumerate() {
            all.extend(parts("best", i, layer.tensors()));
        }
        encode_checkpoint(training.network(), &state::write(recipe, &state), all)
    }

    /// Becomes the run of a checkpoint.
    fn take(&mut self, mut file: Contents) -> Result<()> {
        let state = read_state(&mut file, &self.training, Kind::Run, &recipe(self))?;
        let (done, epochs) = (state.history.epochs.len(), self.trainer.epochs);
        if done > epochs {
            let reason = format!("the checkpoint's run has done {done}, this one has {epochs}");
            return Err(Error::config("epochs", reason));
        }
        self.check(&state).map_err(|line| {
            file.refuse(format!("{TEXT}: the line {line:?} is not that of such a run"))
        })?;
        let mut best = state.has_best.then(|| self.training.network().clone());
        let mut all = self.training.tensors_mut(state.waiting.batches > 0);
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
        let State { counts, partial, rates, watch: (best, waited), history, .. } = state;
        let (done, batches) = (history.epochs.len(), self.batches());
        let steps = done.checked_mul(batches).and_then(|steps| steps.checked_add(partial.batches));
        let of_rates = |r: &RatesState| (r.steps, r.epochs) == (counts.steps, done as u64);
        let best_epoch = best.map_or(0, |(_, epoch)| epoch);
        let samples = partial.batches.saturating_mul(self.batch_size).min(self.data.len());
        let watches = match self.trainer.stopping {
            Some(_) => best_epoch.checked_add(*waited) == Some(done),
            None => (best_epoch, *waited, best.is_some()) == (0, 0, false),
        };
        match () {
            _ if partial.batches > batches || partial.samples != samples => Err("partial"),
            _ if steps.and_then(|n| u64::try_from(n).ok()) != Some(counts.steps) => Err("steps"),
            // Only a schedule changes the rate.
            _ if self.rates.is_none() && counts.lr != self.training.learning_rate() => Err("steps"),
            _ if rates.is_some() != self.rates.is_some() => Err("rates"),
            _ if rates.as_ref().is_some_and(|r| !of_rates(r)) => Err("rates"),
            _ if !watches => Err("watch"),
            _ if history.stopped && self.trainer.stopping.is_none() => Err("ending"),
            _ => Ok(()),
        }
    }

    /// Takes all of a state but the tensors.
    fn go_on_from(&mut self, state: State) {
        self.training.resume(state.counts, state.waiting);
        if let (Some(rates), Some(state)) = (&mut self.rates, state.rates) {
            rates.resume(state);
        }
        self.watch.resume(state.watch);
        self.partial = state.partial;
        let History { precision, hardware, .. } = self.history;
        self.history = History { precision, hardware, ..state.history };
        let is_whole = self.history.epochs.len() == self.trainer.epochs;
        if is_whole || self.history.stop_reason == StopReason::EarlyStopping {
            self.end();
        }
    }
}

/// What a checkpoint of this kind and with these options says; the checks of everything but the
/// tensors.
pub(super) fn read_state(
    file: &mut Contents,
    training: &Training,
    kind: Kind,
    own: &[state::OptionText],
) -> Result<State> {
    // For its checks: that it is of a version that this one knows, and well-formed.
    empty_model(file)?;
    let text = file.bytes(TEXT)?;
    let text = str::from_utf8(&text).map_err(|e| file.refuse(format!("{TEXT}: {e}")))?;
    let (options, state) =
        state::read(text).map_err(|reason| file.refuse(format!("{TEXT}: {reason}")))?;
    kind.check(&options)?;
    same_recipe(&options, own)?;
    if state.waiting.batches >= training.accumulate() {
        return Err(file.refuse("more gradients than wait for one update"));
    }
    Ok(state)
}

/// Refuses the checkpoint of another run, with the first option that differs.
fn same_recipe(found: &[(String, String)], own: &[state::OptionText]) -> Result<()> {
    let refuse = |option: &str, found: &str, own: &str| {
        let reason = format!("the checkpoint's run has {found}, this one has {own}");
        Err(Error::config(option, reason))
    };
    for (option, value) in own {
        let written = found.iter().find(|(name, _)| name == option);
        match written {
            Some((_, found)) if found == value => {}
            found => return refuse(option, found.map_or("none", |(_, v)| v), value),
        }
    }
    match found.iter().find(|(name, _)| own.iter().all(|(option, _)| name != option)) {
        Some((name, value)) => refuse(name, value, "none"),
        None => Ok(()),
    }
}
