//! What the array files (IDX, NPY) hold, and how it becomes features or targets.

use super::dataset::Dataset;
use super::targets::Targets;
use crate::error::{Error, Result};

/// An array of any shape, row-major (the last index runs fastest).
///
/// ```
/// use deltarule::data::{Array, ArrayData};
/// let x = Array { shape: vec![2, 1, 3], data: ArrayData::U8(vec![0, 1, 2, 3, 4, 5]) };
/// let y = Array { shape: vec![2], data: ArrayData::I64(vec![1, 0]) };
/// let samples = x.into_dataset(y.into_classes(2)?)?;
/// assert_eq!((samples.len(), samples.n_features()), (2, 3));
/// # Ok::<(), deltarule::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The sizes, slowest first: for images `[count, rows, columns]`.
    pub shape: Vec<usize>,
    /// The values: as many as the product of `shape`.
    pub data: ArrayData,
}

/// The values of an [`Array`] in their own type.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names say it")]
pub enum ArrayData {
    Bool(Vec<bool>),
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// `$body` for the vector of every variant.
macro_rules! each {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            ArrayData::Bool($values) => $body,
            ArrayData::U8($values) => $body,
            ArrayData::I8($values) => $body,
            ArrayData::U16($values) => $body,
            ArrayData::I16($values) => $body,
            ArrayData::U32($values) => $body,
            ArrayData::I32($values) => $body,
            ArrayData::U64($values) => $body,
            ArrayData::I64($values) => $body,
            ArrayData::F32($values) => $body,
            ArrayData::F64($values) => $body,
        }
    };
}

impl ArrayData {
    /// The number of values.
    pub fn len(&self) -> usize {
        each!(self, values => values.len())
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the type, as Rust spells it.
    pub fn type_name(&self) -> &'static str {
        fn name<T>(_: &[T]) -> &'static str {
            std::any::type_name::<T>()
        }
        each!(self, values => name(values))
    }

    /// The values as f32: f64 and integers that f32 cannot hold are rounded to nearest; false is 0
    /// and true is 1.
    pub fn into_f32(self) -> Vec<f32> {
        match self {
            ArrayData::F32(values) => values,
            other => each!(other, values => values.into_iter().map(Number::to_f32).collect()),
        }
    }
}

/// What every type of values becomes.
trait Number: Copy {
    fn to_f32(self) -> f32;
    /// The value of a whole number or of a truth value; i128 holds all of them.
    fn to_class(self) -> i128;
}

/// Implements [`Number`] by `as`.
macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Number for $type {
            #[allow(clippy::unnecessary_cast, reason = "f32 is one of the types")]
            fn to_f32(self) -> f32 {
                self as f32
            }

            fn to_class(self) -> i128 {
                self as i128
            }
        }
    )*};
}

numbers!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

impl Number for bool {
    fn to_f32(self) -> f32 {
        f32::from(u8::from(self))
    }

    fn to_class(self) -> i128 {
        i128::from(self)
    }
}

impl Array {
    /// A data set with one sample for each first index; everything behind it is features. Bytes
    /// stay bytes, read as `byte / 255` (see [`Dataset::with_scale`]); truth values become bytes
    /// read as 0 and 1, other types f32.
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
            return Err(Error::shape("labels", "one a sample", format!("{:?}", self.shape)));
        };
        if let ArrayData::F32(_) | ArrayData::F64(_) = self.data {
            return Err(Error::value("labels", "integers", self.data.type_name()));
        }
        let labels = each!(self.data, values => labels(values.into_iter().map(Number::to_class)))?;
        Ok(Targets::Classes { labels, n_classes })
    }

    /// Regression targets: an array of shape `[n]` or `[n, outputs]`, as f32.
    ///
    /// # Errors
    /// [`Error::Shape`] for another shape.
    pub fn into_values(self) -> Result<Targets> {
        let (_, n_outputs) = self.rows_by_columns("targets")?;
        Ok(Targets::Values { values: self.data.into_f32(), n_outputs })
    }

    /// The first size and the product of the others.
    fn rows_by_columns(&self, what: &str) -> Result<(usize, usize)> {
        let wrong = || {
            let got = format!("{} values of shape {:?}", self.data.len(), self.shape);
            Error::shape(what, "a shape of at least 1 dimension that holds the values", got)
        };
        let (&rows, rest) = self.shape.split_first().ok_or_else(wrong)?;
        let columns = rest.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
        let columns = columns.ok_or_else(wrong)?;
        match rows.checked_mul(columns) {
            Some(n) if n == self.data.len() => Ok((rows, columns)),
            _ => Err(wrong()),
        }
    }
}

/// The values as labels; i128 holds every integer type.
fn labels(values: impl Iterator<Item = i128>) -> Result<Vec<u32>> {
    let label = |(row, value)| {
        let outside = |_| Error::value(format!("label in row {row}"), "a class number", value);
        u32::try_from(value).map_err(outside)
    };
    values.enumerate().map(label).collect()
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
            "labels: expected one a sample, got [1, 2]"
        );
        for shape in [&[3][..], &[], &[usize::MAX, usize::MAX], &[2, usize::MAX, 2]] {
            assert!(array(shape, ArrayData::U8(vec![0; 2])).into_values().is_err());
        }
    }
}
