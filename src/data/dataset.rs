//! Samples in memory, or in a mapped file: features, one row per sample, and the targets of each.

mod select;

use super::buffer::Buffer;
use super::targets::{Targets, check_finite, row};
use crate::error::{Error, Result};
use crate::storage::Matrix;
use crate::text::Values;
use std::fmt;
use std::sync::Arc;

/// Samples: `len() x n_features()` features, and the targets of each row.
///
/// Features are f32, or bytes that are scaled as they are read (a quarter of the memory). Every
/// `Dataset` is well-formed: at least one and fewer than 2^32 rows, at least one feature, every number
/// finite, every label below the number of classes.
///
/// Values are shared: a clone, the parts of [`Dataset::split_at`] and the set of
/// [`Dataset::with_targets`] copy no feature, and the features stay in memory while one of them
/// exists. [`Dataset::select`] copies.
///
/// ```
/// use deltarule::data::{Dataset, Targets};
/// let labels = Targets::Classes { labels: vec![0, 1, 1, 0], n_classes: 2 };
/// let xor = Dataset::from_f32(vec![0., 0., 0., 1., 1., 0., 1., 1.], 2, labels)?;
/// assert_eq!((xor.len(), xor.n_features()), (4, 2));
/// # Ok::<(), deltarule::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    features: Store,
    n_features: usize,
    len: usize,
    targets: Arc<Targets>,
}

/// The stored features, row-major, `len x n_features`.
#[derive(Clone, Copy, PartialEq)]
pub enum Features<'a> {
    /// Bytes; the value of a byte is `byte * scale + shift` in one rounding (`f32::mul_add`).
    U8 {
        /// `len x n_features` bytes.
        data: &'a [u8],
        /// The factor of a byte.
        scale: f32,
        /// The summand of the product.
        shift: f32,
    },
    /// The values themselves.
    F32(&'a [f32]),
}

