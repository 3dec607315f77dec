//! What the crate needs to know of an optimiser.

use super::rules::AnyRule;
use crate::error::Result;

/// An optimiser's numbers, and what follows from them.
pub(super) trait Method {
    /// The learning rate it was made with.
    fn learning_rate(&self) -> f32;

    /// λ of its decoupled weight decay.
    fn decay(&self) -> f32 {
        0.0
    }

    /// Checks the numbers other than these two.
    fn check(&self) -> Result<()>;

    /// The rule of update `step`, counted from 1, at a learning rate.
    fn rule(&self, step: u64, lr: f32, decay: DecayPlace) -> AnyRule;

    /// Bounds of update `step` from bounds of the state values and of the gradient.
    fn reach(&self, step: u64, slots: [f64; 2], g: f64) -> Reach;
}

/// Where an optimiser's decoupled weight decay is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecayPlace {
    /// In the rule.
    Rule { biases: bool },
    /// In the pass before the rule ([`Pass::keep`](super::Pass)).
    Pass,
}

/// Bounds of an update.
pub(super) struct Reach {
    /// Of what a weight moves along: lr times this is the step.
    pub(super) along: f64,
    /// Of the new state values.
    pub(super) slots: [f64; 2],
}
