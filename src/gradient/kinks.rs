//! Where a loss has kinks. A difference taken across one says nothing about the slope on its
//! sides, so the checker asks whether both of its points lie on the same smooth piece.

use crate::reference::{Activation, Loss};

/// Appends which smooth piece of σ each unit is on; nothing for functions without a kink.
pub(super) fn of_layer(activation: Activation, z: &[f64], pieces: &mut Vec<u8>) {
    match activation {
        Activation::Relu
        | Activation::LeakyRelu { .. }
        | Activation::Elu { .. }
        | Activation::Selu => pieces.extend(z.iter().map(|&z| u8::from(z > 0.0))),
        Activation::HardTanh => {
            pieces.extend(z.iter().map(|&z| u8::from(z > -1.0) + u8::from(z >= 1.0)));
        }
        Activation::Maxout { units: k } => {
            // Which unit is the largest, bit by bit: a number of units may not fit a byte.
            for unit in z.chunks(k) {
                let largest = unit.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                pieces.extend(unit.iter().map(|&z| u8::from(z == largest)));
            }
        }
        _ => {}
    }
}

/// The same for the loss, whose kink is where an output is its target.
pub(super) fn of_loss(loss: &Loss, output: &[f64], target: &[f64], pieces: &mut Vec<u8>) {
    if matches!(loss, Loss::MeanAbsoluteError) {
        pieces.extend(output.iter().zip(target).map(|(y, t)| u8::from(y > t)));
    }
}
