//! The logistic function σ(z) = 1 / (1 + e⁻ᶻ). Derivative: a (1 − a), from the output a.
//!
//! With a = |z| = m ln 2 + r: σ(−a) = 2⁻ᵐ / (eʳ + 2⁻ᵐ), and σ(a) = 1 − σ(−a). The denominator is a pair
//! of floats, and the quotient is corrected by its remainder, so only the last operation has a full
//! rounding error.
//!
//! Error: at most 1 ULP at every level, over all 2³² inputs (`tests/activations/ulp.rs`).

use super::elementwise::Elementwise;
use crate::math::{TWO_POWERS, quartic, reduce};
use crate::simd::Simd;

/// σ(−120) and 120 σ(−120) are zero in f32.
pub(super) const END: f32 = 120.0;

/// −q of eʳ = 1 + r + r² q(r): minimax fit over |r| ≤ 1.001 ln 2 / 2 in ULP of σ(−a), rounded to
/// f32 one coefficient after the other. Largest error: 0.04 ULP.
const MINUS_Q: [f32; 5] =
    [-0.001_382_103_4, -0.008_368_124, -0.041_668_255, -0.166_665_27, -0.499_999_94];

/// σ(−a) for a in 0..=`END` or NaN, as a normal number and a power of two whose product it is. Products
/// with σ(−a) then underflow gradually, with one rounding.
#[inline(always)]
pub(super) fn tail_parts<S: Simd>(s: S, a: S::V) -> (S::V, S::V) {
    let one = s.splat(1.0);
    let reduced = reduce(s, a, a, -1.0, TWO_POWERS);
    let r = reduced.r(s);
    let r2 = s.mul(r, r);
    // t = eʳ − 1. With `mul_add`, which rounds twice at `portable`, the error of σ would be 1.012 ULP.
    let t = s.residual(r2, quartic(s, r, r2, MINUS_Q), r);
    // w = 2⁻ᵐ
    let powers = reduced.powers(s);
    let w = s.mul(powers.0, powers.1);
    let denominator = s.add(s.add(one, w), t);
    // The rounding error of the two sums, exact unless w is negligible.
    let low = s.sub(t, s.sub(s.sub(denominator, one), w));
    let q = s.div(one, denominator);
    let remainder = s.neg_mul_add(q, low, s.residual(q, denominator, one));
    (s.mul(s.mul_add(q, remainder, q), powers.0), powers.1)
}

/// σ
#[derive(Clone, Copy)]
pub(super) struct Sigmoid;

impl Elementwise for Sigmoid {
    #[inline(always)]
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V {
        let (y, power) = tail_parts(s, s.min(s.splat(END), s.abs(z)));
        let tail = s.mul(y, power);
        s.select(s.lt(z, s.splat(0.0)), tail, s.sub(s.splat(1.0), tail))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, a: S::V) -> S::V {
        s.mul(a, s.sub(s.splat(1.0), a))
    }
}
