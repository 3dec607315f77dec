//! Adam (Kingma and Ba 2015), in PyTorch's form.

use super::method::{Decay, Method, UpdateBounds};
use super::rules::{AdamRule, AnyRule, FusedRule};
use crate::error::{Result, check_range};
use crate::math::power;
use crate::text::{Field, Value};

/// Adam: m ← m + (1−β₁)(g − m), v ← β₂·v + (1−β₂)g²,
/// w ← w − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[must_use]
pub struct Adam {
    #[cfg_attr(feature = "serde", serde(rename = "learning_rate"))]
    lr: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
}

impl Adam {
    /// Adam with β₁ = 0.9, β₂ = 0.999 and ε = 1e-8, as in the paper.
    pub fn new(lr: f32) -> Self {
        Adam { lr, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }

    /// Sets β₁ and β₂, the decay rates of the two moments; each in 0..1.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        (self.beta1, self.beta2) = (beta1, beta2);
        self
    }

    /// Sets ε, which must be positive.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }
}

/// 1 − βᵗ
fn correction(beta: f32, step: u64) -> f64 {
    1.0 - power(f64::from(beta), step)
}

impl Method for Adam {
    fn with_defaults() -> Self {
        Adam::new(0.0)
    }

    fn name(&self) -> &'static str {
        "adam"
    }

    fn fields(&mut self) -> Vec<Field<'_>> {
        vec![
            Field::required("lr", Value::Real(&mut self.lr)),
            Field::new("beta1", Value::Real(&mut self.beta1)),
            Field::new("beta2", Value::Real(&mut self.beta2)),
            Field::new("epsilon", Value::Real(&mut self.epsilon)),
        ]
    }

    fn learning_rate(&self) -> f32 {
        self.lr
    }

    fn check(&self) -> Result<()> {
        check_range("beta1", self.beta1, 0.0..1.0)?;
        check_range("beta2", self.beta2, 0.0..1.0)?;
        check_range("epsilon", self.epsilon, f32::MIN_POSITIVE..f32::INFINITY)
    }

    // Powers and roots are computed in f64 by IEEE operations, so they do not depend on the platform's
    // `pow`.
    fn rule(&self, step: u64, lr: f32, decay: Decay) -> AnyRule {
        AnyRule::Fused(FusedRule::Adam(AdamRule {
            gain1: 1.0 - self.beta1,
            beta2: self.beta2,
            gain2: 1.0 - self.beta2,
            scale: (1.0 / correction(self.beta2, step).sqrt()) as f32,
            epsilon: self.epsilon,
            lr: (f64::from(lr) / correction(self.beta1, step)) as f32,
            decay_factor: (1.0 - f64::from(lr) * f64::from(decay.lambda)) as f32,
            decay_biases: decay.biases,
        }))
    }

    fn bounds(&self, step: u64, [m, v]: [f64; 2], g: f64) -> UpdateBounds {
        let (m, v) = (m.max(g), v.max(g * g));
        let direction = m / f64::from(self.epsilon);
        // The learning rate is divided by the correction of the mean.
        UpdateBounds {
            direction: direction.max(direction / correction(self.beta1, step)),
            slots: [m, v],
        }
    }
}

/// AdamW (Loshchilov and Hutter 2019): w ← (1 − lr·λ)·w, then Adam.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[must_use]
pub struct AdamW {
    adam: Adam,
    #[cfg_attr(feature = "serde", serde(rename = "weight_decay"))]
    decay: f32,
}

impl AdamW {
    /// AdamW with the defaults of [`Adam::new`] and λ = 0.01, as in PyTorch.
    pub fn new(lr: f32) -> Self {
        AdamW { adam: Adam::new(lr), decay: 0.01 }
    }

    /// Sets λ.
    pub fn weight_decay(mut self, decay: f32) -> Self {
        self.decay = decay;
        self
    }

    /// Sets β₁ and β₂, the decay rates of the two moments; each in 0..1.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        self.adam = self.adam.betas(beta1, beta2);
        self
    }

    /// Sets ε, which must be positive.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.adam = self.adam.epsilon(epsilon);
        self
    }
}

impl Method for AdamW {
    fn with_defaults() -> Self {
        AdamW::new(0.0)
    }

    fn name(&self) -> &'static str {
        "adamw"
    }

    fn fields(&mut self) -> Vec<Field<'_>> {
        let mut fields = self.adam.fields();
        fields.push(Field::new("weight-decay", Value::Real(&mut self.decay)));
        fields
    }

    fn learning_rate(&self) -> f32 {
        self.adam.lr
    }

    fn decay(&self) -> f32 {
        self.decay
    }

    fn check(&self) -> Result<()> {
        self.adam.check()
    }

    fn rule(&self, step: u64, lr: f32, decay: Decay) -> AnyRule {
        self.adam.rule(step, lr, decay)
    }

    fn bounds(&self, step: u64, slots: [f64; 2], g: f64) -> UpdateBounds {
        self.adam.bounds(step, slots, g)
    }
}
