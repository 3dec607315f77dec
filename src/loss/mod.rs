//! Losses, fused with the output layer: from a block of output rows, they compute the loss of each row
//! and the deltas ∂L/∂z of the output layer.

mod binary;
mod cross_entropy;
mod custom;
mod errors;
mod fits;
mod hinge;
mod likelihood;
mod output;
mod quantile;
mod rows;
mod text;

pub use custom::CustomLoss;
pub(crate) use output::{BlockTargets, Output, Weighting};

use crate::activation::Activation;
use crate::simd::Level;
use std::sync::Arc;

/// The loss that training minimises: the mean over the batch of a loss per sample.
///
/// Text form: the name, and numbers after a colon: `cross-entropy`, `huber:1`, `quantile:0.1,0.9`; see
/// [its `FromStr`](#impl-FromStr-for-Loss).
#[derive(Clone, Debug, PartialEq)]
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
    /// Quantile regression by the pinball loss (Koenker & Bassett 1978), of K quantiles at once: output
    /// jK + k estimates the quantile τ_k of target j, so n outputs have n/K targets. The mean over the
    /// outputs of max(τe, (τ − 1)e), with e = y − ŷ. scikit-learn's `mean_pinball_loss` of one τ.
    /// Made by [`Loss::quantile`].
    Quantile {
        /// τ_k, each above 0 and below 1.
        quantiles: Arc<[f32]>,
    },
    /// The mean over the outputs of e^ŷ − yŷ, the negative log-likelihood of counts y ≥ 0 whose rate λ has
    /// the logarithm ŷ (without ln y!). PyTorch's `PoissonNLLLoss`.
    PoissonNll,
    /// The negative log-likelihood of values with a mean μ and a variance of their own (Nix & Weigend
    /// 1994): the mean over the targets j of ½ [s + (μ − y)² e^−s], with outputs 2j for μ and 2j + 1 for
    /// s = ln σ² (without ½ ln 2π). So n outputs have n/2 targets. PyTorch's `GaussianNLLLoss` of e^s.
    GaussianNll,
    /// max(0, 1 + max ŷ_k − ŷ_y) with the largest output of another class (Crammer & Singer 2001), for
    /// class labels; with a single output max(0, 1 − tŷ) with t = ±1, and the class is 1 from ŷ = 0 on
    /// in evaluations by this loss. scikit-learn's `hinge_loss`.
    Hinge,
    /// A function of the caller's; made by [`Loss::custom`].
    Custom(CustomLoss),
}

impl Loss {
    /// [`Loss::Quantile`] of some quantiles, each above 0 and below 1.
    ///
    /// ```
    /// use deltarule::data::{Dataset, Targets};
    /// use deltarule::{Activation, Adam, Loss, Mlp, Trainer};
    ///
    /// // The values 0 to 99, whatever the input is: their quantiles are 9.5 and 89.5.
    /// let values = (0..100).map(|i| i as f32).collect();
    /// let data = Dataset::from_f32(vec![1.0; 100], 1, Targets::Values { values, n_outputs: 1 })?;
    /// let mut net = Mlp::builder(1).dense(2, Activation::Identity).build()?;
    /// let mut trainer = Trainer::new(Adam::new(0.1)).loss(Loss::quantile(&[0.1, 0.9])).epochs(500);
    /// trainer.fit(&mut net, &data)?;
    /// let y = net.predict(deltarule::MatRef::new(&[1.0], 1, 1)?)?;
    /// assert!((y.row(0)[0] - 9.5).abs() < 3.0 && (y.row(0)[1] - 89.5).abs() < 3.0);
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    #[must_use]
    pub fn quantile(quantiles: &[f32]) -> Loss {
        Loss::Quantile { quantiles: quantiles.into() }
    }

