//! Optimisers that divide each gradient by the root of its mean or summed square: RMSprop and Adagrad.

use super::method::{Decay, Method, UpdateBounds};
use super::rules::{AnyRule, ScaledRule};
use crate::error::{Result, check_range};
use crate::text::{Field, Value};

/// RMSprop (Tieleman and Hinton 2012), in PyTorch's form: v ← α·v + (1−α)g²,
/// w ← w − lr·g / (√v + ε).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[must_use]
pub struct RmsProp {
    #[cfg_attr(feature = "serde", serde(rename = "learning_rate"))]
    lr: f32,
    alpha: f32,
    epsilon: f32,
}

impl RmsProp {
    /// RMSprop with α = 0.99 and ε = 1e-8, as in PyTorch.
    pub fn new(lr: f32) -> Self {
        RmsProp { lr, alpha: 0.99, epsilon: 1e-8 }
    }

    /// Sets α, the decay rate of the mean square; in 0..1.
    pub fn alpha(mut self, alpha: f32) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets ε, which must be positive.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl Method for RmsProp {
    fn with_defaults() -> Self {
        RmsProp::new(0.0)
    }

    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn fields(&mut self) -> Vec<Field<'_>> {
        vec![
            Field::required("lr", Value::Real(&mut self.lr)),
            Field::new("alpha", Value::Real(&mut self.alpha)),
            Field::new("epsilon", Value::Real(&mut self.epsilon)),
        ]
    }

    fn learning_rate(&self) -> f32 {
        self.lr
    }

    fn check(&self) -> Result<()> {
        check_range("alpha", self.alpha, 0.0..1.0)?;
        check_range("epsilon", self.epsilon, f32::MIN_POSITIVE..f32::INFINITY)
    }

    fn rule(&self, _: u64, lr: f32, _: Decay) -> AnyRule {
        let (decay, gain) = (self.alpha, 1.0 - self.alpha);
        AnyRule::Scaled(ScaledRule { lr, decay, gain, epsilon: self.epsilon })
    }

    fn bounds(&self, _: u64, [v, _]: [f64; 2], g: f64) -> UpdateBounds {
        UpdateBounds { direction: g / f64::from(self.epsilon), slots: [v.max(g * g), 0.0] }
    }
}

/// Adagrad (Duchi et al. 2011), in PyTorch's form: v ← v + g², w ← w − lr·g / (√v + ε).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[must_use]
pub struct Adagrad {
    #[cfg_attr(feature = "serde", serde(rename = "learning_rate"))]
    lr: f32,
    epsilon: f32,
}

impl Adagrad {
    /// Adagrad with ε = 1e-10, as in PyTorch.
    pub fn new(lr: f32) -> Self {
        Adagrad { lr, epsilon: 1e-10 }
    }

    /// Sets ε, which must be positive.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl Method for Adagrad {
    fn with_defaults() -> Self {
        Adagrad::new(0.0)
    }

    fn name(&self) -> &'static str {
        "adagrad"
    }

    fn fields(&mut self) -> Vec<Field<'_>> {
        vec![
            Field::required("lr", Value::Real(&mut self.lr)),
            Field::new("epsilon", Value::Real(&mut self.epsilon)),
        ]
    }

    fn learning_rate(&self) -> f32 {
        self.lr
    }

    fn check(&self) -> Result<()> {
        check_range("epsilon", self.epsilon, f32::MIN_POSITIVE..f32::INFINITY)
    }

    fn rule(&self, _: u64, lr: f32, _: Decay) -> AnyRule {
        AnyRule::Scaled(ScaledRule { lr, decay: 1.0, gain: 1.0, epsilon: self.epsilon })
    }

    fn bounds(&self, _: u64, [v, _]: [f64; 2], g: f64) -> UpdateBounds {
        UpdateBounds { direction: g / f64::from(self.epsilon), slots: [v + g * g, 0.0] }
    }
}
