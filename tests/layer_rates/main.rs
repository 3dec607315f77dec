//! Layers that are frozen, and factors of the learning rate per layer.

mod factors;
mod frozen;
mod refused;
#[path = "../support/mod.rs"]
mod support;

use deltarule::{Activation, Level, Matrix, Mlp, Training};
use support::Data;
use support::kinds::{Body, N_IN};

const ROWS: usize = 24;
const N_OUT: usize = 5;

fn build(body: Body, level: Level) -> Mlp {
    let builder = body(Mlp::builder(N_IN).level(level).seed(5));
    builder.dense(N_OUT, Activation::Softmax).build().unwrap()
}

/// Inputs and labels. The last batch of three is smaller.
fn batches(n_in: usize, n_out: usize) -> Vec<(Matrix, Vec<u32>)> {
    let mut data = Data::new(7);
    let batch = |rows| {
        let x = Matrix::from_vec(rows, n_in, data.f32s(rows * n_in)).unwrap();
        (x, data.labels(rows, n_out).iter().map(|label| *label as u32).collect())
    };
    [ROWS, ROWS, ROWS - 5].map(batch).into()
}

/// Copies the parameters of a layer; the running statistics stay those of `training`.
fn copy_layer(training: &mut Training, layer: usize, from: &Mlp) {
    let (weights, biases) = (from.weights(layer).unwrap(), from.biases(layer).unwrap());
    let own = training.network().norm_parameters(layer).unwrap();
    training.set_parameters(layer, &weights, &biases).unwrap();
    if let (Some(mut own), Some(norm)) = (own, from.norm_parameters(layer).unwrap()) {
        (own.gamma, own.beta) = (norm.gamma, norm.beta);
        training.set_norm_parameters(layer, &own).unwrap();
    }
}
