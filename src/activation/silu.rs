//! SiLU (swish): z σ(z). Derivative: σ(z) + z σ(z) σ(−z), from the input.
//!
//! Error: at most 2 ULP, of the sigmoid and one product (`tests/activations/ulp.rs`). The result for −∞
//! is −0, the limit.

use super::elementwise::{Elementwise, Keeps};
use super::sigmoid::{END, tail_parts};
use crate::simd::Simd;

/// z σ(z)
#[derive(Clone, Copy)]
pub(super) struct Silu;

impl Elementwise for Silu {
    const KEEPS: Keeps = Keeps::Input;

    #[inline(always)]
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V {
        let z = s.max(s.splat(-END), z);
        let (y, power) = tail_parts(s, s.min(s.splat(END), s.abs(z)));
        let below = s.mul(s.mul(z, y), power);
        let above = s.mul(z, s.neg_mul_add(y, power, s.splat(1.0)));
        s.select(s.lt(z, s.splat(0.0)), below, above)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, z: S::V) -> S::V {
        let z = s.min(s.splat(END), s.max(s.splat(-END), z));
        let (y, power) = tail_parts(s, s.abs(z));
        let tail = s.mul(y, power);
        let rest = s.sub(s.splat(1.0), tail);
        let sigma = s.select(s.lt(z, s.splat(0.0)), tail, rest);
        s.mul_add(z, s.mul(tail, rest), sigma)
    }
}
