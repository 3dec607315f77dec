//! eˣ, and eˣ − 1 for x ≤ 0.
//!
//! x = n ln 2 + r with a whole n and |r| ≤ ln 2 / 2; then eˣ = 2ⁿ eʳ = 2ⁿ (1 + t), where
//! t = r + r² q(r).
//!
//! Error: at most 1 ULP at every level, over all 2³² inputs (`tests/activations/ulp.rs`). Results
//! below 2⁻¹²⁶ lose bits one by one down to 2⁻¹⁴⁹ (gradual underflow), as C99 asks.

use super::poly::quartic;
use crate::simd::Simd;

/// The leading 15 bits of ln 2. Its product with an integer of up to 9 bits is exact, so the reduction
/// is exact even if `mul_add` rounds twice.
pub(crate) const LN2_HI: f32 = 0.693_145_75;
/// ln 2 − `LN2_HI`.
pub(crate) const LN2_LO: f32 = 1.428_606_8e-6;

/// 1.5 · 2²³: the sum of this and a smaller float has the float, rounded to an integer, in its lowest
/// bits.
pub(crate) const WHOLE: f32 = 12_582_912.0;

/// q for eˣ: minimax fit of (eʳ − 1 − r) / r² over ln ¾..ln 3/2 in ULP of eʳ, rounded to f32 one
/// coefficient after the other. Largest error: 0.04 ULP of eʳ.
const EXP: [f32; 5] = [0.001_463_809, 0.008_359_932, 0.041_658_513, 0.166_665_75, 0.500_000_2];

/// q for eˣ − 1: the same over |r| ≤ 1.001 ln 2 / 2 in ULP of eˣ − 1, x ≤ 0. Largest error: 0.09 ULP.
const EXPM1: [f32; 5] = [0.001_366_993_5, 0.008_368_947, 0.041_671_023, 0.166_665_2, 0.499_999_82];

/// The middle of ln ¾..ln 3/2. With r in that range, the largest errors of r and t, beyond ¼, occur at
/// 1 + t > 1, whose ULP is twice as large.
const MIDDLE: f32 = 0.058_891_5;

/// x = ± n ln 2 + r.
pub(crate) struct Reduced<S: Simd> {
    n: S::V,
    sign: f32,
    /// x ∓ n · `LN2_HI`, without rounding.
    r_hi: S::V,
    /// n + `bias` in the lowest bits.
    bits: S::I,
}

/// The bias of one exponent: with it `bits` shifted by 23 are 2ⁿ, for n in −126..=127.
const ONE_POWER: f32 = 127.0;
/// The bias of two exponents, for [`Reduced::powers`].
pub(crate) const TWO_POWERS: f32 = 254.0;

/// Reduces x with the n nearest to `by` / ln 2; both are in −170..=170 or NaN; `sign` is 1 or −1.
#[inline(always)]
pub(crate) fn reduce<S: Simd>(s: S, x: S::V, by: S::V, sign: f32, bias: f32) -> Reduced<S> {
    let magic = s.splat(WHOLE + bias);
    let whole = s.mul_add(by, s.splat(sign * std::f32::consts::LOG2_E), magic);
    let n = s.sub(whole, magic);
    let r_hi = s.neg_mul_add(n, s.splat(sign * LN2_HI), x);
    Reduced { n, sign, r_hi, bits: s.to_bits(whole) }
}

impl<S: Simd> Reduced<S> {
    /// 2ⁿ as a product of two powers of two, which are normal numbers for every n in −252..=254. The bias
    /// must be `TWO_POWERS`.
    #[inline(always)]
    pub(crate) fn powers(&self, s: S) -> (S::V, S::V) {
        let first = s.int_shl(s.int_shr(self.bits, 1), 23);
        let second = s.int_sub(s.int_shl(self.bits, 23), first);
        (s.from_bits(first), s.from_bits(second))
    }

    /// r, rounded once.
    #[inline(always)]
    pub(crate) fn r(&self, s: S) -> S::V {
        s.neg_mul_add(self.n, s.splat(self.sign * LN2_LO), self.r_hi)
    }
}

/// eˣ for x ≤ 100 as (a, b) with eˣ = a · b, where a is a normal number and b a power of two. Products
/// with eˣ then underflow gradually, with one rounding.
#[inline(always)]
pub(crate) fn exp_parts<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    // e⁻¹¹⁰ is zero. The order of the operands propagates NaN.
    let x = s.max(s.splat(-110.0), x);
    let reduced = reduce(s, x, s.sub(x, s.splat(MIDDLE)), 1.0, TWO_POWERS);
    let (first, second) = reduced.powers(s);
    let r = reduced.r(s);
    let r2 = s.mul(r, r);
    // Two roundings matter, those of r and t.
    let t = s.mul_add(r2, quartic(s, r, r2, EXP), r);
    (s.mul_add(t, first, first), second)
}

/// eˣ
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    exp_negative(s, s.min(s.splat(100.0), x))
}

/// eˣ for x ≤ 100
#[inline(always)]
pub(crate) fn exp_negative<S: Simd>(s: S, x: S::V) -> S::V {
    let (a, b) = exp_parts(s, x);
    s.mul(a, b)
}

/// eˣ − 1 for x ≤ 0 as (head, tail); undefined for x > 0. The result for ±0 is +0.
#[inline(always)]
pub(crate) fn expm1_parts<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    // e⁻²⁰ is less than half an ULP of 1.
    let x = s.max(s.splat(-20.0), x);
    let reduced = reduce(s, x, x, 1.0, ONE_POWER);
    let power = s.from_bits(s.int_shl(reduced.bits, 23));
    // t = r_hi + rest; only the roundings of the rest matter.
    let r_lo = s.mul(reduced.n, s.splat(-LN2_LO));
    let r = s.add(reduced.r_hi, r_lo);
    let r2 = s.mul(r, r);
    let rest = s.mul_add(r2, quartic(s, r, r2, EXPM1), r_lo);
    let t = s.add(reduced.r_hi, rest);
    // 2ⁿ eʳ − 1 = 2ⁿ t + (2ⁿ − 1). Products with 2ⁿ are exact, and so are the first two sums of the
    // tail, because the head is close to the sum of their large parts.
    let less_one = s.sub(power, s.splat(1.0));
    let head = s.mul_add(t, power, less_one);
    let tail = s.mul_add(reduced.r_hi, power, s.sub(less_one, head));
    (head, s.mul_add(rest, power, tail))
}

/// eˣ − 1 for x ≤ 0; undefined for x > 0. The result for ±0 is +0.
#[inline(always)]
pub(crate) fn expm1_negative<S: Simd>(s: S, x: S::V) -> S::V {
    expm1_parts(s, x).0
}
