//! Values so large that squares, sums or updates leave f32: right where the answer fits, refused
//! with nothing changed where it does not.

use crate::support::Data;
use deltarule::gradient::gradients;
use deltarule::{
    Activation, Adagrad, Adam, AdamW, BatchTargets, Error, Level, Lion, Loss, MatRef, Mlp,
    Momentum, Optimizer, Precision, RmsProp, Sgd, Threads, Trainer,
};

/// 1 → 1, identity, at w and b.
fn line(w: f32, b: f32) -> Mlp {
    let mut net = Mlp::builder(1).dense(1, Activation::Identity).build().unwrap();
    net.set_parameters(0, MatRef::new(&[w], 1, 1).unwrap(), &[b]).unwrap();
    net
}

fn parameters(net: &Mlp) -> (f32, f32) {
    (net.weights(0).unwrap().as_slice()[0], net.biases(0).unwrap()[0])
}

/// One step on one row.
fn step(net: &mut Mlp, trainer: &Trainer, x: f32, y: f32) -> Result<f32, Error> {
    let (x, y) = ([x], [y]);
    let (x, y) = (MatRef::new(&x, 1, 1).unwrap(), MatRef::new(&y, 1, 1).unwrap());
    trainer.session_values(net).unwrap().step(x, BatchTargets::Values(y))
}

fn optimizers() -> [Optimizer; 8] {
    [
        Sgd::new(0.01).into(),
        Momentum::new(0.01, 0.9).into(),
        Momentum::new(0.01, 0.9).nesterov().into(),
        Adam::new(0.01).into(),
        AdamW::new(0.01).weight_decay(0.0).into(),
        RmsProp::new(0.01).into(),
        Adagrad::new(0.01).into(),
        Lion::new(0.01).into(),
    ]
}

type Option = fn(Trainer<'static>) -> Trainer<'static>;

const OPTIONS: [Option; 7] = [
    |t| t,
    |t| t.l2(0.1),
    |t| t.clip_value(1.0),
    |t| t.clip_norm(1.0),
    |t| t.max_norm(1.0),
    |t| t.accumulate(1),
    |t| t.accumulate(2),
];

/// The gradient is −2·10⁴⁰: no optimiser and no option makes a step of it.
#[test]
fn a_gradient_that_overflows_is_refused_with_the_last_good_weights() {
    for optimizer in optimizers() {
        for option in OPTIONS {
            let trainer = option(Trainer::new(optimizer)).batch_size(1);
            let mut net = line(0.0, 0.0);
            let before = net.digest();
            let mut training = trainer.session_values(&mut net).unwrap();
            let one = |x: &[f32; 1], y: &[f32; 1], training: &mut deltarule::Training| {
                let (x, y) = (MatRef::new(x, 1, 1).unwrap(), MatRef::new(y, 1, 1).unwrap());
                training.step(x, BatchTargets::Values(y))
            };
            let refused = one(&[1e25], &[1e15], &mut training);
            assert!(matches!(refused, Err(Error::NonFinite { step: 1, .. })), "{optimizer:?}");
            assert_eq!((training.steps(), training.network().digest()), (0, before));
            // And no trace of it is left.
            for _ in 0..2 {
                one(&[0.5], &[1.0], &mut training).unwrap();
            }
            training.flush().unwrap();
            drop(training);
            let mut want = line(0.0, 0.0);
            let mut training = trainer.session_values(&mut want).unwrap();
            for _ in 0..2 {
                one(&[0.5], &[1.0], &mut training).unwrap();
            }
            training.flush().unwrap();
            drop(training);
            assert_eq!(net.digest(), want.digest(), "{optimizer:?}");
        }
    }
}

/// A gradient that f32 holds, with an update, a state or a sum that it does not.
#[test]
fn an_update_that_overflows_is_refused() {
    let refuse = |trainer: Trainer<'static>, (x, y): (f32, f32), w: f32| {
        let mut net = line(w, 0.0);
        let before = net.digest();
        let result = step(&mut net, &trainer, x, y);
        assert!(matches!(result, Err(Error::NonFinite { layer: 0, .. })), "{result:?}");
        assert_eq!(net.digest(), before);
    };
    // g = −2·10³⁴ and a rate of 10⁵.
    refuse(Trainer::new(Sgd::new(1e5)), (1e17, 1e17), 0.0);
    refuse(Trainer::new(Momentum::new(1e5, 0.9)), (1e17, 1e17), 0.0);
    // v = g² / 1000 = 4·10⁶⁵: weights would stay finite, and never move again.
    refuse(Trainer::new(Adam::new(0.1)), (1e17, 1e17), 0.0);
    refuse(Trainer::new(RmsProp::new(0.1)), (1e17, 1e17), 0.0);
    refuse(Trainer::new(Adagrad::new(0.1)), (1e17, 1e17), 0.0);
    // λ·w = 10⁴⁰
    refuse(Trainer::new(Sgd::new(1e-3)).l2(1e10), (0.0, 0.0), 1e30);
    // Near the end of the range without leaving it, the bounds cannot tell; the trial can.
    let mut net = line(3e38, 0.0);
    step(&mut net, &Trainer::new(Sgd::new(0.5)), 0.0, 1.0).unwrap();
    assert_eq!(parameters(&net), (3e38, 1.0));
    let mut net = line(0.0, 0.0);
    // g = −2·10³⁸, and one row of it.
    step(&mut net, &Trainer::new(Sgd::new(1.0)), 1e20, 1e18).unwrap();
    assert_eq!(parameters(&net), (2e38, 2e18));
    // A slope of 1 at a rate of 10³⁷ goes on to −3.1·10³⁸; at 10³⁸ it is one step too far.
    for (rate, fits) in [(1e37, true), (1e38, false)] {
        let mut net = line(-3e38, 0.0);
        let trainer = Trainer::new(Sgd::new(rate)).loss(Loss::MeanAbsolute);
        assert_eq!(step(&mut net, &trainer, 1.0, -3.2e38).is_ok(), fits, "{rate:e}");
        let want = if fits { (-3.1e38, -1e37) } else { (-3e38, 0.0) };
        assert_eq!(parameters(&net), want);
    }
}

