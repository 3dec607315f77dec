//! Parameters that are replaced while training.

use crate::support::Data;
use crate::{BODIES, N_IN, ROWS, build, matrix};
use deltarule::{Activation, Adam, Level, Matrix, Mlp, Momentum, Sgd, Threads, Trainer, Training};

/// Replaces all parameters, layer by layer.
fn set_all(training: &mut Training, net: &Mlp) {
    for layer in 0..net.layers().len() {
        let (weights, biases) = (net.weights(layer).unwrap(), net.biases(layer).unwrap());
        training.set_parameters(layer, &weights, &biases).unwrap();
        if let Some(norm) = net.norm_parameters(layer).unwrap() {
            training.set_norm_parameters(layer, &norm).unwrap();
        }
    }
}

/// Sessions that come from different networks are the same ones once they have the same parameters: no
/// copy of the old weights is left, and predictions see the new ones.
#[test]
fn nothing_is_left_of_the_old_parameters() {
    for (name, body) in BODIES {
        for level in Level::available() {
            let new = build(body, 6, Activation::Identity, level);
            let trainer = Trainer::new(Sgd::new(0.01)).batch_size(ROWS).threads(Threads::One);
            let run = |seed: u64, copies: bool| {
                let mut data = Data::new(3);
                let old = body(Mlp::builder(N_IN)).dense(6, Activation::Identity).seed(seed);
                let mut training =
                    trainer.session_values(old.level(level).build().unwrap()).unwrap();
                let mut batch = || (matrix(&mut data, ROWS, N_IN), matrix(&mut data, ROWS, 6));
                let (x, y) = batch();
                let mut out = Matrix::zeros(ROWS, 6);
                training.predict_into(&x, &mut out).unwrap();
                training.step(&x, &y).unwrap();
                match copies {
                    true => training.copy_from(&new).unwrap(),
                    false => set_all(&mut training, &new),
                }
                training.predict_into(&x, &mut out).unwrap();
                assert_eq!(out.as_slice(), new.predict(&x).unwrap().as_slice(), "{name}");
                for _ in 0..3 {
                    let (x, y) = batch();
                    training.step(&x, &y).unwrap();
                }
                training.into_network().digest()
            };
            assert_eq!(run(11, false), run(12, false), "{name} at {level:?}");
            assert_eq!(run(13, true), run(14, true), "{name} at {level:?}");
        }
    }
}

/// y = wx + b with velocities, in f64.
#[test]
fn the_optimiser_keeps_its_state() {
    let (lr, momentum) = (0.1, 0.9);
    let net = Mlp::builder(1).dense(1, Activation::Identity).build().unwrap();
    let mut w = f64::from(net.weights(0).unwrap().row(0)[0]);
    let (mut b, mut velocity) = (0.0, [0.0; 2]);
    let trainer = Trainer::new(Momentum::new(lr as f32, momentum as f32));
    let mut training = trainer.session_values(net).unwrap();
    let (x, target) = (0.5, 2.0);
    let one = |value: f64| Matrix::from_vec(1, 1, vec![value as f32]).unwrap();
    let gradient = |training: &mut Training| {
        // L = y, so that the gradient does not depend on the parameters: x and 1.
        training.forward(&one(x)).unwrap();
        training.backward(&one(target)).unwrap();
    };
    for step in 0..6 {
        gradient(&mut training);
        if step == 3 {
            (w, b) = (0.25, -0.75);
            training.set_parameters(0, &one(w), &[b as f32]).unwrap();
        }
        training.update().unwrap();
        for (v, g) in velocity.iter_mut().zip([target * x, target]) {
            *v = momentum * *v + g;
        }
        (w, b) = (w - lr * velocity[0], b - lr * velocity[1]);
        let (weights, biases) = (training.network().weights(0), training.network().biases(0));
        let got = [weights.unwrap().row(0)[0], biases.unwrap()[0]];
        for (got, want) in got.into_iter().zip([w, b]) {
            // A few roundings per step of numbers below 8.
            assert!((f64::from(got) - want).abs() < 1e-5, "step {step}: {got}, not {want}");
        }
    }
}

#[test]
fn refused_parameters_change_nothing() {
    let net = build(BODIES[2].1, 6, Activation::Identity, Level::best());
    let trainer = Trainer::new(Adam::new(0.01)).batch_size(ROWS);
    let run = |with_errors: bool| {
        let mut training = trainer.session_values(net.clone()).unwrap();
        let mut data = Data::new(3);
        for _ in 0..3 {
            let (x, y) = (matrix(&mut data, ROWS, N_IN), matrix(&mut data, ROWS, 6));
            if with_errors {
                let small = Matrix::zeros(2, 2);
                let error = training.set_parameters(1, &small, &[0.0; 2]).unwrap_err().to_string();
                assert!(error.starts_with("layer 1: weights: expected 24 x 9"), "{error}");
                assert!(training.set_parameters(9, &small, &[]).is_err());
                let other = Mlp::builder(2).dense(1, Activation::Relu).build().unwrap();
                assert!(training.copy_from(&other).is_err());
                let mut norm = net.norm_parameters(0).unwrap().unwrap();
                norm.variance[0] = -1.0;
                assert!(training.set_norm_parameters(0, &norm).is_err());
                assert!(training.set_norm_parameters(2, &norm).is_err());
            }
            training.forward(&x).unwrap();
            if with_errors {
                let error = training.copy_from(&net).unwrap_err().to_string();
                assert_eq!(error, "copy_from: the last forward pass has had no backward pass");
                let (w, b) = (net.weights(0).unwrap(), net.biases(0).unwrap());
                assert!(training.set_parameters(0, &w, &b).is_err());
            }
            training.backward(&y).unwrap();
            training.update().unwrap();
        }
        training.into_network().digest()
    };
    assert_eq!(run(true), run(false));
}
