//! Conversions from and to arrays of the crate `ndarray`, without a copy where the layouts agree.

use super::{MatMut, MatRef, Matrix};
use crate::error::{Error, Result};
use ::ndarray::{
    Array, Array2, ArrayBase, ArrayView2, ArrayViewMut2, Axis, Data, DataMut, Dimension, Ix2,
    ShapeBuilder,
};
use std::marker::PhantomData;

/// The distance of rows of an array whose rows are row-major and do not overlap, in values.
///
/// # Errors
/// [`Error::Shape`] that names the strides of another layout.
fn row_stride<S: Data<Elem = f32>>(array: &ArrayBase<S, Ix2>) -> Result<usize> {
    let (rows, cols) = array.dim();
    let (row, col) = (array.stride_of(Axis(0)), array.stride_of(Axis(1)));
    // The strides of an array without values, and of an axis of one index, are never used.
    let row_stride = match (rows, cols) {
        (0 | 1, _) | (_, 0) => Some(cols),
        _ => usize::try_from(row).ok().filter(|&stride| stride >= cols),
    };
    row_stride.filter(|_| rows == 0 || cols < 2 || col == 1).ok_or_else(|| {
        let expected = format!("a row-major array, strides [at least {cols}, 1]");
        Error::shape("array", expected, format!("{rows} x {cols} with strides [{row}, {col}]"))
    })
}

/// The values in row-major order; without a copy where they lie in that order without gaps.
pub(crate) fn into_vec<T: Copy, D: Dimension>(array: Array<T, D>) -> Vec<T> {
    if !array.is_standard_layout() {
        return array.iter().copied().collect();
    }
    let len = array.len();
    let (mut values, first) = array.into_raw_vec_and_offset();
    let first = first.unwrap_or(0);
    // An array that was sliced keeps what lies around it.
    values.truncate(first + len);
    values.drain(..first);
    values
}

impl<'a, S: Data<Elem = f32>> TryFrom<&'a ArrayBase<S, Ix2>> for MatRef<'a> {
    type Error = Error;

    /// The array, without a copy (feature `ndarray`). Rows may lie apart, as in
    /// `array.slice(s![.., 1..])`. `Matrix::from(&array)` copies any layout.
    ///
    /// ```
    /// use deltarule::{Activation, MatRef, Mlp};
    /// use ndarray::Array2;
    ///
    /// let net = Mlp::builder(2).dense(3, Activation::Softmax).build()?;
    /// let x: Array2<f32> = Array2::zeros((100, 2));
    /// let p: Array2<f32> = net.predict(MatRef::try_from(&x)?)?.into();
    /// assert_eq!(p.dim(), (100, 3));
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] that names the strides unless the values of a row are neighbours and rows
    /// do not overlap.
    fn try_from(array: &'a ArrayBase<S, Ix2>) -> Result<Self> {
        ArrayView2::from(array).try_into()
    }
}

impl<'a> TryFrom<ArrayView2<'a, f32>> for MatRef<'a> {
    type Error = Error;

    /// As the conversion of a reference, for as long as the view's array is borrowed.
    ///
    /// # Errors
    /// As the conversion of a reference.
    fn try_from(view: ArrayView2<'a, f32>) -> Result<Self> {
        let (stride, (rows, cols)) = (row_stride(&view)?, view.dim());
        // A view may have rows beyond the end of its memory where they have no values.
        if rows == 0 || cols == 0 {
            return MatRef::new(&[], rows, cols);
        }
        // `row_stride` has checked that the values of a row are neighbours, so each row of the view is
        // a slice that the view borrows for 'a.
        Ok(MatRef { ptr: view.as_ptr(), rows, cols, stride, memory: PhantomData })
    }
}

impl<'a, S: DataMut<Elem = f32>> TryFrom<&'a mut ArrayBase<S, Ix2>> for MatMut<'a> {
    type Error = Error;

    /// The array, without a copy (feature `ndarray`).
    ///
    /// # Errors
    /// [`Error::Shape`] that names the strides unless the array is row-major without gaps: what lies
    /// between its rows may be another's to write.
    fn try_from(array: &'a mut ArrayBase<S, Ix2>) -> Result<Self> {
        ArrayViewMut2::from(array).try_into()
    }
}

