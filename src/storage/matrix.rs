//! Row-major f32 matrices, one sample per row. [`Matrix`] owns its values; [`MatRef`] and [`MatMut`]
//! borrow them.

mod debug;
mod mutable;
#[cfg(feature = "ndarray")]
mod ndarray;

use crate::error::{Error, Result};
#[cfg(feature = "ndarray")]
pub(crate) use ndarray::into_vec;
use std::marker::PhantomData;

/// An owned row-major matrix of `rows * cols` f32, one sample per row.
///
/// ```
/// use deltarule::{MatRef, Matrix};
///
/// let owned = Matrix::from_vec(2, 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(owned.row(1), [4.0, 5.0, 6.0]);
/// // Functions that take `impl Into<MatRef>` take both.
/// let borrowed = MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3)?;
/// assert_eq!(owned.view().row(0), borrowed.row(0));
/// # Ok::<(), deltarule::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Matrix {
    data: Vec<f32>,
    rows: usize,
    cols: usize,
}

/// A borrowed row-major matrix: row `r` starts at `r * stride` of its slice. Made of a slice, or of a
/// `&Matrix` by `into()`.
#[derive(Clone, Copy)]
pub struct MatRef<'a> {
    /// The first value. Each row is a slice of `cols` values that nobody changes during `'a`; what
    /// lies between two rows may be in use elsewhere, so there is no slice of all.
    ptr: *const f32,
    rows: usize,
    cols: usize,
    stride: usize,
    memory: PhantomData<&'a [f32]>,
}

// SAFETY: a `MatRef` is as many shared slices as it has rows.
unsafe impl Send for MatRef<'_> {}
// SAFETY: as above.
unsafe impl Sync for MatRef<'_> {}

/// A mutably borrowed row-major matrix: row `r` starts at `r * stride` of its slice. Made of a slice, or
/// of a `&mut Matrix` by `into()`.
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    stride: usize,
}

/// Number of elements that a view of this geometry spans, out of `len`.
///
/// # Errors
/// [`Error::Shape`] if `stride < cols` or `len` is too small.
fn span(rows: usize, cols: usize, stride: usize, len: usize) -> Result<usize> {
    if stride < cols {
        return Err(Error::shape("matrix", format!("a row stride of at least {cols}"), stride));
    }
    let need = match rows {
        0 => Some(0),
        _ => (rows - 1).checked_mul(stride).and_then(|n| n.checked_add(cols)),
    };
    match need {
        Some(n) if n <= len => Ok(n),
        _ => Err(Error::shape(
            "matrix",
            format!("{rows} x {cols} values with row stride {stride}"),
            format!("{len} values"),
        )),
    }
}

/// Checks that `len` is `rows * cols`.
#[inline]
fn check_len(rows: usize, cols: usize, len: usize) -> Result<()> {
    if rows.checked_mul(cols) == Some(len) {
        return Ok(());
    }
    Err(Error::shape("matrix", format!("{rows} x {cols} values"), format!("{len} values")))
}

impl Matrix {
    /// A matrix of zeros.
    ///
    /// # Panics
    /// If `rows * cols` values do not fit in memory. [`Matrix::try_zeros`] returns an error instead.
    #[must_use]
    pub fn zeros(rows: usize, cols: usize) -> Self {
        match Matrix::try_zeros(rows, cols) {
            Ok(zeros) => zeros,
            Err(error) => panic!("{error}"),
        }
    }

    /// A matrix of zeros.
    ///
    /// # Errors
    /// [`Error::Memory`] if `rows * cols` values do not fit in memory.
    pub fn try_zeros(rows: usize, cols: usize) -> Result<Self> {
        let no_memory = || Error::memory(format!("{rows} x {cols} values"));
        let len = rows.checked_mul(cols).ok_or_else(no_memory)?;
        let mut data = Vec::new();
        data.try_reserve_exact(len).map_err(|_| no_memory())?;
        data.resize(len, 0.0);
        Ok(Matrix { data, rows, cols })
    }

    /// A matrix of `rows * cols` values in row-major order.
    ///
    /// # Errors
    /// [`Error::Shape`] if `data` has another length.
    pub fn from_vec(rows: usize, cols: usize, data: Vec<f32>) -> Result<Self> {
        check_len(rows, cols, data.len())?;
        Ok(Matrix { data, rows, cols })
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Row `r`.
    ///
    /// # Panics
    /// If `r >= self.rows()`.
    #[must_use]
    pub fn row(&self, r: usize) -> &[f32] {
        assert!(r < self.rows, "row {r} of {}", self.rows);
        &self.data[r * self.cols..][..self.cols]
    }

    /// All values in row-major order.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// All values in row-major order.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The values in row-major order, without a copy.
    #[must_use]
    pub fn into_vec(self) -> Vec<f32> {
        self.data
    }

    /// A view of the whole matrix.
    #[must_use]
    pub fn view(&self) -> MatRef<'_> {
        MatRef::sub(&self.data, self.rows, self.cols)
    }