/// What the trial of an update says is what the update does, for weights and gradients of all sizes
/// near the end of the range: after `Ok` everything is finite, and `Err` changes nothing.
#[test]
fn no_value_that_is_not_finite_is_ever_written() {
    let mut data = Data::new(77);
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..1500 {
        let levels: Vec<_> = Level::available().collect();
        let (n_in, n_out) = (1 + data.below(70), 1 + data.below(70));
        let mut net = Mlp::builder(n_in).dense(n_out, Activation::Identity);
        if data.below(3) == 0 {
            net = net.dense(n_out, Activation::Identity).layer_norm().dense(2, Activation::Tanh);
        }
        let mut net = net.level(levels[data.below(levels.len())]).build().unwrap();
        let optimizer = optimizers()[data.below(8)];
        let trainer = OPTIONS[data.below(7)](Trainer::new(optimizer)).loss(Loss::MeanAbsolute);
        let precision = [Precision::F32, Precision::F32x6][data.below(2)];
        let rows = 1 + data.below(40);
        let trainer = trainer
            .batch_size(rows)
            .precision(precision)
            .threads([Threads::One, Threads::N(2)][round % 2]);
        let n_last = net.n_out();
        let mut training = trainer.session_values(&mut net).unwrap();
        for _ in 0..4 {
            let size = 10f64.powf(data.uniform(30.0, 38.5));
            let x: Vec<_> =
                (0..rows * n_in).map(|_| (data.uniform(-1.0, 1.0) * size) as f32).collect();
            let y = vec![1.0; rows * n_last];
            let before = training.network().digest();
            let (x, y) =
                (MatRef::new(&x, rows, n_in).unwrap(), MatRef::new(&y, rows, n_last).unwrap());
            match training.step(x, BatchTargets::Values(y)) {
                Ok(_) => accepted += 1,
                Err(Error::NonFinite { .. }) => {
                    refused += 1;
                    assert_eq!(training.network().digest(), before, "round {round}");
                }
                Err(other) => panic!("{other}"),
            }
            let net = training.network();
            for layer in 0..net.layers().len() {
                let weights = net.weights(layer).unwrap();
                assert!(weights.as_slice().iter().all(|w| w.is_finite()), "round {round}");
                assert!(net.biases(layer).unwrap().iter().all(|b| b.is_finite()), "round {round}");
            }
        }
        // Its state is finite too: the next step, on usual values, is possible.
        let x = vec![0.5; rows * n_in];
        let y = vec![1.0; rows * n_last];
        let (x, y) = (MatRef::new(&x, rows, n_in).unwrap(), MatRef::new(&y, rows, n_last).unwrap());
        let usual = training.step(x, BatchTargets::Values(y));
        assert!(matches!(usual, Ok(_) | Err(Error::NonFinite { .. })), "{usual:?}");
    }
    assert!(accepted > 500 && refused > 500, "{accepted} and {refused}");
}

