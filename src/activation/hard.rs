//! Activations without rounding: the identity, hard tanh, and the step of the McCulloch–Pitts neuron.
//! σ(NaN) is NaN; the derivative at NaN is that of one side.

use super::elementwise::Elementwise;
use crate::gemm::FusedOp;
use crate::simd::Simd;

/// z
#[derive(Clone, Copy)]
pub(super) struct Identity;

impl Elementwise for Identity {
    const FUSED: Option<FusedOp> = Some(FusedOp::Identity);

    #[inline(always)]
    fn forward<S: Simd>(self, _: S, z: S::V) -> S::V {
        z
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, _: S::V) -> S::V {
        s.splat(1.0)
    }
}

/// z clamped to −1..=1. Derivative: 1 inside, 0 at ±1 and outside.
#[derive(Clone, Copy)]
pub(super) struct HardTanh;

impl Elementwise for HardTanh {
    #[inline(always)]
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V {
        s.max(s.splat(-1.0), s.min(s.splat(1.0), z))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, a: S::V) -> S::V {
        s.select(s.lt(s.abs(a), s.splat(1.0)), s.splat(1.0), s.splat(0.0))
    }
}

/// 1 for z ≥ 0, else 0: the neuron fires if its sum reaches the threshold. The derivative is 0 everywhere,
/// so layers below it cannot be trained.
#[derive(Clone, Copy)]
pub(super) struct Step;

impl Elementwise for Step {
    #[inline(always)]
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V {
        let zero = s.splat(0.0);
        let fired = s.select(s.le(zero, z), s.splat(1.0), zero);
        // With z instead of a constant NaN, the compiler would use a slow masked store.
        s.select(s.is_nan(z), s.splat(f32::NAN), fired)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, _: S::V) -> S::V {
        s.splat(0.0)
    }
}