impl<'a> TryFrom<ArrayViewMut2<'a, f32>> for MatMut<'a> {
    type Error = Error;

    /// As the conversion of a reference, for as long as the view's array is borrowed.
    ///
    /// # Errors
    /// As the conversion of a reference.
    fn try_from(view: ArrayViewMut2<'a, f32>) -> Result<Self> {
        let (rows, cols) = view.dim();
        let strides = [view.stride_of(Axis(0)), view.stride_of(Axis(1))];
        let values = view.into_slice().ok_or_else(|| {
            let expected = format!("a row-major array without gaps, strides [{cols}, 1]");
            Error::shape("array", expected, format!("{rows} x {cols} with strides {strides:?}"))
        })?;
        MatMut::new(values, rows, cols)
    }
}

impl From<Array2<f32>> for Matrix {
    /// The values of an array (feature `ndarray`); without a copy where the array is row-major without
    /// gaps.
    fn from(array: Array2<f32>) -> Self {
        let (rows, cols) = array.dim();
        Matrix { data: into_vec(array), rows, cols }
    }
}

impl<S: Data<Elem = f32>> From<&ArrayBase<S, Ix2>> for Matrix {
    /// A copy of an array of any layout (feature `ndarray`).
    fn from(array: &ArrayBase<S, Ix2>) -> Self {
        let (rows, cols) = array.dim();
        Matrix { data: array.iter().copied().collect(), rows, cols }
    }
}

/// Why the conversions below do not fail for a matrix that has values.
const FITS: &str = "a matrix without values has at most isize::MAX rows and columns";

impl From<Matrix> for Array2<f32> {
    /// The matrix, without a copy (feature `ndarray`).
    ///
    /// # Panics
    /// If a matrix without values has more than `isize::MAX` rows or columns.
    fn from(matrix: Matrix) -> Self {
        Array2::from_shape_vec((matrix.rows, matrix.cols), matrix.data).expect(FITS)
    }
}

impl<'a> From<MatRef<'a>> for ArrayView2<'a, f32> {
    /// The matrix, without a copy (feature `ndarray`).
    ///
    /// # Panics
    /// If a matrix without values has more than `isize::MAX` rows or columns.
    fn from(matrix: MatRef<'a>) -> Self {
        let MatRef { ptr, rows, cols, stride, memory: _ } = matrix;
        if rows == 0 || cols == 0 {
            return ArrayView2::from_shape((rows, cols), &[]).expect(FITS);
        }
        // SAFETY: row r is a slice of `cols` values at ptr + r * stride that nobody changes during 'a.
        // The rows are in one block of memory, so the offsets fit an isize.
        unsafe { ArrayView2::from_shape_ptr((rows, cols).strides((stride, 1)), ptr) }
    }
}

impl<'a> From<&'a Matrix> for ArrayView2<'a, f32> {
    /// The matrix, without a copy (feature `ndarray`).
    ///
    /// # Panics
    /// If a matrix without values has more than `isize::MAX` rows or columns.
    fn from(matrix: &'a Matrix) -> Self {
        matrix.view().into()
    }
}

impl<'a> From<MatMut<'a>> for ArrayViewMut2<'a, f32> {
    /// The matrix, without a copy (feature `ndarray`).
    ///
    /// # Panics
    /// If a matrix without values has more than `isize::MAX` rows or columns.
    fn from(matrix: MatMut<'a>) -> Self {
        let MatMut { data, rows, cols, stride } = matrix;
        if rows == 0 || cols == 0 {
            return ArrayViewMut2::from_shape((rows, cols), &mut []).expect(FITS);
        }
        ArrayViewMut2::from_shape((rows, cols).strides((stride, 1)), data).expect(FITS)
    }
}
