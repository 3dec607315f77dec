//! What a network does: forward passes, predictions, evaluations, and the two phases of a training
//! step.

mod backward;
mod batch;
mod block;
mod bounds;
mod change;
mod check;
mod columns;
mod compile;
mod deferred;
mod evaluate;
mod forward;
mod inference;
mod input;
mod input_gradient;
mod memory;
mod ops;
mod peaks;
mod pending;
mod phase1;
mod phase2;
mod plan;
mod predictor;
mod probe;
mod row;
mod scratch;
mod separate;
mod stages;
mod state;
mod step;
mod tiles;
mod train;
mod views;
mod workspace;
mod zeros;

pub use batch::BatchTargets;
pub(crate) use batch::{Batch, SampleWeights};
pub(crate) use change::Waiting;
pub(crate) use check::{check_data, check_rows, check_sample_weights, check_shape, check_targets};
pub(crate) use deferred::Deferred;
pub(crate) use evaluate::{evaluate, multiply_adds};
pub(crate) use inference::Inference;
pub(crate) use pending::Next;
pub use predictor::Predictor;
pub(crate) use separate::Call;
pub(crate) use state::Slot;
pub(crate) use step::{Outcome, Step, fuses};
pub(crate) use train::{flush, run};
pub(crate) use workspace::{Needs, Workspace};

/// What the tests of padding look into.
#[cfg(test)]
pub(crate) mod testing {
    pub(crate) use super::columns::Columns;
    pub(crate) use super::ops::Op;
    pub(crate) use super::state::{LayerState, Moments, PartRows};
    pub(crate) use super::workspace::BatchRows;
}
