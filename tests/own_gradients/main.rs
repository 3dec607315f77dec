//! Loops with gradients of their own: a step in three calls, gradients of the inputs, predictions between steps.

mod input_gradients;
mod new_parameters;
mod parameters;
mod predictions;
mod refused;
mod steps;
#[path = "../support/mod.rs"]
mod support;

use deltarule::{Activation, Level, Matrix, Mlp};
use support::Data;
use support::kinds::{BODIES, Body, N_IN};

const ROWS: usize = 24;

fn build(body: Body, n_out: usize, output: Activation, level: Level) -> Mlp {
    let builder = body(Mlp::builder(N_IN).level(level).seed(5));
    builder.dense(n_out, output).build().unwrap()
}

fn matrix(data: &mut Data, rows: usize, cols: usize) -> Matrix {
    Matrix::from_vec(rows, cols, data.f32s(rows * cols)).unwrap()
}
