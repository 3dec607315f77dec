//! The numbers of a training step.

use super::batch::SampleWeights;
use crate::loss::Loss;
use crate::optim::{Adjustments, LayerRates, Optimizer};

/// What a step needs besides the network and the workspace.
pub(crate) struct Step<'a> {
    pub(crate) loss: &'a Loss,
    pub(crate) optimizer: &'a Optimizer,
    pub(crate) adjustments: &'a Adjustments,
    pub(crate) rates: &'a LayerRates,
    /// Whether the norms of the gradients are wanted, which must be kept first.
    pub(crate) norms: bool,
    pub(crate) samples: SampleWeights<'a>,
    /// ε of label smoothing.
    pub(crate) smoothing: f32,
    /// Weights of the classes, or none.
    pub(crate) classes: &'a [f32],
    /// The learning rate of layers without a factor.
    pub(crate) lr: f32,
    /// The seed of dropout.
    pub(crate) seed: u64,
    /// The step's number, counted from 1.
    pub(crate) number: u64,
    /// The number of the update that this step makes or has a share in, counted from 1.
    pub(crate) update: u64,
}

/// A step's part in what dropout drops.
#[derive(Clone, Copy)]
pub(crate) struct DropoutStep {
    pub(crate) seed: u64,
    pub(crate) number: u64,
}

impl Step<'_> {
    /// Its part in what dropout drops.
    pub(crate) fn dropout(&self) -> DropoutStep {
        DropoutStep { seed: self.seed, number: self.number }
    }

    /// The learning rate of a layer.
    pub(crate) fn rate(&self, layer: usize) -> f32 {
        self.lr * self.rates.factor(layer)
    }

    /// Whether the update can run in the store of the gradient's product.
    pub(crate) fn fuses(&self) -> bool {
        !self.norms && fuses(self.optimizer, self.adjustments, self.rates)
    }
}

/// Whether updates with these options can run in the store of the gradient's product.
pub(crate) fn fuses(optimizer: &Optimizer, adjustments: &Adjustments, rates: &LayerRates) -> bool {
    adjustments.fuse() && optimizer.fuses() && rates.are_equal()
}

/// What a step did.
pub(crate) struct Outcome {
    /// The mean loss before the update: Σ s·ℓ / Σ s with weights s; 0 where all rows weigh 0.
    pub(crate) loss: f64,
    /// What the batch counts in a mean over batches: its rows, or the sum of their weights.
    pub(crate) weight: f64,
    /// Whether there was an update: with accumulated gradients not every step has one.
    pub(crate) updated: bool,
}
