//! The targets of the samples.

use crate::error::{Error, Result};
use crate::format::with_room;
use crate::text::Values;
use std::fmt;

/// The targets of a data set: one entry (or one row) per sample.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Targets {
    /// Classification: `labels[i] < n_classes`.
    Classes {
        /// One class per sample.
        labels: Vec<u32>,
        /// The number of classes, at least 2.
        n_classes: usize,
    },
    /// Regression: `n_outputs` values per sample, row-major.
    Values {
        /// `len x n_outputs` values.
        values: Vec<f32>,
        /// Values per sample, at least 1.
        n_outputs: usize,
    },
}

/// Up to 100 values are listed; of more their number is written.
impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Targets::Classes { labels, n_classes } => {
                let mut text = f.debug_struct("Classes");
                text.field("labels", &Values(labels)).field("n_classes", n_classes).finish()
            }
            Targets::Values { values, n_outputs } => {
                let mut text = f.debug_struct("Values");
                text.field("values", &Values(values)).field("n_outputs", n_outputs).finish()
            }
        }
    }
}

impl Targets {
    /// The number of samples.
    pub(super) fn len(&self) -> usize {
        match self {
            Targets::Classes { labels, .. } => labels.len(),
            Targets::Values { values, n_outputs } => {
                values.len().checked_div(*n_outputs).unwrap_or(0)
            }
        }
    }

    /// The targets of the samples of `indices`, in that order.
    pub(super) fn select(&self, indices: impl ExactSizeIterator<Item = usize>) -> Result<Targets> {
        Ok(match self {
            Targets::Classes { labels, n_classes } => {
                Targets::Classes { labels: select_rows(labels, 1, indices)?, n_classes: *n_classes }
            }
            Targets::Values { values, n_outputs } => Targets::Values {
                values: select_rows(values, *n_outputs, indices)?,
                n_outputs: *n_outputs,
            },
        })
    }

    /// Checks that there is one valid target per sample, for `len` samples.
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
                check_labels(labels, *n_classes)
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

/// Row `i` of `data`, whose rows have `width` values.
pub(super) fn row<T>(data: &[T], width: usize, i: usize) -> Result<&[T]> {
    let found = i.checked_mul(width).and_then(|start| data.get(start..)?.get(..width));
    found.ok_or_else(|| {
        let rows = data.len().checked_div(width).unwrap_or(0);
        Error::shape("sample", format!("an index below {rows}"), i)
    })
}

/// The rows of `indices`, in that order.
pub(super) fn select_rows<T: Copy>(
    data: &[T],
    width: usize,
    indices: impl ExactSizeIterator<Item = usize>,
) -> Result<Vec<T>> {
    let n = indices.len();
    let mut rows = with_room(n.saturating_mul(width), format_args!("{n} x {width} values"))?;
    for i in indices {
        rows.extend_from_slice(row(data, width, i)?);
    }
    Ok(rows)
}

/// Checks that every label is below `n_classes`; the error names the row.
pub(super) fn check_labels(labels: &[u32], n_classes: usize) -> Result<()> {
    let is_outside = |label: u32| usize::try_from(label).map_or(true, |l| l >= n_classes);
    match labels.iter().enumerate().find(|(_, label)| is_outside(**label)) {
        Some((row, label)) => {
            let expected = format!("a class below {n_classes}");
            Err(Error::value(format!("label in row {row}"), expected, label))
        }
        None => Ok(()),
    }
}

/// Checks that every value is finite; the error names row and column.
pub(super) fn check_finite(what: &str, values: &[f32], width: usize) -> Result<()> {
    for (r, row) in values.chunks(width).enumerate() {
        if let Some((c, x)) = row.iter().enumerate().find(|(_, x)| !x.is_finite()) {
            let place = format!("{what} in row {r}, column {c}");
            return Err(Error::value(place, "a finite number", x));
        }
    }
    Ok(())
}
