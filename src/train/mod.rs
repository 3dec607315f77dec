//! Training: the step's two phases, sessions, and fitting a data set.

mod batch;
mod bounds;
mod change;
mod checkpoint;
mod clock;
mod columns;
mod counts;
mod deferred;
mod early_stopping;
mod epochs;
mod extras;
mod history;
mod layers;
mod lines;
mod probe;
mod range_test;
mod recipe;
mod rows;
mod saver;
mod session;
mod split;
mod state;
mod step;
mod tensors;
#[cfg(test)]
mod tests;
mod trainer;
mod training;
mod workspace;

pub use batch::BatchTargets;
pub use early_stopping::EarlyStopping;
pub use epochs::Epochs;
pub use history::{Cancel, Control, Ending, Epoch, History, Progress, StepRecord};
pub use range_test::RateRange;
pub use saver::Every;
pub use trainer::Trainer;
pub use training::Training;
