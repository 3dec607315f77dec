//! Update rules on vectors of weights.

use crate::gemm::UpdateRule;
use crate::simd::Simd;

/// The rule of an update that can run in the store of the gradient's product.
#[derive(Clone, Copy)]
pub(crate) enum FusedRule {
    Sgd(SgdRule),
    Momentum(MomentumRule),
    Adam(AdamRule),
}

/// The rule of an update.
#[derive(Clone, Copy)]
pub(super) enum AnyRule {
    Fused(FusedRule),
    Scaled(ScaledRule),
    Lion(LionRule),
}

/// A function that is generic over the rule of an update.
pub(crate) trait VisitRule {
    type Output;
    fn visit<R: UpdateRule>(self, rule: R) -> Self::Output;
}

impl FusedRule {
    /// Calls `visitor` with the concrete rule.
    pub(crate) fn visit<V: VisitRule>(self, visitor: V) -> V::Output {
        match self {
            FusedRule::Sgd(rule) => visitor.visit(rule),
            FusedRule::Momentum(rule) => visitor.visit(rule),
            FusedRule::Adam(rule) => visitor.visit(rule),
        }
    }
}

impl AnyRule {
    /// Calls `visitor` with the concrete rule.
    pub(super) fn visit<V: VisitRule>(self, visitor: V) -> V::Output {
        match self {
            AnyRule::Fused(rule) => rule.visit(visitor),
            AnyRule::Scaled(rule) => visitor.visit(rule),
            AnyRule::Lion(rule) => visitor.visit(rule),
        }
    }

    /// The rule, if it runs in the store of the gradient's product.
    pub(super) fn fused(self) -> Option<FusedRule> {
        match self {
            AnyRule::Fused(rule) => Some(rule),
            AnyRule::Scaled(_) | AnyRule::Lion(_) => None,
        }
    }
}

/// w ← w + scale·g, which sums gradients over batches. It is the rule of SGD, so it needs no further
/// instances of the tiles.
pub(crate) fn add_to(scale: f32) -> impl UpdateRule {
    SgdRule { lr: -scale }
}

/// −1, 0 or 1; NaN stays NaN.
#[inline(always)]
pub(super) fn sign<S: Simd>(s: S, x: S::V) -> S::V {
    let not_zero = s.lt(s.splat(0.0), s.abs(x));
    s.select(not_zero, s.with_sign_of(s.splat(1.0), x), x)
}

/// w ← w − lr·g
#[derive(Clone, Copy)]
pub(crate) struct SgdRule {
    pub(super) lr: f32,
}

impl UpdateRule for SgdRule {
    const SLOTS: usize = 0;
    #[inline(always)]
    fn update<S: Simd>(self, s: S, w: S::V, g: S::V, _: &mut [S::V; 2]) -> S::V {
        s.neg_mul_add(s.splat(self.lr), g, w)
    }
}

/// v ← momentum·v + g, w ← w − lr·(of_g·g + of_v·v)
#[derive(Clone, Copy)]
pub(crate) struct MomentumRule {
    pub(super) lr: f32,
    pub(super) momentum: f32,
    pub(super) of_g: f32,
    pub(super) of_v: f32,
}

impl UpdateRule for MomentumRule {
    const SLOTS: usize = 1;
    #[inline(always)]
    fn update<S: Simd>(self, s: S, w: S::V, g: S::V, slots: &mut [S::V; 2]) -> S::V {
        let v = s.mul_add(s.splat(self.momentum), slots[0], g);
        slots[0] = v;
        let direction = s.mul_add(s.splat(self.of_g), g, s.mul(s.splat(self.of_v), v));
        s.neg_mul_add(s.splat(self.lr), direction, w)
    }
}

/// m ← m + gain1·(g − m), v ← beta2·v + gain2·g², w ← decay_factor·w − lr·m / (√v·scale + ε)
#[derive(Clone, Copy)]
pub(crate) struct AdamRule {
    pub(super) gain1: f32,
    pub(super) beta2: f32,
    pub(super) gain2: f32,
    pub(super) scale: f32,
    pub(super) epsilon: f32,
    pub(super) lr: f32,
    /// 1 − lr·λ; 1 without decay: the product changes no bit then.
    pub(super) decay_factor: f32,
    pub(super) decay_biases: bool,
}

impl UpdateRule for AdamRule {
    const SLOTS: usize = 2;

    fn for_biases(mut self) -> Self {
        if !self.decay_biases {
            self.decay_factor = 1.0;
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
        let w = s.mul(w, s.splat(self.decay_factor));
        s.neg_mul_add(s.splat(self.lr), s.div(m, denominator), w)
    }
}

/// v ← decay·v + gain·g², w ← w − lr·g / (√v + ε)
#[derive(Clone, Copy)]
pub(super) struct ScaledRule {
    pub(super) lr: f32,
    pub(super) decay: f32,
    pub(super) gain: f32,
    pub(super) epsilon: f32,
}

impl UpdateRule for ScaledRule {
    const SLOTS: usize = 1;
    #[inline(always)]
    fn update<S: Simd>(self, s: S, w: S::V, g: S::V, slots: &mut [S::V; 2]) -> S::V {
        let square = s.mul(s.mul(s.splat(self.gain), g), g);
        let v = s.mul_add(s.splat(self.decay), slots[0], square);
        slots[0] = v;
        let direction = s.div(g, s.add(s.sqrt(v), s.splat(self.epsilon)));
        s.neg_mul_add(s.splat(self.lr), direction, w)
    }
}

/// w ← w − lr·sign(β₁·m + (1 − β₁)·g), m ← β₂·m + (1 − β₂)·g
#[derive(Clone, Copy)]
pub(super) struct LionRule {
    pub(super) lr: f32,
    pub(super) beta1: f32,
    pub(super) beta2: f32,
}

impl UpdateRule for LionRule {
    const SLOTS: usize = 1;
    #[inline(always)]
    fn update<S: Simd>(self, s: S, w: S::V, g: S::V, slots: &mut [S::V; 2]) -> S::V {
        let mean = |beta: f32| s.mul_add(s.splat(beta), slots[0], s.mul(s.splat(1.0 - beta), g));
        let u = mean(self.beta1);
        slots[0] = mean(self.beta2);
        s.neg_mul_add(s.splat(self.lr), sign(s, u), w)
    }
}
