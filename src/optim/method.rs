//! The interface of an optimiser.

use super::rules::AnyRule;
use crate::error::Result;
use crate::text::Field;

/// An optimiser with its hyper-parameters.
pub(super) trait Method {
    /// With the default hyper-parameters, and 0 for those without a default.
    fn with_defaults() -> Self
    where
        Self: Sized;

    /// The name in texts.
    fn name(&self) -> &'static str;

    /// The hyper-parameters in texts.
    fn fields(&mut self) -> Vec<Field<'_>>;

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

    /// The rule of update `step` (counted from 1), which applies `decay` if it can run in the store of the
    /// gradient's product.
    fn rule(&self, step: u64, lr: f32, decay: Decay) -> AnyRule;

    /// Bounds of update `step`, given bounds of |state values| and |gradient|.
    fn bounds(&self, step: u64, slots: [f64; 2], g: f64) -> UpdateBounds;
}

/// The decoupled weight decay of a rule.
#[derive(Clone, Copy)]
pub(super) struct Decay {
    /// λ; 0 if one of the [`StepAdjustments`](super::StepAdjustments) decays the weights.
    pub(super) lambda: f32,
    /// Whether it applies to biases, γ and β.
    pub(super) biases: bool,
}

/// Bounds of an update.
pub(super) struct UpdateBounds {
    /// Bound of the change of a weight, divided by the learning rate.
    pub(super) direction: f64,
    /// Bounds of the new state values.
    pub(super) slots: [f64; 2],
}
