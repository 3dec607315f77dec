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
    let exponent = (((want.abs().to_bits() >> 52) as i64) - 1023).clamp(-126, 127);
    // times 2^(23 − exponent)
    (got - want).abs() * f64::from_bits(((1023 + 23 - exponent) as u64) << 52)
}

/// The largest error of a function over every `stride`-th bit pattern and where, level by level.
fn worst(
    levels: &[Level],
    apply: &dyn Fn(Level, &mut [f32]),
    want: &dyn Fn(f64) -> f64,
    stride: usize,
) -> Vec<(f64, f32)> {
    let mut worst = vec![(0.0, 0.0); levels.len()];
    let (mut x, mut y) = (Vec::new(), Vec::new());
    let mut patterns = (0..=u32::MAX).step_by(stride).peekable();
    while patterns.peek().is_some() {
        x.clear();
        x.extend(patterns.by_ref().take(4096).map(f32::from_bits));
        let right: Vec<f64> = x.iter().map(|x| want(f64::from(*x))).collect();
        for (level, worst) in levels.iter().zip(&mut worst) {
            y.clone_from(&x);
            apply(*level, &mut y);
            for ((x, y), right) in x.iter().zip(&y).zip(&right) {
                let error = ulps(*y, *right);
                if error > worst.0 {
                    *worst = (error, *x);
                }
            }
        }
    }
    worst
}

/// Checks one function at every level; the bounds are ULP where `mul_add` is one rounding, and at
/// `portable`.
fn check(
    name: &str,
    stride: usize,
    (fused, portable): (f64, f64),
    apply: &dyn Fn(Level, &mut [f32]),
    want: &dyn Fn(f64) -> f64,
) {
    let levels: Vec<Level> = Level::available().collect();
    for (level, (error, x)) in levels.iter().zip(worst(&levels, apply, want, stride)) {
        let bound = if *level == Level::portable() { portable } else { fused };
        println!("{name:15} {:9} {error:.4} ULP at {x:e} ({:08x})", level.name(), x.to_bits());
        assert!(error <= bound, "{name} at {}: {error} ULP at {x:e}", level.name());
    }
}

/// Checks an activation at every level.
fn check_activation(function: Activation, stride: usize, bounds: (f64, f64)) {
    let apply = |level: Level, x: &mut [f32]| function.forward(level, x);
    let want = |x: f64| reference::activation(function, x);
    check(&function.to_string(), stride, bounds, &apply, &want);
}

/// One line a function: its check over every `stride`-th float, in every run with a sample and on
/// request with all.
macro_rules! functions {
    ($($name:ident: $check:expr;)*) => {
        mod sample {
            use super::*;
            $(#[test]
            fn $name() {
                let check: fn(usize) = $check;
                // A prime: every exponent, and mantissas without a pattern.
                check(16_381);
            })*
        }

        mod exhaustive {
            use super::*;
            $(#[test]
            #[ignore = "2^32 inputs: minutes; run with cargo test --release -- --ignored exhaustive"]
            fn $name() {
                let check: fn(usize) = $check;
                check(1);
            })*
        }
    };
}

functions! {
    exp: |n| check("exp", n, (1.0, 1.0), &Level::exp, &f64::exp);
    ln: |n| check("ln", n, (1.0, 1.0), &Level::ln, &f64::ln);
    // `portable` rounds a multiply-add twice: 1.0122 over all inputs.
    sigmoid: |n| check_activation(Activation::Sigmoid, n, (1.0, 1.02));
    tanh: |n| check_activation(Activation::Tanh, n, (1.0, 1.0));
    elu: |n| check_activation(Activation::elu(), n, (1.0, 1.0));
    // 1 ULP of eᶻ − 1 may be 2 of its product, which is rounded once more: 1.594 over all inputs.
    elu_with_alpha: |n| check_activation(Activation::Elu { alpha: 0.3 }, n, (2.5, 2.5));
    // The same, and the constant's own rounding.
    selu: |n| check_activation(Activation::Selu, n, (3.0, 3.0));
    gelu: |n| check_activation(Activation::Gelu, n, (5.0, 5.0));
    silu: |n| check_activation(Activation::Silu, n, (2.0, 2.0));
    softplus: |n| check_activation(Activation::Softplus, n, (2.0, 2.0));
    softsign: |n| check_activation(Activation::Softsign, n, (1.5, 1.5));
    leaky_relu: |n| check_activation(Activation::leaky_relu(), n, (0.5, 0.5));
    relu: |n| check_activation(Activation::Relu, n, (0.0, 0.0));
    hard_tanh: |n| check_activation(Activation::HardTanh, n, (0.0, 0.0));
    step: |n| check_activation(Activation::Step, n, (0.0, 0.0));
    identity: |n| check_activation(Activation::Identity, n, (0.0, 0.0));
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
    let found = worst(&[Level::best()], &planted, &f64::exp, 1 << 12);
    assert!(found[0].0 > 2.0 && found[0].1 == 1.0, "{found:?}");
}
