//! The targets of the samples.

use crate::error::{Error, Result};

/// The targets of a data set: one entry (or one row) per sample.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Targets {
    /// Classification: `labels[i] < n_classes`.
    Classes {
        /// One class a sample.
        labels: Vec<u32>,
        /// The number of classes, at least 2.
        n_classes: usize,
    },
    /// Regression: `n_outputs` values a sample, row-major.
    Values {
        /// `len x n_outputs` values.
        values: Vec<f32>,
        /// Values a sample, at least 1.
        n_outputs: usize,
    },
}

impl Targets {
    /// That there is one target for each of `len` samples, and that it is one.
    pub(super) fn check(&self, len: usize) -> Result<()> {
        match self {
            Targets::Classes { labels, n_classes } => {
                if *n_classes < 2 {
                    return Err(Error::value("targets: n_classes", "at least 2", n_classes));
                }
                if labels.len() != len {
                    let got = format!("{} labels", labels.len());
                    return Err(Error::shape("targets", format!("{len} labels, one per row"), got));
                }
                let outside =
                    |&label: &u32| usize::try_from(label).map_or(true, |l| l >= *n_classes);
                match labels.iter().position(outside) {
                    Some(row) => Err(Error::value(
                        format!("label in row {row}"),
                        format!("a class below {n_classes}"),
                        labels.get(row).map_or(String::new(), u32::to_string),
                    )),
                    None => Ok(()),
                }
            }
            Targets::Values { values, n_outputs } => {
                if *n_outputs == 0 {
                    return Err(Error::shape("targets: n_outputs", "at least 1", 0));
                }
                if len.checked_mul(*n_outputs) != Some(values.len()) {
                    let got = format!("{} values", values.len());
                    return Err(Error::shape(
                        "targets",
                        format!("{len} x {n_outputs} values"),
                        got,
                    ));
                }
                check_finite("target", values, *n_outputs)
            }
        }
    }
}

/// That every value is finite; the error names row and column.
pub(super) fn check_finite(what: &str, values: &[f32], width: usize) -> Result<()> {
    for (r, row) in values.chunks(width).enumerate() {
        if let Some((c, x)) = row.iter().enumerate().find(|(_, x)| !x.is_finite()) {
            let place = format!("{what} in row {r}, column {c}");
            return Err(Error::value(place, "a finite number", x));
        }
    }
    Ok(())
}
