//! Sine and cosine from IEEE operations only, so that what is generated from a seed is the same
//! bits everywhere (the platforms' own differ in the last bit).

/// `(sin, cos)` of an angle in full turns; within 2e-16 of the exact value near zero angles, and
/// of that plus the rounding of `turns` elsewhere.
pub(crate) fn sin_cos(turns: f64) -> (f64, f64) {
    // turns = quarters / 4 + rest, |rest| <= 1/8; the subtraction is exact.
    let quarters = (turns * 4.0).round();
    let x = (turns - quarters * 0.25) * std::f64::consts::TAU;
    // Taylor series on |x| <= pi/4; the first terms left out are below 5e-17.
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
    fn agrees_with_the_platform() {
        for i in -3000..3000 {
            let turns = f64::from(i) / 997.0;
            let (sin, cos) = sin_cos(turns);
            let (s, c) = (turns * std::f64::consts::TAU).sin_cos();
            assert!((sin - s).abs() < 5e-15 && (cos - c).abs() < 5e-15, "{turns}: {sin} {s}");
        }
        assert_eq!(sin_cos(0.0), (0.0, 1.0));
        assert_eq!(sin_cos(0.25), (1.0, -0.0));
        assert_eq!(sin_cos(-7.5), (-0.0, -1.0));
    }
}
