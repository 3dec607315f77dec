//! Checkpoints of sessions: everything of a run but the data.

use super::checkpoint::read_state;
use super::spec::{Kind, session_spec};
use super::state::{self, OptionText, State};
use super::tensors::{encode_checkpoint, fill};
use super::training::Training;
use crate::error::Result;
use crate::format::{Contents, read_file, read_stream, remove_unfinished, write_atomically};
use std::io::{Read, Write};
use std::path::Path;

impl Training<'_> {
    /// Saves a checkpoint: the network with its running statistics, the optimiser's state, gradients
    /// that wait for an update, the learning rate and the number of steps. A session that
    /// [loads](Training::load_checkpoint) it continues to the same bits as one that was never
    /// interrupted. The loop has to know which batch comes next: it can derive that from
    /// [`Training::steps`].
    ///
    /// The checkpoint replaces an older one as a whole: after a crash at any moment there is one
    /// of them. [`Mlp::load`](crate::Mlp::load) reads its network. The bytes that are written are a
    /// second copy of all this in memory until they are on the disk.
    ///
    /// ```
    /// use deltarule::{Activation, Adam, BatchTargets, MatRef, Mlp, Trainer};
    ///
    /// # let path = std::env::temp_dir().join(format!("deltarule-loop-{}", std::process::id()));
    /// let mut net = Mlp::builder(2)
    ///     .dense(4, Activation::Tanh)
    ///     .dense(1, Activation::Sigmoid)
    ///     .build()?;
    /// let mut training = Trainer::new(Adam::new(0.05)).session_values(&mut net)?;
    /// if path.exists() {
    ///     training.load_checkpoint(&path)?;
    /// }
    /// let x = MatRef::new(&[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], 4, 2)?;
    /// let y = MatRef::new(&[0.0, 1.0, 1.0, 0.0], 4, 1)?;
    /// while training.steps() < 200 {
    ///     training.step(x, BatchTargets::Values(y))?;
    ///     if training.steps() % 50 == 0 {
    ///         training.save_checkpoint(&path)?;
    ///     }
    /// }
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when writing fails,
    /// [`Error::Value`](crate::Error::Value) when a parameter or a value of the optimiser's state is
    /// not finite, [`Error::Memory`](crate::Error::Memory) when there is no memory for the bytes; the
    /// old file is then as it was.
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        let (path, bytes) = (path.as_ref(), self.encode()?);
        remove_unfinished(path);
        write_atomically(path, &mut |file| Ok(file.write_all(&bytes)?))
    }

    /// Writes a checkpoint as [`Training::save_checkpoint`] does, to anything.
    ///
    /// # Errors
    /// As [`Training::save_checkpoint`].
    pub fn write_checkpoint(&self, mut writer: impl Write) -> Result<()> {
        writer.write_all(&self.encode()?)?;
        Ok(writer.flush()?)
    }

    /// Continues from a checkpoint that [`Training::save_checkpoint`] wrote: network, optimiser's
    /// state, learning rate and counters become those of the checkpoint. The number of threads may
    /// differ. Whatever else decides the bits (network, optimiser, options, batch size, seed, the
    /// kind of targets) has to be the same.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the file cannot be read,
    /// [`Error::Format`](crate::Error::Format) when it is damaged in any way or no checkpoint,
    /// [`Error::Config`](crate::Error::Config) when it is of another session (the first option
    /// that differs is named) or of a [run over a data set](crate::Trainer::checkpoint). The
    /// session is then as it was; only where a file fails after all of it was read once and found
    /// whole is the session partly the file's, to be loaded again or dropped.
    pub fn load_checkpoint(&mut self, path: impl AsRef<Path>) -> Result<()> {
        read_file(path.as_ref(), |file| self.take_checkpoint(file))
    }

    /// Reads a checkpoint as [`Training::load_checkpoint`] does, from anything. Reads to the end.
    ///
    /// # Errors
    /// As [`Training::load_checkpoint`].
    pub fn read_checkpoint(&mut self, reader: impl Read) -> Result<()> {
        read_stream(reader, |file| self.take_checkpoint(file))
    }

    fn spec(&self) -> Vec<OptionText> {
        session_spec(self.setup(), self.network(), self.values())
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let (counts, waiting) = (self.counts(), self.waiting());
        let state = State { counts, waiting, ..State::default() };
        let text = state::write(&self.spec(), &state);
        encode_checkpoint(self.network(), &text, self.tensors())
    }

    fn take_checkpoint(&mut self, mut file: Contents) -> Result<()> {
        let state = read_state(&mut file, self, Kind::Session, &self.spec())?;
        let new = State { counts: state.counts, waiting: state.waiting, ..State::default() };
        if state::write(&[], &state) != state::write(&[], &new) {
            return Err(file.refuse("its text has lines of a run over a data set"));
        }
        fill(file, self.tensors_mut(state.waiting.batches > 0))?;
        self.resume(state.counts, state.waiting);
        Ok(())
    }
}