    /// A loss of one's own: `f(outputs, targets, gradient)` returns the loss ℓ of a row and writes
    /// ∂ℓ/∂outputs into `gradient`, which holds zeros. A row has as many targets as outputs; for class
    /// labels they are the one-hot row (or the label, where there is one output).
    ///
    /// A batch's loss is the mean over its rows, as for every loss. `f` is called by several threads. A
    /// step in which it returns a number that is not finite is an error. The output layer is none with
    /// softmax: a function that needs it computes it from the logits. `name` is compared when a checkpoint
    /// is resumed, since the function cannot be.
    ///
    /// ```
    /// use deltarule::{Activation, Loss, Mlp, Sgd, Trainer};
    ///
    /// // ln cosh e, smooth and about |e| for large errors.
    /// let log_cosh = Loss::custom("log-cosh", |y, t, dy| {
    ///     let errors = y.iter().zip(t).map(|(y, t)| y - t);
    ///     dy.iter_mut().zip(errors.clone()).for_each(|(dy, e)| *dy = e.tanh());
    ///     errors.map(|e| e.abs() + (-2.0 * e.abs()).exp().ln_1p() - 2f32.ln()).sum()
    /// });
    /// let mut net = Mlp::builder(2).dense(1, Activation::Identity).build()?;
    /// let trainer = Trainer::new(Sgd::new(0.1)).loss(log_cosh);
    /// let mut training = trainer.session_values(&mut net)?;
    /// let x = deltarule::MatRef::new(&[1.0, 2.0], 1, 2)?;
    /// let y = deltarule::MatRef::new(&[3.0], 1, 1)?;
    /// let first = training.step(x, y)?;
    /// assert!(training.step(x, y)? < first);
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    #[must_use]
    pub fn custom(
        name: impl Into<String>,
        f: impl Fn(&[f32], &[f32], &mut [f32]) -> f32 + Send + Sync + 'static,
    ) -> Loss {
        Loss::Custom(CustomLoss::new(name.into(), None, Box::new(f)))
    }

    /// As [`Loss::custom`], for target values of which a row has `n_targets`, another number than outputs.
    #[must_use]
    pub fn custom_with_targets(
        name: impl Into<String>,
        n_targets: usize,
        f: impl Fn(&[f32], &[f32], &mut [f32]) -> f32 + Send + Sync + 'static,
    ) -> Loss {
        Loss::Custom(CustomLoss::new(name.into(), Some(n_targets), Box::new(f)))
    }

    /// The loss that suits an output layer: cross-entropy for softmax, else mean squared error.
    #[must_use]
    pub fn for_output(activation: Activation) -> Loss {
        Loss::suiting(activation).clone()
    }

    /// As [`Loss::for_output`].
    pub(crate) fn suiting(activation: Activation) -> &'static Loss {
        static CROSS_ENTROPY: Loss = Loss::CrossEntropy;
        static MEAN_SQUARED: Loss = Loss::MeanSquared;
        if activation == Activation::Softmax { &CROSS_ENTROPY } else { &MEAN_SQUARED }
    }

    /// The losses and deltas of a block of rows.
    pub(crate) fn backward(&self, level: Level, o: Output) {
        let (rows, n) = (o.a.rows, o.a.cols);
        assert!(o.d.rows == rows && o.d.cols == n && o.losses.len() == rows);
        match o.targets {
            BlockTargets::Classes(labels) => assert_eq!(labels.len(), rows),
            BlockTargets::Values(y) => assert!(y.rows == rows && y.cols == self.n_targets(n)),
        }
        use errors::Error;
        let mean = 1.0 / n as f64;
        match self {
            Loss::CrossEntropy => cross_entropy::backward(level, o),
            Loss::BinaryCrossEntropy => binary::backward(level, o),
            Loss::MeanSquared => errors::backward(level, o, Error::Square, mean),
            Loss::Quadratic => errors::backward(level, o, Error::Square, 0.5),
            Loss::MeanAbsolute => errors::backward(level, o, Error::Absolute, mean),
            Loss::Huber { delta } => {
                errors::backward(level, o, Error::Huber { delta: *delta }, mean);
            }
            Loss::Quantile { quantiles } => quantile::backward(level, o, quantiles),
            Loss::PoissonNll => likelihood::poisson(level, o),
            Loss::GaussianNll => likelihood::gaussian(level, o),
            Loss::Hinge => hinge::backward(level, o),
            Loss::Custom(custom) => custom.backward(level, o),
        }
    }
}
