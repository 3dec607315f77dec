//! eˣ, and eˣ − 1 for x ≤ 0.
//!
//! x = n ln 2 + r with a whole n and |r| ≤ ln 2 / 2; then eˣ = 2ⁿ eʳ = 2ⁿ (1 + t), where
//! t = r + r² q(r).
//!
//! Error: at most 1 ULP at every level, over all 2³² inputs (`tests/activations_ulp.rs`). Results
//! below 2⁻¹²⁶ lose bits one by one down to 2⁻¹⁴⁹ (gradual underflow), as C99 asks.

use super::poly::polynomial;
use crate::simd::Simd;

/// The leading 15 bits of ln 2: times a whole number of up to 9 bits this is exact, so that the
/// reduction loses nothing even where `mul_add` rounds twice.
pub(super) const LN2_HI: f32 = 0.693_145_75;
/// ln 2 − `LN2_HI`.
pub(super) const LN2_LO: f32 = 1.428_606_8e-6;

/// 1.5 · 2²³: adding it to a smaller float leaves the whole part, rounded to nearest, in the
/// lowest bits.
pub(super) const WHOLE: f32 = 12_582_912.0;

/// q: minimax fit of (eʳ − 1 − r) / r² over |r| ≤ 1.001 ln 2 / 2, rounded to f32 one coefficient
/// after the other. Largest error relative to eʳ − 1: 2^−26.0; to eʳ: 2^−27.4.
const Q: [f32; 5] = [0.001_387_123_3, 0.008_367_096, 0.041_667_39, 0.166_665_39, 0.499_999_97];

/// x = ± n ln 2 + r, and 2ⁿ.
pub(super) struct Reduced<S: Simd> {
    n: S::V,
    sign: f32,
    /// x ∓ n · `LN2_HI`, without rounding.
    r_hi: S::V,
    /// 2ⁿ as a product of two powers of two, normal numbers for every n in −252..=254.
    pub(super) power: (S::V, S::V),
}

/// Reduces x, in −170..=170 or NaN; `sign` is 1 or −1.
#[inline(always)]
pub(super) fn reduce<S: Simd>(s: S, x: S::V, sign: f32) -> Reduced<S> {
    // The lowest bits of `whole` are n + 254: the bias of two exponents.
    let magic = s.splat(WHOLE + 254.0);
    let whole = s.mul_add(x, s.splat(sign * std::f32::consts::LOG2_E), magic);
    let n = s.sub(whole, magic);
    let bits = s.to_bits(whole);
    let first = s.int_shl(s.int_shr(bits, 1), 23);
    let second = s.int_sub(s.int_shl(bits, 23), first);
    Reduced {
        n,
        sign,
        r_hi: s.neg_mul_add(n, s.splat(sign * LN2_HI), x),
        power: (s.from_bits(first), s.from_bits(second)),
    }
}

impl<S: Simd> Reduced<S> {
    /// t = eʳ − 1. Rounding r first costs up to a quarter of the last place of 1 + t.
    #[inline(always)]
    pub(super) fn expm1(&self, s: S) -> S::V {
        let r = s.neg_mul_add(self.n, s.splat(self.sign * LN2_LO), self.r_hi);
        s.mul_add(s.mul(r, r), polynomial(s, r, Q), r)
    }

    /// t = eʳ − 1 with one rounding that counts, the last: two operations more.
    #[inline(always)]
    pub(super) fn expm1_accurate(&self, s: S) -> S::V {
        let r_lo = s.mul(self.n, s.splat(-self.sign * LN2_LO));
        let r = s.add(self.r_hi, r_lo);
        let rest = s.mul_add(s.mul(r, r), polynomial(s, r, Q), r_lo);
        s.add(self.r_hi, rest)
    }
}

/// eˣ as (a, b) with eˣ = a · b, a a normal number and b a power of two: products with eˣ then
/// underflow gradually, in one rounding.
#[inline(always)]
pub(super) fn exp_parts<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    // e¹⁰⁰ is infinite and e⁻¹¹⁰ zero. The order of the operands lets NaN through.
    let x = s.min(s.splat(100.0), s.max(s.splat(-110.0), x));
    let reduced = reduce(s, x, 1.0);
    let (first, second) = reduced.power;
    (s.mul_add(reduced.expm1(s), first, first), second)
}

/// eˣ
#[inline(always)]
pub(super) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    let (a, b) = exp_parts(s, x);
    s.mul(a, b)
}

/// eˣ − 1 for x ≤ 0; anything for x > 0. Zero comes back as +0.
#[inline(always)]
pub(super) fn expm1_negative<S: Simd>(s: S, x: S::V) -> S::V {
    // e⁻²⁰ is less than half of the last place of 1.
    let reduced = reduce(s, s.max(s.splat(-20.0), x), 1.0);
    let power = s.mul(reduced.power.0, reduced.power.1);
    s.mul_add(reduced.expm1_accurate(s), power, s.sub(power, s.splat(1.0)))
}