/// Up to 100 values are listed; of more their number is written.
impl fmt::Debug for Features<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Features::U8 { data, scale, shift } => {
                let mut text = f.debug_struct("U8");
                text.field("data", &Values(data)).field("scale", scale);
                text.field("shift", shift).finish()
            }
            Features::F32(values) => f.debug_tuple("F32").field(&Values(values)).finish(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Store {
    U8 { data: Buffer<u8>, scale: f32, shift: f32 },
    F32(Buffer<f32>),
}

impl Dataset {
    /// A data set of f32 features, `n_features` per row.
    ///
    /// # Errors
    /// [`Error::Shape`] when there are no rows or no features, when `features` is not whole rows,
    /// or when the targets are not one per row; [`Error::Value`] when a feature or target is not
    /// finite or a label is not below the number of classes.
    pub fn from_f32(features: Vec<f32>, n_features: usize, targets: Targets) -> Result<Self> {
        Dataset::of_f32(features.into(), n_features, targets.into())
    }

    pub(crate) fn of_f32(
        features: Buffer<f32>,
        n_features: usize,
        targets: Arc<Targets>,
    ) -> Result<Self> {
        let len = rows(features.len(), n_features)?;
        check_finite("feature", &features, n_features)?;
        targets.check(len)?;
        Ok(Dataset { features: Store::F32(features), n_features, len, targets })
    }

    /// A data set of byte features, `n_features` per row, read as `byte / 255` until
    /// [`Dataset::with_scale`].
    ///
    /// # Errors
    /// As [`Dataset::from_f32`].
    pub fn from_u8(features: Vec<u8>, n_features: usize, targets: Targets) -> Result<Self> {
        Dataset::of_bytes(features.into(), n_features, targets)
    }

    pub(crate) fn of_bytes(data: Buffer<u8>, n_features: usize, targets: Targets) -> Result<Self> {
        let len = rows(data.len(), n_features)?;
        targets.check(len)?;
        let features = Store::U8 { data, scale: 1.0 / 255.0, shift: 0.0 };
        Ok(Dataset { features, n_features, len, targets: targets.into() })
    }

    /// Reads each byte as `byte * scale + shift`.
    ///
    /// # Errors
    /// [`Error::Config`] when the features are not bytes, or when a byte's value would not be
    /// finite.
    pub fn with_scale(mut self, new_scale: f32, new_shift: f32) -> Result<Self> {
        match &mut self.features {
            Store::F32(_) => {
                Err(Error::config("with_scale", "only byte features are scaled as they are read"))
            }
            Store::U8 { scale, shift, .. } => {
                let largest = 255.0f32.mul_add(new_scale, new_shift);
                if !(new_scale.is_finite() && new_shift.is_finite() && largest.is_finite()) {
                    let reason = format!("byte * {new_scale} + {new_shift} is not always finite");
                    return Err(Error::config("with_scale", reason));
                }
                (*scale, *shift) = (new_scale, new_shift);
                Ok(self)
            }
        }
    }

    /// The number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Always false: a data set without samples cannot be made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of features per sample.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// The stored features.
    #[must_use]
    pub fn features(&self) -> Features<'_> {
        match &self.features {
            Store::U8 { data, scale, shift } => Features::U8 { data, scale: *scale, shift: *shift },
            Store::F32(data) => Features::F32(data),
        }
    }

    /// The targets.
    #[must_use]
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The targets, to share.
    pub(super) fn shared_targets(&self) -> Arc<Targets> {
        self.targets.clone()
    }

    /// The same features, shared, with other targets.
    ///
    /// # Errors
    /// As [`Dataset::from_f32`], for the targets.
    pub fn with_targets(&self, targets: Targets) -> Result<Dataset> {
        targets.check(self.len)?;
        Ok(Dataset { features: self.features.clone(), targets: targets.into(), ..*self })
    }

    /// Writes the features of sample `i` into `out`, scaled.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is no sample `i` or `out` is not `n_features` long.
    pub fn row_into(&self, i: usize, out: &mut [f32]) -> Result<()> {
        if out.len() != self.n_features {
            return Err(Error::shape("row_into: out", self.n_features, out.len()));
        }
        match self.features() {
            Features::U8 { data, scale, shift } => {
                scale_bytes(row(data, self.n_features, i)?, scale, shift, out);
            }
            Features::F32(data) => out.copy_from_slice(row(data, self.n_features, i)?),
        }
        Ok(())
    }

    /// All features as f32, `len x n_features`.
    ///
    /// # Panics
    /// When they do not fit in memory, four times the size of bytes.
    #[must_use]
    pub fn matrix(&self) -> Matrix {
        let mut matrix = Matrix::zeros(self.len, self.n_features);
        match self.features() {
            Features::U8 { data, scale, shift } => {
                scale_bytes(data, scale, shift, matrix.as_mut_slice());
            }
            Features::F32(data) => matrix.as_mut_slice().copy_from_slice(data),
        }
        matrix
    }
}

fn scale_bytes(bytes: &[u8], scale: f32, shift: f32, out: &mut [f32]) {
    for (x, &byte) in out.iter_mut().zip(bytes) {
        *x = f32::from(byte).mul_add(scale, shift);
    }
}

/// Rows in `n_values` values, `n_features` per row.
fn rows(n_values: usize, n_features: usize) -> Result<usize> {
    let Some(rows) = n_values.checked_div(n_features) else {
        return Err(Error::shape("features", "at least 1 feature a row", 0));
    };
    if !n_values.is_multiple_of(n_features) {
        let expected = format!("whole rows of {n_features} features");
        return Err(Error::shape("features", expected, format!("{n_values} values")));
    }
    check_len(rows)?;
    Ok(rows)
}

