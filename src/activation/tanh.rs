//! The hyperbolic tangent. Derivative: 1 − a², from the output a.
//!
//! Below |z| = 1.05: z + z³ P(z²). Above: 1 − 2 / (e²ᶻ + 1), where the quotient is at most 0.22, so
//! that its own error hardly counts. Both are evaluated and one is chosen.
//!
//! Error: at most 1 ULP at every level, over all 2³² inputs (`tests/activations_ulp.rs`).

use super::exp::WHOLE;
use super::poly::polynomial;
use super::{Elementwise, Keeps};
use crate::simd::Simd;
use std::f32::consts::{LN_2, LOG2_E};

/// Where the two formulas meet.
const CUT: f32 = 1.05;

/// From here tanh rounds to 1.
const END: f32 = 9.1;

/// P: minimax fit of (tanh √u − √u) / u^1.5 over 0..=1.05², rounded to f32 one coefficient after
/// the other. Largest error relative to tanh: 2^−26.7.
const P: [f32; 7] = [
    -0.000_316_818_5,
    0.002_160_843_5,
    -0.007_761_614_4,
    0.021_368_265,
    -0.053_841_706,
    0.133_317_87,
    -0.333_332_7,
];

/// Minimax fit of e²ʳ over |r| ≤ 1.001 ln 2 / 4, rounded to f32 one coefficient after the other.
/// Largest relative error: 2^−27.0.
const EXP_2R: [f32; 7] =
    [0.091_571_845, 0.268_586_25, 0.666_584_3, 1.333_291_2, 2.000_000_5, 2.000_000_2, 1.0];

/// tanh
#[derive(Clone, Copy)]
pub(super) struct Tanh;

impl Elementwise for Tanh {
    const KEEPS: Keeps = Keeps::Output;

    #[inline(always)]
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V {
        let x = s.abs(z);
        let u = s.mul(x, x);
        let below = s.mul_add(s.mul(x, u), polynomial(s, u, P), x);

        // 2x = n ln 2 + 2r. The float nearest to ln 2 has 21 bits, so that n times it is exact for
        // n < 8, and beyond that the quotient below is too small to show the difference.
        let magic = s.splat(WHOLE + 127.0);
        let capped = s.min(s.splat(END), x);
        let whole = s.mul_add(capped, s.splat(2.0 * LOG2_E), magic);
        let power = s.from_bits(s.int_shl(s.to_bits(whole), 23));
        let r = s.neg_mul_add(s.sub(whole, magic), s.splat(0.5 * LN_2), capped);
        let denominator = s.mul_add(power, polynomial(s, r, EXP_2R), s.splat(1.0));
        let above = s.sub(s.splat(1.0), s.div(s.splat(2.0), denominator));

        s.with_sign_of(s.select(s.lt(x, s.splat(CUT)), below, above), z)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, a: S::V) -> S::V {
        s.neg_mul_add(a, a, s.splat(1.0))
    }
}
