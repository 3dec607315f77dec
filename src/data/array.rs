//! Conversion of arrays to features and targets.

use super::dataset::Dataset;
use super::targets::Targets;
use crate::error::{Error, Result};
use crate::format::{Array, ArrayData};

impl Array {
    /// A data set with one sample per first index, whose features are the other dimensions. Bytes are
    /// read as `byte / 255` (see [`Dataset::with_scale`]); truth values become bytes read as 0 and 1,
    /// other types f32.
    ///
    /// # Errors
    /// [`Error::Shape`] when the shape is not that of the values; else as [`Dataset::from_f32`].
    pub fn into_dataset(self, targets: Targets) -> Result<Dataset> {
        let (_, n_features) = self.rows_by_columns("features")?;
        match self.data {
            ArrayData::U8(bytes) => Dataset::from_u8(bytes, n_features, targets),
            ArrayData::Bool(values) => {
                let bytes = values.into_iter().map(u8::from).collect();
                Dataset::from_u8(bytes, n_features, targets)?.with_scale(1.0, 0.0)
            }
            other => Dataset::from_f32(other.into_f32(), n_features, targets),
        }
    }

    /// Class labels: an array of integers or truth values (false is class 0, true is class 1) of
    /// shape `[n]` or `[n, 1]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for another shape, [`Error::Value`] for floats or a label that is negative
    /// or beyond u32. That labels are below `n_classes` is checked by the [`Dataset`].
    pub fn into_classes(self, n_classes: usize) -> Result<Targets> {
        let (_, 1) = self.rows_by_columns("labels")? else {
            return Err(Error::shape("labels", "one per sample", format!("{:?}", self.shape)));
        };
        Ok(Targets::Classes { labels: self.data.into_labels()?, n_classes })
    }

    /// Regression targets: an array of shape `[n]` or `[n, outputs]`, as f32.
    ///
    /// # Errors
    /// [`Error::Shape`] for another shape.
    pub fn into_values(self) -> Result<Targets> {
        let (_, n_outputs) = self.rows_by_columns("targets")?;
        Ok(Targets::Values { values: self.data.into_f32(), n_outputs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Features;

    fn array(shape: &[usize], data: ArrayData) -> Array {
        Array { shape: shape.to_vec(), data }
    }

    #[test]
    fn arrays_become_features_and_targets() {
        let labels = array(&[2, 1], ArrayData::U64(vec![1, 0])).into_classes(2).unwrap();
        assert_eq!(labels, Targets::Classes { labels: vec![1, 0], n_classes: 2 });
        let doubles = array(&[2, 2], ArrayData::F64(vec![0.1, 1e-50, 3.0, -4.0]));
        let set = doubles.into_dataset(labels.clone()).unwrap();
        assert_eq!(set.features(), Features::F32(&[0.1, 0.0, 3.0, -4.0]));
        let set = array(&[2], ArrayData::U8(vec![7, 8])).into_dataset(labels).unwrap();
        assert!(matches!(set.features(), Features::U8 { data: [7, 8], .. }));
        let truth = || array(&[2, 2], ArrayData::Bool(vec![true, false, false, true]));
        let set = truth().into_dataset(Targets::Classes { labels: vec![0, 1], n_classes: 2 });
        assert_eq!(set.unwrap().matrix().as_slice(), [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(truth().data.into_f32(), [1.0, 0.0, 0.0, 1.0]);
        let labels = array(&[2], ArrayData::Bool(vec![true, false])).into_classes(2).unwrap();
        assert_eq!(labels, Targets::Classes { labels: vec![1, 0], n_classes: 2 });
        let values = array(&[1, 2], ArrayData::I16(vec![-3, 5])).into_values().unwrap();
        assert_eq!(values, Targets::Values { values: vec![-3.0, 5.0], n_outputs: 2 });
    }

    #[test]
    fn wrong_shapes_and_labels_are_named() {
        let text = |result: Result<Targets>| result.unwrap_err().to_string();
        let classes = |shape, data| text(array(shape, data).into_classes(9));
        assert_eq!(
            classes(&[2], ArrayData::I8(vec![0, -1])),
            "label in row 1: expected a class number, got -1"
        );
        assert_eq!(
            classes(&[1], ArrayData::U64(vec![1 << 40])),
            "label in row 0: expected a class number, got 1099511627776"
        );
        assert_eq!(classes(&[1], ArrayData::F32(vec![1.0])), "labels: expected integers, got f32");
        assert_eq!(
            classes(&[1, 2], ArrayData::U8(vec![0, 0])),
            "labels: expected one per sample, got [1, 2]"
        );
        for shape in [&[3][..], &[], &[usize::MAX, usize::MAX], &[2, usize::MAX, 2]] {
            assert!(array(shape, ArrayData::U8(vec![0; 2])).into_values().is_err());
        }
    }
}
