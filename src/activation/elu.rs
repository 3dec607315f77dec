//! ELU: z above 0, α (eᶻ − 1) below. SELU: λ times ELU, with the α and λ that preserve mean 0 and
//! variance 1 from layer to layer (Klambauer et al. 2017). Derivatives from the output a: above 0, 1
//! (SELU: λ); else a + α (SELU: a + λα).
//!
//! Below 0, eᶻ − 1 is computed as a head and a tail, so that the product with α rounds once. It uses
//! `residual`, since `portable`'s `mul_add` rounds twice.
//!
//! Error: at most 1 ULP at every level, for any α of at least 2⁻¹⁰⁰ (`tests/activations/ulp.rs`).

use super::elementwise::Elementwise;
use crate::math::expm1_parts;
use crate::simd::Simd;

/// ELU, α ≥ 0
#[derive(Clone, Copy)]
pub(super) struct Elu {
    pub(super) alpha: f32,
}

impl Elementwise for Elu {
    #[inline(always)]
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V {
        let (head, tail) = expm1_parts(s, z);
        let below = s.residual(s.splat(-self.alpha), head, s.mul(s.splat(self.alpha), tail));
        // `max` preserves -0 and NaN. With z itself, the compiler would use a masked store, which is
        // slow on Zen.
        let zero = s.splat(0.0);
        s.select(s.lt(z, zero), below, s.max(zero, z))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, a: S::V) -> S::V {
        s.select(s.lt(s.splat(0.0), a), s.splat(1.0), s.add(a, s.splat(self.alpha)))
    }
}

/// SELU: λ z, λα (eᶻ − 1)
#[derive(Clone, Copy)]
pub(super) struct Selu;

/// λ − 1, with λ = 1.0507009873554805: z + (λ − 1) z is more accurate than the product λz.
const LAMBDA_LESS_ONE: f32 = 0.050_700_99;

/// λα, with α = 1.6732632423543772.
const LAMBDA_ALPHA: f32 = 1.758_099_3;

impl Elementwise for Selu {
    #[inline(always)]
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V {
        let (head, tail) = expm1_parts(s, z);
        let below = s.residual(s.splat(-LAMBDA_ALPHA), head, s.mul(s.splat(LAMBDA_ALPHA), tail));
        let above = s.mul_add(s.splat(LAMBDA_LESS_ONE), z, z);
        // With `z < 0` instead of `0 < z`, -0 and NaN take the sum, which preserves them.
        s.select(s.lt(z, s.splat(0.0)), below, above)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, a: S::V) -> S::V {
        let below = s.add(a, s.splat(LAMBDA_ALPHA));
        s.select(s.lt(s.splat(0.0), a), s.splat(1.0 + LAMBDA_LESS_ONE), below)
    }
}
