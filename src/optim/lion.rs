//! Lion (Chen et al. 2023): steps of one size, along the sign of a momentum.

use super::method::{DecayPlace, Method, Reach};
use super::rules::{AnyRule, LionRule};
use crate::error::{Result, check_range};

/// Lion: u = sign(β₁·m + (1−β₁)g), w ← (1 − lr·λ)·w − lr·u, m ← β₂·m + (1−β₂)g. Good learning
/// rates are 3 to 10 times smaller than Adam's, good λ as many times larger.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lion {
    lr: f32,
    beta1: f32,
    beta2: f32,
    decay: f32,
}

impl Lion {
    /// With a learning rate, and the paper's β₁ = 0.9, β₂ = 0.99, without decay.
    pub fn new(lr: f32) -> Self {
        Lion { lr, beta1: 0.9, beta2: 0.99, decay: 0.0 }
    }

    /// With other β, each in 0..1.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        (self.beta1, self.beta2) = (beta1, beta2);
        self
    }

    /// With a decoupled decay λ.
    pub fn weight_decay(mut self, decay: f32) -> Self {
        self.decay = decay;
        self
    }
}

impl Method for Lion {
    fn learning_rate(&self) -> f32 {
        self.lr
    }

    fn decay(&self) -> f32 {
        self.decay
    }

    fn check(&self) -> Result<()> {
        check_range("beta1", self.beta1, 0.0..1.0)?;
        check_range("beta2", self.beta2, 0.0..1.0)
    }

    fn rule(&self, _: u64, lr: f32, _: DecayPlace) -> AnyRule {
        AnyRule::Lion(LionRule { lr, beta1: self.beta1, beta2: self.beta2 })
    }

    fn reach(&self, _: u64, [m, _]: [f64; 2], g: f64) -> Reach {
        Reach { along: 1.0, slots: [m.max(g), 0.0] }
    }
}
