//! Data sets of arrays of the crate `ndarray`.

use super::dataset::Dataset;
use super::targets::Targets;
use crate::error::Result;
use crate::storage::into_vec;
use ::ndarray::{Array1, Array2};

impl Dataset {
    /// A data set of an array of f32 features (feature `ndarray`), one row per sample; without a copy
    /// where the array is row-major without gaps.
    ///
    /// ```
    /// use deltarule::data::{Dataset, Targets};
    /// use ndarray::array;
    ///
    /// let x = array![[0., 0.], [0., 1.], [1., 0.], [1., 1.]];
    /// let xor = Dataset::from_ndarray(x, Targets::classes_from_ndarray(array![0, 1, 1, 0], 2))?;
    /// assert_eq!((xor.len(), xor.n_features()), (4, 2));
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Dataset::from_f32`].
    pub fn from_ndarray(features: Array2<f32>, targets: Targets) -> Result<Dataset> {
        let n_features = features.ncols();
        Dataset::from_f32(into_vec(features), n_features, targets)
    }
}

impl Targets {
    /// Class labels, one per sample (feature `ndarray`); without a copy where they are neighbours in
    /// memory. That they are below `n_classes` is checked by the [`Dataset`].
    #[must_use]
    pub fn classes_from_ndarray(labels: Array1<u32>, n_classes: usize) -> Targets {
        Targets::Classes { labels: into_vec(labels), n_classes }
    }

    /// The target values of a regression, `samples x outputs` (feature `ndarray`); without a copy where
    /// the array is row-major without gaps.
    #[must_use]
    pub fn values_from_ndarray(values: Array2<f32>) -> Targets {
        let n_outputs = values.ncols();
        Targets::Values { values: into_vec(values), n_outputs }
    }
}
