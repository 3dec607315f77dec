//! Where a loss has kinks. A difference taken across one is no slope, so the check asks whether both
//! of its points lie in the same smooth region.

use crate::reference::{Activation, Loss};

/// Appends the smooth region of σ in which each unit lies; nothing for functions without a kink.
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
            // Which unit is the largest, bit by bit: a number of units may not fit a byte.
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

/// Appends the smooth region of the loss, whose kink is where an output is its target.
pub(super) fn of_loss(loss: &Loss, output: &[f64], target: &[f64], regions: &mut Vec<u8>) {
    if matches!(loss, Loss::MeanAbsoluteError) {
        regions.extend(output.iter().zip(target).map(|(y, t)| u8::from(y > t)));
    }
}
