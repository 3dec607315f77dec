//! Gradient descent, plain and with momentum.

use super::method::{DecayPlace, Method, Reach};
use super::rules::{AnyRule, FusedRule, MomentumRule, SgdRule};
use crate::error::{Result, check_range};

/// Gradient descent: w ← w − lr·g.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    lr: f32,
}

impl Sgd {
    /// With a learning rate.
    pub fn new(lr: f32) -> Self {
        Sgd { lr }
    }
}

impl Method for Sgd {
    fn learning_rate(&self) -> f32 {
        self.lr
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn rule(&self, _: u64, lr: f32, _: DecayPlace) -> AnyRule {
        AnyRule::Fused(FusedRule::Sgd(SgdRule { lr }))
    }

    fn reach(&self, _: u64, _: [f64; 2], g: f64) -> Reach {
        Reach { along: g, slots: [0.0; 2] }
    }
}

/// Gradient descent with momentum μ: v ← μ·v + g, w ← w − lr·v; Nesterov's form steps along
/// g + μ·v instead. (Sutskever et al. 2013 in PyTorch's form, where lr scales v.)
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    lr: f32,
    momentum: f32,
    look_ahead: bool,
}

impl Momentum {
    /// With a learning rate and μ in 0..1.
    pub fn new(lr: f32, momentum: f32) -> Self {
        Momentum { lr, momentum, look_ahead: false }
    }

    /// In Nesterov's form.
    pub fn nesterov(mut self) -> Self {
        self.look_ahead = true;
        self
    }
}

impl Method for Momentum {
    fn learning_rate(&self) -> f32 {
        self.lr
    }

    fn check(&self) -> Result<()> {
        check_range("momentum", self.momentum, 0.0..1.0)
    }

    fn rule(&self, _: u64, lr: f32, _: DecayPlace) -> AnyRule {
        let momentum = self.momentum;
        let (along_g, along_v) = if self.look_ahead { (1.0, momentum) } else { (0.0, 1.0) };
        AnyRule::Fused(FusedRule::Momentum(MomentumRule { lr, momentum, along_g, along_v }))
    }

    fn reach(&self, _: u64, [v, _]: [f64; 2], g: f64) -> Reach {
        let v = f64::from(self.momentum) * v + g;
        Reach { along: g + v, slots: [v, 0.0] }
    }
}
