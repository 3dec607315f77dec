//! Adam (Kingma and Ba 2015), in PyTorch's form.

use super::Optimizer;
use crate::gemm::UpdateRule;
use crate::simd::Simd;

/// Adam: m ← m + (1−β₁)(g − m), v ← β₂·v + (1−β₂)g²,
/// w ← w − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε).
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    pub(super) lr: f32,
    pub(super) beta1: f32,
    pub(super) beta2: f32,
    pub(super) epsilon: f32,
}

impl Adam {
    /// With a learning rate, and the paper's β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
    pub fn new(lr: f32) -> Self {
        Adam { lr, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }

    /// With other decay rates of the two moments, each in 0..1.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        (self.beta1, self.beta2) = (beta1, beta2);
        self
    }

    /// With another ε.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// The numbers of step `step`, counted from 1. Powers and roots are taken in f64 by repeated
    /// multiplication, so that they do not depend on the platform's `pow`.
    pub(super) fn rule(&self, step: u64, lr: f32, decay: f32, decay_biases: bool) -> AdamRule {
        AdamRule {
            gain1: 1.0 - self.beta1,
            beta2: self.beta2,
            gain2: 1.0 - self.beta2,
            scale: (1.0 / correction(self.beta2, step).sqrt()) as f32,
            epsilon: self.epsilon,
            lr: (f64::from(lr) / self.correction(step)) as f32,
            keep: (1.0 - f64::from(lr) * f64::from(decay)) as f32,
            decay_biases,
        }
    }

    /// 1 − β₁ᵗ
    pub(super) fn correction(&self, step: u64) -> f64 {
        correction(self.beta1, step)
    }
}

/// 1 − βᵗ
fn correction(beta: f32, step: u64) -> f64 {
    1.0 - power(f64::from(beta), step)
}

impl From<Adam> for Optimizer {
    fn from(o: Adam) -> Self {
        Optimizer::Adam(o)
    }
}

/// AdamW (Loshchilov and Hutter 2019): Adam, with w ← (1 − lr·λ)·w before it.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    pub(super) adam: Adam,
    pub(super) decay: f32,
}

impl AdamW {
    /// With a learning rate, Adam's usual numbers, and PyTorch's decay λ = 0.01.
    pub fn new(lr: f32) -> Self {
        AdamW { adam: Adam::new(lr), decay: 0.01 }
    }

    /// With another decay λ.
    pub fn weight_decay(mut self, decay: f32) -> Self {
        self.decay = decay;
        self
    }

    /// With other decay rates of the two moments, each in 0..1.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        self.adam = self.adam.betas(beta1, beta2);
        self
    }

    /// With another ε.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.adam = self.adam.epsilon(epsilon);
        self
    }
}

impl From<AdamW> for Optimizer {
    fn from(o: AdamW) -> Self {
        Optimizer::AdamW(o)
    }
}

/// x^n by squaring: IEEE multiplications only.
pub(super) fn power(mut x: f64, mut n: u64) -> f64 {
    let mut out = 1.0;
    while n > 0 {
        if n & 1 == 1 {
            out *= x;
        }
        x *= x;
        n >>= 1;
    }
    out
}

#[derive(Clone, Copy)]
pub(super) struct AdamRule {
    gain1: f32,
    beta2: f32,
    gain2: f32,
    scale: f32,
    epsilon: f32,
    lr: f32,
    /// 1 − lr·λ: 1 for plain Adam, where the product with it changes no bit
    keep: f32,
    decay_biases: bool,
}

impl UpdateRule for AdamRule {
    const SLOTS: usize = 2;

    fn for_biases(mut self) -> Self {
        if !self.decay_biases {
            self.keep = 1.0;
        }
        self
    }

    #[inline(always)]
    fn update<S: Simd>(self, s: S, w: S::V, g: S::V, slots: &mut [S::V; 2]) -> S::V {
        let m = s.mul_add(s.splat(self.gain1), s.sub(g, slots[0]), slots[0]);
        let square = s.mul(s.mul(s.splat(self.gain2), g), g);
        let v = s.mul_add(s.splat(self.beta2), slots[1], square);
        *slots = [m, v];
        let denominator = s.mul_add(s.sqrt(v), s.splat(self.scale), s.splat(self.epsilon));
        let w = s.mul(w, s.splat(self.keep));
        s.neg_mul_add(s.splat(self.lr), s.div(m, denominator), w)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_is_a_power() {
        for n in [0, 1, 2, 3, 10, 1000] {
            assert!((power(0.999, n) - 0.999f64.powi(n as i32)).abs() < 1e-14);
        }
        assert_eq!(power(0.9, u64::MAX), 0.0);
    }
}
