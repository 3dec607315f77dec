//! Errors in units in the last place, over a sample of all f32 in every run, over all 2³² on
//! request: `cargo test --release --test activations -- --ignored exhaustive --nocapture`.

use crate::reference;
use deltarule::{Activation, Level};
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// Inputs that a thread takes at once: small enough for its cache.
const BLOCK: usize = 4096;

/// 2⁻²⁴
const PLACE: f64 = 0.5 * f32::EPSILON as f64;

/// The largest error of a function over every `stride`-th bit pattern and where, level by level;
/// shared by as many threads as the machine has cores.
fn worst(
    levels: &[Level],
    apply: &(dyn Fn(Level, &mut [f32]) + Sync),
    want: &(dyn Fn(f64) -> f64 + Sync),
    stride: usize,
) -> Vec<(f64, f32)> {
    let patterns = (1usize << 32).div_ceil(stride);
    let next = AtomicUsize::new(0);
    let part = || {
        let mut worst = vec![(0.0, 0.0); levels.len()];
        let (mut x, mut y, mut right) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let first = next.fetch_add(BLOCK, Ordering::Relaxed);
            if first >= patterns {
                return worst;
            }
            let block = first..patterns.min(first + BLOCK);
            x.clear();
            x.extend(block.map(|i| f32::from_bits((i * stride) as u32)));
            right.clear();
            right.extend(x.iter().map(|x| want(f64::from(*x))));
            for (level, worst) in levels.iter().zip(&mut worst) {
                y.clone_from(&x);
                apply(*level, &mut y);
                for ((x, y), right) in x.iter().zip(&y).zip(&right) {
                    // A last place is at least 2⁻²⁴ of a number: what is within `worst` of those
                    // is within `worst`. NaN and infinity are not, and go on.
                    let within = (f64::from(*y) - right).abs() <= worst.0 * PLACE * right.abs();
                    if !within {
                        let error = ulps(*y, *right);
                        if error > worst.0 {
                            *worst = (error, *x);
                        }
                    }
                }
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..cores).map(|_| scope.spawn(part)).collect();
        let parts: Vec<_> = parts.into_iter().map(|part| part.join().unwrap()).collect();
        let largest = |a: (f64, f32), b: (f64, f32)| if b.0 > a.0 { b } else { a };
        let at = |level| parts.iter().map(|part| part[level]).fold((0.0, 0.0), largest);
        (0..levels.len()).map(at).collect()
    })
}

/// Checks one function at every level.
fn check(
    name: &str,
    stride: usize,
    bound: f64,
    apply: &(dyn Fn(Level, &mut [f32]) + Sync),
    want: &(dyn Fn(f64) -> f64 + Sync),
) {
    let levels: Vec<Level> = Level::available().collect();
    let found = worst(&levels, apply, want, stride);
    for (level, (error, x)) in levels.iter().zip(&found) {
        println!("{name:15} {:9} {error:.4} ULP at {x:e} ({:08x})", level.name(), x.to_bits());
    }
    for (level, (error, x)) in levels.iter().zip(&found) {
        assert!(*error <= bound, "{name} at {}: {error} ULP at {x:e}", level.name());
    }
}

/// Checks an activation at every level.
fn check_activation(function: Activation, stride: usize, bound: f64) {
    let apply = |level: Level, x: &mut [f32]| function.forward(level, x);
    let want = |x: f64| reference::activation(function, x);
    check(&function.to_string(), stride, bound, &apply, &want);
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
    exp: |n| check("exp", n, 1.0, &Level::exp, &reference::exp);
    ln: |n| check("ln", n, 1.0, &Level::ln, &f64::ln);
    sigmoid: |n| check_activation(Activation::Sigmoid, n, 1.0);
    tanh: |n| check_activation(Activation::Tanh, n, 1.0);
    elu: |n| check_activation(Activation::elu(), n, 1.0);
    // How α's mantissa meets the result's decides how much of a place its errors are.
    elu_of_0_3: |n| check_activation(Activation::Elu { alpha: 0.3 }, n, 1.0);
    elu_of_1_7: |n| check_activation(Activation::Elu { alpha: 1.7 }, n, 1.0);
    elu_of_1e_30: |n| check_activation(Activation::Elu { alpha: 1e-30 }, n, 1.0);
    selu: |n| check_activation(Activation::Selu, n, 1.0);
    gelu: |n| check_activation(Activation::Gelu, n, 7.0);
    silu: |n| check_activation(Activation::Silu, n, 2.0);
    softplus: |n| check_activation(Activation::Softplus, n, 1.8);
    softsign: |n| check_activation(Activation::Softsign, n, 1.5);
    leaky_relu: |n| check_activation(Activation::leaky_relu(), n, 0.5);
    relu: |n| check_activation(Activation::Relu, n, 0.0);
    hard_tanh: |n| check_activation(Activation::HardTanh, n, 0.0);
    step: |n| check_activation(Activation::Step, n, 0.0);
    identity: |n| check_activation(Activation::Identity, n, 0.0);
}

/// Where the exhaustive runs found the largest errors, and the one float where σ erred by more than
/// 1 ULP before `portable` rounded like the others: in every run.
#[test]
fn the_worst_inputs() {
    for (function, x, bound) in [
        (Activation::Sigmoid, -5.202_081_7, 1.0),
        (Activation::Sigmoid, -5.198_969, 1.0),
        (Activation::Tanh, 8.664_389, 1.0),
        (Activation::elu(), -0.281_073_24, 1.0),
        (Activation::Elu { alpha: 0.3 }, -0.225_853_55, 1.0),
        (Activation::Gelu, -1.840_972_2, 7.0),
        (Activation::Gelu, -1.861_323_6, 7.0),
        (Activation::Selu, -0.332_692_77, 1.0),
        (Activation::Silu, 4.881_024_7e-4, 2.0),
        (Activation::Softplus, -0.753_129_3, 1.8),
        (Activation::Softsign, 2_047.374_9, 1.5),
    ] {
        for level in Level::available() {
            let mut y = [x];
            function.forward(level, &mut y);
            let error = ulps(y[0], reference::activation(function, f64::from(x)));
            assert!(error <= bound, "{function} at {}: {error} ULP at {x:e}", level.name());
        }
    }
}

#[test]
fn elu_of_any_alpha() {
    for i in 0..64 {
        check_activation(Activation::Elu { alpha: 1.0 + i as f32 / 64.0 }, 131_071, 1.0);
    }
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
    let found = worst(&[Level::best()], &planted, &reference::exp, 1 << 12);
    assert!(found[0].0 > 2.0 && found[0].1 == 1.0, "{found:?}");
}
