//! Training: the step's two phases, sessions, and fitting a data set.

mod batch;
mod history;
mod step;
mod trainer;
mod training;
mod workspace;

pub use batch::BatchTargets;
pub use history::{Control, Epoch, History, Progress};
pub use trainer::Trainer;
pub use training::Training;
