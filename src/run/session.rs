//! Checkpoints of sessions: everything of a run but the data.

use super::checkpoint::read_state;
use super::spec::{CheckpointKind, session_spec};
use super::state::State;
use super::tensors::{encode_checkpoint, fill};
use super::text::{self, OptionText};
use super::training::Training;
use crate::error::Result;
use crate::format::{Contents, read_file, read_stream, remove_unfinished, write_atomically};
use std::io::{Read, Write};
use std::path::Path;

impl Training<'_> {
    /// Saves a checkpoint: the network with its running statistics, the optimiser's state, gradients
    /// that wait for an update, the learning rate and the number of steps. A session that
    /// [loads](Training::load_checkpoint) it continues to the same bits as one that was never
    /// interrupted. The checkpoint does not contain which batch is next; a loop can derive it from
    /// [`Training::steps`].
    ///
    /// The checkpoint replaces an older one atomically: after a crash at any moment one of them is
    /// complete. [`Mlp::load`](crate::Mlp::load) reads its network. The bytes are a second copy of the
    /// state in memory while they are written.
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
    /// [`Error::Io`](crate::Error::Io) if the file cannot be written,
    /// [`Error::Value`](crate::Error::Value) if a parameter or a value of the optimiser's state is not
    /// finite, [`Error::Memory`](crate::Error::Memory) if there is no memory for the bytes. The old file
    /// is then unchanged.
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        let (path, bytes) = (path.as_ref(), self.encode()?);
        remove_unfinished(path);
        write_atomically(path, &mut |file| Ok(file.write_all(&bytes)?))
    }

    /// As [`Training::save_checkpoint`], to a writer.
    ///
    /// # Errors
    /// As [`Training::save_checkpoint`].
    pub fn write_checkpoint(&self, mut writer: impl Write) -> Result<()> {
        writer.write_all(&self.encode()?)?;
        Ok(writer.flush()?)
    }

    /// Continues from a checkpoint that [`Training::save_checkpoint`] wrote: network, optimiser's state,
    /// learning rate and counters become those of the checkpoint. The number of threads may differ. All
    /// other options that affect the bits must be the same (network, optimiser, options, batch size,
    /// seed, kind of targets).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the file cannot be read,
    /// [`Error::Format`](crate::Error::Format) if it is damaged or no checkpoint,
    /// [`Error::Config`](crate::Error::Config) if it is of another session (the error names the first
    /// option that differs) or of a [run over a data set](crate::Trainer::checkpoint). The session is
    /// then unchanged, unless the file changes between its check and its second reading: load it again
    /// or drop the session.
    pub fn load_checkpoint(&mut self, path: impl AsRef<Path>) -> Result<()> {
        read_file(path.as_ref(), |file| self.take_checkpoint(file))
    }

    /// As [`Training::load_checkpoint`], from a reader, to its end.
    ///
    /// # Errors
    /// As [`Training::load_checkpoint`].
    pub fn read_checkpoint(&mut self, reader: impl Read) -> Result<()> {
        read_stream(reader, |file| self.take_checkpoint(file))
    }

    fn spec(&self) -> Vec<OptionText> {
        session_spec(&self.setup, self.network(), self.values)
    }

    fn encode(&self) -> Result<Vec<u8>> {
        self.check_nothing_pending("checkpoint")?;
        let (counts, waiting) = (self.counts, self.waiting());
        let state = State { counts, waiting, ..State::default() };
        let text = text::write(&self.spec(), &state);
        encode_checkpoint(self.network(), &text, self.tensors())
    }

    fn take_checkpoint(&mut self, mut file: Contents) -> Result<()> {
        let state = read_state(&mut file, self, CheckpointKind::Session, &self.spec())?;
        let new = State { counts: state.counts, waiting: state.waiting, ..State::default() };
        if state.lines() != new.lines() {
            return Err(file.refuse("its text has lines of a run over a data set"));
        }
        self.clear_gradients();
        fill(file, self.tensors_mut(state.waiting.batches > 0))?;
        self.resume(state.counts, state.waiting);
        Ok(())
    }
}
