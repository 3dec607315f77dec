//! How good predictions are.

use std::fmt;

use crate::{Error, Result};

/// What a model does on a data set.
///
/// Prints as a few lines: the loss, and for classification the accuracy and the confusion matrix.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// The mean loss a sample.
    pub loss: f64,
    /// The share of samples whose most probable class is the true one; classification only.
    pub accuracy: Option<f64>,
    /// Which classes were taken for which; classification only.
    pub confusion: Option<ConfusionMatrix>,
}

impl Evaluation {
    /// An evaluation without classes: regression.
    pub fn of_regression(loss: f64) -> Self {
        Evaluation { loss, accuracy: None, confusion: None }
    }

    /// An evaluation of a classifier; the accuracy is the confusion matrix's.
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

/// How often each true class (row) was predicted as each class (column).
///
/// ```
/// use deltarule::metrics::ConfusionMatrix;
/// let confusion = ConfusionMatrix::from_classes(&[0, 0, 1, 2], &[0, 1, 1, 2], 3)?;
/// assert_eq!(confusion.count(0, 1), 1);
/// assert_eq!(confusion.accuracy(), 0.75);
/// # Ok::<(), deltarule::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    /// `n_classes` rows of `n_classes` counts.
    counts: Vec<u64>,
    n_classes: usize,
}

impl ConfusionMatrix {
    /// A matrix that has counted nothing yet.
    ///
    /// # Errors
    /// [`Error::Value`] when `n_classes` is less than 2, or so large that its square overflows.
    pub fn new(n_classes: usize) -> Result<Self> {
        match n_classes.checked_mul(n_classes) {
            Some(cells) if n_classes >= 2 && cells <= isize::MAX as usize / 8 => {
                Ok(ConfusionMatrix { counts: vec![0; cells], n_classes })
            }
            _ => {
                let expected = "at least 2 classes whose square fits in memory";
                Err(Error::value("confusion matrix", expected, n_classes))
            }
        }
    }

    /// Counts every pair `(truth[i], predicted[i])`.
    ///
    /// # Errors
    /// As [`ConfusionMatrix::new`] and [`ConfusionMatrix::add`]; [`Error::Shape`] when the two
    /// slices differ in length.
    pub fn from_classes(truth: &[u32], predicted: &[u32], n_classes: usize) -> Result<Self> {
        let mut matrix = ConfusionMatrix::new(n_classes)?;
        check_pairs(truth.len(), predicted.len())?;
        for (i, (&t, &p)) in truth.iter().zip(predicted).enumerate() {
            matrix.add(t, p).map_err(|e| match e {
                Error::Value { place, expected, got } => {
                    Error::value(format!("{place} of sample {i}"), expected, got)
                }
                other => other,
            })?;
        }
        Ok(matrix)
    }

    /// Counts one sample of class `truth` that was predicted as `predicted`.
    ///
    /// # Errors
    /// [`Error::Value`] when a class is not below the number of classes.
    pub fn add(&mut self, truth: u32, predicted: u32) -> Result<()> {
        for (what, class) in [("true class", truth), ("predicted class", predicted)] {
            if class as usize >= self.n_classes {
                let expected = format!("a class below {}", self.n_classes);
                return Err(Error::value(what, expected, class));
            }
        }
        self.counts[truth as usize * self.n_classes + predicted as usize] += 1;
        Ok(())
    }

    /// The number of classes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// How many samples of class `truth` were predicted as `predicted`; 0 for classes there
    /// are not.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        if truth.max(predicted) < self.n_classes { self.row(truth)[predicted] } else { 0 }
    }

    /// How many samples were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The share of samples on the diagonal; NaN when nothing was counted.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.n_classes).map(|c| self.count(c, c)).sum();
        right as f64 / self.total() as f64
    }

    fn row(&self, truth: usize) -> &[u64] {
        &self.counts[truth * self.n_classes..][..self.n_classes]
    }
}

/// One row a true class, one column a predicted class, a dot for zero.
impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = |n: u64| n.checked_ilog10().unwrap_or(0) as usize + 1;
        let largest = self.counts.iter().copied().max().unwrap_or(0);
        let width = digits(largest.max(self.n_classes as u64 - 1)) + 1;
        write!(f, "true \\ predicted\n{:width$}", "")?;
        for class in 0..self.n_classes {
            write!(f, "{class:width$}")?;
        }
        for truth in 0..self.n_classes {
            write!(f, "\n{truth:width$}")?;
            for &count in self.row(truth) {
                match count {
                    0 => write!(f, "{:>width$}", "·")?,
                    _ => write!(f, "{count:width$}")?,
                }
            }
        }
        Ok(())
    }
}

/// The share of predictions that are the true class.
///
/// # Errors
/// [`Error::Shape`] when the slices are empty or differ in length.
pub fn accuracy(truth: &[u32], predicted: &[u32]) -> Result<f64> {
    check_pairs(truth.len(), predicted.len())?;
    let right = truth.iter().zip(predicted).filter(|(t, p)| t == p).count();
    Ok(right as f64 / truth.len() as f64)
}

/// That there is one prediction for each of at least one true value.
fn check_pairs(truth: usize, predicted: usize) -> Result<()> {
    match truth {
        0 => Err(Error::shape("truth", "at least 1 sample", "0 samples")),
        n if n != predicted => {
            Err(Error::shape("predicted", format!("{n} values, one a sample"), predicted))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confusion_counts_truth_by_prediction() {
        let truth = [0, 1, 2, 2, 2, 0];
        let predicted = [0, 2, 2, 2, 0, 0];
        let confusion = ConfusionMatrix::from_classes(&truth, &predicted, 3).unwrap();
        let rows: Vec<&[u64]> = (0..3).map(|t| confusion.row(t)).collect();
        assert_eq!(rows, [&[2, 0, 0][..], &[0, 0, 1], &[1, 0, 2]]);
        assert_eq!((confusion.total(), confusion.count(2, 0), confusion.count(3, 0)), (6, 1, 0));
        assert_eq!(confusion.accuracy(), 4.0 / 6.0);
        assert_eq!(accuracy(&truth, &predicted).unwrap(), 4.0 / 6.0);
    }

    #[test]
    fn evaluations_print_in_a_few_lines() {
        let confusion = ConfusionMatrix::from_classes(&[0, 1, 1], &[0, 1, 0], 2).unwrap();
        let text = "loss: 0.2500\naccuracy: 0.6667\ntrue \\ predicted\n   0 1\n 0 1 ·\n 1 1 1";
        assert_eq!(Evaluation::of_classes(0.25, confusion).to_string(), text);
        assert_eq!(Evaluation::of_regression(0.5).to_string(), "loss: 0.5000");
    }

    #[test]
    fn bad_classes_are_named() {
        let refused = |truth: &[u32], predicted: &[u32], n, text: &str| {
            let error = ConfusionMatrix::from_classes(truth, predicted, n).unwrap_err();
            assert_eq!(error.to_string(), text);
        };
        refused(&[0, 2], &[0, 0], 2, "true class of sample 1: expected a class below 2, got 2");
        refused(&[0], &[5], 2, "predicted class of sample 0: expected a class below 2, got 5");
        refused(&[0], &[0, 1], 2, "predicted: expected 1 values, one a sample, got 2");
        refused(&[], &[], 2, "truth: expected at least 1 sample, got 0 samples");
        assert!(ConfusionMatrix::new(1).is_err());
        assert!(ConfusionMatrix::new(usize::MAX).is_err());
        assert!(accuracy(&[], &[]).is_err());
    }
}
