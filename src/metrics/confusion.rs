//! The confusion matrix and the scores that follow from it.

mod print;
#[cfg(feature = "serde")]
mod record;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pairs::check_pairs;
use crate::error::{Error, Result};

/// The number of samples of each true class (row) that were predicted as each class (column).
///
/// Only pairs that occurred take memory, at most one per sample, so any number of classes can be
/// counted. Clones share their memory until one of them counts more samples.
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
    /// The counts that are not 0, by true class and then predicted class.
    counts: Arc<BTreeMap<(u32, u32), u64>>,
    n_classes: usize,
}

/// Classes are u32.
const MAX_CLASSES: u64 = 1 << 32;

impl ConfusionMatrix {
    /// A matrix without counts.
    ///
    /// # Errors
    /// [`Error::Value`] when `n_classes` is less than 2 or more than 2^32.
    pub fn new(n_classes: usize) -> Result<Self> {
        if n_classes < 2 || n_classes as u64 > MAX_CLASSES {
            return Err(Error::value("confusion matrix", "2 to 2^32 classes", n_classes));
        }
        Ok(ConfusionMatrix { counts: Arc::default(), n_classes })
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

    /// A matrix of these counts; `None` if a class is not below `n_classes`, a count is 0, or a pair
    /// of classes occurs twice.
    pub(crate) fn from_cells(
        n_classes: usize,
        cells: impl IntoIterator<Item = (u32, u32, u64)>,
    ) -> Option<Self> {
        let mut matrix = ConfusionMatrix::new(n_classes).ok()?;
        let counts = Arc::make_mut(&mut matrix.counts);
        for (truth, predicted, count) in cells {
            let is_outside = truth.max(predicted) as usize >= n_classes;
            if is_outside || count == 0 || counts.insert((truth, predicted), count).is_some() {
                return None;
            }
        }
        Some(matrix)
    }

    /// The pairs of classes that occurred, by true class and then predicted class, and how often:
    /// `(truth, predicted, count)`.
    pub fn cells(&self) -> impl Iterator<Item = (u32, u32, u64)> + '_ {
        self.counts.iter().map(|(&(truth, predicted), &count)| (truth, predicted, count))
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
        let counts = Arc::make_mut(&mut self.counts);
        *counts.entry((truth, predicted)).or_default() += 1;
        Ok(())
    }

    /// The number of classes.
    #[must_use]
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// The number of samples of class `truth` that were predicted as `predicted`; 0 for classes that
    /// do not exist.
    #[must_use]
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        let pair = u32::try_from(truth).ok().zip(u32::try_from(predicted).ok());
        pair.and_then(|pair| self.counts.get(&pair)).copied().unwrap_or(0)
    }

    /// The number of samples.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The share of samples on the diagonal; NaN when nothing was counted.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        let right: u64 = self.cells().filter(|(t, p, _)| t == p).map(|(_, _, n)| n).sum();
        right as f64 / self.total() as f64
    }

    /// Precision, recall and F1 of one class against the others. A score of 0/0 is 0, also for a class
    /// that does not exist.
    #[must_use]
    pub fn scores(&self, class: usize) -> Scores {
        let tally = u32::try_from(class).ok().and_then(|class| self.tallies().remove(&class));
        tally.unwrap_or_default().scores()
    }

    /// The mean of the scores of the classes that occur, as truth or as prediction, each counting
    /// the same. Scores of 0/0 are 0 and all are 0 when nothing was counted, as in scikit-learn
    /// with `zero_division=0`.
    #[must_use]
    pub fn macro_scores(&self) -> Scores {
        self.mean_scores(|_| 1.0)
    }

    /// The mean of the scores of all classes, each class counting as often as it is true.
    #[must_use]
    pub fn weighted_scores(&self) -> Scores {
        self.mean_scores(|scores| scores.support as f64)
    }

    /// The mean recall of the classes that occur as truth; NaN when nothing was counted.
    /// scikit-learn's `balanced_accuracy_score`.
    #[must_use]
    pub fn balanced_accuracy(&self) -> f64 {
        let tallies = self.tallies();
        let recalls = || tallies.values().filter(|tally| tally.support > 0);
        let sum: f64 = recalls().map(|tally| tally.scores().recall).sum();
        sum / recalls().count() as f64
    }

    fn mean_scores(&self, weight: impl Fn(&Scores) -> f64) -> Scores {
        let mut mean = Scores { precision: 0.0, recall: 0.0, f1: 0.0, support: self.total() };
        let tallies = self.tallies();
        let all = || tallies.values().map(Tally::scores);
        let total: f64 = all().map(|scores| weight(&scores)).sum();
        for scores in all().filter(|_| total > 0.0) {
            let share = weight(&scores) / total;
            mean.precision += share * scores.precision;
            mean.recall += share * scores.recall;
            mean.f1 += share * scores.f1;
        }
        mean
    }

    /// The tally of each class that occurs.
    fn tallies(&self) -> BTreeMap<u32, Tally> {
        let mut tallies: BTreeMap<u32, Tally> = BTreeMap::new();
        for (truth, predicted, count) in self.cells() {
            tallies.entry(truth).or_default().support += count;
            tallies.entry(predicted).or_default().predicted += count;
            if truth == predicted {
                tallies.entry(truth).or_default().right += count;
            }
        }
        tallies
    }
}

/// The sums of one class: samples of it, predictions of it, and both at once.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    support: u64,
    predicted: u64,
    right: u64,
}

impl Tally {
    fn scores(&self) -> Scores {
        let Tally { support, predicted, right } = *self;
        let share =
            |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        Scores {
            precision: share(right, predicted),
            recall: share(right, support),
            f1: share(2 * right, predicted + support),
            support,
        }
    }
}

