//! Owned panel memory for parameters and workspaces: allocated once, touched once, on huge pages
//! where the system gives them on advice.

use super::panels::lanes;
use super::tiles::{Panels, PanelsMut, SharedPanels};
use crate::simd::{LINE, Line};
use crate::{Error, Result};
use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;

/// Alignment from which the kernel can use a huge page.
const HUGE_PAGE: usize = 2 << 20;

/// A zeroed matrix in panels that can be shared with threads in disjoint parts.
pub(crate) struct Tensor {
    ptr: NonNull<Line>,
    lines: usize,
    rows: usize,
    cols: usize,
    ld: usize,
    /// Columns of each of the matrices that lie side by side: `cols` where there is one.
    width: usize,
}

// SAFETY: a `Tensor` owns its memory like a `Vec<Line>`.
unsafe impl Send for Tensor {}
// SAFETY: through `&Tensor` the memory is only read, except by callers of `shared`'s unsafe
// methods, who promise that what they write is disjoint from everything else in use.
unsafe impl Sync for Tensor {}

impl Tensor {
    /// Zeros, with panels `ld` lines apart.
    ///
    /// # Errors
    /// [`Error::Memory`] when the size overflows or the memory cannot be had.
    pub(crate) fn zeros(rows: usize, cols: usize, ld: usize) -> Result<Self> {
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
                // Zeroed here and not by the allocator, which would touch it before the advice.
                // SAFETY: the allocation has this size.
                unsafe { ptr.as_ptr().write_bytes(0, layout.size()) };
                ptr.cast()
            }
        };
        Ok(Tensor { ptr, lines, rows, cols, ld, width: cols })
    }

    /// Zeros: `n` matrices of `width` columns side by side, each of which begins with a panel of its
    /// own. For most purposes they are one matrix of whole panels, of which some lanes are padding
    /// ([`Tensor::lanes`]).
    ///
    /// # Errors
    /// As [`Tensor::zeros`].
    pub(crate) fn side_by_side(rows: usize, width: usize, n: usize, ld: usize) -> Result<Self> {
        // Where there is no such multiple or product, no memory holds the rest either.
        let padded = width.checked_next_multiple_of(LINE).unwrap_or(usize::MAX);
        let cols = if n == 1 { width } else { padded.saturating_mul(n) };
        let mut zeros = Tensor::zeros(rows, cols, ld)?;
        zeros.width = width;
        Ok(zeros)
    }

    /// Zeros of the same geometry.
    ///
    /// # Errors
    /// As [`Tensor::zeros`].
    pub(crate) fn zeros_like(&self) -> Result<Self> {
        let mut zeros = Tensor::zeros(self.rows, self.cols, self.ld)?;
        zeros.width = self.width;
        Ok(zeros)
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// Lanes of a panel that hold columns; the others are padding.
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

    /// All lines, panel after panel.
    pub(crate) fn lines_mut(&mut self) -> &mut [Line] {
        // SAFETY: `lines` lines were allocated and zeroed, and `self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.lines) }
    }

    /// Value (row, column).
    pub(crate) fn at(&self, row: usize, col: usize) -> f32 {
        self.lines()[col / LINE * self.ld + row].0[col % LINE]
    }

    /// Value (row, column).
    pub(crate) fn at_mut(&mut self, row: usize, col: usize) -> &mut f32 {
        let ld = self.ld;
        &mut self.lines_mut()[col / LINE * ld + row].0[col % LINE]
    }

    pub(crate) fn view(&self) -> Panels<'_> {
        Panels::new(self.lines(), self.rows, self.cols, self.ld)
    }

    pub(crate) fn view_mut(&mut self) -> PanelsMut<'_> {
        let (rows, cols, ld) = (self.rows, self.cols, self.ld);
        PanelsMut::new(self.lines_mut(), rows, cols, ld)
    }

    /// The memory, to be handed out to threads in parts. Every method of the answer that reads or
    /// writes is unsafe.
    pub(crate) fn shared(&self) -> SharedPanels<'_> {
        // SAFETY: pointer and geometry are those that `zeros` allocated.
        unsafe { SharedPanels::from_raw(self.ptr.as_ptr(), self.rows, self.cols, self.ld) }
    }
}

#[cfg(test)]
impl Tensor {
    /// Fills all padding: lanes beyond the last column, lines beyond the last row.
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

impl Clone for Tensor {
    fn clone(&self) -> Self {
        let mut copy = self
            .zeros_like()
            .unwrap_or_else(|_| std::alloc::handle_alloc_error(Layout::new::<Line>()));
        copy.lines_mut().copy_from_slice(self.lines());
        copy
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        if let Some(layout) = layout(self.lines).filter(|_| self.lines > 0) {
            // SAFETY: the memory was allocated with this layout.
            unsafe { dealloc(self.ptr.as_ptr().cast(), layout) }
        }
    }
}

/// Lines, or whole huge pages for a tensor that fills one.
fn layout(lines: usize) -> Option<Layout> {
    let bytes = lines.checked_mul(size_of::<Line>())?;
    let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { align_of::<Line>() };
    Layout::from_size_align(bytes, align).ok()
}

/// Asks for huge pages (the kernel's default is often "only where advised"), before the first
/// touch. A refusal costs speed only, so it is not looked at.
fn advise_huge_pages(ptr: *mut u8, layout: Layout) {
    #[cfg(all(target_os = "linux", not(miri)))]
    if !ptr.is_null() && layout.size() >= HUGE_PAGE {
        /// From the kernel's `mman-common.h`.
        const MADV_HUGEPAGE: i32 = 14;
        unsafe extern "C" {
            fn madvise(addr: *mut std::ffi::c_void, length: usize, advice: i32) -> i32;
        }
        // SAFETY: the range is one allocation of ours, page-aligned by its layout; the advice
        // changes no content.
        unsafe { madvise(ptr.cast(), layout.size() / 4096 * 4096, MADV_HUGEPAGE) };
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (ptr, layout);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_zero_aligned_and_copied() {
        for (rows, cols) in [(1, 1), (5, 40), (3000, 300)] {
            let mut t = Tensor::zeros(rows, cols, rows + 3).unwrap();
            assert!(t.lines().iter().all(|l| *l == Line::ZERO));
            *t.at_mut(rows - 1, cols - 1) = 7.0;
            let copy = t.clone();
            assert_eq!(copy.at(rows - 1, cols - 1), 7.0);
            assert_eq!(copy.view().panel((cols - 1) / LINE)[rows - 1].0[(cols - 1) % LINE], 7.0);
        }
        assert!(Tensor::zeros(usize::MAX / 64, 64, usize::MAX / 64).is_err());
    }
}
