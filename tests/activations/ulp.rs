//! Errors in units in the last place, over a sample of all f32 in every run, over all 2³² on
//! request: `cargo test --release --test activations -- --ignored exhaustive --nocapture`.

use crate::reference;
use deltarule::{Activation, Level};

/// |got − want| in units of the last place of an f32 of want's size. Subnormals and 0 share the
/// place of 2⁻¹⁴⁹; infinity stands at 2¹²⁸, one place beyond the largest float.
pub fn ulps(got: f32, want: f64) -> f64 {
    if got.is_nan() || want.is_nan() {
        return if got.is_nan() && want.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let end = 2f64.powi(128);
    let (got, want) = (f64::from(got).clamp(-end, end), want.clamp(-end, end));
    let exponent = (((want.abs().to_bits() >> 52) as i32) - 1023).clamp(-126, 127);
    (got - want).abs() / 2f64.powi(exponent - 23)
}

/// The largest error of a function at a level over every `stride`-th bit pattern, and where.
fn worst(
    level: Level,
    apply: &dyn Fn(Level, &mut [f32]),
    want: &dyn Fn(f64) -> f64,
    stride: usize,
) -> (f64, f32) {
    let mut worst = (0.0, 0.0);
    let (mut x, mut y) = (Vec::new(), Vec::new());
    let mut patterns = (0..=u32::MAX).step_by(stride).peekable();
    while patterns.peek().is_some() {
        x.clear();
        x.extend(patterns.by_ref().take(4096).map(f32::from_bits));
        y.clone_from(&x);
        apply(level, &mut y);
        for (x, y) in x.iter().zip(&y) {
            let error = ulps(*y, want(f64::from(*x)));
            if error > worst.0 {
                worst = (error, *x);
            }
        }
    }
    worst
}

/// Checks every function at every level; the bounds are ULP where `mul_add` is one rounding, and
/// at `portable`.
fn check(stride: usize) {
    let bounds = [
        (Activation::Identity, 0.0, 0.0),
        (Activation::Sigmoid, 1.0, 1.0),
        (Activation::Tanh, 1.0, 1.0),
        (Activation::Relu, 0.0, 0.0),
        (Activation::LeakyRelu { slope: 0.1 }, 0.5, 0.5),
        (Activation::Elu { alpha: 1.0 }, 1.0, 1.0),
        (Activation::Elu { alpha: 0.3 }, 1.5, 1.5),
        (Activation::Gelu, 4.0, 4.0),
        (Activation::Silu, 1.6, 1.6),
        (Activation::Selu, 2.0, 2.0),
        (Activation::Softplus, 2.0, 2.0),
        (Activation::Softsign, 1.5, 1.5),
        (Activation::HardTanh, 0.0, 0.0),
        (Activation::Step, 0.0, 0.0),
    ];
    let mut failed = Vec::new();
    let mut report = |level: Level, name: String, bound: f64, (error, x): (f64, f32)| {
        println!("{:9} {name:15} {error:.4} ULP at {x:e} (bits {:08x})", level.name(), x.to_bits());
        if error > bound {
            failed.push(format!("{name} at {}: {error} ULP at {x:e}", level.name()));
        }
    };
    let only = std::env::var("DELTARULE_ULP_ONLY").unwrap_or_default();
    for level in Level::available().filter(|level| only.is_empty() || only.contains(level.name())) {
        report(level, "exp".into(), 1.0, worst(level, &Level::exp, &f64::exp, stride));
        report(level, "ln".into(), 1.0, worst(level, &Level::ln, &f64::ln, stride));
        for (function, fused, portable) in bounds {
            let bound = if level == Level::portable() { portable } else { fused };
            let apply = |level: Level, x: &mut [f32]| function.forward(level, x);
            let want = |x: f64| reference::activation(function, x);
            report(level, function.to_string(), bound, worst(level, &apply, &want, stride));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn errors_in_a_sample_of_all_floats() {
    // A prime stride: every exponent, and mantissas without a pattern.
    check(16_381);
}

#[test]
#[ignore = "2^32 inputs: minutes; run with cargo test --release -- --ignored exhaustive"]
fn exhaustive_errors_over_all_floats() {
    check(1);
}

#[test]
fn the_measure_finds_planted_errors() {
    assert_eq!(ulps(1.0, 1.0), 0.0);
    assert_eq!(ulps(1.0 + f32::EPSILON, 1.0), 1.0);
    assert_eq!(ulps(0.5, 0.5 + f64::from(f32::EPSILON)), 2.0);
    assert_eq!(ulps(f32::from_bits(3), 0.0), 3.0);
    assert_eq!(ulps(0.0, f64::from(f32::from_bits(1)) / 2.0), 0.5);
    assert_eq!(ulps(f32::MAX, f64::INFINITY), 1.0);
    assert_eq!(ulps(f32::INFINITY, 1e300), 0.0);
    assert!(ulps(f32::INFINITY, 3e38) > 1e5);
    assert!(ulps(f32::NAN, 1.0) == f64::INFINITY && ulps(1.0, f64::NAN) == f64::INFINITY);
    // One wrong value among all is found.
    let planted = |level: Level, x: &mut [f32]| {
        let place = x.iter().position(|x| *x == 1.0);
        level.exp(x);
        if let Some(i) = place {
            x[i] = f32::from_bits(x[i].to_bits() + 3);
        }
    };
    let (error, x) = worst(Level::best(), &planted, &f64::exp, 1 << 12);
    assert!(error > 2.0 && x == 1.0, "{error} at {x}");
}
