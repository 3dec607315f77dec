//! The counts of a confusion matrix in the text of a checkpoint: the number of classes, then
//! `TRUTH,PREDICTED,COUNT` for each pair of classes that occurred. Earlier versions wrote all K²
//! counts, row by row; these have no commas, and are still read.

use super::lines::{Reason, Words, count_of};
use crate::metrics::ConfusionMatrix;
use std::fmt::{self, Write};

/// Appends the words, each with a blank before it.
pub(super) fn write(out: &mut String, confusion: &ConfusionMatrix) -> fmt::Result {
    write!(out, " {}", confusion.n_classes())?;
    confusion.cells().try_for_each(|(truth, predicted, n)| write!(out, " {truth},{predicted},{n}"))
}

/// Reads the words to the end of the line.
pub(super) fn read(words: &mut Words) -> Reason<ConfusionMatrix> {
    let n_classes: usize = words.count()?;
    let is_sparse = words.peek().is_none_or(|word| word.contains(','));
    let mut cells = Vec::new();
    let mut n_words = 0usize;
    while !words.is_empty() {
        let word = words.word()?;
        if is_sparse {
            cells.push(cell(word)?);
        } else {
            let classes = n_words.checked_div(n_classes).zip(n_words.checked_rem(n_classes));
            let (truth, predicted) = classes.ok_or("counts of no classes")?;
            let class = |class: usize| u32::try_from(class).map_err(|_| "too many counts");
            match count_of(word)? {
                0 => {}
                n => cells.push((class(truth)?, class(predicted)?, n)),
            }
        }
        n_words += 1;
    }
    if !is_sparse && n_classes.checked_mul(n_classes) != Some(n_words) {
        return Err("counts that are no square".into());
    }
    // In the order in which they are written, or another text would mean the same.
    if !cells.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1)) {
        return Err("counts out of order".into());
    }
    ConfusionMatrix::from_cells(n_classes, cells).ok_or_else(|| "counts of no such classes".into())
}

fn cell(word: &str) -> Reason<(u32, u32, u64)> {
    let mut parts = word.split(',');
    let mut part = || parts.next().ok_or_else(|| format!("{word:?} is no cell"));
    let cell = (count_of(part()?)?, count_of(part()?)?, count_of(part()?)?);
    match parts.next() {
        None => Ok(cell),
        Some(_) => Err(format!("{word:?} is no cell")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Reason<ConfusionMatrix> {
        read(&mut Words::new(text.trim_start()))
    }

    #[test]
    fn what_was_written_is_read() {
        let some = ConfusionMatrix::from_classes(&[0, 1, 1, 19_999], &[0, 1, 0, 3], 20_000);
        for confusion in [some.unwrap(), ConfusionMatrix::new(2).unwrap()] {
            let mut text = String::new();
            write(&mut text, &confusion).unwrap();
            assert_eq!(parsed(&text).unwrap(), confusion, "{text}");
            assert!(text.len() < 60, "{text}");
        }
    }

    #[test]
    fn the_counts_of_earlier_versions_are_read() {
        let want = ConfusionMatrix::from_classes(&[0, 1, 1], &[0, 1, 0], 2).unwrap();
        assert_eq!(parsed("2 1 0 1 1").unwrap(), want);
        assert_eq!(parsed("2 0 0 0 0").unwrap(), ConfusionMatrix::new(2).unwrap());
        for bad in [
            "",
            "1",
            "2 1",
            "2 1 0 1",
            "2 1 0 1 1 0",
            "0 1",
            "2 1 0 1 1,1,1",
            "2 0,0,1 3",
            "2 0,0",
            "2 0,0,1,1",
            "2 0,2,1",
            "2 0,0,0",
            "2 0,0,1 0,0,1",
            "2 1,0,1 0,0,1",
            "2 0,,1",
            "1099511627776 0,0,1",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
