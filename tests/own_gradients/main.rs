//! Loops with gradients of their own: a step in three calls, gradients of the inputs, predictions between steps.

mod input_gradients;
mod new_parameters;
mod parameters;
mod predictions;
mod refused;
mod steps;
#[path = "../support/mod.rs"]
mod support;

use deltarule::{Activation, Level, Matrix, Mlp, MlpBuilder};
use support::Data;

const N_IN: usize = 20;
const ROWS: usize = 24;

/// A network below its output layer.
type Body = fn(MlpBuilder) -> MlpBuilder;

/// Every kind of layer: what lies below the output layer.
const BODIES: [(&str, Body); 7] = [
    ("dense", |b| b.dense(24, Activation::Tanh).dense(17, Activation::Gelu)),
    ("dropout", |b| b.dropout(0.125).dense(24, Activation::Sigmoid).dropout(0.5)),
    ("batch norm", |b| {
        b.dense(24, Activation::Silu).batch_norm().dense(9, Activation::Relu).batch_norm()
    }),
    ("layer norm", |b| b.dense(24, Activation::Tanh).layer_norm().dropout(0.25)),
    ("maxout", |b| b.maxout(20, 3).dense(20, Activation::Softplus).residual(1)),
    ("affine", |b| {
        b.affine()
            .dense(20, Activation::Tanh)
            .affine()
            .dense(20, Activation::Elu { alpha: 0.5 })
            .residual(3)
    }),
    ("residual from the inputs", |b| {
        b.dense(20, Activation::Tanh).residual(1).dense(20, Activation::Softsign).residual(2)
    }),
];

fn build(body: Body, n_out: usize, output: Activation, level: Level) -> Mlp {
    let builder = body(Mlp::builder(N_IN).level(level).seed(5));
    builder.dense(n_out, output).build().unwrap()
}

fn matrix(data: &mut Data, rows: usize, cols: usize) -> Matrix {
    Matrix::from_vec(rows, cols, data.f32s(rows * cols)).unwrap()
}
