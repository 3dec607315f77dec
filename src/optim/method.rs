//! The interface of an optimiser.

use super::rules::AnyRule;
use crate::error::Result;

/// An optimiser with its hyper-parameters.
pub(super) trait Method {
    /// The learning rate before a schedule.
    fn learning_rate(&self) -> f32;

    /// λ of the decoupled weight decay.
    fn decay(&self) -> f32 {
        0.0
    }

    /// Checks the other hyper-parameters.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) that names the number and its range.
    fn check(&self) -> Result<()>;

    /// The rule of update `step` (counted from 1).
    fn rule(&self, step: u64, lr: f32, decay: DecayPlace) -> AnyRule;

    /// Bounds of update `step`, given bounds of |state values| and |gradient|.
    fn bounds(&self, step: u64, slots: [f64; 2], g: f64) -> UpdateBounds;
}

/// Where an optimiser's decoupled weight decay is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecayPlace {
    /// In the rule.
    Rule { biases: bool },
    /// Before the rule, as one of the [`StepAdjustments`](super::StepAdjustments).
    BeforeRule,
}

/// Bounds of an update.
pub(super) struct UpdateBounds {
    /// Bound of the change of a weight, divided by the learning rate.
    pub(super) direction: f64,
    /// Bounds of the new state values.
    pub(super) slots: [f64; 2],
}
