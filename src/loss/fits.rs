//! What a loss needs of an output layer and of targets.

use super::Loss;
use crate::activation::Activation;
use crate::error::{Error, Result, check_option};

impl Loss {
    /// Checks that the loss fits an output layer of `n_out` outputs.
    ///
    /// # Errors
    /// [`Error::Config`] for cross-entropy without softmax, binary cross-entropy without sigmoid, softmax
    /// with another loss, an output activation with a derivative of zero, a δ that is not positive, a
    /// quantile outside (0, 1), or a number of outputs that is no multiple of the number of quantiles or
    /// for a Gaussian of 2.
    pub fn check_output(&self, activation: Activation, n_out: usize) -> Result<()> {
        let refuse = |reason: String| Err(Error::config("loss", reason));
        match (self, activation) {
            (Loss::CrossEntropy, Activation::Softmax)
            | (Loss::BinaryCrossEntropy, Activation::Sigmoid) => return Ok(()),
            (Loss::CrossEntropy, _) => {
                return refuse(format!(
                    "cross-entropy needs a softmax output layer, got {activation}"
                ));
            }
            (Loss::BinaryCrossEntropy, _) => {
                return refuse(format!(
                    "binary cross-entropy needs a sigmoid output layer, got {activation}"
                ));
            }
            (_, Activation::Softmax) => {
                return refuse(format!("a softmax output layer needs cross-entropy, got {self}"));
            }
            (_, Activation::Step) => {
                return refuse("a step output layer has a derivative of zero everywhere".into());
            }
            (
                Loss::MeanSquared
                | Loss::Quadratic
                | Loss::MeanAbsolute
                | Loss::Huber { .. }
                | Loss::Quantile { .. }
                | Loss::PoissonNll
                | Loss::GaussianNll
                | Loss::Hinge
                | Loss::Custom(_),
                _,
            ) => {}
        }
        match self {
            Loss::Huber { delta } => {
                let fits = *delta > 0.0 && delta.is_finite();
                check_option(fits, "loss", format!("Huber's δ must be above 0, got {delta}"))
            }
            Loss::Quantile { quantiles } => {
                let is_in_range = |tau: &&f32| **tau > 0.0 && **tau < 1.0;
                if let Some(tau) = quantiles.iter().find(|tau| !is_in_range(tau)) {
                    return refuse(format!("expected quantiles above 0 and below 1, got {tau}"));
                }
                let n = quantiles.len();
                let fits = n > 0 && n_out.is_multiple_of(n);
                let reason =
                    format!("{n} quantiles need a multiple of as many outputs, got {n_out}");
                check_option(fits, "loss", reason)
            }
            Loss::GaussianNll => {
                let reason = format!("a Gaussian needs two outputs a target, got {n_out} outputs");
                check_option(n_out.is_multiple_of(2), "loss", reason)
            }
            Loss::Custom(custom) => {
                let fits = custom.n_targets() != Some(0);
                check_option(fits, "loss", "expected at least one target a row, got 0")
            }
            Loss::CrossEntropy
            | Loss::BinaryCrossEntropy
            | Loss::MeanSquared
            | Loss::Quadratic
            | Loss::MeanAbsolute
            | Loss::PoissonNll
            | Loss::Hinge => Ok(()),
        }
    }

