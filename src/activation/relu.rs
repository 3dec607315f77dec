//! ReLU, max(0, z), and leaky ReLU: z above 0, slope · z below. Derivatives from the output's sign: 1 above
//! 0, else 0 or the slope, also at 0 (as in PyTorch) and NaN.
//!
//! Both are exact except for the rounding of the product. σ(NaN) is NaN.

use super::elementwise::Elementwise;
use crate::gemm::FusedOp;
use crate::simd::Simd;

/// max(0, z)
#[derive(Clone, Copy)]
pub(super) struct Relu;

impl Elementwise for Relu {
    const FUSED: Option<FusedOp> = Some(FusedOp::Relu);

    #[inline(always)]
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V {
        s.max(s.splat(0.0), z)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, a: S::V) -> S::V {
        s.select(s.lt(s.splat(0.0), a), s.splat(1.0), s.splat(0.0))
    }
}

/// z > 0 ? z : slope · z, with slope ≥ 0
#[derive(Clone, Copy)]
pub(super) struct LeakyRelu {
    pub(super) slope: f32,
}

impl Elementwise for LeakyRelu {
    #[inline(always)]
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V {
        // For `select(z > 0, z, slope z)` the compiler would use a masked store, which is slow on Zen.
        s.mul(z, self.derivative(s, z))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, a: S::V) -> S::V {
        s.select(s.lt(s.splat(0.0), a), s.splat(1.0), s.splat(self.slope))
    }
}
