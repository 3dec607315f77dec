//! What a network does: forward passes, predictions, evaluations, and the two phases of a training
//! step.

mod batch;
mod bounds;
mod change;
mod columns;
mod deferred;
mod evaluate;
mod extras;
mod forward;
mod layers;
mod predictor;
mod probe;
mod row;
mod rows;
mod split;
mod step;
mod workspace;
mod zeros;

pub use batch::BatchTargets;
pub(crate) use batch::{Batch, SampleWeights, check_rows, check_sample_weights};
pub(crate) use change::Waiting;
pub(crate) use deferred::Deferred;
pub(crate) use evaluate::{check_data, evaluate, multiply_adds};
pub use predictor::Predictor;
pub(crate) use step::{Outcome, Step, flush, run};
pub(crate) use workspace::{Needs, Slot, Workspace};
#[cfg(test)]
pub(crate) use {
    columns::Columns,
    extras::Extras,
    split::SplitLayer,
    workspace::{Buffers, LayerBuffers},
};
