//! Optimisers: how a gradient changes a weight.
//!
//! An [`UpdateRule`] is one optimiser's arithmetic with the step's numbers (learning rate, bias
//! corrections) filled in; it runs inside the store of the gradient's product. An [`Optimizer`] is
//! what users choose; it makes the rule of each step. The formulas are PyTorch's.
//!
//! Every rule that runs in the store costs an instance of every tile, so only the usual ones do:
//! SGD, momentum, Adam and AdamW. The others, and everything in [`Adjustments`], keep the gradient
//! of a tile and then run over it while it is in the cache.

mod adam;
mod adjust;
mod growth;
mod lion;
mod scaled;
mod schedule;
mod sgd;

pub use adam::{Adam, AdamW};
pub(crate) use adjust::{Adjustments, Pass, apply, limiting_scales, sum_of_squares};
pub(crate) use growth::{LIMIT, Magnitude};
pub use lion::Lion;
pub use scaled::{Adagrad, RmsProp};
pub use schedule::Schedule;
pub(crate) use schedule::{Rates, RatesState};
pub use sgd::{Momentum, Sgd};

use crate::error::{Error, Result};
use crate::gemm::UpdateRule;
use crate::simd::Simd;

/// g + scale · gradient: the sum over several batches. (Sgd's own arithmetic, so that the tiles are
/// not compiled once more.)
pub(crate) fn add_to(scale: f32) -> impl UpdateRule {
    sgd::SgdRule { lr: -scale }
}

/// −1, 0 or 1; NaN stays NaN.
#[inline(always)]
pub(crate) fn sign<S: Simd>(s: S, x: S::V) -> S::V {
    let not_zero = s.lt(s.splat(0.0), s.abs(x));
    s.select(not_zero, s.with_sign_of(s.splat(1.0), x), x)
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
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
    /// RMSprop.
    RmsProp(RmsProp),
    /// Adagrad.
    Adagrad(Adagrad),
    /// Lion.
    Lion(Lion),
}

/// Work that is generic over the rule of a step.
pub(crate) trait VisitRule {
    /// What it returns.
    type Output;
    /// Does the work.
    fn visit<R: UpdateRule>(self, rule: R) -> Self::Output;
}

impl Optimizer {
    /// Whether its rule runs in the store of the gradient's product.
    pub(crate) fn fuses(&self) -> bool {
        !matches!(self, Optimizer::RmsProp(_) | Optimizer::Adagrad(_) | Optimizer::Lion(_))
    }

    /// Calls `visitor` with the rule of step `step`, counted from 1, at a learning rate, for the
    /// store of the gradient's product. The optimiser is one that fuses.
    pub(crate) fn with_fused_rule<V: VisitRule>(
        &self,
        (step, lr): (u64, f32),
        decay_biases: bool,
        visitor: V,
    ) -> V::Output {
        match self {
            Optimizer::Sgd(_) => visitor.visit(sgd::SgdRule { lr }),
            Optimizer::Momentum(m) => visitor.visit(m.rule(lr)),
            Optimizer::Adam(a) => visitor.visit(a.rule(step, lr, 0.0, true)),
            Optimizer::AdamW(a) => visitor.visit(a.adam.rule(step, lr, a.decay, decay_biases)),
            _ => unreachable!("the trainer asked whether it fuses"),
        }
    }

    /// Calls `visitor` with the rule of step `step`, counted from 1, at a learning rate, for a
    /// pass of its own: [`Optimizer::decay`] is left to the pass.
    pub(crate) fn with_rule<V: VisitRule>(&self, (step, lr): (u64, f32), visitor: V) -> V::Output {
        match self {
            Optimizer::Sgd(_) => visitor.visit(sgd::SgdRule { lr }),
            Optimizer::Momentum(m) => visitor.visit(m.rule(lr)),
            Optimizer::Adam(a) => visitor.visit(a.rule(step, lr, 0.0, true)),
            Optimizer::AdamW(a) => visitor.visit(a.adam.rule(step, lr, 0.0, true)),
            Optimizer::RmsProp(o) => visitor.visit(o.rule(lr)),
            Optimizer::Adagrad(o) => visitor.visit(o.rule(lr)),
            Optimizer::Lion(o) => visitor.visit(o.rule(lr)),
        }
    }

    /// λ of its own decoupled weight decay.
    pub(crate) fn decay(&self) -> f32 {
        match self {
            Optimizer::AdamW(o) => o.decay,
            Optimizer::Lion(o) => o.decay,
            _ => 0.0,
        }
    }

    /// State values a weight needs.
    pub(crate) fn slots(&self) -> usize {
        match self {
            Optimizer::Sgd(_) => 0,
            Optimizer::Adam(_) | Optimizer::AdamW(_) => 2,
            _ => 1,
        }
    }

    /// The learning rate it was made with.
    pub fn learning_rate(&self) -> f32 {
        match self {
            Optimizer::Sgd(o) => o.lr,
            Optimizer::Momentum(o) => o.lr,
            Optimizer::Adam(o) => o.lr,
            Optimizer::AdamW(o) => o.adam.lr,
            Optimizer::RmsProp(o) => o.lr,
            Optimizer::Adagrad(o) => o.lr,
            Optimizer::Lion(o) => o.lr,
        }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::Config`] that names the number and its range.
    pub fn validate(&self) -> Result<()> {
        check("learning rate", self.learning_rate(), 0.0..f32::INFINITY)?;
        check("weight decay", self.decay(), 0.0..f32::INFINITY)?;
        let epsilon = |value| check("epsilon", value, f32::MIN_POSITIVE..f32::INFINITY);
        let betas = |beta1, beta2| {
            check("beta1", beta1, 0.0..1.0)?;
            check("beta2", beta2, 0.0..1.0)
        };
        match self {
            Optimizer::Sgd(_) => Ok(()),
            Optimizer::Momentum(o) => check("momentum", o.momentum, 0.0..1.0),
            Optimizer::Adam(o) | Optimizer::AdamW(AdamW { adam: o, .. }) => {
                betas(o.beta1, o.beta2)?;
                epsilon(o.epsilon)
            }
            Optimizer::RmsProp(o) => {
                check("alpha", o.alpha, 0.0..1.0)?;
                epsilon(o.epsilon)
            }
            Optimizer::Adagrad(o) => epsilon(o.epsilon),
            Optimizer::Lion(o) => betas(o.beta1, o.beta2),
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
