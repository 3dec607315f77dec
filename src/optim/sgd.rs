//! Gradient descent, plain and with momentum.

use super::method::{Decay, Method, UpdateBounds};
use super::rules::{AnyRule, FusedRule, MomentumRule, SgdRule};
use crate::error::{Result, check_range};
use crate::text::{Field, Value};

/// Gradient descent: w ← w − lr·g.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[must_use]
pub struct Sgd {
    #[cfg_attr(feature = "serde", serde(rename = "learning_rate"))]
    lr: f32,
}

impl Sgd {
    /// Gradient descent with learning rate `lr`.
    pub fn new(lr: f32) -> Self {
        Sgd { lr }
    }
}

impl Method for Sgd {
    fn with_defaults() -> Self {
        Sgd::new(0.0)
    }

    fn name(&self) -> &'static str {
        "sgd"
    }

    fn fields(&mut self) -> Vec<Field<'_>> {
        vec![Field::required("lr", Value::Real(&mut self.lr))]
    }

    fn learning_rate(&self) -> f32 {
        self.lr
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn rule(&self, _: u64, lr: f32, _: Decay) -> AnyRule {
        AnyRule::Fused(FusedRule::Sgd(SgdRule { lr }))
    }

    fn bounds(&self, _: u64, _: [f64; 2], g: f64) -> UpdateBounds {
        UpdateBounds { direction: g, slots: [0.0; 2] }
    }
}

/// Gradient descent with momentum μ: v ← μ·v + g, w ← w − lr·v. Nesterov's form: w ← w − lr·(g + μ·v).
/// (Sutskever et al. 2013, in PyTorch's form, where lr scales v.)
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[must_use]
pub struct Momentum {
    #[cfg_attr(feature = "serde", serde(rename = "learning_rate"))]
    lr: f32,
    momentum: f32,
    // Nesterov's form; the name is part of checkpoints.
    #[cfg_attr(feature = "serde", serde(rename = "nesterov"))]
    look_ahead: bool,
}

impl Momentum {
    /// Plain momentum with learning rate `lr` and μ = `momentum`, in 0..1.
    pub fn new(lr: f32, momentum: f32) -> Self {
        Momentum { lr, momentum, look_ahead: false }
    }

    /// Selects Nesterov's form.
    pub fn nesterov(mut self) -> Self {
        self.look_ahead = true;
        self
    }
}

impl Method for Momentum {
    fn with_defaults() -> Self {
        Momentum::new(0.0, 0.0)
    }

    fn name(&self) -> &'static str {
        "momentum"
    }

    fn fields(&mut self) -> Vec<Field<'_>> {
        vec![
            Field::required("lr", Value::Real(&mut self.lr)),
            Field::required("momentum", Value::Real(&mut self.momentum)),
            Field::new("nesterov", Value::Words(&mut self.look_ahead, ["false", "true"])),
        ]
    }

    fn learning_rate(&self) -> f32 {
        self.lr
    }

    fn check(&self) -> Result<()> {
        check_range("momentum", self.momentum, 0.0..1.0)
    }

    fn rule(&self, _: u64, lr: f32, _: Decay) -> AnyRule {
        let momentum = self.momentum;
        let (of_g, of_v) = if self.look_ahead { (1.0, momentum) } else { (0.0, 1.0) };
        AnyRule::Fused(FusedRule::Momentum(MomentumRule { lr, momentum, of_g, of_v }))
    }

    fn bounds(&self, _: u64, [v, _]: [f64; 2], g: f64) -> UpdateBounds {
        let v = f64::from(self.momentum) * v + g;
        UpdateBounds { direction: g + v, slots: [v, 0.0] }
    }
}