/// Checks that a u32 can count the rows: orders are u32, which halves their memory traffic.
fn check_len(len: usize) -> Result<()> {
    match u32::try_from(len) {
        Ok(0) => Err(Error::shape("data set", "at least 1 row", "0 rows")),
        Ok(_) => Ok(()),
        Err(_) => {
            Err(Error::shape("data set", format!("at most {} rows", u32::MAX), format!("{len}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(labels: &[u32]) -> Targets {
        Targets::Classes { labels: labels.to_vec(), n_classes: 3 }
    }

    fn refused(made: Result<Dataset>, text: &str) {
        assert_eq!(made.unwrap_err().to_string(), text);
    }

    #[test]
    fn malformed_sets_are_refused_at_the_door() {
        let f32s = |v: &[f32], n, t| Dataset::from_f32(v.to_vec(), n, t);
        refused(f32s(&[], 2, classes(&[])), "data set: expected at least 1 row, got 0 rows");
        refused(
            f32s(&[1.0], 0, classes(&[0])),
            "features: expected at least 1 feature a row, got 0",
        );
        refused(
            f32s(&[1.0; 3], 2, classes(&[0])),
            "features: expected whole rows of 2 features, got 3 values",
        );
        refused(
            f32s(&[0.0, 1.0, 2.0, f32::NAN], 2, classes(&[0, 1])),
            "feature in row 1, column 1: expected a finite number, got NaN",
        );
        refused(
            f32s(&[f32::NEG_INFINITY], 1, classes(&[0])),
            "feature in row 0, column 0: expected a finite number, got -inf",
        );
        refused(
            f32s(&[0.0; 2], 1, classes(&[0])),
            "targets: expected 2 labels, one per row, got 1 labels",
        );
        refused(
            f32s(&[0.0; 2], 1, classes(&[0, 3])),
            "label in row 1: expected a class below 3, got 3",
        );
        refused(
            f32s(&[0.0], 1, Targets::Classes { labels: vec![0], n_classes: 1 }),
            "targets: n_classes: expected at least 2, got 1",
        );
        let values =
            |values: &[f32], n_outputs| Targets::Values { values: values.to_vec(), n_outputs };
        refused(f32s(&[0.0], 1, values(&[], 0)), "targets: n_outputs: expected at least 1, got 0");
        refused(
            f32s(&[0.0; 2], 1, values(&[0.0; 3], 2)),
            "targets: expected 2 x 2 values, got 3 values",
        );
        refused(
            f32s(&[0.0; 2], 1, values(&[0.0, 0.0, 0.0, f32::INFINITY], 2)),
            "target in row 1, column 1: expected a finite number, got inf",
        );
        assert!(Dataset::from_u8(vec![1; 5], 2, classes(&[0, 1])).is_err());
        assert!(Dataset::from_u8(vec![1; 4], 2, values(&[0.0; 3], usize::MAX)).is_err());
    }

    #[test]
    fn bytes_are_scaled_in_one_rounding() {
        let bytes = Dataset::from_u8((0..=255).collect(), 2, classes(&[0; 128])).unwrap();
        let unit = bytes.matrix();
        assert_eq!(unit.as_slice()[255], 1.0);
        let bytes = bytes.with_scale(0.3, -0.1).unwrap();
        let mut row = [0.0; 2];
        for i in 0..128 {
            bytes.row_into(i, &mut row).unwrap();
            let exact = |b: usize| (b as f64 * f64::from(0.3f32) + f64::from(-0.1f32)) as f32;
            assert_eq!(row, [exact(2 * i), exact(2 * i + 1)]);
            assert_eq!(row, bytes.matrix().row(i));
        }
        assert!(bytes.row_into(128, &mut row).is_err());
        assert!(bytes.row_into(usize::MAX, &mut row).is_err());
        assert!(bytes.row_into(0, &mut [0.0; 3]).is_err());
        assert!(bytes.clone().with_scale(f32::MAX, 0.0).is_err());
        assert!(bytes.with_scale(0.0, f32::NAN).is_err());
    }
}
