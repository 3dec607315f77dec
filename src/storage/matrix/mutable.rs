//! Views that write.

use super::{MatMut, check_len, span};
use crate::error::Result;

impl<'a> MatMut<'a> {
    /// A view of `rows * cols` contiguous values.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if `data` has another length.
    #[inline]
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Result<Self> {
        check_len(rows, cols, data.len())?;
        Ok(MatMut { data, rows, cols, stride: cols })
    }

    /// A view whose row `r` starts at `r * stride`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if `stride < cols` or `data` is too short.
    pub fn with_stride(
        data: &'a mut [f32],
        rows: usize,
        cols: usize,
        stride: usize,
    ) -> Result<Self> {
        let span = span(rows, cols, stride, data.len())?;
        Ok(MatMut { data: &mut data[..span], rows, cols, stride })
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

    /// Distance of rows, in values.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// All values that the view spans, gaps between rows included.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        self.data
    }

    /// [`MatMut::with_stride`] for data that is known to fit.
    ///
    /// # Panics
    /// If it does not.
    pub(crate) fn sub(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(span(rows, cols, stride, data.len()).is_ok());
        MatMut { data, rows, cols, stride }
    }

    /// Row `r`.
    ///
    /// # Panics
    /// If `r >= self.rows()`.
    #[must_use]
    pub fn row_mut(&mut self, r: usize) -> &mut [f32] {
        assert!(r < self.rows, "row {r} of {}", self.rows);
        &mut self.data[r * self.stride..][..self.cols]
    }

    /// Rows `start..end`, which the view has, at least one.
    pub(crate) fn row_range_mut(&mut self, start: usize, end: usize) -> MatMut<'_> {
        let data = &mut self.data[start * self.stride..(end - 1) * self.stride + self.cols];
        MatMut::sub(data, end - start, self.cols, self.stride)
    }
}
