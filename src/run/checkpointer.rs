//! When a run writes its checkpoints, and the write that is under way.

use super::text::OptionText;
use crate::error::{Error, Result, check_option};
use crate::format::{remove_unfinished, write_atomically};
use crate::threads::Threads;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// How often a run writes its checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointInterval {
    /// After every n epochs.
    Epochs(u64),
    /// After every n steps (batches), counted over the whole run.
    Steps(u64),
}

/// Writes the checkpoints of a run, one at a time, beside the training: the bytes of a checkpoint
/// are complete before the run continues, but the disk takes its time.
pub(super) struct Checkpointer {
    path: PathBuf,
    /// The spec of the run.
    pub(super) spec: Vec<OptionText>,
    interval: CheckpointInterval,
    writing: Option<JoinHandle<Result<()>>>,
    alone: bool,
}

impl Checkpointer {
    /// # Errors
    /// [`Error::Config`] for a checkpoint after every 0.
    pub(super) fn new(
        path: &Path,
        interval: CheckpointInterval,
        threads: Threads,
        spec: Vec<OptionText>,
    ) -> Result<Self> {
        let is_0 = matches!(interval, CheckpointInterval::Epochs(0) | CheckpointInterval::Steps(0));
        check_option(!is_0, "checkpoint", "expected every 1 or more, got 0")?;
        remove_unfinished(path);
        let alone = threads == Threads::One;
        Ok(Checkpointer { path: path.to_path_buf(), spec, interval, writing: None, alone })
    }

    /// Whether a checkpoint is due after this number of the run's steps or epochs.
    pub(super) fn is_due(&self, done: CheckpointInterval) -> bool {
        match (self.interval, done) {
            (CheckpointInterval::Epochs(n), CheckpointInterval::Epochs(done))
            | (CheckpointInterval::Steps(n), CheckpointInterval::Steps(done)) => {
                done.is_multiple_of(n)
            }
            (CheckpointInterval::Epochs(_), CheckpointInterval::Steps(_))
            | (CheckpointInterval::Steps(_), CheckpointInterval::Epochs(_)) => false,
        }
    }

    /// Begins to write `bytes`; with [`Threads::One`] writes them.
    ///
    /// # Errors
    /// [`Error::Io`] of this write or of the one before it.
    pub(super) fn start(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.wait()?;
        let path = self.path.clone();
        let write = move || write_atomically(&path, &mut |file| Ok(file.write_all(&bytes)?));
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

impl Drop for Checkpointer {
    fn drop(&mut self) {
        // Only a run that ends with another error gets here with a write under way.
        let _ = self.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CheckpointInterval::{Epochs, Steps};

    #[test]
    fn checkpoints_are_due_at_multiples_of_their_interval() {
        let new = |interval| Checkpointer::new(Path::new("a"), interval, Threads::One, Vec::new());
        for (interval, done, is_due) in [
            (Steps(3), Steps(6), true),
            (Steps(3), Steps(7), false),
            (Steps(3), Epochs(6), false),
            (Epochs(2), Epochs(4), true),
            (Epochs(2), Epochs(5), false),
            (Epochs(2), Steps(4), false),
        ] {
            assert_eq!(new(interval).unwrap().is_due(done), is_due, "{interval:?}, {done:?}");
        }
    }
}
