//! Losses, fused with the output layer: from a block of output rows to the loss of each row and
//! the output layer's deltas ∂L/∂z.

mod binary;
mod cross_entropy;
mod errors;

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::simd::Level;
use crate::storage::{Panels, PanelsMut};
use std::fmt;

/// What training minimises: the mean over the batch of a loss a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// −ln p of the true class, p the softmax of the output layer: for class labels and a softmax
    /// output layer. Fused on the logits, so it is finite for all finite logits. ∂L/∂z = p − y.
    CrossEntropy,
    /// Mean over the outputs of (ŷ − y)².
    MeanSquared,
    /// ½‖ŷ − y‖², the quadratic cost of Nielsen's book. Class labels count as one-hot targets.
    Quadratic,
    /// Mean over the outputs of −y ln p − (1 − y) ln(1 − p), p the sigmoid of the output layer: one
    /// decision an output, any number of which can be 1 (multi-label: target values in 0..=1; class
    /// labels count as one-hot), or a single output for two classes. Needs a sigmoid output layer;
    /// fused on the logits, so it is finite for all finite logits. ∂L/∂z = (p − y)/n.
    BinaryCrossEntropy,
    /// Mean over the outputs of |ŷ − y|.
    MeanAbsolute,
    /// Mean over the outputs of ½e² for |e| ≤ δ, else δ(|e| − ½δ), with e = ŷ − y (Huber 1964).
    Huber {
        /// Where the parabola becomes a line; above 0.
        delta: f32,
    },
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
            (Loss::BinaryCrossEntropy, Activation::Sigmoid) => Ok(()),
            (Loss::BinaryCrossEntropy, other) => Err(Error::config(
                "loss",
                format!("binary cross-entropy needs a sigmoid output layer, got {other}"),
            )),
            (Loss::Huber { delta }, _) if !(delta > 0.0 && delta.is_finite()) => {
                Err(Error::config("loss", format!("Huber's δ must be above 0, got {delta}")))
            }
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
            Loss::BinaryCrossEntropy => "binary cross-entropy",
            Loss::MeanAbsolute => "mean absolute error",
            Loss::Huber { delta } => return write!(f, "huber:{delta}"),
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

/// What counts more than something else.
#[derive(Clone, Copy, Default)]
pub(crate) struct Weighting<'a> {
    /// What each row of the block counts in the batch.
    pub(crate) shares: Option<&'a [f32]>,
    /// ε of label smoothing.
    pub(crate) smoothing: f32,
    /// A weight a class, or for binary cross-entropy one for the positives of each output; empty
    /// for none.
    pub(crate) classes: &'a [f32],
}

impl Weighting<'_> {
    fn share(&self, row: usize, otherwise: f32) -> f32 {
        self.shares.map_or(otherwise, |shares| shares[row])
    }
}

/// A block of output rows on its way back.
pub(crate) struct Output<'a> {
    /// rows x n_out: what the output layer gave; logits for a loss on logits, whose pads are
    /// overwritten
    pub(crate) a: PanelsMut<'a>,
    /// rows x n_out: z of the output layer where its activation needs it for σ′, else a
    pub(crate) z: Option<Panels<'a>>,
    pub(crate) targets: BlockTargets<'a>,
    /// rows x n_out: ∂L/∂z
    pub(crate) d: PanelsMut<'a>,
    /// the loss of each row
    pub(crate) losses: &'a mut [f64],
    /// what each row's loss counts in the batch where nothing is weighted: 1/batch
    pub(crate) scale: f32,
    pub(crate) weighting: Weighting<'a>,
    pub(crate) activation: Activation,
}

impl Loss {
    /// Whether it contains the output activation, and so takes logits.
    pub(crate) fn is_on_logits(self) -> bool {
        matches!(self, Loss::CrossEntropy | Loss::BinaryCrossEntropy)
    }

    /// Fills `d` and `losses` of a block.
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
