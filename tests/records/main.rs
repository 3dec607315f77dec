//! What is recorded of steps: the losses of rows and the norms of gradients.

#[path = "../support/folder.rs"]
mod folder;
mod losses;
mod norms;
mod runs;
#[path = "../support/mod.rs"]
mod support;

use deltarule::{Activation, Level, Matrix, Mlp};
use support::Data;
use support::kinds::{Body, N_IN};

const ROWS: usize = 24;
const N_OUT: usize = 6;

fn build(body: Body, output: Activation, level: Level) -> Mlp {
    body(Mlp::builder(N_IN).level(level).seed(5)).dense(N_OUT, output).build().unwrap()
}

fn matrix(data: &mut Data, rows: usize, cols: usize) -> Matrix {
    Matrix::from_vec(rows, cols, data.f32s(rows * cols)).unwrap()
}

fn labels(data: &mut Data, rows: usize) -> Vec<u32> {
    data.labels(rows, N_OUT).iter().map(|label| *label as u32).collect()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|x| x.to_bits()).collect()
}
