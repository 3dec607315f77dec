//! Lion (Chen et al. 2023): steps of one size, along the sign of a momentum.

use super::Optimizer;
use crate::gemm::UpdateRule;
use crate::simd::Simd;

/// Lion: u = sign(β₁·m + (1−β₁)g), w ← (1 − lr·λ)·w − lr·u, m ← β₂·m + (1−β₂)g. Good learning
/// rates are 3 to 10 times smaller than Adam's, good λ as many times larger.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lion {
    pub(super) lr: f32,
    pub(super) beta1: f32,
    pub(super) beta2: f32,
    pub(super) decay: f32,
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

    pub(super) fn rule(&self, lr: f32) -> LionRule {
        LionRule {
            lr,
            keep_u: self.beta1,
            take_u: 1.0 - self.beta1,
            keep_m: self.beta2,
            take_m: 1.0 - self.beta2,
        }
    }
}

impl From<Lion> for Optimizer {
    fn from(o: Lion) -> Self {
        Optimizer::Lion(o)
    }
}

#[derive(Clone, Copy)]
pub(super) struct LionRule {
    lr: f32,
    keep_u: f32,
    take_u: f32,
    keep_m: f32,
    take_m: f32,
}

impl UpdateRule for LionRule {
    const SLOTS: usize = 1;
    #[inline(always)]
    fn update<S: Simd>(self, s: S, w: S::V, g: S::V, slots: &mut [S::V; 2]) -> S::V {
        let m = slots[0];
        let u = s.mul_add(s.splat(self.keep_u), m, s.mul(s.splat(self.take_u), g));
        slots[0] = s.mul_add(s.splat(self.keep_m), m, s.mul(s.splat(self.take_m), g));
        s.neg_mul_add(s.splat(self.lr), super::sign(s, u), w)
    }
}
