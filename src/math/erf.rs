//! The complementary error function, for GELU; the standard library has none.

use std::f64::consts::PI;

/// erfc(x) = 1 − erf(x) = 2/√π ∫ₓ^∞ e^(−t²) dt, to a few units in the last place, also in the far tail,
/// where 1 − erf(x) would have no correct digit.
pub(crate) fn erfc(x: f64) -> f64 {
    if x.is_nan() {
        x
    } else if x < 0.0 {
        2.0 - erfc(-x)
    } else if x < 2.0 {
        1.0 - erf_series(x)
    } else {
        erfc_fraction(x)
    }
}

/// erf(x) = 2/√π e^(−x²) Σ_n 2ⁿ x^(2n+1) / (2n+1)!!: all terms are positive, so nothing cancels.
fn erf_series(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    let mut n = 0.0;
    while term > sum * 1e-18 {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

/// erfc(x) = e^(−x²)/√π · 1/(x + ½/(x + 1/(x + 3⁄2/(x + 2/(x + …))))), evaluated from the inside.
/// 200 levels are more than enough for x ≥ 2.
fn erfc_fraction(x: f64) -> f64 {
    if x.is_infinite() {
        return 0.0;
    }
    let mut denominator = x;
    for k in (1..=200).rev() {
        denominator = x + 0.5 * f64::from(k) / denominator;
    }
    (-x * x).exp() / PI.sqrt() / denominator
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Python's `math.erfc`.
    #[test]
    fn known_values() {
        let table = [
            (0.0, 1.0),
            (0.5, 0.479_500_122_186_953_5),
            (1.0, 0.157_299_207_050_285_13),
            (1.999_999, 0.004_677_755_648_073_953),
            (2.0, 0.004_677_734_981_047_266),
            (3.0, 2.209_049_699_858_544e-5),
            (5.0, 1.537_459_794_428_035e-12),
            (10.0, 2.088_487_583_762_545e-45),
            (-1.0, 1.842_700_792_949_714_8),
            (-7.0, 2.0),
        ];
        for (x, want) in table {
            let got = erfc(x);
            assert!((got - want).abs() <= 1e-13 * want, "erfc({x}) = {got:e}, not {want:e}");
        }
        assert_eq!(erfc(f64::INFINITY), 0.0);
        assert_eq!(erfc(f64::NEG_INFINITY), 2.0);
        assert!(erfc(f64::NAN).is_nan());
    }
}
