//! The natural logarithm, and ln(1 + u) for u in 0..=1.
//!
//! x = 2ᵏ (1 + f) with 1 + f in √½..√2; then ln x = k ln 2 + f − f²/2 + f³ R(f), summed from the
//! smallest term on, with the rounding error of the largest sum added back.
//!
//! Error: ln at most 1 ULP at every level, over all 2³² inputs (`tests/activations/ulp.rs`).

use super::exp::{LN2_HI, LN2_LO};
use super::poly::horner;
use crate::simd::Simd;

/// R: minimax fit of (ln(1 + f) − f + f²/2) / f³ over √½ − 1..√2 − 1, rounded to f32 one
/// coefficient after the other. Largest error relative to ln(1 + f): 2^−27.3.
const R: [f32; 8] = [
    -0.076_296_09,
    0.127_614_19,
    -0.131_612_61,
    0.142_016_57,
    -0.166_232_81,
    0.200_012_42,
    -0.250_008_23,
    0.333_333_3,
];

/// The bits of √½, rounded down.
const SQRT_HALF: i32 = 0x3f35_04f3;

/// ln x: −∞ for ±0, NaN for negative x.
#[inline(always)]
pub(crate) fn ln<S: Simd>(s: S, x: S::V) -> S::V {
    let zero = s.splat(0.0);
    let subnormal = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let scaled = s.select(subnormal, s.mul(x, s.splat(33_554_432.0)), x);
    let bits = s.to_bits(scaled);
    let k = s.int_shr(s.int_sub(bits, s.int_splat(SQRT_HALF)), 23);
    let mantissa = s.from_bits(s.int_sub(bits, s.int_shl(k, 23)));
    let k = s.sub(s.from_int(k), s.select(subnormal, s.splat(25.0), zero));
    let y = sum(s, k, s.sub(mantissa, s.splat(1.0)));
    // ∞ and NaN are returned as they are.
    let y = s.select(s.lt(x, s.splat(f32::INFINITY)), y, x);
    let none = s.select(s.le(zero, x), s.splat(f32::NEG_INFINITY), s.splat(f32::NAN));
    s.select(s.lt(zero, x), y, s.select(s.is_nan(x), x, none))
}

/// ln(1 + u) for u in 0..=1, with full relative accuracy near 0; NaN for NaN.
#[inline(always)]
pub(crate) fn ln_1p_unit<S: Simd>(s: S, u: S::V) -> S::V {
    // Beyond √2 − 1, 1 + u = 2 (1 + f).
    let upper = s.lt(s.splat(0.414_213_57), u);
    let f = s.select(upper, s.mul_add(u, s.splat(0.5), s.splat(-0.5)), u);
    sum(s, s.select(upper, s.splat(1.0), s.splat(0.0)), f)
}

/// k ln 2 + ln(1 + f)
#[inline(always)]
fn sum<S: Simd>(s: S, k: S::V, f: S::V) -> S::V {
    let r = s.mul_add(f, horner(s, f, R), s.splat(-0.5));
    let rest = s.mul_add(s.mul(f, f), r, s.mul(k, s.splat(LN2_LO)));
    // k · LN2_HI is exact, and larger than f unless it is 0, so `lost` is the exact rounding error of
    // `large`.
    let whole = s.mul(k, s.splat(LN2_HI));
    let large = s.add(whole, f);
    let lost = s.sub(f, s.sub(large, whole));
    s.add(large, s.add(lost, rest))
}
