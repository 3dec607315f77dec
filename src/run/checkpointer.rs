//! When a run writes its checkpoints, and the write that is under way.

use super::state::OptionText;
use crate::error::{Error, Result};
use crate::format::{remove_unfinished, write_atomically};
use crate::threads::Threads;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// How often a run writes its checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointInterval {
    /// After this number of epochs.
    Epochs(u64),
    /// After this number of steps (batches), counted over the whole run.
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
        if matches!(interval, CheckpointInterval::Epochs(0) | CheckpointInterval::Steps(0)) {
            return Err(Error::config("checkpoint", "expected every 1 or more, got 0"));
        }
        remove_unfinished(path);
        let alone = threads == Threads::One;
        Ok(Checkpointer { path: path.to_path_buf(), spec, interval, writing: None, alone })
    }

    /// Whether one is due after a step, the run's `steps`th.
    pub(super) fn is_due_after_step(&self, steps: u64) -> bool {
        matches!(self.interval, CheckpointInterval::Steps(n) if steps.is_multiple_of(n))
    }

    /// Whether one is due after an epoch, the run's `epochs`th.
    pub(super) fn is_due_after_epoch(&self, epochs: u64) -> bool {
        matches!(self.interval, CheckpointInterval::Epochs(n) if epochs.is_multiple_of(n))
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

    #[test]
    fn checkpoints_are_due_when_they_were_asked_for() {
        let checkpointer = |interval| {
            Checkpointer::new(Path::new("nowhere/file"), interval, Threads::One, Vec::new())
                .unwrap()
        };
        let due = |s: Checkpointer, n| (s.is_due_after_step(n), s.is_due_after_epoch(n));
        assert_eq!(due(checkpointer(CheckpointInterval::Steps(3)), 6), (true, false));
        assert_eq!(due(checkpointer(CheckpointInterval::Steps(3)), 7), (false, false));
        assert_eq!(due(checkpointer(CheckpointInterval::Epochs(2)), 4), (false, true));
        assert_eq!(due(checkpointer(CheckpointInterval::Epochs(2)), 5), (false, false));
        assert!(
            Checkpointer::new(
                Path::new("file"),
                CheckpointInterval::Steps(0),
                Threads::One,
                Vec::new()
            )
            .is_err()
        );
    }

    #[test]
    fn an_error_of_the_thread_reaches_the_next_call() {
        let mut checkpointer = Checkpointer::new(
            Path::new("/nowhere/at/all"),
            CheckpointInterval::Steps(1),
            Threads::Current,
            Vec::new(),
        )
        .unwrap();
        checkpointer.start(vec![1]).unwrap();
        assert!(matches!(checkpointer.start(vec![2]), Err(Error::Io { path: Some(_), .. })));
        assert!(checkpointer.wait().is_ok());
        checkpointer.alone = true;
        assert!(matches!(checkpointer.start(vec![3]), Err(Error::Io { path: Some(_), .. })));
    }
}
