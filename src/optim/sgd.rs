//! Gradient descent, plain and with momentum.

use super::Optimizer;
use crate::gemm::UpdateRule;
use crate::simd::Simd;

/// Gradient descent: w ← w − lr·g.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    pub(super) lr: f32,
}

impl Sgd {
    /// With a learning rate.
    pub fn new(lr: f32) -> Self {
        Sgd { lr }
    }
}

impl From<Sgd> for Optimizer {
    fn from(o: Sgd) -> Self {
        Optimizer::Sgd(o)
    }
}

#[derive(Clone, Copy)]
pub(super) struct SgdRule {
    pub(super) lr: f32,
}

impl UpdateRule for SgdRule {
    const SLOTS: usize = 0;
    #[inline(always)]
    fn update<S: Simd>(self, s: S, w: S::V, g: S::V, _: &mut [S::V; 2]) -> S::V {
        s.neg_mul_add(s.splat(self.lr), g, w)
    }
}

/// Gradient descent with momentum μ: v ← μ·v + g, w ← w − lr·v; Nesterov's form steps along
/// g + μ·v instead. (Sutskever et al. 2013 in PyTorch's form, where lr scales v.)
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    pub(super) lr: f32,
    pub(super) momentum: f32,
    pub(super) look_ahead: bool,
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

    pub(super) fn rule(&self, lr: f32) -> MomentumRule {
        let look_ahead = if self.look_ahead { self.momentum } else { 0.0 };
        // A plain step is along v itself: 0·g + 1·v; Nesterov's along 1·g + μ·v.
        let (along_g, along_v) = if self.look_ahead { (1.0, look_ahead) } else { (0.0, 1.0) };
        MomentumRule { lr, momentum: self.momentum, along_g, along_v }
    }
}

impl From<Momentum> for Optimizer {
    fn from(o: Momentum) -> Self {
        Optimizer::Momentum(o)
    }
}

#[derive(Clone, Copy)]
pub(super) struct MomentumRule {
    lr: f32,
    momentum: f32,
    along_g: f32,
    along_v: f32,
}

impl UpdateRule for MomentumRule {
    const SLOTS: usize = 1;
    #[inline(always)]
    fn update<S: Simd>(self, s: S, w: S::V, g: S::V, slots: &mut [S::V; 2]) -> S::V {
        let v = s.mul_add(s.splat(self.momentum), slots[0], g);
        slots[0] = v;
        let along = s.mul_add(s.splat(self.along_g), g, s.mul(s.splat(self.along_v), v));
        s.neg_mul_add(s.splat(self.lr), along, w)
    }
}
