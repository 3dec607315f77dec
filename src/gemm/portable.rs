//! The products of the portable level, on `matrixmultiply`.
//!
//! Its operands are row-major, so the panels are copied first; it also allocates packing buffers.
//! The level trades both for running everywhere. An element's sum does not depend on how many
//! other rows are in the call, so batch splits and threads still cannot change a bit.

use super::epilogue::{Epilogue, Place};
use crate::simd::{LINE, Line, Simd};
use crate::storage::{Panels, RowsView};

/// A row-major copy with rows of `width` floats.
fn unpack(m: Panels, width: usize) -> Vec<f32> {
    let mut out = vec![0.0; m.rows * width];
    for p in 0..m.n_panels() {
        let cols = LINE.min(m.cols - p * LINE);
        for (row, line) in out.chunks_exact_mut(width).zip(m.panel(p)) {
            row[p * LINE..][..cols].copy_from_slice(&line.0[..cols]);
        }
    }
    out
}

/// Floats from one row to the next and from one column to the next.
#[derive(Clone, Copy)]
struct Strides(isize, isize);

/// sums (m x width) = a (m x k) · b (k x width), by `matrixmultiply`.
fn multiply(m: usize, a: &[f32], a_strides: Strides, b: &[f32], width: usize) -> Vec<f32> {
    let k = b.len() / width;
    assert_eq!(a.len(), m * k);
    let mut sums = vec![0.0f32; m * width];
    // SAFETY: a is m x k in one of its two orders, b is k x width and sums is m x width, both
    // row-major; the lengths above prove it.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            width,
            1.0,
            a.as_ptr(),
            a_strides.0,
            a_strides.1,
            b.as_ptr(),
            width as isize,
            1,
            0.0,
            sums.as_mut_ptr(),
            width as isize,
            1,
        );
    }
    sums
}

/// The epilogue of every vector of an m x width matrix of sums.
///
/// # Safety
/// The epilogue's fields are valid at every place of such a matrix, and nobody else uses what it
/// writes.
#[inline(always)]
unsafe fn finish<S: Simd, E: Epilogue>(
    s: S,
    sums: &[f32],
    width: usize,
    bias: Option<&[Line]>,
    epilogue: E,
) {
    for (row, values) in sums.chunks_exact(width).enumerate() {
        for (v, vector) in values.chunks_exact(S::LANES).enumerate() {
            let (panel, lane) = (v * S::LANES / LINE, v * S::LANES % LINE);
            let at = Place { row, panel, lane };
            // SAFETY: by this function's contract.
            unsafe {
                let sum = s.load(vector);
                let total = match bias {
                    Some(bias) => s.add(s.add(s.load(&bias[panel].0[lane..]), s.splat(0.0)), sum),
                    None => sum,
                };
                epilogue.finish(s, total, at);
            }
        }
    }
}

/// `epilogue(bias + x·w)`
///
/// # Safety
/// The epilogue's fields are valid at every place of the product, and nobody else uses what it
/// writes.
#[inline(always)]
pub(super) unsafe fn rows<S: Simd, E: Epilogue>(
    s: S,
    x: RowsView,
    w: Panels,
    bias: Option<&[Line]>,
    epilogue: E,
) {
    let width = w.n_panels() * LINE;
    let rows = match x {
        RowsView::InPanels(x) => unpack(x, x.cols),
        RowsView::RowMajor(x) => (0..x.rows()).flat_map(|r| x.row(r)).copied().collect(),
    };
    let strides = Strides(x.cols() as isize, 1);
    let sums = multiply(x.rows(), &rows, strides, &unpack(w, width), width);
    // SAFETY: by this function's contract.
    unsafe { finish(s, &sums, width, bias, epilogue) }
}

/// `epilogue(xᵀ·d)`
///
/// # Safety
/// As [`rows`].
#[inline(always)]
pub(super) unsafe fn weights<S: Simd, E: Epilogue>(s: S, x: Panels, d: Panels, epilogue: E) {
    let width = d.n_panels() * LINE;
    let strides = Strides(1, x.cols as isize);
    let sums = multiply(x.cols, &unpack(x, x.cols), strides, &unpack(d, width), width);
    // SAFETY: by this function's contract.
    unsafe { finish(s, &sums, width, None, epilogue) }
}
