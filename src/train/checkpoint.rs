//! Checkpoints: everything of a run in one file, from which it goes on as if nothing had happened.
//!
//! A checkpoint is a model file (the network loads with `Mlp::load`) with the rest of the run in
//! tensors that begin with `training.`: the optimiser's state, gradients that wait for an update,
//! the network of the best epoch, and a text with the configuration and the cursor. Randomness is
//! counted, so no generator has a state.

use super::deferred::Deferred;
use super::epochs::Epochs;
use super::history::Ending;
use super::state::{self, OptionText, Partial, State};
use super::workspace::Slot;
use crate::data::{Dataset, Features, Targets};
use crate::gemm::Tensor;
use crate::io::{CHECKPOINT, Contents, Hasher, STATE, Stored, Values};
use crate::io::{empty_model, read_file, remove_unfinished, write_atomically, write_file};
use crate::nn::{Dense, Mlp};
use crate::threads::Threads;
use crate::{Error, Level, Result};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// How often a run writes its checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Every {
    /// After every so many epochs.
    Epochs(u64),
    /// After every so many steps (batches).
    Steps(u64),
}

/// Where a run writes its checkpoints, and the write that is under way.
pub(super) struct Saver {
    path: PathBuf,
    every: Every,
    writing: Option<JoinHandle<Result<()>>>,
    alone: bool,
}

impl Saver {
    /// # Errors
    /// [`Error::Config`] for a checkpoint after every 0.
    pub(super) fn new(path: &Path, every: Every, threads: Threads) -> Result<Self> {
        if matches!(every, Every::Epochs(0) | Every::Steps(0)) {
            return Err(Error::config("checkpoint", "expected every 1 or more, got 0"));
        }
        remove_unfinished(path);
        let alone = threads == Threads::One;
        Ok(Saver { path: path.to_path_buf(), every, writing: None, alone })
    }

    /// Whether one is due after a step (of the run), or after an epoch.
    pub(super) fn is_due(&self, steps: Option<u64>, epochs: u64) -> bool {
        match (self.every, steps) {
            (Every::Steps(n), Some(steps)) => steps.is_multiple_of(n),
            (Every::Epochs(n), None) => epochs.is_multiple_of(n),
            _ => false,
        }
    }

    /// Begins to write; the bytes are complete, so training can go on meanwhile.
    fn start(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.wait()?;
        let path = self.path.clone();
        let write = move || {
            write_atomically(&path, &mut |file| Ok(file.write_all(&bytes)?))
        };
        if self.alone {
            return write();
        }
        let thread = std::thread::Builder::new().name("deltarule save".into());
        let started = thread.spawn(write).map_err(|e| Error::Threads {
            reason: format!("the thread that saves checkpoints could not be started: {e}"),
        })?;
        self.writing = Some(started);
        Ok(())
    }

    /// Waits for the write that is under way.
    pub(super) fn wait(&mut self) -> Result<()> {
        match self.writing.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(Error::Threads { reason: "saving a checkpoint panicked".into() }),
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        // Only a run that is dropped in the middle gets here with a write under way.
        let _ = self.wait();
    }
}

/// Names of the state's tensors, beside the text.
fn names(kind: &str, layer: usize) -> [String; 2] {
    ["weight", "bias"].map(|what| format!("{STATE}{kind}.{layer}.{what}"))
}

/// Name of the text.
const TEXT: &str = "training.state";

impl Epochs<'_, '_> {
    /// Writes a checkpoint if one is due: after a step, or after an epoch.
    pub(super) fn save_if_due(&mut self, after_step: bool, partial: Partial) -> Result<()> {
        let steps = after_step.then_some(self.training.steps);
        let epochs = self.history.epochs.len() as u64;
        match &self.saver {
            Some(saver) if saver.is_due(steps, epochs) => self.save(partial),
            _ => Ok(()),
        }
    }

    /// Begins to write a checkpoint.
    pub(super) fn save(&mut self, partial: Partial) -> Result<()> {
        if self.saver.is_none() {
            return Ok(());
        }
        let bytes = self.encode(partial)?;
        match &mut self.saver {
            Some(saver) => saver.start(bytes),
            None => Ok(()),
        }
    }

