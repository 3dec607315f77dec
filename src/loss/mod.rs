//! Losses, fused with the output layer: from a block of output rows, they compute the loss of each row
//! and the deltas ∂L/∂z of the output layer.

mod binary;
mod cross_entropy;
mod errors;
mod output;

pub(crate) use output::{BlockTargets, Output, Weighting};

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::simd::Level;
use std::fmt;

/// The loss that training minimises: the mean over the batch of a loss per sample.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// −ln p of the true class, with p the softmax of the logits z; for class labels and a softmax output
    /// layer. It is computed from z, so it is finite for all finite z. ∂L/∂z = p − y.
    CrossEntropy,
    /// The mean over the outputs of (ŷ − y)².
    MeanSquared,
    /// ½‖ŷ − y‖², the quadratic cost of Nielsen's book. Class labels count as one-hot targets.
    Quadratic,
    /// The mean over the n outputs of −y ln p − (1 − y) ln(1 − p), with p the sigmoid of the logits z; for
    /// a sigmoid output layer. Targets are values in 0..=1, any number of which can be 1 (multi-label);
    /// class labels count as one-hot, or with a single output as the class itself, 0 or 1. It is
    /// computed from z, so it is finite for all finite z. ∂L/∂z = (p − y)/n.
    BinaryCrossEntropy,
    /// The mean over the outputs of |ŷ − y|.
    MeanAbsolute,
    /// The mean over the outputs of ½e² for |e| ≤ δ, else δ(|e| − ½δ), with e = ŷ − y (Huber 1964).
    Huber {
        /// δ, where the parabola becomes a line; above 0.
        delta: f32,
    },
}

impl Loss {
    /// The loss that suits an output layer: cross-entropy for softmax, else mean squared error.
    pub fn for_output(activation: Activation) -> Loss {
        if activation == Activation::Softmax { Loss::CrossEntropy } else { Loss::MeanSquared }
    }

    /// Checks that the loss fits an output layer.
    ///
    /// # Errors
    /// [`Error::Config`] for cross-entropy without softmax, binary cross-entropy without sigmoid, softmax
    /// with another loss, an output activation with a derivative of zero, or a δ that is not positive.
    pub fn check_output(self, activation: Activation) -> Result<()> {
        let refuse = |reason: String| Err(Error::config("loss", reason));
        match (self, activation) {
            (Loss::CrossEntropy, Activation::Softmax)
            | (Loss::BinaryCrossEntropy, Activation::Sigmoid) => Ok(()),
            (Loss::CrossEntropy, _) => {
                refuse(format!("cross-entropy needs a softmax output layer, got {activation}"))
            }
            (Loss::BinaryCrossEntropy, _) => refuse(format!(
                "binary cross-entropy needs a sigmoid output layer, got {activation}"
            )),
            (Loss::Huber { delta }, _) if !(delta > 0.0 && delta.is_finite()) => {
                refuse(format!("Huber's δ must be above 0, got {delta}"))
            }
            (_, Activation::Softmax) => {
                refuse(format!("a softmax output layer needs cross-entropy, got {self}"))
            }
            (_, Activation::Step) => {
                refuse("a step output layer has a derivative of zero everywhere".into())
            }
            (Loss::MeanSquared | Loss::Quadratic | Loss::MeanAbsolute | Loss::Huber { .. }, _) => {
                Ok(())
            }
        }
    }

    /// Whether the loss contains the output activation and so takes logits.
    pub(crate) fn is_on_logits(self) -> bool {
        matches!(self, Loss::CrossEntropy | Loss::BinaryCrossEntropy)
    }

    pub(crate) fn backward(self, level: Level, o: Output) {
        let (rows, n) = (o.a.rows, o.a.cols);
        assert!(o.d.rows == rows && o.d.cols == n && o.losses.len() == rows);
        match o.targets {
            BlockTargets::Classes(labels) => assert_eq!(labels.len(), rows),
            BlockTargets::Values(y) => assert!(y.rows == rows && y.cols == n),
        }
        use errors::Error;
        let mean = 1.0 / n as f64;
        match self {
            Loss::CrossEntropy => cross_entropy::backward(level, o),
            Loss::BinaryCrossEntropy => binary::backward(level, o),
            Loss::MeanSquared => errors::backward(level, o, Error::Square, mean),
            Loss::Quadratic => errors::backward(level, o, Error::Square, 0.5),
            Loss::MeanAbsolute => errors::backward(level, o, Error::Absolute, mean),
            Loss::Huber { delta } => errors::backward(level, o, Error::Huber { delta }, mean),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Loss::CrossEntropy => "cross-entropy",
            Loss::MeanSquared => "mean squared error",
            Loss::Quadratic => "quadratic cost",
            Loss::BinaryCrossEntropy => "binary cross-entropy",
            Loss::MeanAbsolute => "mean absolute error",
            Loss::Huber { delta } => return write!(f, "huber:{delta}"),
        })
    }
}
