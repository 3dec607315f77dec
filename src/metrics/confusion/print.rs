//! A confusion matrix as text.

use std::fmt;

use super::ConfusionMatrix;

/// Classes at most of a matrix that is printed whole: 20 columns of three digits and a blank fill a
/// terminal's 80.
const MAX_PRINTED: usize = 20;
/// Confusions that are printed of a larger matrix.
const PRINTED_CONFUSIONS: usize = 5;

/// One row per true class and one column per predicted class, with a dot for zero. For more than 20
/// classes only the number of correct samples and the most frequent confusions.
impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.n_classes > MAX_PRINTED {
            return self.print_summary(f);
        }
        let digits = |n: u64| n.checked_ilog10().unwrap_or(0) as usize + 1;
        let largest = self.counts.values().copied().max().unwrap_or(0);
        let width = digits(largest.max(self.n_classes as u64 - 1)) + 1;
        write!(f, "true \\ predicted\n{:width$}", "")?;
        for class in 0..self.n_classes {
            write!(f, "{class:width$}")?;
        }
        for truth in 0..self.n_classes {
            write!(f, "\n{truth:width$}")?;
            for predicted in 0..self.n_classes {
                match self.count(truth, predicted) {
                    0 => write!(f, "{:>width$}", "·")?,
                    count => write!(f, "{count:width$}")?,
                }
            }
        }
        Ok(())
    }
}

impl ConfusionMatrix {
    fn print_summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut wrong: Vec<_> = self.cells().filter(|(t, p, _)| t != p).collect();
        let n_wrong: u64 = wrong.iter().map(|(.., n)| n).sum();
        let (total, n_classes) = (self.total(), self.n_classes);
        write!(f, "{n_classes} classes: {} of {total} samples right", total - n_wrong)?;
        // Stable: equal counts stay in the order of their classes.
        wrong.sort_by_key(|&(.., n)| std::cmp::Reverse(n));
        for (truth, predicted, count) in wrong.iter().take(PRINTED_CONFUSIONS) {
            write!(f, "\n{truth} as {predicted}: {count}")?;
        }
        match wrong.len().saturating_sub(PRINTED_CONFUSIONS) {
            0 => Ok(()),
            more => write!(f, "\nand {more} other pairs of classes"),
        }
    }
}
