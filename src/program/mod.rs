//! What a network does: forward passes, predictions, evaluations, and the two phases of a training
//! step.

mod backward;
mod batch;
mod bounds;
mod buffers;
mod change;
mod columns;
mod deferred;
mod evaluate;
mod forward;
mod input;
mod ops;
mod phase1;
mod predictor;
mod probe;
mod row;
mod scratch;
mod step;
mod tiles;
mod update;
mod views;
mod zeros;

pub use batch::BatchTargets;
pub(crate) use batch::{Batch, SampleWeights, check_rows, check_sample_weights};
pub(crate) use buffers::{Needs, Slot, Workspace};
pub(crate) use change::Waiting;
pub(crate) use deferred::Deferred;
pub(crate) use evaluate::{check_data, evaluate, multiply_adds};
pub use predictor::Predictor;
pub(crate) use step::{Outcome, Step, flush, run};

/// What the tests of padding look into.
#[cfg(test)]
pub(crate) mod testing {
    pub(crate) use super::buffers::{BatchRows, LayerState, Moments, PartRows};
    pub(crate) use super::columns::Columns;
    pub(crate) use super::ops::Op;
}
