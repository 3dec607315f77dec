//! Panel matrices. A panel holds 16 columns, as one line (16 floats, 64 bytes) per row. Element (r, c)
//! is lane `c % 16` of line `(c / 16) * ld + r`.
//!
//! All operands of the three products have this layout, so no operand is packed:
//!
//! | product | broadcast operand | vector operand | result |
//! |---|---|---|---|
//! | X·W | rows of X: fixed offsets r·16, k along the line | panel of W: one line per k | panel rows |
//! | D·Wᵀ | rows of D | panel of Wᵀ | panel rows |
//! | Xᵀ·D | lanes of one panel of X: offsets r, one line per k | panel of D: one line per k | panel rows of W |
//!
//! Lanes beyond the last column and lines beyond the last row are padding. It may hold any value and no
//! result depends on it: operations on lanes compute padding from padding, and operations across lanes
//! (sums over a row, exports, norms, hashes) leave it out (docs/design.md).

use super::gather::{gather, scatter};
use super::matrix::{MatRef, Matrix};
use super::panels::{Panels, PanelsMut, SharedPanels};
use crate::error::{Error, Result};
use crate::simd::{LINE, Level, Line};
use std::alloc::{Layout, alloc, dealloc};
use std::fmt;
use std::ptr::NonNull;

/// Lines from one panel of an activation matrix to the next. A tile of X·W reads 16 panels per block at
/// this stride; a multiple of 64 lines (4 KiB) would map all of them to the same L1 sets. A stride of
/// 5 modulo 8 visits all sets before one repeats, and keeps the 5 or 6 rows of neighbouring panels
/// apart.
pub(crate) fn padded_rows(rows: usize) -> usize {
    // Saturates: the allocation of so many rows fails with an error later.
    if rows < 32 { rows } else { rows.saturating_add((13 - rows % 8) % 8) }
}

/// Number of lanes of panel `panel` that hold columns, in matrices of `width` columns side by side, each
/// of which begins with a new panel. The other lanes are padding.
#[inline(always)]
pub(crate) fn lanes(width: usize, panel: usize) -> usize {
    LINE.min(width - panel % width.div_ceil(LINE) * LINE)
}

/// Size and alignment of a huge page.
const HUGE_PAGE: usize = 2 << 20;

/// An owned f32 matrix in panels of 16 columns. Large ones are on huge pages if the system has them.
pub struct PanelMatrix {
    ptr: NonNull<Line>,
    lines: usize,
    rows: usize,
    cols: usize,
    ld: usize,
    /// Columns of each of the matrices side by side; `cols` if there is one matrix.
    width: usize,
}

// SAFETY: a `PanelMatrix` owns its memory like a `Vec<Line>`.
unsafe impl Send for PanelMatrix {}
// SAFETY: `&PanelMatrix` only reads the memory, except through the unsafe methods of `shared`, whose
// callers promise that what they write is disjoint from everything else in use.
unsafe impl Sync for PanelMatrix {}

impl PanelMatrix {
    /// A matrix of zeros.
    ///
    /// # Errors
    /// [`Error::Shape`] if a dimension is zero, [`Error::Memory`] if the values do not fit in memory.
    pub fn zeros(rows: usize, cols: usize) -> Result<Self> {
        if rows == 0 || cols == 0 {
            let got = format!("{rows} x {cols}");
            return Err(Error::shape("panel matrix", "at least one row and column", got));
        }
        PanelMatrix::with_stride(rows, cols, padded_rows(rows))
    }

    /// A copy of a row-major matrix.
    ///
    /// # Errors
    /// As [`PanelMatrix::zeros`].
    pub fn from_rows(x: MatRef) -> Result<Self> {
        let mut out = PanelMatrix::zeros(x.rows(), x.cols())?;
        gather(Level::best(), x, 0, out.view_mut());
        Ok(out)
    }

    /// A row-major copy.
    ///
    /// # Panics
    /// If the copy does not fit in memory.
    #[must_use]
    pub fn to_rows(&self) -> Matrix {
        let mut out = Matrix::zeros(self.rows, self.cols);
        (0..self.rows).for_each(|r| scatter(self.view(), r, out.view_mut().row_mut(r)));
        out
    }

