//! Views of panel matrices, and the shared views whose disjoint parts several threads write.
//!
//! A block of rows is not one slice of memory: it has a run of lines in every panel. So the views hold a
//! pointer and the geometry, which their constructors check against the memory.

use super::matrix::MatRef;
use crate::simd::{LINE, Line};
use std::marker::PhantomData;
use std::ops::Range;

/// A view of `rows` x `cols` values in panels, with the access of `M`.
#[derive(Clone, Copy)]
pub(crate) struct View<M> {
    ptr: *mut Line,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Lines from one panel to the next.
    pub(crate) ld: usize,
    memory: PhantomData<M>,
}

/// A read-only view.
pub(crate) type Panels<'a> = View<&'a [Line]>;

/// An exclusive view, like `&mut`.
pub(crate) type PanelsMut<'a> = View<&'a mut [Line]>;

/// A matrix whose disjoint parts several threads write.
pub(crate) type SharedPanels<'a> = View<Shared<'a>>;

/// Access through unsafe methods, whose callers promise that what is written is disjoint from
/// everything else in use.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a>(PhantomData<&'a mut [Line]>);

// SAFETY: a `Panels` is a shared slice with a geometry.
unsafe impl Send for Panels<'_> {}
// SAFETY: as above.
unsafe impl Sync for Panels<'_> {}
// SAFETY: a `PanelsMut` is an exclusive slice with a geometry.
unsafe impl Send for PanelsMut<'_> {}
// SAFETY: by the promises of `Shared`.
unsafe impl Send for SharedPanels<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedPanels<'_> {}

/// The left operand of a product with weights: activations in panels, or row-major rows of a caller.
#[derive(Clone, Copy)]
pub(crate) enum RowsView<'a> {
    InPanels(Panels<'a>),
    RowMajor(MatRef<'a>),
}

/// Number of lines that a view of this geometry spans.
#[inline]
fn span(rows: usize, cols: usize, ld: usize) -> usize {
    assert!(rows <= ld, "{rows} rows in panels of {ld}");
    if rows == 0 || cols == 0 { 0 } else { (cols.div_ceil(LINE) - 1) * ld + rows }
}

impl<M> View<M> {
    /// Number of panels.
    pub(crate) fn n_panels(&self) -> usize {
        self.cols.div_ceil(LINE)
    }

    /// The same geometry with another access.
    ///
    /// # Safety
    /// The caller may access the memory as `N` says, for the lifetime in it.
    #[inline(always)]
    unsafe fn with_access<N>(&self) -> View<N> {
        let View { ptr, rows, cols, ld, .. } = *self;
        View { ptr, rows, cols, ld, memory: PhantomData }
    }

    /// A range of rows.
    #[inline]
    pub(crate) fn rows(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.rows);
        // SAFETY: `start` is at most `rows`, so the pointer stays in the view's memory.
        let ptr = unsafe { self.ptr.add(range.start) };
        View { ptr, rows: range.len(), ..self }
    }

    /// A range of panels.
    #[inline]
    pub(crate) fn panels(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.n_panels());
        // SAFETY: `start` panels are in the view's memory (or the result is empty and never read).
        let ptr = unsafe { self.ptr.add(range.start * self.ld) };
        let cols = self.cols.min(range.end * LINE) - (range.start * LINE).min(self.cols);
        View { ptr, cols, ..self }
    }
}

impl<'a> Panels<'a> {
    /// A view of `lines`.
    ///
    /// # Panics
    /// If the geometry needs more lines.
    pub(crate) fn new(lines: &'a [Line], rows: usize, cols: usize, ld: usize) -> Self {
        assert!(span(rows, cols, ld) <= lines.len());
        View { ptr: lines.as_ptr().cast_mut(), rows, cols, ld, memory: PhantomData }
    }

    /// The rows of one panel.
    pub(crate) fn panel(&self, p: usize) -> &'a [Line] {
        assert!(p < self.n_panels());
        // SAFETY: the constructor checked that `rows` lines from `p * ld` are in its memory.
        unsafe { std::slice::from_raw_parts(self.ptr.add(p * self.ld), self.rows) }
    }

    /// The first float.
    pub(crate) fn as_ptr(&self) -> *const f32 {
        self.ptr.cast()
    }
}

impl<'a> From<Panels<'a>> for RowsView<'a> {
    fn from(panels: Panels<'a>) -> Self {
        RowsView::InPanels(panels)
    }
}

impl<'a> RowsView<'a> {
    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        match self {
            RowsView::InPanels(x) => x.rows,
            RowsView::RowMajor(x) => x.rows(),
        }
    }

    /// Number of columns.
    pub(crate) fn cols(&self) -> usize {
        match self {
            RowsView::InPanels(x) => x.cols,
            RowsView::RowMajor(x) => x.cols(),
        }
    }

    /// A pointer to the first float, and the distances in floats of two rows and of two runs of 16
    /// columns.
    #[inline(always)]
    pub(crate) fn geometry(&self) -> (*const f32, usize, usize) {
        match self {
            RowsView::InPanels(x) => (x.as_ptr(), LINE, x.ld * LINE),
            RowsView::RowMajor(x) => (x.as_ptr(), x.stride(), LINE),
        }
    }

    /// Columns `16 p` to `16 p + 15` of a row; 0 or padding beyond the last column.
    #[inline(always)]
    pub(crate) fn line(&self, row: usize, p: usize) -> Line {
        match self {
            RowsView::InPanels(x) => x.panel(p)[row],
            RowsView::RowMajor(x) => {
                let values = &x.row(row)[p * LINE..];
                match values.first_chunk() {
                    Some(full) => Line(*full),
                    None => {
                        let mut line = Line::ZERO;
                        line.0[..values.len()].copy_from_slice(values);
                        line
                    }
                }
            }
        }
    }
}

