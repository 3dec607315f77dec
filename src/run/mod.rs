//! Training runs: options, sessions, epochs, checkpoints.

mod checkpoint;
mod checkpointer;
mod clock;
mod counts;
mod early_stopping;
mod epochs;
mod fit;
mod history;
mod lines;
mod range_test;
mod session;
mod setup;
mod spec;
mod state;
mod tensors;
#[cfg(test)]
mod tests;
mod trainer;
mod training;

pub use checkpointer::CheckpointInterval;
pub use early_stopping::EarlyStopping;
pub use epochs::Epochs;
pub use history::{Cancel, Epoch, History, Progress, StepRecord, StopReason};
pub use range_test::RangeTest;
pub use trainer::Trainer;
pub use training::Training;