    /// Zeros, with panels `ld` lines apart.
    ///
    /// # Errors
    /// [`Error::Memory`] if the values do not fit in memory.
    pub(crate) fn with_stride(rows: usize, cols: usize, ld: usize) -> Result<Self> {
        assert!(rows <= ld);
        let too_large = || Error::memory(format!("{rows} x {cols} values"));
        let lines = cols.div_ceil(LINE).checked_mul(ld).ok_or_else(too_large)?;
        let ptr = match lines {
            0 => NonNull::dangling(),
            _ => {
                let layout = layout(lines).ok_or_else(too_large)?;
                // SAFETY: the layout is not empty.
                let ptr = unsafe { alloc(layout) };
                let ptr = NonNull::new(ptr).ok_or_else(too_large)?;
                advise_huge_pages(ptr.as_ptr(), layout);
                // Zeroed here: the allocator would touch the pages before the advice.
                // SAFETY: the allocation has this size.
                unsafe { ptr.as_ptr().write_bytes(0, layout.size()) };
                ptr.cast()
            }
        };
        Ok(PanelMatrix { ptr, lines, rows, cols, ld, width: cols })
    }

    /// Zeros: `n` matrices of `width` columns side by side, each of which begins with a new panel. Most
    /// code treats them as one matrix of whole panels, with padding lanes in each
    /// ([`PanelMatrix::lanes`]).
    ///
    /// # Errors
    /// As [`PanelMatrix::with_stride`].
    pub(crate) fn side_by_side(rows: usize, width: usize, n: usize, ld: usize) -> Result<Self> {
        // Saturates: the allocation of so many columns fails below.
        let padded = width.checked_next_multiple_of(LINE).unwrap_or(usize::MAX);
        let cols = if n == 1 { width } else { padded.saturating_mul(n) };
        let mut zeros = PanelMatrix::with_stride(rows, cols, ld)?;
        zeros.width = width;
        Ok(zeros)
    }

    /// Zeros of the same geometry.
    ///
    /// # Errors
    /// As [`PanelMatrix::with_stride`].
    pub(crate) fn zeros_like(&self) -> Result<Self> {
        let mut zeros = PanelMatrix::with_stride(self.rows, self.cols, self.ld)?;
        zeros.width = self.width;
        Ok(zeros)
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns, without padding.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Columns of each of the matrices side by side.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Whether it has no values.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0 || self.cols == 0
    }

    /// [`lanes`] of a panel.
    pub(crate) fn lanes(&self, panel: usize) -> usize {
        lanes(self.width, panel)
    }

    /// Lines from one panel to the next.
    pub(crate) fn ld(&self) -> usize {
        self.ld
    }

    /// All lines, panel after panel.
    pub(crate) fn lines(&self) -> &[Line] {
        // SAFETY: `lines` lines were allocated and zeroed.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.lines) }
    }

    /// The same, to write.
    pub(crate) fn lines_mut(&mut self) -> &mut [Line] {
        // SAFETY: `lines` lines were allocated and zeroed, and `self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.lines) }
    }

    /// Value (row, column).
    pub(crate) fn at(&self, row: usize, col: usize) -> f32 {
        self.lines()[col / LINE * self.ld + row].0[col % LINE]
    }

    /// The same, to write.
    pub(crate) fn at_mut(&mut self, row: usize, col: usize) -> &mut f32 {
        let ld = self.ld;
        &mut self.lines_mut()[col / LINE * ld + row].0[col % LINE]
    }

    #[inline]
    pub(crate) fn view(&self) -> Panels<'_> {
        // SAFETY: the view borrows the matrix, so that nobody writes it.
        unsafe { self.shared().read() }
    }

    pub(crate) fn view_mut(&mut self) -> PanelsMut<'_> {
        let (rows, cols, ld) = (self.rows, self.cols, self.ld);
        PanelsMut::new(self.lines_mut(), rows, cols, ld)
    }

    /// A view whose parts several threads can write; its methods are unsafe.
    #[inline]
    pub(crate) fn shared(&self) -> SharedPanels<'_> {
        // SAFETY: the memory was allocated for this geometry.
        unsafe { SharedPanels::from_raw(self.ptr.as_ptr(), self.rows, self.cols, self.ld) }
    }

    /// The same memory as a matrix of another geometry.
    ///
    /// # Panics
    /// If the geometry has more rows, columns, or lines from one panel to the next.
    #[inline]
    pub(crate) fn shared_as(&self, rows: usize, cols: usize, ld: usize) -> SharedPanels<'_> {
        assert!(rows <= ld && ld <= self.ld && cols <= self.cols);
        // SAFETY: the allocation holds `cols` columns in panels `ld` lines apart, and so this geometry.
        unsafe { SharedPanels::from_raw(self.ptr.as_ptr(), rows, cols, ld) }
    }
}

