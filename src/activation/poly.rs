//! Polynomials by Horner's rule, highest power first.

use crate::simd::Simd;

/// `c[0] xⁿ + c[1] xⁿ⁻¹ + … + c[n]`: one multiply-add a coefficient.
#[inline(always)]
pub(super) fn polynomial<S: Simd, const N: usize>(s: S, x: S::V, c: [f32; N]) -> S::V {
    let mut sum = s.splat(c[0]);
    for c in &c[1..] {
        sum = s.mul_add(sum, x, s.splat(*c));
    }
    sum
}