impl<'a> PanelsMut<'a> {
    /// A view of `lines`.
    ///
    /// # Panics
    /// If the geometry needs more lines.
    pub(crate) fn new(lines: &'a mut [Line], rows: usize, cols: usize, ld: usize) -> Self {
        assert!(span(rows, cols, ld) <= lines.len());
        View { ptr: lines.as_mut_ptr(), rows, cols, ld, memory: PhantomData }
    }

    /// A read-only view.
    pub(crate) fn view(&self) -> Panels<'_> {
        // SAFETY: the view is borrowed for as long as the result lives.
        unsafe { self.with_access() }
    }

    /// The same view, for a shorter borrow.
    pub(crate) fn reborrow(&mut self) -> PanelsMut<'_> {
        // SAFETY: the view is borrowed exclusively for as long as the result lives.
        unsafe { self.with_access() }
    }

    /// A view whose parts several threads can write; its methods are unsafe.
    pub(crate) fn shared(&mut self) -> SharedPanels<'_> {
        // SAFETY: as above.
        unsafe { self.with_access() }
    }

    /// The rows of one panel.
    pub(crate) fn panel_mut(&mut self, p: usize) -> &mut [Line] {
        assert!(p < self.n_panels());
        // SAFETY: the constructor checked that `rows` lines from `p * ld` are in its memory.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(p * self.ld), self.rows) }
    }

    /// The first float.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.ptr.cast()
    }
}

impl<'a> SharedPanels<'a> {
    /// A matrix at `ptr`.
    ///
    /// # Safety
    /// `ptr` points to lines that hold this geometry and outlive `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw(ptr: *mut Line, rows: usize, cols: usize, ld: usize) -> Self {
        View { ptr, rows, cols, ld, memory: PhantomData }
    }

    /// # Safety
    /// While the result is in use, nobody writes these rows of these panels.
    #[inline]
    pub(crate) unsafe fn read(self) -> Panels<'a> {
        // SAFETY: by this function's contract.
        unsafe { self.with_access() }
    }

    /// # Safety
    /// While the result is in use, nobody else reads or writes these rows of these panels.
    #[inline]
    pub(crate) unsafe fn write(self) -> PanelsMut<'a> {
        // SAFETY: by this function's contract.
        unsafe { self.with_access() }
    }

    /// The lines of a matrix of one row and no padding lines, to write.
    ///
    /// # Safety
    /// While the result is in use, nobody else reads or writes these panels.
    pub(crate) unsafe fn lines_mut(self) -> &'a mut [Line] {
        assert!(self.rows == 1 && self.ld == 1);
        // SAFETY: with one line per panel, the panels are a slice of the memory.
        unsafe { std::slice::from_raw_parts_mut(self.ptr, self.n_panels()) }
    }
}

/// A slice whose disjoint parts several threads write.
pub(crate) struct SharedSlice<'a, T> {
    ptr: *mut T,
    len: usize,
    memory: PhantomData<&'a mut [T]>,
}

// SAFETY: all access goes through `get`, whose callers promise that parts in use are disjoint.
unsafe impl<T: Send> Sync for SharedSlice<'_, T> {}

impl<'a, T> SharedSlice<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        SharedSlice { ptr: slice.as_mut_ptr(), len: slice.len(), memory: PhantomData }
    }

    /// A range of elements, to write.
    ///
    /// # Safety
    /// While the result is in use, nobody else reads or writes these elements.
    pub(crate) unsafe fn get(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: inside the slice, and exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_matrix_are_where_they_belong() {
        let mut lines: Vec<Line> = (0..3 * 7).map(|i| Line([i as f32; LINE])).collect();
        let view = Panels::new(&lines, 5, 40, 7);
        assert_eq!(view.panel(2)[4].0[0], 18.0);
        assert_eq!(view.rows(2..4).panel(1)[0].0[0], 9.0);
        assert_eq!(view.panels(1..3).cols, 24);
        assert_eq!(view.panels(2..3).panel(0)[1].0[0], 15.0);
        // SAFETY: `lines` holds 3 panels of 7 lines.
        let shared = unsafe { SharedPanels::from_raw(lines.as_mut_ptr(), 5, 40, 7) };
        // SAFETY: the two parts do not overlap.
        let (mut a, mut b) =
            unsafe { (shared.rows(0..2).write(), shared.panels(1..2).rows(2..5).write()) };
        a.panel_mut(1)[1] = Line([-1.0; LINE]);
        b.panel_mut(0)[0] = Line([-2.0; LINE]);
        assert_eq!((lines[8].0[3], lines[9].0[3]), (-1.0, -2.0));
    }

    #[test]
    #[should_panic]
    fn a_view_beyond_its_memory_is_refused() {
        Panels::new(&[Line::ZERO; 20], 5, 40, 8);
    }
}
