//! Calls that are refused, and change nothing.

use crate::support::Data;
use crate::{BODIES, N_IN, ROWS, build, matrix};
use deltarule::{Activation, Adam, Error, Level, Matrix, Sgd, Threads, Trainer};

/// Asserts that an error names all of `words`.
fn refused<T>(result: Result<T, Error>, words: &[&str]) {
    let Err(error) = result else { panic!("expected an error with {words:?}") };
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text:?} lacks one of {words:?}");
}

/// A run with refused calls between all others ends with the same bits as one without.
#[test]
fn refused_calls_change_nothing() {
    for (name, body) in BODIES {
        let net = build(body, 6, Activation::Identity, Level::best());
        let trainer = Trainer::new(Adam::new(0.01)).batch_size(ROWS).seed(1);
        let run = |with_errors: bool| {
            let mut training = trainer.session_values(net.clone()).unwrap();
            let mut data = Data::new(3);
            for _ in 0..3 {
                let (x, y) = (matrix(&mut data, ROWS, N_IN), matrix(&mut data, ROWS, 6));
                let mut dy = Matrix::zeros(ROWS, 6);
                if with_errors {
                    refused(training.backward(&y), &["backward", "forward pass before"]);
                    refused(
                        training.loss_gradient(&y, &mut dy),
                        &["loss_gradient", "forward pass"],
                    );
                    refused(training.update(), &["update", "no backward pass"]);
                    refused(training.forward(&y), &["x", "of 20", "24 x 6"]);
                    let mut bad = x.clone();
                    bad.as_mut_slice()[3 * N_IN + 2] = f32::NAN;
                    refused(training.forward(&bad), &["x (3, 2)", "finite", "NaN"]);
                    refused(training.backward(&y), &["backward", "forward pass before"]);
                    refused(
                        training.forward(&matrix(&mut Data::new(1), ROWS + 1, N_IN)),
                        &["x", "at most 24"],
                    );
                }
                training.forward(&x).unwrap();
                if with_errors {
                    refused(training.forward(&x).map(|_| ()), &["forward", "no backward pass"]);
                    refused(training.step(&x, &y), &["step", "waits for"]);
                    refused(training.update(), &["update", "no backward pass"]);
                    refused(training.flush(), &["flush", "waits for"]);
                    refused(training.backward(&x), &["dy", "24 x 6", "24 x 20"]);
                    let mut bad = y.clone();
                    bad.as_mut_slice()[7] = f32::INFINITY;
                    refused(training.backward(&bad), &["dy (1, 1)", "finite", "inf"]);
                    refused(training.loss_gradient(&bad, &mut dy), &["targets (1, 1)", "finite"]);
                    refused(training.loss_gradient(&x, &mut dy), &["targets", "24 x 6"]);
                    refused(training.loss_gradient(&[1u32, 2], &mut dy), &["targets", "values"]);
                    let mut small = Matrix::zeros(3, N_IN);
                    refused(
                        training.backward_to_inputs(&y, &mut small),
                        &["dx", "24 x 20", "3 x 20"],
                    );
                    refused(training.write_checkpoint(Vec::new()), &["checkpoint", "waits for"]);
                }
                training.loss_gradient(&y, &mut dy).unwrap();
                training.backward(&dy).unwrap();
                if with_errors {
                    refused(training.backward(&dy), &["backward", "forward pass before"]);
                    refused(training.step(&x, &y), &["step", "waits for"]);
                    refused(training.write_checkpoint(Vec::new()), &["checkpoint", "waits for"]);
                }
                training.update().unwrap();
            }
            training.into_network().digest()
        };
        assert_eq!(run(true), run(false), "{name}");
    }
}

#[test]
fn outputs_that_overflow_are_refused() {
    let net = build(|b| b.dense(9, Activation::Relu), 6, Activation::Identity, Level::best());
    let mut training = Trainer::new(Sgd::new(0.1)).session_values(net).unwrap();
    let x = Matrix::from_vec(1, N_IN, vec![3e38; N_IN]).unwrap();
    let forward = training.forward(&x).map(|_| ());
    assert!(matches!(forward, Err(Error::NonFinite { layer: 0, .. })), "{forward:?}");
    training.forward(&Matrix::zeros(1, N_IN)).unwrap();
}

