//! GELU: z Φ(z), with Φ the normal distribution function (the erf form, PyTorch's default). Derivative:
//! Φ(z) + z φ(z), from the input, with φ the normal density.
//!
//! Φ(−a) = e^(−a²/2) q P(q) with q = c / (c + a), and Φ(a) = 1 − Φ(−a). Unlike 1 + erf, this form is
//! accurate in the lower tail.
//!
//! Error: at most 7 ULP over all 2³² inputs (`tests/activations/ulp.rs`): two roundings of q, which the
//! steep q P(q) doubles, and five more. The result for −∞ is −0, the limit.

use super::elementwise::{Elementwise, Keeps};
use crate::math::{exp_parts, horner};
use crate::simd::Simd;

/// Φ(−15) and 15 Φ(−15) are zero in f32.
const END: f32 = 15.0;

/// c: one of the values with a good P, chosen so that c + a rounds little for small a, where c + a < 4.
const C: f32 = 3.5;

/// The middle of P's range, with which the sum has no cancellation.
const MIDDLE: f32 = 0.5625;

/// P: minimax fit of Φ(−a) e^(a²/2) / q over a in 0..=15 in powers of q − `MIDDLE`, rounded to f32
/// one coefficient after the other. Largest relative error: 2^−26.7.
const P: [f32; 10] = [
    -0.015_829_055,
    0.021_736_9,
    0.031_120_231,
    -0.047_104_27,
    -0.079_246_23,
    0.057_805_017,
    0.282_564_94,
    0.411_929_88,
    0.371_420_3,
    0.234_363,
];

/// Φ(−|z|) / e and e, where e = e^(−z²/2) = a · b in two parts; z in −15..=15 or NaN.
#[inline(always)]
fn tail_parts<S: Simd>(s: S, z: S::V) -> (S::V, (S::V, S::V)) {
    let size = s.abs(z);
    let q = s.div(s.splat(C), s.add(s.splat(C), size));
    // The factor e^(−lost/2) ≈ 1 − lost/2 corrects the rounding error of z².
    let square = s.mul(z, z);
    let minus_lost = s.residual(z, z, square);
    let (a, b) = exp_parts(s, s.mul(square, s.splat(-0.5)));
    let a = s.mul_add(s.mul(a, s.splat(0.5)), minus_lost, a);
    (s.mul(q, horner(s, s.sub(q, s.splat(MIDDLE)), P)), (a, b))
}

/// z Φ(z)
#[derive(Clone, Copy)]
pub(super) struct Gelu;

impl Elementwise for Gelu {
    const KEEPS: Keeps = Keeps::Input;

    #[inline(always)]
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V {
        let z = s.max(s.splat(-END), z);
        let (ratio, (a, b)) = tail_parts(s, s.min(s.splat(END), z));
        let tail = s.mul(ratio, a);
        let below = s.mul(s.mul(z, tail), b);
        let above = s.mul(z, s.neg_mul_add(tail, b, s.splat(1.0)));
        s.select(s.lt(z, s.splat(0.0)), below, above)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, z: S::V) -> S::V {
        let z = s.min(s.splat(END), s.max(s.splat(-END), z));
        let (ratio, (a, b)) = tail_parts(s, z);
        let bell = s.mul(a, b);
        let tail = s.mul(ratio, bell);
        let phi = s.select(s.lt(z, s.splat(0.0)), tail, s.sub(s.splat(1.0), tail));
        // 1 / √(2π)
        s.mul_add(s.mul(z, s.splat(0.398_942_3)), bell, phi)
    }
}
