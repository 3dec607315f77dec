//! Softplus: ln(1 + eᶻ) = max(z, 0) + ln(1 + e^−|z|). Derivative: σ(z) = 1 − e⁻ᵃ, from the output
//! a.
//!
//! Error: at most 1.8 ULP over all 2³² inputs (`tests/activations/ulp.rs`).

use super::elementwise::Elementwise;
use crate::math::{exp_negative, expm1_negative, ln_1p_unit};
use crate::simd::Simd;

/// ln(1 + eᶻ)
#[derive(Clone, Copy)]
pub(super) struct Softplus;

impl Elementwise for Softplus {
    #[inline(always)]
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V {
        let zero = s.splat(0.0);
        let tail = ln_1p_unit(s, exp_negative(s, s.sub(zero, s.abs(z))));
        s.add(s.max(zero, z), tail)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, a: S::V) -> S::V {
        let zero = s.splat(0.0);
        s.sub(zero, expm1_negative(s, s.sub(zero, a)))
    }
}
