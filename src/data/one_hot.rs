//! Class labels as rows of zeros with a single one.

use crate::{Error, Matrix, Result};

/// A matrix of `labels.len() x n_classes` with a 1 in the column of each row's label.
///
/// ```
/// let rows = deltarule::data::one_hot(&[2, 0], 3)?;
/// assert_eq!(rows.as_slice(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
/// # Ok::<(), deltarule::Error>(())
/// ```
///
/// # Errors
/// [`Error::Value`] when a label is not below `n_classes`; [`Error::Shape`] when the matrix would
/// not fit in memory.
pub fn one_hot(labels: &[u32], n_classes: usize) -> Result<Matrix> {
    let outside = |&label: &u32| label as usize >= n_classes;
    if let Some(row) = labels.iter().position(outside) {
        let expected = format!("a class below {n_classes}");
        return Err(Error::value(format!("label in row {row}"), expected, labels[row]));
    }
    let cells = labels.len().checked_mul(n_classes);
    if cells.is_none_or(|n| n > isize::MAX as usize / size_of::<f32>()) {
        let got = format!("{} x {n_classes} values", labels.len());
        return Err(Error::shape("one_hot", "a matrix that fits in memory", got));
    }
    let mut rows = Matrix::zeros(labels.len(), n_classes);
    for (i, &label) in labels.iter().enumerate() {
        rows.view_mut().row_mut(i)[label as usize] = 1.0;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_labels_are_named() {
        let error = one_hot(&[0, 3], 3).unwrap_err().to_string();
        assert_eq!(error, "label in row 1: expected a class below 3, got 3");
        assert!(one_hot(&[0, 0], usize::MAX).is_err());
        assert_eq!(one_hot(&[], 3).unwrap().rows(), 0);
    }
}