/// PyTorch's `clip_grad_norm_` in f64: g · 1/(‖g‖ + 1e-6), with g = (−2·10²⁰, −2·10¹⁰).
#[test]
fn a_large_gradient_is_clipped_and_not_lost() {
    let mut net = line(0.0, 0.0);
    step(&mut net, &Trainer::new(Sgd::new(1.0)).clip_norm(1.0), 1e10, 1e10).unwrap();
    let (w, b) = parameters(&net);
    assert!((w - 1.0).abs() < 1e-6 && (b - 1e-10).abs() < 1e-16, "{w}, {b}");
    // And a small one: ‖g‖ = 2·10⁻³⁰, a limit of 10⁻³¹ beside PyTorch's 10⁻⁶ under the line.
    let mut net = line(0.0, 0.0);
    step(&mut net, &Trainer::new(Sgd::new(1.0)).clip_norm(1e-31), 0.0, 1e-30).unwrap();
    let want = 2e-30 * 1e-31 / (2e-30 + 1e-6);
    assert!((f64::from(parameters(&net).1) - want).abs() <= 1e-45, "{}", parameters(&net).1);
}

#[test]
fn a_large_weight_is_limited_and_not_lost() {
    let mut net = Mlp::builder(2).dense(1, Activation::Identity).build().unwrap();
    net.set_parameters(0, MatRef::new(&[3e20, -4e20], 2, 1).unwrap(), &[0.0]).unwrap();
    let trainer = Trainer::new(Sgd::new(0.1)).max_norm(2.0).batch_size(1);
    let mut training = trainer.session_values(&mut net).unwrap();
    let (x, y) = (MatRef::new(&[0.0, 0.0], 1, 2).unwrap(), MatRef::new(&[0.0], 1, 1).unwrap());
    training.step(x, BatchTargets::Values(y)).unwrap();
    drop(training);
    let got = net.weights(0).unwrap();
    for (got, want) in got.as_slice().iter().zip([1.2f32, -1.6]) {
        assert!((got - want).abs() < 1e-6, "{got}, not {want}");
    }
}

/// Rows of 10²⁵ have a variance beyond f32 and a layer norm all the same: ẑ of (1, −1) is (1, −1).
#[test]
fn a_layer_norm_of_large_values() {
    for level in Level::available() {
        let net = Mlp::builder(2).dense(2, Activation::Identity).layer_norm();
        let net = net.dense(2, Activation::Identity).level(level);
        let mut net = net.build().unwrap();
        let identity = [1.0, 0.0, 0.0, 1.0];
        for layer in 0..2 {
            let w = MatRef::new(&identity, 2, 2).unwrap();
            net.set_parameters(layer, w, &[0.0, 0.0]).unwrap();
        }
        let x = [1e25, -1e25, 3e-3, -3e-3];
        let out = net.predict(MatRef::new(&x, 2, 2).unwrap()).unwrap();
        let small = 3e-3 / (9e-6f64 + 1e-5).sqrt();
        for (got, want) in out.as_slice().iter().zip([1.0, -1.0, small, -small]) {
            assert!((f64::from(*got) - want).abs() < 1e-6, "{got}, not {want}");
        }
        let x = MatRef::new(&x, 2, 2).unwrap();
        let y = MatRef::new(&[0.0; 4], 2, 2).unwrap();
        let found = gradients(&net, x, BatchTargets::Values(y), Loss::MeanSquared).unwrap();
        let last = &found.layers[1].weights.as_slice()[0];
        // ∂L/∂w = Σ ẑ² / (rows · outputs) · 2
        let want = (1.0 + small * small) / 2.0;
        assert!((f64::from(*last) - want).abs() < 1e-5, "{last}, not {want}");
    }
}

/// Running statistics that f32 cannot hold are never written.
#[test]
fn a_batch_norm_of_too_large_values_is_refused() {
    let net = Mlp::builder(1).dense(1, Activation::Identity).batch_norm();
    let mut net = net.dense(1, Activation::Identity).seed(1).build().unwrap();
    let before = net.digest();
    let mut training = Trainer::new(Sgd::new(0.1)).session_values(&mut net).unwrap();
    let (x, y) =
        (MatRef::new(&[1e25, -1e25], 2, 1).unwrap(), MatRef::new(&[0.0, 1.0], 2, 1).unwrap());
    let refused = training.step(x, BatchTargets::Values(y));
    assert!(matches!(refused, Err(Error::NonFinite { layer: 0, .. })), "{refused:?}");
    drop(training);
    assert_eq!(net.digest(), before);
}
