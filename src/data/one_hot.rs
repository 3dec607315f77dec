//! Class labels as rows of zeros with a single one.

use super::targets::check_labels;
use crate::error::Result;
use crate::storage::Matrix;

/// A matrix of `labels.len() x n_classes` with a 1 in the column of each row's label.
///
/// ```
/// let rows = deltarule::data::one_hot(&[2, 0], 3)?;
/// assert_eq!(rows.as_slice(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
/// # Ok::<(), deltarule::Error>(())
/// ```
///
/// # Errors
/// [`Error::Value`](crate::Error::Value) when a label is not below `n_classes`; [`Error::Memory`](crate::Error::Memory) when the matrix would
/// not fit in memory.
pub fn one_hot(labels: &[u32], n_classes: usize) -> Result<Matrix> {
    check_labels(labels, n_classes)?;
    let mut rows = Matrix::try_zeros(labels.len(), n_classes)?;
    for (i, &label) in labels.iter().enumerate() {
        if let Some(cell) = rows.view_mut().row_mut(i).get_mut(label as usize) {
            *cell = 1.0;
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn bad_labels_are_named() {
        let error = one_hot(&[0, 3], 3).unwrap_err().to_string();
        assert_eq!(error, "label in row 1: expected a class below 3, got 3");
        for n_classes in [usize::MAX, usize::MAX / 2, 1 << 45] {
            assert!(matches!(one_hot(&[0, 0], n_classes), Err(Error::Memory { .. })));
        }
        assert_eq!(one_hot(&[], 3).unwrap().rows(), 0);
    }
}
