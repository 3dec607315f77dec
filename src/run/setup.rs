//! The options of a training session, and what they require of a network.

use super::state::Counts;
use crate::activation::Activation;
use crate::error::{Result, check_option, check_range};
use crate::gemm::bf16::Precision;
use crate::loss::Loss;
use crate::network::{LayerShape, Mlp, NormKind};
use crate::optim::{Adjustments, LayerRates, Optimizer};
use crate::program::{SampleWeights, Step, fuses};
use crate::threads::Threads;

/// Everything that decides the bits of a step besides the network and the batch, and the threads.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) optimizer: Optimizer,
    pub(super) adjustments: Adjustments,
    pub(super) rates: LayerRates,
    /// Whether the norms of the gradients are recorded.
    pub(super) norms: bool,
    /// `None` for the loss that suits the network's output layer.
    pub(super) loss: Option<Loss>,
    /// ε of label smoothing.
    pub(super) smoothing: f32,
    /// One per output, or empty.
    pub(super) class_weights: Vec<f32>,
    pub(super) threads: Threads,
    pub(super) precision: Precision,
    /// Rows per batch at most.
    pub(super) batch_size: usize,
    /// The seed of the shuffling and of dropout.
    pub(super) seed: u64,
}

impl Setup {
    /// The defaults that [`Trainer::new`](crate::Trainer::new) documents.
    pub(super) fn new(optimizer: Optimizer) -> Self {
        Setup {
            optimizer,
            adjustments: Adjustments::default(),
            rates: LayerRates::default(),
            norms: false,
            loss: None,
            smoothing: 0.0,
            class_weights: Vec::new(),
            threads: Threads::Current,
            precision: Precision::F32,
            batch_size: 32,
            seed: 0,
        }
    }

    /// The loss that is minimised for `net`.
    pub(super) fn loss(&self, net: &Mlp) -> &Loss {
        self.loss.as_ref().unwrap_or_else(|| Loss::suiting(net.output_activation()))
    }

    /// The numbers of the next step.
    pub(super) fn step<'a>(
        &'a self,
        net: &Mlp,
        samples: SampleWeights<'a>,
        counts: Counts,
    ) -> Step<'a> {
        Step {
            loss: self.loss(net),
            optimizer: &self.optimizer,
            adjustments: &self.adjustments,
            rates: &self.rates,
            norms: self.norms,
            samples,
            smoothing: self.smoothing,
            classes: &self.class_weights,
            lr: counts.lr,
            seed: self.seed,
            number: counts.steps + 1,
            update: counts.updates + 1,
        }
    }

    /// Whether updates can run in the store of the gradient's product.
    pub(super) fn fuses(&self) -> bool {
        !self.norms && fuses(&self.optimizer, &self.adjustments, &self.rates)
    }

    /// Checks that 1 − lr·λ is positive with the decay λ and the rate of each layer.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) with the product.
    pub(super) fn check_rate(&self, lr: f32) -> Result<()> {
        self.adjustments.check_rate(&self.optimizer, lr * self.rates.largest())
    }

    /// Checks all options, for `net` and targets that are `values` or labels.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) with the first option that is out of range or does not fit.
    pub(super) fn check(&self, net: &Mlp, values: bool) -> Result<()> {
        self.optimizer.validate()?;
        self.adjustments.validate(&self.optimizer)?;
        self.rates.validate(net.layers().len())?;
        self.check_rate(self.optimizer.learning_rate())?;
        check_option(self.batch_size > 0, "batch size", "expected at least 1, got 0")?;
        let loss = self.loss(net);
        loss.check_output(net.output_activation(), net.n_out())?;
        loss.check_kind(values)?;
        check_range("label smoothing", self.smoothing, 0.0..1.0)?;
        let fits = self.smoothing == 0.0 || *loss == Loss::CrossEntropy;
        check_option(fits, "label smoothing", format!("needs cross-entropy, got {loss}"))?;
        check_class_weights(&self.class_weights, loss, net.n_out())?;
        for (i, LayerShape { layer, .. }) in net.layers().enumerate() {
            let reason = "the step function has no derivative to train through";
            check_option(layer.activation() != Activation::Step, &format!("layer {i}"), reason)?;
        }
        for (i, LayerShape { layer, .. }) in net.layers().enumerate() {
            let fits = self.batch_size > 1 || layer.norm != Some(NormKind::Batch);
            let reason = format!("layer {i} has batch normalisation: expected at least 2, got 1");
            check_option(fits, "batch size", reason)?;
        }
        Ok(())
    }
}

fn check_class_weights(weights: &[f32], loss: &Loss, n_out: usize) -> Result<()> {
    let check = |holds, reason| check_option(weights.is_empty() || holds, "class weights", reason);
    let needed = "need cross-entropy or binary cross-entropy";
    check(loss.is_on_logits(), format!("{needed}, got {loss}"))?;
    let n = weights.len();
    check(n == n_out, format!("expected {n_out}, one per output, got {n}"))?;
    for w in weights {
        let fits = *w >= 0.0 && w.is_finite();
        check(fits, format!("expected finite numbers of at least 0, got {w}"))?;
    }
    check(weights.iter().any(|w| *w > 0.0), "all are 0".into())
}
