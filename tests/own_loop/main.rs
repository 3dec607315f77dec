//! Checkpoints of loops of one's own (`Training::save_checkpoint`).

mod damage;
mod files;
#[path = "../support/folder.rs"]
mod folder;
mod refused;
mod stops;

use deltarule::{Activation, BatchTargets, Matrix, Mlp, Optimizer, Trainer, Training};
use folder::Folder;

/// Of every loop.
const STEPS: u64 = 8;
/// The trainer's batch size; the batches have this many rows, or one or two less.
const ROWS: usize = 40;

/// Running statistics, masks that are functions of the step, and a first layer wide enough that the
/// steps are shared out among threads.
fn net_from(seed: u64) -> Mlp {
    Mlp::builder(130)
        .dropout(0.0625)
        .dense(40, Activation::Tanh)
        .batch_norm()
        .dropout(0.25)
        .dense(40, Activation::Relu)
        .layer_norm()
        .residual(1)
        .maxout(9, 2)
        .dense(3, Activation::Softmax)
        .seed(seed)
        .build()
        .unwrap()
}

/// Numbers between −2 and 2, others for each step.
fn values(step: u64, rows: usize, cols: usize) -> Matrix {
    let value = |i: usize| ((i * 37 + 101 * step as usize) % 401) as f32 / 100.0 - 2.0;
    Matrix::from_vec(rows, cols, (0..rows * cols).map(value).collect()).unwrap()
}

/// Steps until there are `steps`, by a loop that derives all from the step's number: batches of
/// changing sizes, weights of rows, learning rates. Answers the bits of the losses.
fn train(training: &mut Training, steps: u64, regression: bool) -> Vec<u32> {
    let mut losses = Vec::new();
    while training.steps() < steps {
        let step = training.steps();
        let rows = ROWS - (step % 3) as usize;
        let x = values(step, rows, training.network().n_in());
        let y = values(step + 1000, rows, 3);
        let labels: Vec<u32> = (0..rows as u32).map(|r| (r * r + step as u32) % 3).collect();
        let targets = match regression {
            true => BatchTargets::Values(y.view()),
            false => BatchTargets::Classes(&labels),
        };
        let loss = if step % 4 == 3 {
            let weights: Vec<f32> = (0..rows).map(|r| 0.25 + (r % 5) as f32).collect();
            training.step_weighted(x.view(), targets, &weights).unwrap()
        } else {
            training.step(x.view(), targets).unwrap()
        };
        if step == 2 {
            let lr = training.learning_rate();
            training.set_learning_rate(lr / 2.0).unwrap();
        }
        losses.push(loss.to_bits());
    }
    losses
}

fn checkpoint(training: &Training) -> Vec<u8> {
    let mut bytes = Vec::new();
    training.write_checkpoint(&mut bytes).unwrap();
    bytes
}

fn base(optimizer: impl Into<Optimizer>) -> Trainer<'static> {
    Trainer::new(optimizer).batch_size(ROWS).seed(3)
}
