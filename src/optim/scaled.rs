//! Optimisers that divide each gradient by the size it usually has: RMSprop and Adagrad.

use super::Optimizer;
use crate::gemm::UpdateRule;
use crate::simd::Simd;

/// RMSprop (Tieleman and Hinton 2012), in PyTorch's form: v ← α·v + (1−α)g²,
/// w ← w − lr·g / (√v + ε).
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    pub(super) lr: f32,
    pub(super) alpha: f32,
    pub(super) epsilon: f32,
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

    pub(super) fn rule(&self, lr: f32) -> ScaledRule {
        ScaledRule { lr, keep: self.alpha, take: 1.0 - self.alpha, epsilon: self.epsilon }
    }
}

impl From<RmsProp> for Optimizer {
    fn from(o: RmsProp) -> Self {
        Optimizer::RmsProp(o)
    }
}

/// Adagrad (Duchi et al. 2011), in PyTorch's form: v ← v + g², w ← w − lr·g / (√v + ε).
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adagrad {
    pub(super) lr: f32,
    pub(super) epsilon: f32,
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

    pub(super) fn rule(&self, lr: f32) -> ScaledRule {
        ScaledRule { lr, keep: 1.0, take: 1.0, epsilon: self.epsilon }
    }
}

impl From<Adagrad> for Optimizer {
    fn from(o: Adagrad) -> Self {
        Optimizer::Adagrad(o)
    }
}

/// v ← keep·v + take·g², w ← w − lr·g / (√v + ε)
#[derive(Clone, Copy)]
pub(super) struct ScaledRule {
    lr: f32,
    keep: f32,
    take: f32,
    epsilon: f32,
}

impl UpdateRule for ScaledRule {
    const SLOTS: usize = 1;
    #[inline(always)]
    fn update<S: Simd>(self, s: S, w: S::V, g: S::V, slots: &mut [S::V; 2]) -> S::V {
        let square = s.mul(s.mul(s.splat(self.take), g), g);
        let v = s.mul_add(s.splat(self.keep), slots[0], square);
        slots[0] = v;
        let along = s.div(g, s.add(s.sqrt(v), s.splat(self.epsilon)));
        s.neg_mul_add(s.splat(self.lr), along, w)
    }
}