/// The scores of one class against the others, or their means over classes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confusion_counts_truth_by_prediction() {
        let truth = [0, 1, 2, 2, 2, 0];
        let predicted = [0, 2, 2, 2, 0, 0];
        let confusion = ConfusionMatrix::from_classes(&truth, &predicted, 3).unwrap();
        let rows = [0, 1, 2].map(|t| [0, 1, 2].map(|p| confusion.count(t, p)));
        assert_eq!(rows, [[2, 0, 0], [0, 0, 1], [1, 0, 2]]);
        assert!(confusion.cells().eq([(0, 0, 2), (1, 2, 1), (2, 0, 1), (2, 2, 2)]));
        let again = ConfusionMatrix::from_cells(3, confusion.cells()).unwrap();
        assert_eq!(again, confusion);
        for cells in [[(0, 3, 1), (0, 0, 1)], [(0, 1, 1), (0, 1, 1)], [(0, 1, 0), (0, 0, 1)]] {
            assert!(ConfusionMatrix::from_cells(3, cells).is_none(), "{cells:?}");
        }
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
        refused(&[0], &[0, 1], 2, "predicted: expected 1 values, one per sample, got 2");
        refused(&[], &[], 2, "truth: expected at least 1 sample, got 0 samples");
        assert!(ConfusionMatrix::new(1).is_err());
        assert!(ConfusionMatrix::new(usize::MAX).is_err());
    }

    /// scikit-learn's `precision_recall_fscore_support`, by tests/data/make_metrics.py.
    #[test]
    fn scores_agree_with_scikit_learn() {
        let truth: Vec<u32> = (0..60).map(|i| (i * i + i / 7) % 4).collect();
        let predicted: Vec<u32> = (0..60).map(|i| (i * i + i / 5) % 4).collect();
        // Class 4 is neither there nor predicted: it has no part in the means.
        let confusion = ConfusionMatrix::from_classes(&truth, &predicted, 5).unwrap();
        let macros = [0.1597222222222222, 0.15600198412698413, 0.15736551030668678];
        let weighted = [0.16944444444444443, 0.16666666666666666, 0.16757164404223227];
        for (scores, expected, support) in [
            (confusion.scores(0), [0.2222222222222222; 3], 18),
            (confusion.scores(1), [0.25, 0.21428571428571427, 0.23076923076923078], 14),
            (confusion.scores(2), [0.16666666666666666, 0.1875, 0.17647058823529413], 16),
            (confusion.scores(3), [0.0; 3], 12),
            (confusion.scores(4), [0.0; 3], 0),
            (confusion.macro_scores(), macros, 60),
            (confusion.weighted_scores(), weighted, 60),
        ] {
            let got = [scores.precision, scores.recall, scores.f1];
            for (got, expected) in got.iter().zip(expected) {
                assert!((got - expected).abs() < 1e-15, "{got} {expected}");
            }
            assert_eq!(scores.support, support);
        }
        assert!((confusion.balanced_accuracy() - 0.15600198412698413).abs() < 1e-15);
    }

    /// scikit-learn's `precision_recall_fscore_support(average="macro", zero_division=0)` and
    /// `balanced_accuracy_score`, by tests/data/make_metrics.py.
    #[test]
    fn classes_that_do_not_occur_have_no_part_in_means() {
        let check = |truth: &[u32], predicted: &[u32], macros: [f64; 3], balanced: f64| {
            let confusion = ConfusionMatrix::from_classes(truth, predicted, 9).unwrap();
            let Scores { precision, recall, f1, .. } = confusion.macro_scores();
            let got = [precision, recall, f1, confusion.balanced_accuracy()];
            for (got, expected) in got.iter().zip(macros.into_iter().chain([balanced])) {
                assert!((got - expected).abs() < 1e-15, "{got} {expected}");
            }
        };
        let truth = [1, 2, 3, 5, 6, 7, 7, 5, 3, 1];
        check(&truth, &truth, [1.0; 3], 1.0);
        // Class 8 is predicted and never true: it counts in the macro means only.
        let predicted = [1, 2, 3, 5, 8, 7, 6, 5, 1, 1];
        check(
            &truth,
            &predicted,
            [0.6666666666666666, 0.5714285714285714, 0.5904761904761905],
            0.6666666666666666,
        );
        let nothing = ConfusionMatrix::new(3).unwrap();
        assert_eq!(nothing.macro_scores().f1, 0.0);
        assert!(nothing.balanced_accuracy().is_nan() && nothing.accuracy().is_nan());
    }

    #[test]
    fn many_classes_cost_what_occurs_and_print_in_a_few_lines() {
        let n = 1 << 20;
        let truth: Vec<u32> = (0..2000).map(|i| i * 500).collect();
        let mut predicted = truth.clone();
        (predicted[3], predicted[5], predicted[7]) = (7, 7, 1);
        let mut confusion = ConfusionMatrix::from_classes(&truth, &predicted, n).unwrap();
        confusion.add(2500, 7).unwrap();
        assert_eq!(confusion.cells().count(), 2000);
        let text = "1048576 classes: 1997 of 2001 samples right\n2500 as 7: 2\n\
                    1500 as 7: 1\n3500 as 1: 1";
        assert_eq!(confusion.to_string(), text);
        let other: Vec<u32> = predicted.iter().map(|p| (p + 1) % 1000).collect();
        let confusion = ConfusionMatrix::from_classes(&truth, &other, n).unwrap();
        assert!(confusion.to_string().lines().count() <= 7, "{confusion}");
    }
}
