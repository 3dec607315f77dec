//! Row-major f32 matrices: one sample a row. [`Matrix`] owns, [`MatRef`] and [`MatMut`] borrow.

use crate::{Error, Result};

/// An owned row-major matrix of `rows * cols` f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    data: Vec<f32>,
    rows: usize,
    cols: usize,
}

/// A borrowed row-major matrix: row `r` starts at `r * stride` of its slice.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    stride: usize,
}

/// A mutably borrowed row-major matrix: row `r` starts at `r * stride` of its slice.
#[derive(Debug)]
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    stride: usize,
}

/// Elements a view with this geometry spans, or why there is no such view.
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

impl Matrix {
    /// A matrix of zeros.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Matrix { data: vec![0.0; rows * cols], rows, cols }
    }

    /// Takes `rows * cols` values, row by row.
    ///
    /// # Errors
    /// [`Error::Shape`] when `data` has another length.
    pub fn from_vec(rows: usize, cols: usize, data: Vec<f32>) -> Result<Self> {
        if rows.checked_mul(cols) != Some(data.len()) {
            let got = format!("{} values", data.len());
            return Err(Error::shape("matrix", format!("{rows} x {cols} values"), got));
        }
        Ok(Matrix { data, rows, cols })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Row `r`.
    ///
    /// # Panics
    /// When `r >= self.rows()`, like indexing a slice.
    pub fn row(&self, r: usize) -> &[f32] {
        assert!(r < self.rows, "row {r} of {}", self.rows);
        &self.data[r * self.cols..][..self.cols]
    }

    /// All values, row by row.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// All values, row by row.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The values, row by row, without a copy.
    pub fn into_vec(self) -> Vec<f32> {
        self.data
    }

    /// A view of the whole matrix.
    pub fn view(&self) -> MatRef<'_> {
        MatRef { data: &self.data, rows: self.rows, cols: self.cols, stride: self.cols }
    }

    /// A mutable view of the whole matrix.
    pub fn view_mut(&mut self) -> MatMut<'_> {
        MatMut { data: &mut self.data, rows: self.rows, cols: self.cols, stride: self.cols }
    }
}

impl<'a> MatRef<'a> {
    /// A view of `rows * cols` contiguous values.
    ///
    /// # Errors
    /// [`Error::Shape`] when `data` has another length.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Result<Self> {
        if rows.checked_mul(cols) != Some(data.len()) {
            let got = format!("{} values", data.len());
            return Err(Error::shape("matrix", format!("{rows} x {cols} values"), got));
        }
        Ok(MatRef { data, rows, cols, stride: cols })
    }

    /// A view whose row `r` starts at `r * stride`.
    ///
    /// # Errors
    /// [`Error::Shape`] when `stride < cols` or `data` is too short.
    pub fn with_stride(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Result<Self> {
        span(rows, cols, stride, data.len())?;
        Ok(MatRef { data, rows, cols, stride })
    }

    /// A view of contiguous values that are known to be so many.
    pub(crate) fn sub(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert!(rows.checked_mul(cols) == Some(data.len()));
        MatRef { data, rows, cols, stride: cols }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Row `r`.
    ///
    /// # Panics
    /// When `r >= self.rows()`, like indexing a slice.
    pub fn row(&self, r: usize) -> &'a [f32] {
        assert!(r < self.rows, "row {r} of {}", self.rows);
        &self.data[r * self.stride..][..self.cols]
    }

    /// Values from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The first value.
    pub(crate) fn as_ptr(&self) -> *const f32 {
        self.data.as_ptr()
    }

    /// Rows `start..end`.
    ///
    /// # Panics
    /// When the range is not inside the matrix, like slicing a slice.
    pub fn row_range(&self, start: usize, end: usize) -> MatRef<'a> {
        assert!(start <= end && end <= self.rows, "rows {start}..{end} of {}", self.rows);
        let data = if start == end { &[][..] } else { &self.data[start * self.stride..] };
        MatRef { data, rows: end - start, ..*self }
    }
}

impl<'a> MatMut<'a> {
    /// A view of `rows * cols` contiguous values.
    ///
    /// # Errors
    /// [`Error::Shape`] when `data` has another length.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Result<Self> {
        if rows.checked_mul(cols) != Some(data.len()) {
            let got = format!("{} values", data.len());
            return Err(Error::shape("matrix", format!("{rows} x {cols} values"), got));
        }
        Ok(MatMut { data, rows, cols, stride: cols })
    }

    /// A view whose row `r` starts at `r * stride`.
    ///
    /// # Errors
    /// [`Error::Shape`] when `stride < cols` or `data` is too short.
    pub fn with_stride(
        data: &'a mut [f32],
        rows: usize,
        cols: usize,
        stride: usize,
    ) -> Result<Self> {
        span(rows, cols, stride, data.len())?;
        Ok(MatMut { data, rows, cols, stride })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Values from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Everything the view spans, gaps included.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        self.data
    }

    /// A view of memory that is known to hold it.
    pub(crate) fn sub(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(span(rows, cols, stride, data.len()).is_ok());
        MatMut { data, rows, cols, stride }
    }

    /// Row `r`.
    ///
    /// # Panics
    /// When `r >= self.rows()`, like indexing a slice.
    pub fn row_mut(&mut self, r: usize) -> &mut [f32] {
        assert!(r < self.rows, "row {r} of {}", self.rows);
        &mut self.data[r * self.stride..][..self.cols]
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
    }
}
