//! The check that every metric of true and predicted values begins with.

use crate::error::{Error, Result};

/// Refuses slices that are empty or differ in length.
pub(super) fn check_pairs(truth: usize, predicted: usize) -> Result<()> {
    match truth {
        0 => Err(Error::shape("truth", "at least 1 sample", "0 samples")),
        n if n != predicted => {
            Err(Error::shape("predicted", format!("{n} values, one per sample"), predicted))
        }
        _ => Ok(()),
    }
}
