//! Optimisers: how a gradient changes a weight.
//!
//! A [`Rule`] is one optimiser's arithmetic with the step's numbers (learning rate, bias
//! corrections) filled in; it runs inside the store of the gradient's product. An [`Optimizer`] is
//! what users choose; it makes the rule of each step. The formulas are PyTorch's.

mod adam;
mod sgd;

pub use adam::Adam;
pub use sgd::{Momentum, Sgd};

use crate::simd::Simd;
use crate::{Error, Result};

/// One optimiser's arithmetic on a vector of weights.
pub(crate) trait Rule: Copy + Send + Sync {
    /// State values a weight needs: the first so many of `slots`.
    const SLOTS: usize;
    /// The new weight from the weight and its gradient; updates the state.
    fn update<S: Simd>(self, s: S, weight: S::V, gradient: S::V, slots: &mut [S::V; 2]) -> S::V;
}

/// Keeps the gradient itself: for products alone, and for steps that need the whole gradient
/// first.
#[derive(Clone, Copy)]
pub(crate) struct Keep;

impl Rule for Keep {
    const SLOTS: usize = 0;
    #[inline(always)]
    fn update<S: Simd>(self, _: S, _: S::V, gradient: S::V, _: &mut [S::V; 2]) -> S::V {
        gradient
    }
}

/// An optimiser and its numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Gradient descent.
    Sgd(Sgd),
    /// Gradient descent with momentum, plain or Nesterov's.
    Momentum(Momentum),
    /// Adam.
    Adam(Adam),
}

/// Work that is generic over the rule of a step.
pub(crate) trait VisitRule {
    /// What it answers.
    type Output;
    /// Does the work.
    fn visit<R: Rule>(self, rule: R) -> Self::Output;
}

impl Optimizer {
    /// Calls `visitor` with the rule of step `step`, counted from 1, at a learning rate.
    pub(crate) fn with_rule<V: VisitRule>(&self, step: u64, lr: f32, visitor: V) -> V::Output {
        match self {
            Optimizer::Sgd(_) => visitor.visit(sgd::SgdRule { lr }),
            Optimizer::Momentum(m) => visitor.visit(m.rule(lr)),
            Optimizer::Adam(a) => visitor.visit(a.rule(step, lr)),
        }
    }

    /// State values a weight needs.
    pub(crate) fn slots(&self) -> usize {
        match self {
            Optimizer::Sgd(_) => 0,
            Optimizer::Momentum(_) => 1,
            Optimizer::Adam(_) => 2,
        }
    }

    /// The learning rate it was made with.
    pub fn learning_rate(&self) -> f32 {
        match self {
            Optimizer::Sgd(o) => o.lr,
            Optimizer::Momentum(o) => o.lr,
            Optimizer::Adam(o) => o.lr,
        }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::Config`] that names the number and its range.
    pub fn validate(&self) -> Result<()> {
        check("learning rate", self.learning_rate(), 0.0..f32::INFINITY)?;
        match self {
            Optimizer::Sgd(_) => Ok(()),
            Optimizer::Momentum(o) => check("momentum", o.momentum, 0.0..1.0),
            Optimizer::Adam(o) => {
                check("beta1", o.beta1, 0.0..1.0)?;
                check("beta2", o.beta2, 0.0..1.0)?;
                check("epsilon", o.epsilon, f32::MIN_POSITIVE..f32::INFINITY)
            }
        }
    }
}

/// Checks that an option lies in a half-open range (which NaN never does).
pub(crate) fn check(option: &str, value: f32, range: std::ops::Range<f32>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let reason =
        format!("expected a number from {} to below {}, got {value}", range.start, range.end);
    Err(Error::config(option, reason))
}
