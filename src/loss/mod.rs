//! Losses, fused with the output layer: from a block of output rows to the loss of each row and
//! the output layer's deltas ∂L/∂z.

mod cross_entropy;
mod squared;

use crate::activation::Activation;
use crate::gemm::{Panels, PanelsMut};
use crate::simd::Level;
use crate::{Error, Result};
use std::fmt;

/// What training minimises: the mean over the batch of a loss a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// −ln p of the true class, p the softmax of the output layer: for class labels and a softmax
    /// output layer. Fused on the logits, so it is finite for all finite logits. ∂L/∂z = p − y.
    CrossEntropy,
    /// Mean over the outputs of (ŷ − y)².
    MeanSquared,
    /// ½‖ŷ − y‖², the quadratic cost of Nielsen's book. Class labels count as one-hot targets.
    Quadratic,
}

impl Loss {
    /// The loss that suits an output layer: cross-entropy for softmax, else mean squared error.
    pub fn for_output(activation: Activation) -> Loss {
        match activation {
            Activation::Softmax => Loss::CrossEntropy,
            _ => Loss::MeanSquared,
        }
    }

    /// Whether the loss fits an output layer.
    ///
    /// # Errors
    /// [`Error::Config`] for cross-entropy without softmax, softmax with another loss, or an
    /// output activation without a derivative.
    pub fn check_output(self, activation: Activation) -> Result<()> {
        match (self, activation) {
            (Loss::CrossEntropy, Activation::Softmax) => Ok(()),
            (Loss::CrossEntropy, other) => Err(Error::config(
                "loss",
                format!("cross-entropy needs a softmax output layer, got {other}"),
            )),
            (_, Activation::Softmax) => Err(Error::config(
                "loss",
                format!("a softmax output layer needs cross-entropy, got {self}"),
            )),
            (_, Activation::Step) => {
                Err(Error::config("loss", "a step output layer has no derivative to train through"))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Loss::CrossEntropy => "cross-entropy",
            Loss::MeanSquared => "mean squared error",
            Loss::Quadratic => "quadratic cost",
        })
    }
}

/// The targets of a block of rows.
#[derive(Clone, Copy)]
pub(crate) enum BlockTargets<'a> {
    /// The class of each row.
    Classes(&'a [u32]),
    /// n_out values a row, in panels.
    Values(Panels<'a>),
}

/// A block of output rows on its way back.
pub(crate) struct Output<'a> {
    /// rows x n_out: what the output layer gave; logits for softmax, whose pads are overwritten
    pub(crate) a: PanelsMut<'a>,
    /// rows x n_out: z of the output layer where its activation needs it for σ′, else a
    pub(crate) z: Option<Panels<'a>>,
    pub(crate) targets: BlockTargets<'a>,
    /// rows x n_out: ∂L/∂z
    pub(crate) d: PanelsMut<'a>,
    /// the loss of each row
    pub(crate) losses: &'a mut [f64],
    /// what each row's loss counts in the batch: 1/batch
    pub(crate) scale: f32,
    pub(crate) activation: Activation,
}

impl Loss {
    /// Fills `d` and `losses` of a block.
    pub(crate) fn backward(self, level: Level, o: Output) {
        let (rows, n) = (o.a.rows, o.a.cols);
        assert!(o.d.rows == rows && o.d.cols == n && o.losses.len() == rows);
        match o.targets {
            BlockTargets::Classes(labels) => assert_eq!(labels.len(), rows),
            BlockTargets::Values(y) => assert!(y.rows == rows && y.cols == n),
        }
        match self {
            Loss::CrossEntropy => cross_entropy::backward(level, o),
            // d/da of the mean of squares, and of half their sum.
            Loss::MeanSquared => squared::backward(level, o, 1.0 / n as f64),
            Loss::Quadratic => squared::backward(level, o, 0.5),
        }
    }
}
