//! Polynomials, highest power first.

use crate::simd::Simd;

/// `c[0] xⁿ + c[1] xⁿ⁻¹ + … + c[n]` by Horner's rule: one multiply-add per coefficient.
#[inline(always)]
pub(crate) fn horner<S: Simd, const N: usize>(s: S, x: S::V, c: [f32; N]) -> S::V {
    let mut sum = s.splat(c[0]);
    for c in &c[1..] {
        sum = s.mul_add(sum, x, s.splat(*c));
    }
    sum
}

/// `c[0] x⁴ + … + c[4]`, given x² (Estrin's scheme): as many operations as Horner's rule, but a chain of
/// three multiply-adds instead of four.
#[inline(always)]
pub(crate) fn quartic<S: Simd>(s: S, x: S::V, x2: S::V, c: [f32; 5]) -> S::V {
    let low = s.mul_add(x, s.splat(c[3]), s.splat(c[4]));
    let middle = s.mul_add(x, s.splat(c[1]), s.splat(c[2]));
    s.mul_add(x2, s.mul_add(x2, s.splat(c[0]), middle), low)
}
