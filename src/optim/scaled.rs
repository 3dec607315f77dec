//! Optimisers that divide each gradient by the size it usually has: RMSprop and Adagrad.

use super::method::{DecayPlace, Method, Reach};
use super::rules::{AnyRule, ScaledRule};
use crate::error::{Result, check_range};

/// RMSprop (Tieleman and Hinton 2012), in PyTorch's form: v ← α·v + (1−α)g²,
/// w ← w − lr·g / (√v + ε).
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    lr: f32,
    alpha: f32,
    epsilon: f32,
}

impl RmsProp {
    /// With a learning rate, and PyTorch's α = 0.99, ε = 1e-8.
    pub fn new(lr: f32) -> Self {
        RmsProp { lr, alpha: 0.99, epsilon: 1e-8 }
    }

    /// With another α, the share of the old mean square, in 0..1.
    pub fn alpha(mut self, alpha: f32) -> Self {
        self.alpha = alpha;
        self
    }

    /// With another ε.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl Method for RmsProp {
    fn learning_rate(&self) -> f32 {
        self.lr
    }

    fn check(&self) -> Result<()> {
        check_range("alpha", self.alpha, 0.0..1.0)?;
        check_range("epsilon", self.epsilon, f32::MIN_POSITIVE..f32::INFINITY)
    }

    fn rule(&self, _: u64, lr: f32, _: DecayPlace) -> AnyRule {
        let (keep, take) = (self.alpha, 1.0 - self.alpha);
        AnyRule::Scaled(ScaledRule { lr, keep, take, epsilon: self.epsilon })
    }

    fn reach(&self, _: u64, [v, _]: [f64; 2], g: f64) -> Reach {
        Reach { along: g / f64::from(self.epsilon), slots: [v.max(g * g), 0.0] }
    }
}

/// Adagrad (Duchi et al. 2011), in PyTorch's form: v ← v + g², w ← w − lr·g / (√v + ε).
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adagrad {
    lr: f32,
    epsilon: f32,
}

impl Adagrad {
    /// With a learning rate, and PyTorch's ε = 1e-10.
    pub fn new(lr: f32) -> Self {
        Adagrad { lr, epsilon: 1e-10 }
    }

    /// With another ε.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl Method for Adagrad {
    fn learning_rate(&self) -> f32 {
        self.lr
    }

    fn check(&self) -> Result<()> {
        check_range("epsilon", self.epsilon, f32::MIN_POSITIVE..f32::INFINITY)
    }

    fn rule(&self, _: u64, lr: f32, _: DecayPlace) -> AnyRule {
        let (keep, take) = (1.0, 1.0);
        AnyRule::Scaled(ScaledRule { lr, keep, take, epsilon: self.epsilon })
    }

    fn reach(&self, _: u64, [v, _]: [f64; 2], g: f64) -> Reach {
        Reach { along: g / f64::from(self.epsilon), slots: [v + g * g, 0.0] }
    }
}