#[cfg(test)]
impl PanelMatrix {
    /// Fills all padding.
    pub(crate) fn fill_padding(&mut self, value: f32) {
        let (rows, ld) = (self.rows, self.ld);
        for panel in 0..self.cols.div_ceil(LINE) {
            let lanes = self.lanes(panel);
            for (row, line) in self.lines_mut()[panel * ld..][..ld].iter_mut().enumerate() {
                line.0[if row < rows { lanes } else { 0 }..].fill(value);
            }
        }
    }
}

impl Clone for PanelMatrix {
    fn clone(&self) -> Self {
        let mut copy = self
            .zeros_like()
            .unwrap_or_else(|_| std::alloc::handle_alloc_error(Layout::new::<Line>()));
        copy.lines_mut().copy_from_slice(self.lines());
        copy
    }
}

impl fmt::Debug for PanelMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PanelMatrix {{ {} x {} }}", self.rows, self.cols)
    }
}

impl Drop for PanelMatrix {
    fn drop(&mut self) {
        if let Some(layout) = layout(self.lines).filter(|_| self.lines > 0) {
            // SAFETY: the memory was allocated with this layout.
            unsafe { dealloc(self.ptr.as_ptr().cast(), layout) }
        }
    }
}

/// The layout of an allocation, aligned to lines, or to huge pages if it fills one.
fn layout(lines: usize) -> Option<Layout> {
    let bytes = lines.checked_mul(size_of::<Line>())?;
    let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { align_of::<Line>() };
    Layout::from_size_align(bytes, align).ok()
}

/// Asks for huge pages before the memory is touched; Linux often uses them on advice only. A failure
/// costs speed only, so the result is ignored.
fn advise_huge_pages(ptr: *mut u8, layout: Layout) {
    #[cfg(all(target_os = "linux", not(miri)))]
    if !ptr.is_null() && layout.size() >= HUGE_PAGE {
        /// From the kernel's `mman-common.h`.
        const MADV_HUGEPAGE: i32 = 14;
        unsafe extern "C" {
            fn madvise(addr: *mut std::ffi::c_void, length: usize, advice: i32) -> i32;
        }
        // SAFETY: the range is part of one allocation, page-aligned by its layout; the advice changes
        // no content.
        unsafe { madvise(ptr.cast(), layout.size() / 4096 * 4096, MADV_HUGEPAGE) };
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (ptr, layout);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_round_trip() {
        for (rows, cols) in [(1, 1), (3, 16), (40, 17), (2, 100)] {
            let data: Vec<f32> = (0..rows * cols).map(|i| i as f32).collect();
            let m = Matrix::from_vec(rows, cols, data).unwrap();
            let p = PanelMatrix::from_rows(m.view()).unwrap();
            assert_eq!(p.to_rows(), m);
        }
        assert!(matches!(PanelMatrix::zeros(0, 3), Err(Error::Shape { .. })));
        assert!(matches!(PanelMatrix::zeros(3, 0), Err(Error::Shape { .. })));
        for (rows, cols) in [(usize::MAX, 17), (1 << 60, 1), (1 << 42, 16), (1, usize::MAX)] {
            assert!(matches!(PanelMatrix::zeros(rows, cols), Err(Error::Memory { .. })));
        }
    }

    #[test]
    fn lanes_are_those_of_each_matrix() {
        let of = |width| (0..6).map(|p| lanes(width, p)).collect::<Vec<_>>();
        assert_eq!(of(1), [1; 6]);
        assert_eq!(of(16), [16; 6]);
        assert_eq!(of(17), [16, 1, 16, 1, 16, 1]);
        assert_eq!(of(40), [16, 16, 8, 16, 16, 8]);
    }

    #[test]
    fn padding_is_five_modulo_eight() {
        for rows in 32..3000 {
            let ld = padded_rows(rows);
            assert!(ld >= rows && ld < rows + 8 && ld % 8 == 5);
        }
    }

    #[test]
    fn matrices_are_zero_aligned_and_copied() {
        for (rows, cols) in [(1, 1), (5, 40), (3000, 300)] {
            let mut t = PanelMatrix::with_stride(rows, cols, rows + 3).unwrap();
            assert!(t.lines().iter().all(|l| *l == Line::ZERO));
            *t.at_mut(rows - 1, cols - 1) = 7.0;
            let copy = t.clone();
            assert_eq!(copy.at(rows - 1, cols - 1), 7.0);
            assert_eq!(copy.view().panel((cols - 1) / LINE)[rows - 1].0[(cols - 1) % LINE], 7.0);
        }
        assert!(PanelMatrix::with_stride(usize::MAX / 64, 64, usize::MAX / 64).is_err());
    }
}
