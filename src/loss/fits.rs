//! What a loss needs of an output layer and of targets.

use super::Loss;
use crate::activation::Activation;
use crate::error::{Error, Result, check_option};
use std::ops::RangeInclusive;

/// The needs of a loss.
struct Needs {
    /// The output activation that the loss contains; it then takes logits.
    contained: Option<Activation>,
    kind: Kind,
    targets: Count,
    /// The target values that have a meaning, and how an error names them.
    range: (RangeInclusive<f32>, &'static str),
    /// With one output for two classes, what the loss takes is at least this for the second.
    threshold: f32,
}

/// The kinds of targets.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Any,
    Labels,
    Values,
}

/// The number of targets of a row.
#[derive(Clone, Copy)]
enum Count {
    /// One for this number of outputs.
    Outputs(usize),
    Fixed(usize),
}

/// Those of a loss without needs of its own.
const NONE: Needs = Needs {
    contained: None,
    kind: Kind::Any,
    targets: Count::Outputs(1),
    range: (f32::NEG_INFINITY..=f32::INFINITY, "numbers"),
    threshold: 0.5,
};

impl Loss {
    fn needs(&self) -> Needs {
        match self {
            // p = ½ where z = 0.
            Loss::CrossEntropy => Needs {
                contained: Some(Activation::Softmax),
                kind: Kind::Labels,
                threshold: 0.0,
                ..NONE
            },
            Loss::BinaryCrossEntropy => Needs {
                contained: Some(Activation::Sigmoid),
                range: (0.0..=1.0, "probabilities, 0 to 1"),
                threshold: 0.0,
                ..NONE
            },
            Loss::MeanSquared | Loss::Quadratic | Loss::MeanAbsolute | Loss::Huber { .. } => NONE,
            Loss::Quantile { quantiles } => {
                Needs { kind: Kind::Values, targets: Count::Outputs(quantiles.len()), ..NONE }
            }
            Loss::PoissonNll => Needs {
                kind: Kind::Values,
                range: (0.0..=f32::INFINITY, "counts, at least 0"),
                ..NONE
            },
            Loss::GaussianNll => Needs { kind: Kind::Values, targets: Count::Outputs(2), ..NONE },
            Loss::Hinge => Needs { kind: Kind::Labels, threshold: 0.0, ..NONE },
            Loss::Custom(custom) => match custom.n_targets() {
                None => NONE,
                Some(n) => Needs { kind: Kind::Values, targets: Count::Fixed(n), ..NONE },
            },
        }
    }

    /// Checks that the loss fits an output layer of `n_out` outputs.
    ///
    /// # Errors
    /// [`Error::Config`] for cross-entropy without softmax, binary cross-entropy without sigmoid, softmax
    /// with another loss, an output activation with a derivative of zero, a δ that is not positive, a
    /// quantile outside (0, 1), or a number of outputs that is no multiple of the number of quantiles or
    /// for a Gaussian of 2.
    pub fn check_output(&self, activation: Activation, n_out: usize) -> Result<()> {
        let refuse = |reason: String| Err(Error::config("loss", reason));
        let Needs { contained, targets, .. } = self.needs();
        match (contained, activation) {
            (Some(contained), _) if contained != activation => {
                let name = self.family();
                return refuse(format!(
                    "{name} needs a {contained} output layer, got {activation}"
                ));
            }
            (None, Activation::Softmax) => {
                return refuse(format!("a softmax output layer needs cross-entropy, got {self}"));
            }
            (None, Activation::Step) => {
                return refuse("a step output layer has a derivative of zero everywhere".into());
            }
            (Some(_) | None, _) => {}
        }
        if let Loss::Huber { delta } = self {
            let fits = *delta > 0.0 && delta.is_finite();
            check_option(fits, "loss", format!("Huber's δ must be above 0, got {delta}"))?;
        }
        if let Loss::Quantile { quantiles } = self
            && let Some(tau) = quantiles.iter().find(|tau| !(**tau > 0.0 && **tau < 1.0))
        {
            return refuse(format!("expected quantiles above 0 and below 1, got {tau}"));
        }
        match targets {
            Count::Outputs(0) => refuse("expected at least one quantile, got none".into()),
            Count::Outputs(n) => {
                let name = self.family();
                let reason = format!("{name} needs a multiple of {n} outputs, got {n_out}");
                check_option(n_out.is_multiple_of(n), "loss", reason)
            }
            Count::Fixed(n) => {
                check_option(n > 0, "loss", "expected at least one target a row, got 0")
            }
        }
    }

    /// Checks that the loss has a meaning for target values, or for class labels.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub(crate) fn check_kind(&self, values: bool) -> Result<()> {
        let got = if values { Kind::Values } else { Kind::Labels };
        let needed = self.needs().kind;
        let name = |kind| if kind == Kind::Values { "target values" } else { "class labels" };
        let reason = format!("{} needs {}, got {}", self.family(), name(needed), name(got));
        check_option(needed == Kind::Any || needed == got, "loss", reason)
    }

    /// Checks that target values are in the loss's range. (NaN is found with the inputs.)
    ///
    /// # Errors
    /// [`Error::Value`] for a binary cross-entropy's that is no probability, or a negative count.
    pub(crate) fn check_values<'a>(&self, values: impl IntoIterator<Item = &'a f32>) -> Result<()> {
        let (range, expected) = self.needs().range;
        match values.into_iter().find(|y| **y < *range.start() || **y > *range.end()) {
            Some(y) => Err(Error::value("targets", expected, y)),
            None => Ok(()),
        }
    }

    /// The number of target values of a row, for `n_out` outputs.
    pub(crate) fn n_targets(&self, n_out: usize) -> usize {
        match self.needs().targets {
            Count::Outputs(n) => n_out / n.max(1),
            Count::Fixed(n) => n,
        }
    }

    /// Whether the loss contains the output activation and so takes logits.
    pub(crate) fn is_on_logits(&self) -> bool {
        self.needs().contained.is_some()
    }

    /// Whether the weights of classes weigh rows in the mean of a batch: shares of a softmax do, positives of
    /// a sigmoid do not.
    pub(crate) fn weighs_classes(&self) -> bool {
        matches!(self, Loss::CrossEntropy)
    }

    /// With one output for two classes, what the loss takes is at least this for the second.
    pub(crate) fn threshold(&self) -> f32 {
        self.needs().threshold
    }

    /// Makes what the loss needs for a number of threads, so that steps allocate nothing.
    pub(crate) fn reserve(&self, threads: usize, n_out: usize) {
        if let Loss::Custom(custom) = self {
            custom.reserve(threads, n_out);
        }
    }

    /// The error of a function of the caller's, where a loss or its gradient is not finite. `row` is the
    /// caller's number of each row.
    pub(crate) fn non_finite_row(
        &self,
        losses: &[f64],
        row: impl Fn(usize) -> usize,
    ) -> Option<Error> {
        let Loss::Custom(custom) = self else { return None };
        let at = losses.iter().position(|loss| !loss.is_finite())?;
        let place = format!("loss {:?} or its gradient, row {}", custom.name(), row(at));
        Some(Error::value(place, "finite numbers", losses[at]))
    }
}
