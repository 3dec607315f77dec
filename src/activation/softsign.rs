//! Softsign: z / (1 + |z|). Derivative: (1 − |a|)², from the output a.
//!
//! Error: at most 1.5 ULP, of one sum and one quotient (`tests/activations/ulp.rs`). The results for ±∞
//! are ±1, the limits.

use super::elementwise::Elementwise;
use crate::simd::Simd;

/// z / (1 + |z|)
#[derive(Clone, Copy)]
pub(super) struct Softsign;

impl Elementwise for Softsign {
    #[inline(always)]
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V {
        // The quotient is 1 for large floats; the cap makes it 1 for infinity.
        let size = s.min(s.splat(f32::MAX), s.abs(z));
        s.with_sign_of(s.div(size, s.add(s.splat(1.0), size)), z)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, a: S::V) -> S::V {
        let rest = s.sub(s.splat(1.0), s.abs(a));
        s.mul(rest, rest)
    }
}