    /// Waits until the last checkpoint is written.
    pub(super) fn wait(&mut self) -> Result<()> {
        self.saver.as_mut().map_or(Ok(()), Saver::wait)
    }

    /// The bytes of a checkpoint.
    fn encode(&self, partial: Partial) -> Result<Vec<u8>> {
        let training = &self.training;
        let deferred = training.workspace.deferred.as_ref().filter(|d| d.waiting());
        let state = State {
            steps: training.steps,
            updates: training.updates,
            lr: training.lr,
            partial,
            waiting: deferred.map_or((0, 0), Deferred::counts),
            rates: self.rates.as_ref().map(|r| r.state()),
            watch: self.watch.state(),
            has_best: self.best.is_some(),
            history: self.history.clone(),
        };
        let text = state::write(&self.config(), &state);
        let mut stored = vec![Stored { name: TEXT.into(), values: Values::Bytes(text.as_bytes()) }];
        stored.extend(training.net.stored());
        let mut add = |kind: &str, layer: usize, w, b| {
            let [weight, bias] = names(kind, layer);
            stored.push(Stored { name: weight, values: Values::Matrix(w) });
            stored.push(Stored { name: bias, values: Values::Row(b) });
        };
        for (i, layer) in training.workspace.layers.iter().enumerate() {
            for (n, Slot { w, b }) in layer.slots.iter().enumerate() {
                add(&format!("slot{n}"), i, w, b);
            }
        }
        for (i, Slot { w, b }) in deferred.iter().flat_map(|d| d.gradients()).enumerate() {
            add("gradient", i, w, b);
        }
        for (i, Dense { w, b, .. }) in self.best.iter().flat_map(|n| &n.layers).enumerate() {
            add("best", i, w, b);
        }
        let mut bytes = Vec::new();
        write_file(&mut bytes, &training.net.metadata(CHECKPOINT), &stored)?;
        Ok(bytes)
    }

    /// The options that decide the run's bits, as text.
    fn config(&self) -> Vec<OptionText> {
        let (trainer, training) = (&self.trainer, &self.training);
        let level = match training.net.level() {
            l if l == Level::portable() => "portable",
            _ => "avx2 or avx512",
        };
        let mut config = vec![
            ("network", training.net.architecture()),
            ("SIMD level", level.into()),
            ("optimizer", format!("{:?}", training.optimizer)),
            ("adjustments", format!("{:?}", training.adjustments)),
            ("loss", format!("{:?}", training.loss)),
            ("batch size", self.batch_size.to_string()),
            ("seed", trainer.seed.to_string()),
            ("schedule", format!("{:?}", trainer.schedule)),
            ("early stopping", format!("{:?}", trainer.stopping)),
            ("data set", fingerprint(self.data)),
            ("validation set", trainer.validation.map_or("none".into(), fingerprint)),
        ];
        if trainer.schedule.is_some() {
            // A schedule may depend on the length of the run.
            config.push(("epochs", trainer.epochs.to_string()));
        }
        config
    }

    /// Becomes the run of a checkpoint.
    pub(super) fn resume(&mut self, path: &Path) -> Result<()> {
        read_file(path, |file| self.take(file))
    }

