//! Lion (Chen et al. 2023): steps of equal size in the direction of the sign of a momentum.

use super::method::{Decay, Method, UpdateBounds};
use super::rules::{AnyRule, LionRule};
use crate::error::{Result, check_range};
use crate::text::{Field, Value};

/// Lion: u = sign(β₁·m + (1−β₁)g), w ← (1 − lr·λ)·w − lr·u, m ← β₂·m + (1−β₂)g. Compared to Adam,
/// use learning rates that are 3 to 10 times smaller, and λ larger by the same factor.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[must_use]
pub struct Lion {
    #[cfg_attr(feature = "serde", serde(rename = "learning_rate"))]
    lr: f32,
    beta1: f32,
    beta2: f32,
    #[cfg_attr(feature = "serde", serde(rename = "weight_decay"))]
    decay: f32,
}

impl Lion {
    /// Lion with β₁ = 0.9 and β₂ = 0.99, as in the paper, without decay.
    pub fn new(lr: f32) -> Self {
        Lion { lr, beta1: 0.9, beta2: 0.99, decay: 0.0 }
    }

    /// Sets β₁ and β₂; each in 0..1.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        (self.beta1, self.beta2) = (beta1, beta2);
        self
    }

    /// Sets λ of the decoupled weight decay.
    pub fn weight_decay(mut self, decay: f32) -> Self {
        self.decay = decay;
        self
    }
}

impl Method for Lion {
    fn with_defaults() -> Self {
        Lion::new(0.0)
    }

    fn name(&self) -> &'static str {
        "lion"
    }

    fn fields(&mut self) -> Vec<Field<'_>> {
        vec![
            Field::required("lr", Value::Real(&mut self.lr)),
            Field::new("beta1", Value::Real(&mut self.beta1)),
            Field::new("beta2", Value::Real(&mut self.beta2)),
            Field::new("weight-decay", Value::Real(&mut self.decay)),
        ]
    }

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

    fn rule(&self, _: u64, lr: f32, _: Decay) -> AnyRule {
        AnyRule::Lion(LionRule { lr, beta1: self.beta1, beta2: self.beta2 })
    }

    fn bounds(&self, _: u64, [m, _]: [f64; 2], g: f64) -> UpdateBounds {
        UpdateBounds { direction: 1.0, slots: [m.max(g), 0.0] }
    }
}
