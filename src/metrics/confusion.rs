//! Which classes are taken for which, and the scores that follow from it.

use std::fmt;

use super::check_pairs;
use crate::{Error, Result};

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

    /// A matrix of counts, `n_classes` rows of `n_classes`; nothing if they are not so many.
    pub(crate) fn from_counts(n_classes: usize, counts: Vec<u64>) -> Option<Self> {
        let fits = n_classes >= 2 && n_classes.checked_mul(n_classes) == Some(counts.len());
        fits.then_some(ConfusionMatrix { counts, n_classes })
    }

    /// The counts, row by row.
    pub(crate) fn counts(&self) -> &[u64] {
        &self.counts
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

    /// Precision, recall and F1 of one class against the others; 0 for what is 0/0, as for a class
    /// there is not.
    pub fn scores(&self, class: usize) -> Scores {
        let right = self.count(class, class);
        let support: u64 = (0..self.n_classes).map(|p| self.count(class, p)).sum();
        let predicted: u64 = (0..self.n_classes).map(|t| self.count(t, class)).sum();
        let share =
            |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        Scores {
            precision: share(right, predicted),
            recall: share(right, support),
            f1: share(2 * right, predicted + support),
            support,
        }
    }

    /// The mean of the scores of all classes, each class counting the same.
    pub fn macro_scores(&self) -> Scores {
        self.mean_scores(|_| 1.0)
    }

    /// The mean of the scores of all classes, each class counting as often as it is true.
    pub fn weighted_scores(&self) -> Scores {
        self.mean_scores(|scores| scores.support as f64)
    }

    fn mean_scores(&self, weight: impl Fn(&Scores) -> f64) -> Scores {
        let mut mean = Scores { precision: 0.0, recall: 0.0, f1: 0.0, support: self.total() };
        let all = || (0..self.n_classes).map(|class| self.scores(class));
        let total: f64 = all().map(|scores| weight(&scores)).sum();
        for scores in all().filter(|_| total > 0.0) {
            let share = weight(&scores) / total;
            mean.precision += share * scores.precision;
            mean.recall += share * scores.recall;
            mean.f1 += share * scores.f1;
        }
        mean
    }

    fn row(&self, truth: usize) -> &[u64] {
        &self.counts[truth * self.n_classes..][..self.n_classes]
    }
}

/// How well one class is told from the others, or a mean of that over classes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Scores {
    /// The share of samples predicted as the class that are of it.
    pub precision: f64,
    /// The share of samples of the class that are predicted as it.
    pub recall: f64,
    /// The harmonic mean of the two.
    pub f1: f64,
    /// The number of samples of the class; of all samples for a mean.
    pub support: u64,
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
    }

    /// scikit-learn's `precision_recall_fscore_support`, by tests/data/make_metrics.py.
    #[test]
    fn scores_agree_with_scikit_learn() {
        let truth: Vec<u32> = (0..60).map(|i| (i * i + i / 7) % 4).collect();
        let predicted: Vec<u32> = (0..60).map(|i| (i * i + i / 5) % 4).collect();
        // Class 4 is neither there nor predicted.
        let confusion = ConfusionMatrix::from_classes(&truth, &predicted, 5).unwrap();
        let close = |scores: Scores, expected: [f64; 3], support| {
            let got = [scores.precision, scores.recall, scores.f1];
            for (got, expected) in got.iter().zip(expected) {
                assert!((got - expected).abs() < 1e-15, "{got} {expected}");
            }
            assert_eq!(scores.support, support);
        };
        close(
            confusion.scores(0),
            [0.2222222222222222, 0.2222222222222222, 0.2222222222222222],
            18,
        );
        close(confusion.scores(1), [0.25, 0.21428571428571427, 0.23076923076923078], 14);
        close(confusion.scores(2), [0.16666666666666666, 0.1875, 0.17647058823529413], 16);
        close(confusion.scores(3), [0.0, 0.0, 0.0], 12);
        close(confusion.scores(4), [0.0, 0.0, 0.0], 0);
        close(
            confusion.macro_scores(),
            [0.12777777777777777, 0.1248015873015873, 0.12589240824534942],
            60,
        );
        close(
            confusion.weighted_scores(),
            [0.16944444444444443, 0.16666666666666666, 0.16757164404223227],
            60,
        );
    }
}