    fn take(&mut self, mut file: Contents) -> Result<()> {
        empty_model(&file, true)?;
        let text = file.bytes(TEXT)?;
        let text = str::from_utf8(&text).map_err(|e| file.refuse(format!("{TEXT}: {e}")))?;
        let (options, state) =
            state::read(text).map_err(|reason| file.refuse(format!("{TEXT}: {reason}")))?;
        let config = self.config();
        for (name, value) in &config {
            let written = name.replace(' ', "_");
            let found = options.iter().find(|(n, _)| *n == written).map(|(_, v)| v.as_str());
            if found != Some(value) {
                let found = found.unwrap_or("nothing");
                let reason = format!("the checkpoint's run had {found}, this one has {value}");
                return Err(Error::config(*name, reason));
            }
        }
        if let Some((name, value)) =
            options.iter().find(|(n, _)| !config.iter().any(|(c, _)| c.replace(' ', "_") == *n))
        {
            let reason = format!("the checkpoint's run had {value}, this one has nothing");
            return Err(Error::config(name.as_str(), reason));
        }
        if state.history.epochs.len() > self.trainer.epochs {
            let (got, epochs) = (state.history.epochs.len(), self.trainer.epochs);
            let reason = format!("the checkpoint's run has done {got}, this one has {epochs}");
            return Err(Error::config("epochs", reason));
        }
        self.best = state.has_best.then(|| self.training.net.clone());
        let training = &mut self.training;
        let workspace = &mut training.workspace;
        let deferred = workspace.deferred.as_mut().filter(|_| state.waiting.0 > 0);
        if deferred.is_none() && state.waiting.0 > 0 {
            return Err(file.refuse("gradients that this run does not keep"));
        }
        // In the order of `encode`.
        let mut tensors: Vec<(String, &mut Tensor)> = Vec::new();
        for (i, Dense { w, b, .. }) in training.net.layers.iter_mut().enumerate() {
            tensors.push((format!("layers.{i}.weight"), w));
            tensors.push((format!("layers.{i}.bias"), b));
        }
        let mut add = |kind: &str, layer: usize, w, b| {
            let [weight, bias] = names(kind, layer);
            tensors.extend([(weight, w), (bias, b)]);
        };
        for (i, layer) in workspace.layers.iter_mut().enumerate() {
            for (n, Slot { w, b }) in layer.slots.iter_mut().enumerate() {
                add(&format!("slot{n}"), i, w, b);
            }
        }
        if let Some(deferred) = deferred {
            let gradients = deferred.resume(state.waiting);
            for (i, Slot { w, b }) in gradients.iter_mut().enumerate() {
                add("gradient", i, w, b);
            }
        }
        for (i, Dense { w, b, .. }) in
            self.best.iter_mut().flat_map(|n| &mut n.layers).enumerate()
        {
            add("best", i, w, b);
        }
        let shape = |(name, t): &(String, &mut Tensor)| {
            (name.clone(), if t.rows() == 1 && name.ends_with("bias") { 1 } else { t.cols() })
        };
        let expected: Vec<_> = tensors.iter().map(shape).collect();
        let found: Vec<_> =
            file.matrices().map(|(name, rows, _)| (name.to_string(), rows)).collect();
        if expected != found {
            return Err(file.refuse("its tensors are not those of its configuration"));
        }
        let mut targets = tensors.into_iter();
        file.read(|name| if name == TEXT { None } else { targets.next().map(|(_, t)| t) })?;
        drop(targets);
        training.workspace.transpose_weights(training.net);
        (training.steps, training.updates, training.lr) = (state.steps, state.updates, state.lr);
        if let (Some(rates), Some(state)) = (&mut self.rates, state.rates) {
            rates.resume(state);
        }
        self.watch.resume(state.watch);
        self.partial = state.partial;
        self.history = state.history;
        if self.history.ending == Ending::EarlyStopping
            || self.history.epochs.len() == self.trainer.epochs
        {
            self.end();
        }
        Ok(())
    }
}

/// What tells a data set from another: its shape, how bytes are scaled, and a hash of up to a
/// thousand rows spread over it (all of it, for a larger one, would be read before every run).
fn fingerprint(data: &Dataset) -> String {
    let mut hasher = Hasher::new();
    let n = data.n_features();
    let mut row = vec![0.0; n];
    let every = data.len().div_ceil(1000);
    for i in (0..data.len()).step_by(every) {
        if data.row_into(i, &mut row).is_ok() {
            row.iter().for_each(|x| hasher.update(&x.to_bits().to_le_bytes()));
        }
        match data.targets() {
            Targets::Classes { labels, .. } => hasher.update(&labels[i].to_le_bytes()),
            Targets::Values { values, n_outputs } => {
                let row = &values[i * n_outputs..][..*n_outputs];
                row.iter().for_each(|x| hasher.update(&x.to_bits().to_le_bytes()));
            }
            #[allow(unreachable_patterns)]
            _ => {}
        }
    }
    let kind = match data.features() {
        Features::U8 { .. } => "bytes",
        Features::F32(_) => "f32",
    };
    format!("{} x {n} {kind}, {:016x}", data.len(), hasher.finish())
}

/// A network and the same one without its pads' contents would differ; nothing reads them.
#[cfg(test)]
mod tests {}
