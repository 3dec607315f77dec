//! Training runs: options, sessions, epochs, checkpoints.

mod average;
mod checkpoint;
mod checkpointer;
mod clock;
mod early_stopping;
mod epochs;
mod fit;
mod history;
mod own_loop;
mod parameters;
mod predict;
mod range_test;
mod records;
mod session;
mod setup;
mod spec;
mod state;
mod tensors;
#[cfg(test)]
mod tests;
mod text;
mod trainer;
mod training;
mod words;

pub use checkpointer::CheckpointInterval;
pub use early_stopping::EarlyStopping;
pub use epochs::Epochs;
pub use history::{Cancel, Epoch, History, Progress, StepRecord, StopReason};
pub use range_test::RangeTest;
pub use trainer::Trainer;
pub use training::Training;
