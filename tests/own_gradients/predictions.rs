//! Predictions of a session, between its steps.

use crate::support::Data;
use crate::{BODIES, N_IN, ROWS, build, matrix};
use deltarule::{Activation, Adam, Error, Level, Matrix, Threads, Trainer, Training};

/// Rows of calls: one, a batch, more than a batch, more than a block of predictions.
const CALLS: [usize; 4] = [1, ROWS, ROWS + 7, 250];

/// Predicts, and compares with predictions of the network itself.
fn check(training: &mut Training, data: &mut Data, place: &str) -> Vec<u32> {
    let n_out = training.network().n_out();
    let mut bits = Vec::new();
    for rows in CALLS {
        let x = matrix(data, rows, N_IN);
        // What was in it before does not count.
        let mut out = Matrix::from_vec(rows, n_out, vec![f32::NAN; rows * n_out]).unwrap();
        training.predict_into(&x, &mut out).unwrap();
        assert!(out == training.network().predict(&x).unwrap(), "{place}, {rows} rows");
        bits.extend(out.as_slice().iter().map(|y| y.to_bits()));
    }
    bits
}

#[test]
fn they_are_those_of_the_network_after_each_step_and_change_nothing() {
    for level in Level::available() {
        for (name, body) in BODIES {
            for threads in [Threads::One, Threads::N(2)] {
                let place = format!("{name} {threads:?} {}", level.name());
                let net = build(body, 3, Activation::Softmax, level);
                let trainer = Trainer::new(Adam::new(0.01)).batch_size(ROWS).threads(threads);
                let mut training = trainer.session(net.clone()).unwrap();
                let mut silent = trainer.session(net).unwrap();
                let mut data = Data::new(3);
                let mut before = check(&mut training, &mut Data::new(4), &place);
                for _ in 0..3 {
                    let x = matrix(&mut data, ROWS, N_IN);
                    let labels: Vec<u32> = (0..ROWS as u32).map(|i| i * i % 3).collect();
                    let loss = training.step(&x, &labels).unwrap();
                    assert_eq!(loss, silent.step(&x, &labels).unwrap(), "{place}");
                    // The same inputs, another network.
                    let now = check(&mut training, &mut Data::new(4), &place);
                    assert_ne!(now, before, "{place}");
                    before = now;

                    let mut dy = Matrix::zeros(ROWS, 3);
                    training.forward(&x).unwrap();
                    check(&mut training, &mut data, &place);
                    training.loss_gradient(&labels, &mut dy).unwrap();
                    training.backward(&dy).unwrap();
                    check(&mut training, &mut data, &place);
                    training.update().unwrap();
                    silent.step(&x, &labels).unwrap();
                }
                let digests = [&training, &silent].map(|t| t.network().digest());
                assert_eq!(digests[0], digests[1], "{place}");
            }
        }
    }
}

#[test]
fn they_are_those_of_a_checkpoint_that_was_loaded() {
    let (_, body) = BODIES[2];
    let net = build(body, 3, Activation::Sigmoid, Level::best());
    let trainer = Trainer::new(Adam::new(0.01)).batch_size(ROWS);
    let mut training = trainer.session_values(net).unwrap();
    let mut saved = Vec::new();
    training.write_checkpoint(&mut saved).unwrap();
    let first = check(&mut training, &mut Data::new(4), "before");
    let mut data = Data::new(5);
    let (x, y) = (matrix(&mut data, ROWS, N_IN), Matrix::zeros(ROWS, 3));
    training.step(&x, &y).unwrap();
    assert_ne!(check(&mut training, &mut Data::new(4), "after a step"), first);
    training.read_checkpoint(&saved[..]).unwrap();
    assert_eq!(check(&mut training, &mut Data::new(4), "loaded"), first);
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let (_, body) = BODIES[0];
    let net = build(body, 3, Activation::Identity, Level::best());
    let mut training = Trainer::new(Adam::new(0.01)).session_values(net).unwrap();
    let shapes =
        [((0, N_IN), (0, 3)), ((2, N_IN - 1), (2, 3)), ((2, N_IN), (3, 3)), ((2, N_IN), (2, 2))];
    for ((rows, cols), (out_rows, out_cols)) in shapes {
        let (x, mut out) = (Matrix::zeros(rows, cols), Matrix::zeros(out_rows, out_cols));
        let refused = training.predict_into(&x, &mut out);
        assert!(matches!(refused, Err(Error::Shape { .. })), "{rows} x {cols}: {refused:?}");
    }
    check(&mut training, &mut Data::new(1), "after errors");
}
