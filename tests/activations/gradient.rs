//! Derivatives against central differences in f64, and at the kinks.

use crate::reference;
use deltarule::{Activation, Level};

/// σ′ at z as backward sees it, through what forward keeps.
fn derivative(level: Level, function: Activation, z: f32) -> f32 {
    let mut kept = [z];
    if !matches!(function, Activation::Gelu | Activation::Silu) {
        function.forward(level, &mut kept);
    }
    let mut d = [2.0];
    function.backward(level, &kept, &mut d).unwrap();
    d[0] / 2.0
}

#[test]
fn derivatives_match_central_differences() {
    let functions = Activation::ALL.into_iter().chain([
        Activation::LeakyRelu { slope: 0.0 },
        Activation::LeakyRelu { slope: 1.5 },
        Activation::Elu { alpha: 0.0 },
        Activation::Elu { alpha: 2.5 },
    ]);
    for function in functions {
        for level in Level::available() {
            let mut largest = 0f64;
            for i in -400..400 {
                // Past no kink: those are at whole numbers.
                let z = (i as f32 + 0.5) * 0.03;
                let h = 1e-5;
                let at = |z: f64| reference::activation(function, z);
                let want = (at(f64::from(z) + h) - at(f64::from(z) - h)) / (2.0 * h);
                let error = (f64::from(derivative(level, function, z)) - want).abs();
                largest = largest.max(error);
                assert!(error < 1e-6, "{function}'({z}) at {}: {error}", level.name());
            }
            println!("{function:15} {:9} {largest:.1e}", level.name());
        }
    }
}

#[test]
fn a_wrong_derivative_is_found() {
    // The derivative of the output instead of the input: what the test above must not accept.
    let z = 1.5f64;
    let want = (reference::activation(Activation::Tanh, z + 1e-5)
        - reference::activation(Activation::Tanh, z - 1e-5))
        / 2e-5;
    assert!((1.0 - z * z - want).abs() > 1e-6);
}

#[test]
fn derivatives_at_the_kinks() {
    for level in Level::available() {
        let at = |function, z| derivative(level, function, z);
        for zero in [0.0, -0.0] {
            assert_eq!(at(Activation::Relu, zero), 0.0);
            assert_eq!(at(Activation::LeakyRelu { slope: 0.25 }, zero), 0.25);
            assert_eq!(at(Activation::Elu { alpha: 0.5 }, zero), 0.5);
            assert_eq!(at(Activation::Step, zero), 0.0);
        }
        assert_eq!(at(Activation::HardTanh, 1.0), 0.0);
        assert_eq!(at(Activation::HardTanh, -1.0), 0.0);
        for far in [f32::INFINITY, f32::MAX] {
            assert_eq!(at(Activation::Gelu, far), 1.0);
            assert_eq!(at(Activation::Silu, far), 1.0);
            assert_eq!(at(Activation::Softplus, far), 1.0);
            assert_eq!(at(Activation::Sigmoid, far), 0.0);
            assert_eq!(at(Activation::Tanh, -far), 0.0);
            assert_eq!(at(Activation::Gelu, -far), 0.0);
            assert_eq!(at(Activation::Silu, -far), 0.0);
        }
        for function in [Activation::Gelu, Activation::Silu, Activation::Tanh, Activation::Sigmoid]
        {
            assert!(at(function, f32::NAN).is_nan(), "{function}");
        }
    }
}