/// An update that would overflow changes nothing, and its gradients can be dropped.
#[test]
fn an_overflowing_update_is_refused_and_can_be_dropped() {
    let net = build(BODIES[0].1, 6, Activation::Identity, Level::best());
    let mut training =
        Trainer::new(Sgd::new(1e30)).batch_size(ROWS).session_values(net.clone()).unwrap();
    let mut data = Data::new(3);
    let (x, mut dy) = (matrix(&mut data, ROWS, N_IN), matrix(&mut data, ROWS, 6));
    dy.as_mut_slice().iter_mut().for_each(|d| *d *= 1e20);
    for backward_passes in [1, 2] {
        for _ in 0..backward_passes {
            training.forward(&x).unwrap();
            training.backward(&dy).unwrap();
        }
        assert!(matches!(training.update(), Err(Error::NonFinite { .. })));
        assert_eq!(training.network().digest(), net.digest());
        // They still wait.
        assert!(matches!(training.update(), Err(Error::NonFinite { .. })));
        training.clear_gradients();
        refused(training.update(), &["no backward pass"]);
    }
    training.set_learning_rate(0.01).unwrap();
    dy.as_mut_slice().iter_mut().for_each(|d| *d *= 1e-20);
    training.forward(&x).unwrap();
    training.backward(&dy).unwrap();
    training.update().unwrap();
    let mut fresh = Trainer::new(Sgd::new(0.01)).batch_size(ROWS).session_values(net).unwrap();
    fresh.forward(&x).unwrap();
    fresh.backward(&dy).unwrap();
    fresh.update().unwrap();
    assert_eq!(training.network().digest(), fresh.network().digest());
}

#[test]
fn deltas_that_overflow_use_up_the_forward_pass_and_change_nothing_else() {
    let net = build(BODIES[0].1, 6, Activation::Identity, Level::best());
    let mut training =
        Trainer::new(Sgd::new(0.01)).batch_size(ROWS).session_values(net.clone()).unwrap();
    let mut data = Data::new(3);
    let x = matrix(&mut data, ROWS, N_IN);
    let dy = Matrix::from_vec(ROWS, 6, vec![3e38; ROWS * 6]).unwrap();
    training.forward(&x).unwrap();
    assert!(matches!(training.backward(&dy), Err(Error::NonFinite { .. })));
    refused(training.update(), &["no backward pass"]);
    assert_eq!(training.network().digest(), net.digest());
    training.forward(&x).unwrap();
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let net = build(BODIES[0].1, 6, Activation::Softmax, Level::best());
    let x = matrix(&mut Data::new(3), ROWS, N_IN);
    let mut training = Trainer::new(Sgd::new(0.01)).accumulate(2).session(net.clone()).unwrap();
    refused(training.forward(&x).map(|_| ()), &["accumulation", "expected 1"]);
    let weights = [1.0, 2.0, 1.0, 1.0, 1.0, 1.0];
    let mut training =
        Trainer::new(Sgd::new(0.01)).class_weights(weights).session(net.clone()).unwrap();
    training.forward(&x).unwrap();
    let labels = vec![0; ROWS];
    let mut dy = Matrix::zeros(ROWS, 6);
    refused(training.loss_gradient(&labels, &mut dy), &["class weights"]);

    let mut predictor = deltarule::Predictor::new(&net, ROWS, Threads::One).unwrap();
    let (y, mut dx) = (Matrix::zeros(ROWS, 6), Matrix::zeros(ROWS, N_IN));
    refused(predictor.input_gradient(&x, &x, &mut dx), &["dy", "24 x 6", "24 x 20"]);
    refused(predictor.input_gradient(&y, &y, &mut dx), &["inputs", "of 20", "of 6"]);
    refused(predictor.input_gradient(&x, &y, &mut Matrix::zeros(2, 2)), &["dx", "24 x 20"]);
    let mut bad = x.clone();
    bad.as_mut_slice()[N_IN] = f32::NAN;
    refused(predictor.input_gradient(&bad, &y, &mut dx), &["x (1, 0)", "finite"]);
    refused(predictor.jacobian(&[0.0; 3], &mut dx), &["20", "3"]);
    refused(predictor.jacobian(&[0.0; N_IN], &mut dx), &["jacobian", "6 x 20", "24 x 20"]);
    let step = deltarule::Mlp::builder(2).dense(2, Activation::Step).dense(1, Activation::Identity);
    let step = step.build().unwrap();
    let mut predictor = step.predictor(1).unwrap();
    refused(predictor.jacobian(&[0.0; 2], &mut Matrix::zeros(1, 2)), &["layer 0", "no derivative"]);
}
