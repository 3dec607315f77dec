//! The norms of the gradients of layers, against the gradients.

use crate::support::Data;
use crate::support::assert_close;
use crate::support::kinds::{BODIES, N_IN, optimizers};
use crate::{N_OUT, ROWS, bits, build, labels, matrix};
use deltarule::gradient::gradients;
use deltarule::{
    Activation, AdamW, BatchTargets, Level, Loss, Matrix, Mlp, Momentum, Precision, Sgd, Threads,
    Trainer,
};

/// Sets an option.
type Set = fn(Trainer<'static>) -> Trainer<'static>;

/// The norm of each layer's gradient, read off from a step of gradient descent.
fn of_gradients(net: &Mlp, x: &Matrix, labels: &[u32]) -> Vec<f64> {
    let gradients = gradients(net, x.view(), labels.into(), Loss::CrossEntropy).unwrap();
    gradients.layers.iter().map(|layer| layer.norm()).collect()
}

/// The last batch is smaller.
fn batches() -> Vec<(Matrix, Vec<u32>)> {
    let mut data = Data::new(7);
    [ROWS, ROWS, ROWS - 5]
        .map(|rows| (matrix(&mut data, rows, N_IN), labels(&mut data, rows)))
        .into()
}

#[test]
fn layers_of_every_kind_have_the_norm_of_their_gradient() {
    let (x, labels) = batches().remove(0);
    for level in Level::available() {
        for (name, body) in BODIES {
            let net = build(body, Activation::Softmax, level);
            let want = of_gradients(&net, &x, &labels);
            assert!(want.iter().any(|norm| *norm > 0.0), "{name}");
            for optimizer in optimizers() {
                for threads in [Threads::One, Threads::N(2)] {
                    let trainer = Trainer::new(optimizer).batch_size(ROWS).threads(threads);
                    let trainer = trainer.record_gradient_norms();
                    let mut training = trainer.session(net.clone()).unwrap();
                    assert!(training.gradient_norms().is_empty());
                    training.step(&x, &labels).unwrap();
                    let place = format!("{name} {} {optimizer:?}", level.name());
                    // Gradients of f32 and their rounding when read off from weights near 1.
                    assert_close(place, training.gradient_norms(), &want, 1e-6);
                }
            }
        }
    }
}

/// The gradient before clipping, penalties and decay, whatever else the update does with it.
#[test]
fn norms_are_those_before_anything_is_done_with_the_gradient() {
    let options: [(&str, Set); 7] = [
        ("clip_norm", |t| t.clip_norm(0.01)),
        ("clip_value", |t| t.clip_value(0.001)),
        ("l1", |t| t.l1(0.1)),
        ("l2", |t| t.l2(0.1)),
        ("weight decay", |t| t.weight_decay(0.1)),
        ("max norm", |t| t.max_norm(0.1)),
        ("factor", |t| t.learning_rate_factor(0, 0.1)),
    ];
    let (x, labels) = batches().remove(0);
    let net = build(BODIES[0].1, Activation::Softmax, Level::best());
    let want = of_gradients(&net, &x, &labels);
    for (name, option) in options {
        let trainer = option(Trainer::new(Momentum::new(0.1, 0.9)).batch_size(ROWS));
        let mut training = trainer.record_gradient_norms().session(net.clone()).unwrap();
        training.step(&x, &labels).unwrap();
        assert_close(name, training.gradient_norms(), &want, 1e-6);
    }
}

#[test]
fn frozen_layers_have_no_gradient() {
    let (x, labels) = batches().remove(0);
    let net = build(BODIES[0].1, Activation::Softmax, Level::best());
    let mut want = of_gradients(&net, &x, &labels);
    want[1] = 0.0;
    let trainer = Trainer::new(Sgd::new(0.1)).batch_size(ROWS).freeze(1).record_gradient_norms();
    let mut training = trainer.session(net).unwrap();
    training.step(&x, &labels).unwrap();
    assert_close("frozen", training.gradient_norms(), &want, 1e-6);
    assert_eq!(training.gradient_norms()[1], 0.0);
}

/// An update of several batches has the gradient of all their rows, in one step and in parts.
#[test]
fn batches_that_accumulate_have_the_norm_of_their_mean() {
    let mut data = Data::new(9);
    let (x, labels) = (matrix(&mut data, 2 * ROWS, N_IN), labels(&mut data, 2 * ROWS));
    let halves = [0, ROWS].map(|row| x.view().row_range(row, row + ROWS));
    let net = build(BODIES[0].1, Activation::Softmax, Level::best());
    let want = of_gradients(&net, &x, &labels);
    let trainer = Trainer::new(Sgd::new(0.1)).batch_size(ROWS).accumulate(2);
    let mut training = trainer.record_gradient_norms().session(net.clone()).unwrap();
    training.step(halves[0], &labels[..ROWS]).unwrap();
    assert!(training.gradient_norms().is_empty());
    training.step(halves[1], &labels[ROWS..]).unwrap();
    assert_close("accumulated", training.gradient_norms(), &want, 1e-6);

    let trainer = Trainer::new(Sgd::new(0.1)).batch_size(ROWS).record_gradient_norms();
    let mut training = trainer.session(net).unwrap();
    let mut dy = Matrix::zeros(ROWS, N_OUT);
    for (half, labels) in halves.into_iter().zip(labels.chunks(ROWS)) {
        training.forward(half).unwrap();
        training.loss_gradient(labels, &mut dy).unwrap();
        dy.as_mut_slice().iter_mut().for_each(|dy| *dy *= 0.5);
        training.backward(&dy).unwrap();
    }
    training.update().unwrap();
    assert_close("in parts", training.gradient_norms(), &want, 1e-6);
}

/// The parameters and the optimiser's state are those of a session that records nothing, and norms have
/// the same bits for any number of threads.
#[test]
fn recording_changes_no_bits() {
    let options: [Set; 6] = [
        |t| t,
        |t| t.clip_norm(0.05),
        |t| t.l1(0.01),
        |t| t.accumulate(2),
        |t| t.learning_rate_factor(1, 0.5),
        |t| t.precision(Precision::Bf16),
    ];
    let batches = batches();
    for (level, (name, body)) in
        Level::available().flat_map(|level| BODIES.map(|body| (level, body)))
    {
        let net = build(body, Activation::Softmax, level);
        for (optimizer, option) in optimizers().into_iter().flat_map(|o| options.map(|x| (o, x))) {
            let run = |threads, records: bool| {
                let trainer = option(Trainer::new(optimizer).batch_size(ROWS).threads(threads));
                let trainer = if records { trainer.record_gradient_norms() } else { trainer };
                let mut training = trainer.session(net.clone()).unwrap();
                for (x, labels) in &batches {
                    training.step(x, BatchTargets::from(labels)).unwrap();
                }
                training.flush().unwrap();
                let mut checkpoint = Vec::new();
                training.write_checkpoint(&mut checkpoint).unwrap();
                (checkpoint, bits(training.gradient_norms()))
            };
            let place = format!("{name} {} {optimizer:?}", level.name());
            let (want, none) = run(Threads::One, false);
            assert!(none.is_empty());
            let (got, norms) = run(Threads::One, true);
            assert!(got == want && norms.len() == net.layers().len(), "{place}");
            let (got, shared) = run(Threads::N(3), true);
            assert!(got == want && shared == norms, "{place}");
        }
    }
}

/// Wide enough that threads share out the columns of the first layer, with decay.
#[test]
fn wide_layers_have_their_norms() {
    let mut data = Data::new(1);
    let net = Mlp::builder(784).dense(128, Activation::Relu).dense(10, Activation::Softmax);
    let net = net.seed(2).build().unwrap();
    let x = matrix(&mut data, 64, 784);
    let labels: Vec<u32> = data.labels(64, 10).iter().map(|label| *label as u32).collect();
    let want = of_gradients(&net, &x, &labels);
    for threads in [Threads::One, Threads::N(2), Threads::N(3)] {
        let trainer = Trainer::new(AdamW::new(0.01)).batch_size(64).threads(threads);
        let mut training = trainer.record_gradient_norms().session(net.clone()).unwrap();
        training.step(&x, &labels).unwrap();
        assert_close("wide", training.gradient_norms(), &want, 1e-6);
    }
}
