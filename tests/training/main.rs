//! The fast path learns what the formulas say: outputs, loss, every gradient and every optimiser
//! against frozen PyTorch values, against the naive reference in f64, and against differences of
//! its own loss; at every level this CPU has.

mod bytes;
mod differences;
#[path = "../support/folder.rs"]
mod folder;
mod overflow;
mod pytorch;
mod reference;
mod refused;
#[path = "../support/mod.rs"]
mod support;
mod weights;

use deltarule::{
    Activation, BatchTargets, Loss, MatRef, Matrix, Mlp, Optimizer, Sgd, Threads, Trainer,
};

/// Against PyTorch and against `reference` in f64, for one forward and backward pass, as
/// max|error| / max|value| of a tensor. Measured: at most 4e-7 on the fixtures and 7e-7 on the
/// networks below, where sums of up to 784 terms round in f32 (2^-24 = 6e-8 an operation).
const TOLERANCE: f64 = 2e-6;

/// After 20 steps the roundings of each step have moved the next one. Measured: at most 2e-6,
/// with Adam, which divides small gradients by their own size.
const TOLERANCE_20_STEPS: f64 = 5e-6;

/// A learning rate that lets one step of gradient descent show the gradient: beside 2^20·g the
/// weight itself is lost in the rounding, so g = (w − w′)/2^20 is good to 2^-24 of the largest g.
const LARGE_RATE: f32 = (1 << 20) as f32;

/// A network and one batch, for the fast path.
#[derive(Clone)]
struct Fast {
    net: Mlp,
    loss: Loss,
    x: Matrix,
    labels: Vec<u32>,
    /// Empty when the labels are the targets.
    values: Vec<f32>,
}

/// All parameters: weights and biases of each layer in turn.
fn parameters(net: &Mlp) -> Vec<Vec<f32>> {
    let layers = 0..net.layers().len();
    layers.flat_map(|l| [net.weights(l).unwrap().into_vec(), net.biases(l).unwrap()]).collect()
}

impl Fast {
    fn train(&mut self, optimizer: impl Into<Optimizer>, steps: usize) -> f32 {
        let regression = !self.values.is_empty();
        let trainer = Trainer::new(optimizer)
            .batch_size(self.x.rows())
            .loss(self.loss.clone())
            .threads(Threads::One);
        let n_out = self.net.n_out();
        let mut training = match regression {
            true => trainer.session_values(&mut self.net).unwrap(),
            false => trainer.session(&mut self.net).unwrap(),
        };
        let targets = match regression {
            true => BatchTargets::Values(MatRef::new(&self.values, self.x.rows(), n_out).unwrap()),
            false => BatchTargets::Classes(&self.labels),
        };
        (0..steps).map(|_| training.step(self.x.view(), targets).unwrap()).last().unwrap()
    }

    /// The loss, and the gradients in the order of [`parameters`].
    fn gradients(&self) -> (f32, Vec<Vec<f64>>) {
        let mut copy = self.clone();
        let loss = copy.train(Sgd::new(LARGE_RATE), 1);
        let (before, after) = (parameters(&self.net), parameters(&copy.net));
        let tensor = |(w, moved): (Vec<f32>, Vec<f32>)| -> Vec<f64> {
            let gradient = |(&w, &m)| (f64::from(w) - f64::from(m)) / f64::from(LARGE_RATE);
            w.iter().zip(&moved).map(gradient).collect()
        };
        (loss, before.into_iter().zip(after).map(tensor).collect())
    }
}

#[test]
fn layers_that_cannot_learn_are_refused() {
    let net = |hidden, output| Mlp::builder(2).dense(2, hidden).dense(2, output).build().unwrap();
    let start = |mut net: Mlp, loss| Trainer::new(Sgd::new(0.1)).loss(loss).session(&mut net).err();
    use Activation::{Relu, Softmax, Step};
    assert!(start(net(Step, Softmax), Loss::CrossEntropy).is_some());
    assert!(start(net(Relu, Step), Loss::Quadratic).is_some());
    assert!(start(net(Relu, Relu), Loss::CrossEntropy).is_some());
    assert!(start(net(Relu, Softmax), Loss::MeanSquared).is_some());
    assert!(start(net(Relu, Softmax), Loss::CrossEntropy).is_none());
}
