//! Checkpoints: everything of a run in one file, from which it goes on as if nothing had happened.
//!
//! A checkpoint is a model file (its network loads with `Mlp::load`) with the rest of the run in
//! tensors whose names begin with `training.`: the optimiser's state, gradients that wait for an
//! update, the network of the best epoch, and a text with the run's options and where it stands.
//! Randomness is counted, so no generator has a state.

use super::deferred::Deferred;
use super::epochs::Epochs;
use super::history::{Ending, History};
use super::recipe::recipe;
use super::saver::{Every, Saver};
use super::state::{self, State};
use super::trainer::Trainer;
use super::workspace::Slot;
use crate::gemm::Tensor;
use crate::io::{CHECKPOINT, Contents, STATE, Stored, Values, empty_model, encode, read_file};
use crate::{Error, Result};
use std::path::Path;

/// Name of the text.
const TEXT: &str = "training.state";

/// A tensor of a checkpoint that belongs to a layer.
struct Part<T> {
    name: String,
    tensor: T,
    is_row: bool,
}

/// Tensors of layer `layer`, with their names, as parts of the kind `kind`.
fn parts<T>(
    kind: &str,
    layer: usize,
    tensors: impl IntoIterator<Item = (&'static str, T)>,
) -> impl Iterator<Item = Part<T>> {
    let prefix = match kind {
        "" => format!("layers.{layer}"),
        _ => format!("{STATE}{kind}.{layer}"),
    };
    tensors.into_iter().map(move |(what, tensor)| Part {
        name: format!("{prefix}.{what}"),
        tensor,
        is_row: what != "weight",
    })
}

/// The tensors of what is shaped like the parameters.
fn of_slot(slot: &Slot) -> [(&'static str, &Tensor); 2] {
    [("weight", &slot.w), ("bias", &slot.b)]
}

/// As [`of_slot`].
fn of_slot_mut(slot: &mut Slot) -> [(&'static str, &mut Tensor); 2] {
    [("weight", &mut slot.w), ("bias", &mut slot.b)]
}

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
    /// ```no_run
    /// use deltarule::{Activation, Adam, Every, Mlp, Trainer, data};
    /// use std::path::Path;
    ///
    /// let data = data::digits();
    /// let mut net = Mlp::builder(64).dense(10, Activation::Softmax).build()?;
    /// let path = Path::new("run.safetensors");
    /// let mut trainer =
    ///     Trainer::new(Adam::new(0.01)).epochs(100).checkpoint(path, Every::Epochs(1));
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
        if let Some(path) = self.trainer.resuming.clone() {
            read_file(&path, |file| self.take(file))?;
        }
        if let Some((path, every)) = self.trainer.saving.clone() {
            let saver = Saver::new(&path, every, self.trainer.setup.threads)?;
            self.saving = Some(Saving { saver, recipe: recipe(self) });
        }
        Ok(())
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
        let (net, workspace) = (training.network(), training.workspace());
        let deferred = workspace.deferred.as_ref().filter(|d| d.waiting());
        let state = State {
            counts: training.counts(),
            partial: self.partial,
            waiting: deferred.map_or((0, 0), Deferred::counts),
            rates: self.rates.as_ref().map(|r| r.state()),
            watch: self.watch.state(),
            has_best: self.best.is_some(),
            history: self.history.clone(),
        };
        let text = state::write(recipe, &state);
        let mut all: Vec<Part<&Tensor>> = Vec::new();
        for (i, layer) in net.layers.iter().enumerate() {
            all.extend(parts("", i, layer.tensors()));
        }
        for (i, layer) in workspace.buffers.layers.iter().enumerate() {
            for (n, slot) in layer.slots.iter().enumerate() {
                all.extend(parts(&format!("slot{n}"), i, of_slot(slot)));
            }
        }
        for (i, gradient) in deferred.iter().flat_map(|d| d.gradients()).enumerate() {
            all.extend(parts("gradient", i, of_slot(gradient)));
        }
        for (i, layer) in self.best.iter().flat_map(|n| &n.layers).enumerate() {
            all.extend(parts("best", i, layer.tensors()));
        }
        let stored = |part: Part<_>| Stored {
            values: if part.is_row { Values::Row } else { Values::Matrix }(part.tensor),
            name: part.name,
        };
        let text = Stored { name: TEXT.into(), values: Values::Bytes(text.as_bytes()) };
        let stored: Vec<_> = [text].into_iter().chain(all.into_iter().map(stored)).collect();
        encode(&net.metadata(CHECKPOINT), &stored)
    }

    /// Becomes the run of a checkpoint.
    fn take(&mut self, mut file: Contents) -> Result<()> {
        // For its checks: that it is of a version that this one knows, and well-formed.
        empty_model(&file)?;
        let text = file.bytes(TEXT)?;
        let text = str::from_utf8(&text).map_err(|e| file.refuse(format!("{TEXT}: {e}")))?;
        let (options, state) =
            state::read(text).map_err(|reason| file.refuse(format!("{TEXT}: {reason}")))?;
        same_recipe(&options, &recipe(self))?;
        let (done, epochs) = (state.history.epochs.len(), self.trainer.epochs);
        if done > epochs {
            let reason = format!("the checkpoint's run has done {done}, this one has {epochs}");
            return Err(Error::config("epochs", reason));
        }
        if state.partial.batches > self.data.len().div_ceil(self.batch_size) {
            return Err(file.refuse("more batches of an epoch than there are"));
        }
        if state.waiting.0 >= self.trainer.setup.adjustments.accumulate {
            return Err(file.refuse("more gradients than wait for one update"));
        }
        if state.rates.is_some() != self.rates.is_some() {
            return Err(file.refuse("its schedule and its options differ"));
        }
        let mut best = state.has_best.then(|| self.training.network().clone());
        let (net, workspace) = self.training.parts_mut();
        let mut all: Vec<Part<&mut Tensor>> = Vec::new();
        for (i, layer) in net.layers.iter_mut().enumerate() {
            all.extend(parts("", i, layer.tensors_mut()));
        }
        for (i, layer) in workspace.buffers.layers.iter_mut().enumerate() {
            for (n, slot) in layer.slots.iter_mut().enumerate() {
                all.extend(parts(&format!("slot{n}"), i, of_slot_mut(slot)));
            }
        }
        if state.waiting.0 > 0 {
            let Some(deferred) = &mut workspace.deferred else {
                return Err(file.refuse("gradients that this run does not keep"));
            };
            for (i, gradient) in deferred.resume(state.waiting).iter_mut().enumerate() {
                all.extend(parts("gradient", i, of_slot_mut(gradient)));
            }
        }
        for (i, layer) in best.iter_mut().flat_map(|n| &mut n.layers).enumerate() {
            all.extend(parts("best", i, layer.tensors_mut()));
        }
        let fits = |part: &Part<&mut Tensor>, (name, rows, cols): (&str, usize, usize)| {
            let t = &*part.tensor;
            let shape = if part.is_row { (1, t.cols()) } else { (t.cols(), t.rows()) };
            part.name == name && shape == (rows, cols)
        };
        let found: Vec<_> = file.matrices().collect();
        if found.len() != all.len() || !all.iter().zip(found).all(|(part, f)| fits(part, f)) {
            return Err(file.refuse("its tensors are not those of its options"));
        }
        let mut targets = all.into_iter().map(|part| part.tensor);
        file.read(|name| if name == TEXT { None } else { targets.next() })?;
        self.best = best;
        self.go_on_from(state);
        Ok(())
    }

    /// Takes all of a state but the tensors.
    fn go_on_from(&mut self, state: State) {
        self.training.resume(state.counts);
        if let (Some(rates), Some(state)) = (&mut self.rates, state.rates) {
            rates.resume(state);
        }
        self.watch.resume(state.watch);
        self.partial = state.partial;
        let History { precision, hardware, .. } = self.history;
        self.history = History { precision, hardware, ..state.history };
        let is_whole = self.history.epochs.len() == self.trainer.epochs;
        if is_whole || self.history.ending == Ending::EarlyStopping {
            self.end();
        }
    }
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
