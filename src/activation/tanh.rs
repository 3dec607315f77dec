//! The hyperbolic tangent. Derivative: 1 − a², from the output a.
//!
//! Below |z| = 0.66: z + z³ P(z²). Above: (d − 1) / d with d = (e²ᶻ + 1) / 2; the difference is exact, and
//! less than half of an error of d remains. Both are computed and one is selected.
//!
//! Error: at most 1 ULP at every level, over all 2³² inputs (`tests/activations/ulp.rs`).

use super::elementwise::Elementwise;
use crate::math::{WHOLE, horner, quartic};
use crate::simd::Simd;
use std::f32::consts::{LN_2, LOG2_E};

/// The boundary between the two formulas.
const CUT: f32 = 0.66;

/// Above this, tanh is within 1 ULP of 1. Here d reaches 2²⁴, from which d − 1 is not exact.
const END: f32 = 8.664_339;

/// P: minimax fit of (tanh √u − √u) / u^1.5 over 0..=0.66², rounded to f32 one coefficient after
/// the other. Largest error relative to tanh: 2^−26.9.
const P: [f32; 5] = [-0.005_433_829, 0.020_392_263, -0.053_663_094, 0.133_305_18, -0.333_332_48];

/// Q of e²ʳ = 1 + 2 (r + r² Q(r)): minimax fit over |r| ≤ 1.001 ln 2 / 4, rounded to f32 one
/// coefficient after the other. Largest error relative to e²ʳ: 2^−28.3.
const Q: [f32; 5] = [0.044_227_026, 0.133_898_94, 0.333_346_13, 0.666_660_85, 0.999_999_9];

/// tanh
#[derive(Clone, Copy)]
pub(super) struct Tanh;

impl Elementwise for Tanh {
    #[inline(always)]
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V {
        let x = s.abs(z);
        let u = s.mul(x, x);
        let below = s.mul_add(s.mul(x, u), horner(s, u, P), x);

        // 2x = n ln 2 + 2r. The float nearest to ln 2 has 21 bits, so its product with n is exact for
        // n < 8; for larger n, 1 / d is too small for the error to matter.
        let (half, one) = (s.splat(0.5), s.splat(1.0));
        let magic = s.splat(WHOLE + 127.0);
        let whole = s.mul_add(x, s.splat(2.0 * LOG2_E), magic);
        let power = s.from_bits(s.int_shl(s.to_bits(whole), 23));
        let r = s.neg_mul_add(s.sub(whole, magic), s.splat(0.5 * LN_2), x);
        let r2 = s.mul(r, r);
        let t = s.mul_add(r2, quartic(s, r, r2, Q), r);
        let d = s.mul_add(power, t, s.mul_add(power, half, half));
        let above = s.div(s.sub(d, one), d);

        // Above `END` the power is not valid. NaN is in neither range, so it comes from `above`.
        let size = s.select(s.lt(x, s.splat(CUT)), below, above);
        let size = s.select(s.lt(s.splat(END), x), one, size);
        s.with_sign_of(size, z)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, a: S::V) -> S::V {
        s.neg_mul_add(a, a, s.splat(1.0))
    }
}
