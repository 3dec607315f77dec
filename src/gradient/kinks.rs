//! Smooth regions of activations and losses. A central difference is a derivative only if both of its
//! points are in the same region, with no kink between them.

use crate::reference::{Activation, Loss, hinge_margin};

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

/// Appends the numbers of the regions of the loss of rows of `n_out` outputs and of their targets.
pub(super) fn of_loss(
    loss: &Loss,
    [output, target]: [&[f64]; 2],
    n_out: usize,
    regions: &mut Vec<u8>,
) {
    match loss {
        // A kink where an output equals its target.
        Loss::MeanAbsoluteError => {
            regions.extend(output.iter().zip(target).map(|(y, t)| u8::from(y > t)));
        }
        Loss::Quantile { quantiles } => {
            let targets = target.iter().flat_map(|t| std::iter::repeat_n(t, quantiles.len()));
            regions.extend(output.iter().zip(targets).map(|(y, t)| u8::from(y > t)));
        }
        // The margin, and which rival is the largest, one byte per output.
        Loss::Hinge => {
            for (y, t) in output.chunks(n_out).zip(target.chunks(n_out)) {
                let (margin, rival) = hinge_margin(y, t);
                regions.push(u8::from(margin > 0.0));
                regions.extend((0..n_out).map(|col| u8::from(rival == Some(col))));
            }
        }
        Loss::CrossEntropy { .. }
        | Loss::BinaryCrossEntropy { .. }
        | Loss::MeanSquaredError
        | Loss::Quadratic
        | Loss::Huber { .. }
        | Loss::PoissonNll
        | Loss::GaussianNll => {}
    }
}
