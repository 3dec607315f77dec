//! The contents of array files (IDX, NPY, safetensors).

use crate::error::{Error, Result};
use crate::text::Values;
use std::fmt;

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
#[derive(Clone, PartialEq)]
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

/// The type, and the values up to 100; of more their number is written.
impl fmt::Debug for ArrayData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each!(self, values => write!(f, "{} {:?}", self.type_name(), Values(values)))
    }
}

impl ArrayData {
    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        each!(self, values => values.len())
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the type, as Rust spells it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        fn name<T>(_: &[T]) -> &'static str {
            std::any::type_name::<T>()
        }
        each!(self, values => name(values))
    }

    /// The values as f32: f64 and integers that f32 cannot hold are rounded to nearest; false is 0
    /// and true is 1.
    #[must_use]
    pub fn into_f32(self) -> Vec<f32> {
        match self {
            ArrayData::F32(values) => values,
            other => each!(other, values => values.into_iter().map(Number::to_f32).collect()),
        }
    }

    /// The values as class labels: false is class 0 and true is class 1.
    ///
    /// # Errors
    /// [`Error::Value`] for floats, or for a label that is negative or beyond u32.
    pub(crate) fn into_labels(self) -> Result<Vec<u32>> {
        if let ArrayData::F32(_) | ArrayData::F64(_) = self {
            return Err(Error::value("labels", "integers", self.type_name()));
        }
        each!(self, values => labels(values.into_iter().map(Number::to_class)))
    }
}

/// The conversions of every element type.
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
    /// The first size and the product of the others.
    pub(crate) fn rows_by_columns(&self, what: &str) -> Result<(usize, usize)> {
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

/// Reads [`ArrayData`] of an [`ElementType`](super::element_type::ElementType) by
/// `$source.values($at, decode)`. `$from_bytes` is `from_le_bytes` or `from_be_bytes`. Floats of 16
/// bits become f32, which holds them.
macro_rules! read_array_data {
    ($element_type:expr, $source:expr, $at:expr, $from_bytes:ident) => {{
        use $crate::format::{ArrayData, ElementType, from_bf16, from_f16};
        match $element_type {
            // Anything but 0 is true, as for NumPy.
            ElementType::Bool => ArrayData::Bool($source.values($at, |[byte]| byte != 0)?),
            ElementType::F16 => {
                ArrayData::F32($source.values($at, |b| from_f16(u16::$from_bytes(b)))?)
            }
            ElementType::Bf16 => {
                ArrayData::F32($source.values($at, |b| from_bf16(u16::$from_bytes(b)))?)
            }
            ElementType::U8 => ArrayData::U8($source.values($at, u8::$from_bytes)?),
            ElementType::I8 => ArrayData::I8($source.values($at, i8::$from_bytes)?),
            ElementType::U16 => ArrayData::U16($source.values($at, u16::$from_bytes)?),
            ElementType::I16 => ArrayData::I16($source.values($at, i16::$from_bytes)?),
            ElementType::U32 => ArrayData::U32($source.values($at, u32::$from_bytes)?),
            ElementType::I32 => ArrayData::I32($source.values($at, i32::$from_bytes)?),
            ElementType::U64 => ArrayData::U64($source.values($at, u64::$from_bytes)?),
            ElementType::I64 => ArrayData::I64($source.values($at, i64::$from_bytes)?),
            ElementType::F32 => ArrayData::F32($source.values($at, f32::$from_bytes)?),
            ElementType::F64 => ArrayData::F64($source.values($at, f64::$from_bytes)?),
        }
    }};
}
pub(crate) use read_array_data;
