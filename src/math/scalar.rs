//! Functions of one f64 that use IEEE operations only. With them, numbers generated from a seed, losses
//! and learning rates have the same bits on every platform; functions of the system's library differ in
//! the last bit.

use std::f64::consts::{LN_2, SQRT_2, TAU};

/// xⁿ by repeated squaring.
pub(crate) fn power(mut x: f64, mut n: u64) -> f64 {
    let mut out = 1.0;
    while n > 0 {
        if n & 1 == 1 {
            out *= x;
        }
        x *= x;
        n >>= 1;
    }
    out
}

/// ln x for a finite normal x > 0: x = m 2ᵉ with m in √½..√2, and ln m = 2 artanh((m − 1)/(m + 1)).
pub(crate) fn ln_f64(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut e = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if m > SQRT_2 {
        m *= 0.5;
        e += 1;
    }
    // |t| < 0.172: the omitted terms are below 1e-17.
    twice_artanh((m - 1.0) / (m + 1.0)) + e as f64 * LN_2
}

/// eˣ = 2ᵏ e^r with r = x − k ln 2, |r| ≤ ½ ln 2, and the Taylor series of e^r to r¹³, whose first omitted
/// term is below 5e-18. The relative error is at most 1e-15 for |x| ≤ 700; 0 and infinity beyond f64's range.
pub(crate) fn exp_f64(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    // 2^±1100 overflows and underflows.
    let k = (x / LN_2).round().clamp(-1100.0, 1100.0);
    // The first part of ln 2 has 32 bits, so its product with k is exact.
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    let r = r.clamp(-1.0, 1.0);
    let series = (1..=13).rev().fold(1.0, |sum, n| 1.0 + sum * r / f64::from(n));
    // In two factors, each a normal number.
    let half = (k * 0.5).trunc();
    let power = |k: f64| f64::from_bits(((k as i64 + 1023) as u64) << 52);
    series * power(half) * power(k - half)
}

/// −ln(1 − q) = 2 artanh(q/(2 − q)) for q in 0..=½, with a relative error of at most 1e-11.
pub(crate) fn minus_ln_1m(q: f64) -> f64 {
    twice_artanh(q / (2.0 - q))
}

/// 2 artanh t = 2 (t + t³/3 + t⁵/5 + …), to the term of t²¹.
fn twice_artanh(t: f64) -> f64 {
    let t2 = t * t;
    let coefficients = (0..=10).rev().map(|k| 1.0 / f64::from(2 * k + 1));
    2.0 * t * coefficients.fold(0.0, |sum, coefficient| sum * t2 + coefficient)
}

/// `(sin, cos)` of an angle in full turns, with an error of at most 2e-16 plus the rounding of `turns`.
pub(crate) fn sin_cos(turns: f64) -> (f64, f64) {
    // turns = quarters / 4 + rest, |rest| <= 1/8; the subtraction is exact.
    let quarters = (turns * 4.0).round();
    let x = (turns - quarters * 0.25) * TAU;
    // Taylor series on |x| <= pi/4; the first omitted terms are below 5e-17.
    let x2 = x * x;
    let (mut sin, mut cos) = (0.0, 0.0);
    for k in (1..=8).rev() {
        let k = 2.0 * f64::from(k);
        sin = (1.0 - sin) * x2 / (k * (k + 1.0));
        cos = (1.0 - cos) * x2 / (k * (k - 1.0));
    }
    let (sin, cos) = (x * (1.0 - sin), 1.0 - cos);
    match quarters.rem_euclid(4.0) {
        1.0 => (cos, -sin),
        2.0 => (-sin, -cos),
        3.0 => (-cos, sin),
        _ => (sin, cos),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_is_a_power() {
        for n in [0, 1, 2, 3, 10, 1000] {
            assert!((power(0.999, n) - 0.999f64.powi(n as i32)).abs() < 1e-14);
        }
        assert_eq!(power(0.9, u64::MAX), 0.0);
    }

    #[test]
    fn logarithms_agree_with_the_platform() {
        for i in 1..10_000 {
            let x = f64::from(i) * 1.3e-4;
            let (got, want) = (ln_f64(x), x.ln());
            assert!((got - want).abs() <= 4e-16 * want.abs().max(1.0), "ln({x}) = {got}, {want}");
        }
        for q in [0.0f64, 1e-300, 1e-20, 4.14e-8, 1e-3, 0.1, 0.3, 0.5] {
            let want = -(-q).ln_1p();
            assert!((minus_ln_1m(q) - want).abs() <= 2e-11 * want, "{q}");
        }
    }

    #[test]
    fn exponentials_agree_with_the_platform() {
        for i in -7000..7000 {
            let x = f64::from(i) * 0.1003;
            let (got, want) = (exp_f64(x), x.exp());
            assert!((got - want).abs() <= 1e-15 * want, "exp({x}) = {got}, {want}");
        }
        assert_eq!(exp_f64(0.0), 1.0);
        for (x, want) in [(800.0, f64::INFINITY), (f64::INFINITY, f64::INFINITY), (-800.0, 0.0)] {
            assert_eq!(exp_f64(x), want);
        }
        assert_eq!(exp_f64(f64::NEG_INFINITY), 0.0);
        assert!(exp_f64(f64::NAN).is_nan());
    }

    #[test]
    fn sine_and_cosine_agree_with_the_platform() {
        for i in -3000..3000 {
            let turns = f64::from(i) / 997.0;
            let (sin, cos) = sin_cos(turns);
            let (s, c) = (turns * TAU).sin_cos();
            assert!((sin - s).abs() < 5e-15 && (cos - c).abs() < 5e-15, "{turns}: {sin} {s}");
        }
        assert_eq!(sin_cos(0.0), (0.0, 1.0));
        assert_eq!(sin_cos(0.25), (1.0, -0.0));
        assert_eq!(sin_cos(-7.5), (-0.0, -1.0));
    }
}
