//! The quality of predictions: of classes ([`accuracy`], [`ConfusionMatrix`]), of probabilities
//! ([`log_loss`], [`top_k_accuracy`], [`roc_auc`]) and of values ([`mean_squared_error`],
//! [`mean_absolute_error`], [`r2`]). Each is what scikit-learn computes under that name, unless
//! its documentation says otherwise; sums are taken in f64.

mod confusion;
mod pairs;
mod probability;
mod regression;

use std::fmt;

pub use confusion::{ConfusionMatrix, Scores};
pub use probability::{log_loss, roc_auc, roc_auc_one_vs_rest, top_k_accuracy};
pub use regression::{mean_absolute_error, mean_squared_error, r2};

use crate::error::Result;
use pairs::check_pairs;

/// The quality of a model on a data set.
///
/// Prints as a few lines: the loss, and for classification the accuracy and the confusion matrix.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Evaluation {
    /// The mean loss per sample.
    #[cfg_attr(feature = "serde", serde(with = "crate::format::float"))]
    pub loss: f64,
    /// The share of samples whose most probable class is the true one; classification only.
    #[cfg_attr(feature = "serde", serde(with = "crate::format::float::option", default))]
    pub accuracy: Option<f64>,
    /// The confusion matrix; classification only.
    pub confusion: Option<ConfusionMatrix>,
}

impl Evaluation {
    /// An evaluation without classes: regression.
    #[must_use]
    pub fn of_regression(loss: f64) -> Self {
        Evaluation { loss, accuracy: None, confusion: None }
    }

    /// An evaluation of a classifier; the accuracy is the confusion matrix's.
    #[must_use]
    pub fn of_classes(loss: f64, confusion: ConfusionMatrix) -> Self {
        Evaluation { loss, accuracy: Some(confusion.accuracy()), confusion: Some(confusion) }
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss: {:.4}", self.loss)?;
        if let Some(accuracy) = self.accuracy {
            write!(f, "\naccuracy: {accuracy:.4}")?;
        }
        match &self.confusion {
            Some(confusion) => write!(f, "\n{confusion}"),
            None => Ok(()),
        }
    }
}

/// The share of predictions that are the true class.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) when the slices are empty or differ in length.
pub fn accuracy(truth: &[u32], predicted: &[u32]) -> Result<f64> {
    check_pairs(truth.len(), predicted.len())?;
    let right = truth.iter().zip(predicted).filter(|(t, p)| t == p).count();
    Ok(right as f64 / truth.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_print_in_a_few_lines() {
        let confusion = ConfusionMatrix::from_classes(&[0, 1, 1], &[0, 1, 0], 2).unwrap();
        let text = "loss: 0.2500\naccuracy: 0.6667\ntrue \\ predicted\n   0 1\n 0 1 ·\n 1 1 1";
        assert_eq!(Evaluation::of_classes(0.25, confusion).to_string(), text);
        assert_eq!(Evaluation::of_regression(0.5).to_string(), "loss: 0.5000");
    }

    #[test]
    fn accuracy_counts_equal_classes() {
        assert_eq!(accuracy(&[0, 1, 2], &[0, 2, 2]).unwrap(), 2.0 / 3.0);
        assert!(accuracy(&[], &[]).is_err() && accuracy(&[0], &[0, 0]).is_err());
    }
}
