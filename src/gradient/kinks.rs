//! Smooth regions of activations and losses. A central difference is a derivative only if both of its
//! points are in the same region, with no kink between them.

use crate::reference::{Activation, Loss};

/// Appends the number of the region of σ for each element of y; nothing for functions without kinks.
pub(super) fn of_layer(activation: Activation, y: &[f64], regions: &mut Vec<u8>) {
    match activation {
        Activation::Relu
        | Activation::LeakyRelu { .. }
        | Activation::Elu { .. }
        | Activation::Selu => regions.extend(y.iter().map(|&y| u8::from(y > 0.0))),
        Activation::HardTanh => {
            regions.extend(y.iter().map(|&y| u8::from(y > -1.0) + u8::from(y >= 1.0)));
        }
        Activation::Maxout { units } => {
            // One byte per unit, since the index of the largest may not fit into a byte.
            for unit in y.chunks(units) {
                let largest = unit.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                regions.extend(unit.iter().map(|&y| u8::from(y == largest)));
            }
        }
        Activation::Identity
        | Activation::Sigmoid
        | Activation::Tanh
        | Activation::Gelu
        | Activation::GeluTanh
        | Activation::Silu
        | Activation::Softplus
        | Activation::Softsign
        | Activation::Step
        | Activation::Softmax => {}
    }
}

/// Appends the number of the region of the loss, which has a kink where an output equals its target.
pub(super) fn of_loss(loss: &Loss, output: &[f64], target: &[f64], regions: &mut Vec<u8>) {
    if matches!(loss, Loss::MeanAbsoluteError) {
        regions.extend(output.iter().zip(target).map(|(y, t)| u8::from(y > t)));
    }
}