    /// Checks that the loss has a meaning for target values, or for class labels.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub(crate) fn check_kind(&self, values: bool) -> Result<()> {
        let got = if values { "target values" } else { "class labels" };
        let refuse = |needs: &str| {
            let reason = format!("{} needs {needs}, got {got}", self.family());
            Err(Error::config("loss", reason))
        };
        match self {
            Loss::CrossEntropy | Loss::Hinge if values => refuse("class labels"),
            Loss::Quantile { .. } | Loss::PoissonNll | Loss::GaussianNll if !values => {
                refuse("target values")
            }
            Loss::Custom(custom) if !values && custom.n_targets().is_some() => {
                refuse("target values")
            }
            Loss::CrossEntropy
            | Loss::BinaryCrossEntropy
            | Loss::MeanSquared
            | Loss::Quadratic
            | Loss::MeanAbsolute
            | Loss::Huber { .. }
            | Loss::Quantile { .. }
            | Loss::PoissonNll
            | Loss::GaussianNll
            | Loss::Hinge
            | Loss::Custom(_) => Ok(()),
        }
    }

    /// Checks that target values are in the loss's range.
    ///
    /// # Errors
    /// [`Error::Value`] for a binary cross-entropy's that is no probability, or a negative count.
    pub(crate) fn check_values<'a>(&self, values: impl IntoIterator<Item = &'a f32>) -> Result<()> {
        let (range, expected) = match self {
            Loss::BinaryCrossEntropy => (0.0..=1.0, "probabilities, 0 to 1"),
            Loss::PoissonNll => (0.0..=f32::INFINITY, "counts, at least 0"),
            Loss::CrossEntropy
            | Loss::MeanSquared
            | Loss::Quadratic
            | Loss::MeanAbsolute
            | Loss::Huber { .. }
            | Loss::Quantile { .. }
            | Loss::GaussianNll
            | Loss::Hinge
            | Loss::Custom(_) => return Ok(()),
        };
        // NaN is found with the inputs.
        match values.into_iter().find(|y| **y < *range.start() || **y > *range.end()) {
            Some(y) => Err(Error::value("targets", expected, y)),
            None => Ok(()),
        }
    }

    /// The number of target values of a row, for `n_out` outputs.
    pub(crate) fn n_targets(&self, n_out: usize) -> usize {
        match self {
            Loss::Quantile { quantiles } => n_out / quantiles.len().max(1),
            Loss::GaussianNll => n_out / 2,
            Loss::Custom(custom) => custom.n_targets().unwrap_or(n_out),
            Loss::CrossEntropy
            | Loss::BinaryCrossEntropy
            | Loss::MeanSquared
            | Loss::Quadratic
            | Loss::MeanAbsolute
            | Loss::Huber { .. }
            | Loss::PoissonNll
            | Loss::Hinge => n_out,
        }
    }

    /// Whether the loss contains the output activation and so takes logits.
    pub(crate) fn is_on_logits(&self) -> bool {
        matches!(self, Loss::CrossEntropy | Loss::BinaryCrossEntropy)
    }

    /// Whether the weights of classes weigh rows in the mean of a batch: shares of a softmax do, positives of
    /// a sigmoid do not.
    pub(crate) fn weighs_classes(&self) -> bool {
        matches!(self, Loss::CrossEntropy)
    }

    /// With one output for two classes, what the loss takes is at least this for the second.
    pub(crate) fn threshold(&self) -> f32 {
        match self {
            // p = ½ where z = 0.
            Loss::CrossEntropy | Loss::BinaryCrossEntropy | Loss::Hinge => 0.0,
            Loss::MeanSquared
            | Loss::Quadratic
            | Loss::MeanAbsolute
            | Loss::Huber { .. }
            | Loss::Quantile { .. }
            | Loss::PoissonNll
            | Loss::GaussianNll
            | Loss::Custom(_) => 0.5,
        }
    }

    /// Makes what the loss needs for a number of threads, so that steps allocate nothing.
    pub(crate) fn reserve(&self, threads: usize, n_out: usize) {
        if let Loss::Custom(custom) = self {
            custom.reserve(threads, n_out);
        }
    }

    /// The error of a function of the caller's for rows from `first` on, where a loss of a row or its gradient is not finite.
    pub(crate) fn non_finite_row(&self, first: usize, losses: &[f64]) -> Option<Error> {
        let Loss::Custom(custom) = self else { return None };
        let row = losses.iter().position(|loss| !loss.is_finite())?;
        let place = format!("loss {:?} or its gradient, row {}", custom.name(), first + row);
        Some(Error::value(place, "finite numbers", losses[row]))
    }
}