    /// A mutable view of the whole matrix.
    #[must_use]
    pub fn view_mut(&mut self) -> MatMut<'_> {
        MatMut { data: &mut self.data, rows: self.rows, cols: self.cols, stride: self.cols }
    }
}

impl<'a> MatRef<'a> {
    /// A view of `rows * cols` contiguous values.
    ///
    /// # Errors
    /// [`Error::Shape`] if `data` has another length.
    #[inline]
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Result<Self> {
        check_len(rows, cols, data.len())?;
        Ok(MatRef { ptr: data.as_ptr(), rows, cols, stride: cols, memory: PhantomData })
    }

    /// A view whose row `r` starts at `r * stride`.
    ///
    /// # Errors
    /// [`Error::Shape`] if `stride < cols` or `data` is too short.
    pub fn with_stride(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Result<Self> {
        span(rows, cols, stride, data.len())?;
        Ok(MatRef { ptr: data.as_ptr(), rows, cols, stride, memory: PhantomData })
    }

    /// [`MatRef::new`] for data that is known to fit.
    ///
    /// # Panics
    /// If it does not.
    pub(crate) fn sub(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert!(rows.checked_mul(cols) == Some(data.len()));
        MatRef { ptr: data.as_ptr(), rows, cols, stride: cols, memory: PhantomData }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Row `r`.
    ///
    /// # Panics
    /// If `r >= self.rows()`.
    #[must_use]
    pub fn row(&self, r: usize) -> &'a [f32] {
        assert!(r < self.rows, "row {r} of {}", self.rows);
        // SAFETY: there is such a row, and every row is a slice (see the field `ptr`).
        unsafe { std::slice::from_raw_parts(self.ptr.add(r * self.stride), self.cols) }
    }

    /// Distance of rows, in values.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The first value. Only the values of rows may be read, not what lies between them.
    pub(crate) fn as_ptr(&self) -> *const f32 {
        self.ptr
    }

    /// Rows `start..end`.
    ///
    /// # Panics
    /// If the range is not inside the matrix.
    #[must_use]
    pub fn row_range(&self, start: usize, end: usize) -> MatRef<'a> {
        assert!(start <= end && end <= self.rows, "rows {start}..{end} of {}", self.rows);
        let ptr = match end - start {
            0 => [].as_ptr(),
            // SAFETY: row `start` exists, so its beginning is inside the memory.
            _ => unsafe { self.ptr.add(start * self.stride) },
        };
        MatRef { ptr, rows: end - start, ..*self }
    }
}

impl<'a> From<&'a Matrix> for MatRef<'a> {
    fn from(matrix: &'a Matrix) -> Self {
        matrix.view()
    }
}

impl<'a> From<&'a mut Matrix> for MatMut<'a> {
    fn from(matrix: &'a mut Matrix) -> Self {
        matrix.view_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strided_views_end_with_the_last_row() {
        let data = [0.0, 1.0, 9.0, 2.0, 3.0];
        let m = MatRef::with_stride(&data, 2, 2, 3).unwrap();
        assert_eq!(m.row(1), [2.0, 3.0]);
        assert_eq!(m.row_range(1, 2).row(0), [2.0, 3.0]);
        assert_eq!(m.row_range(2, 2).rows(), 0);
        assert!(MatRef::with_stride(&data, 3, 2, 3).is_err());
        assert!(MatRef::with_stride(&data, 2, 3, 2).is_err());
    }

    #[test]
    fn overflowing_shapes_are_errors() {
        assert!(MatRef::new(&[], usize::MAX, 2).is_err());
        assert!(MatRef::with_stride(&[0.0], usize::MAX, 1, usize::MAX).is_err());
        assert!(Matrix::from_vec(2, 2, vec![0.0; 3]).is_err());
        // The first two products wrap around to 0 and 4; the others fit a `usize`, but no memory.
        let sizes = [(1 << 63, 2), ((1 << 62) + 1, 4), (usize::MAX, 1), (1 << 60, 1), (1 << 45, 8)];
        for (rows, cols) in sizes {
            assert!(matches!(Matrix::try_zeros(rows, cols), Err(Error::Memory { .. })));
            let zeros = std::panic::catch_unwind(|| Matrix::zeros(rows, cols));
            let message = *zeros.unwrap_err().downcast::<String>().unwrap();
            assert_eq!(message, format!("memory: {rows} x {cols} values do not fit"));
        }
        assert_eq!(
            Matrix::zeros(usize::MAX, 0).view().row_range(7, usize::MAX).rows(),
            usize::MAX - 7
        );
    }

    #[test]
    fn a_view_has_no_more_than_its_rows() {
        let mut data = [0.0f32; 9];
        for (rows, cols, stride, span) in [(2, 2, 3, 5), (3, 3, 3, 9), (1, 2, 9, 2), (0, 2, 2, 0)] {
            assert!(MatRef::with_stride(&data[..span], rows, cols, stride).is_ok());
            assert!(span == 0 || MatRef::with_stride(&data[1..span], rows, cols, stride).is_err());
            let mut m = MatMut::with_stride(&mut data, rows, cols, stride).unwrap();
            assert_eq!(m.as_mut_slice().len(), span);
        }
    }
}
