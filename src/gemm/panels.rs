//! Panel storage: a matrix as panels of 16 columns, each panel one line (16 floats, 64 bytes) a
//! row. Element (r, c) is lane `c % 16` of line `(c / 16) * ld + r`.
//!
//! One layout serves every operand of the three products, so nothing is ever packed:
//!
//! | product | broadcast operand | vector operand | result |
//! |---|---|---|---|
//! | X·W | rows of X: fixed offsets r·16, k along the line | panel of W: one line a k | panel rows |
//! | D·Wᵀ | rows of D | panel of Wᵀ | panel rows |
//! | Xᵀ·D | lanes of one panel of X: offsets r, one line a k | panel of D: one line a k | panel rows of W |
//!
//! Lanes beyond the last column are padding, as are lines beyond the last row. Padding may hold
//! anything, and nothing reads it: an operation on lanes computes padding from padding, and whatever
//! crosses lanes (sums over a row, exports, norms, hashes) leaves it out (docs/design.md).

use super::tiles::{Panels, PanelsMut};
use crate::simd::{LINE, Line};
use crate::{Error, MatRef, Matrix, Result};

/// Lines from one panel of an activation matrix to the next. A tile of X·W walks over 16 panels a
/// block at this stride; a multiple of 64 lines (4 KiB) would put them all into the same L1 sets.
/// A stride of 5 modulo 8 visits all sets before it repeats, and keeps the 5 or 6 rows of
/// neighbouring panels apart.
pub(crate) fn padded_rows(rows: usize) -> usize {
    // Saturating: a number of rows this large is refused where it asks for memory.
    if rows < 32 { rows } else { rows.saturating_add((13 - rows % 8) % 8) }
}

/// Lanes that hold columns in panel `panel` of matrices of `width` columns side by side, each of
/// which begins with a panel of its own. The others are padding.
#[inline(always)]
pub(crate) fn lanes(width: usize, panel: usize) -> usize {
    LINE.min(width - panel % width.div_ceil(LINE) * LINE)
}

/// An owned matrix in panels.
#[derive(Clone, Debug)]
pub struct PanelMatrix {
    lines: Vec<Line>,
    rows: usize,
    cols: usize,
    ld: usize,
}

impl PanelMatrix {
    /// A matrix of zeros.
    ///
    /// # Errors
    /// [`Error::Shape`] when a dimension is zero, [`Error::Memory`] when the size does not fit in
    /// memory.
    pub fn zeros(rows: usize, cols: usize) -> Result<Self> {
        if rows == 0 || cols == 0 {
            let got = format!("{rows} x {cols}");
            return Err(Error::shape("panel matrix", "at least one row and column", got));
        }
        let no_memory = || Error::memory(format!("{rows} x {cols} values in panels"));
        let ld = padded_rows(rows);
        let n = cols.div_ceil(LINE).checked_mul(ld).ok_or_else(no_memory)?;
        let mut lines = Vec::new();
        lines.try_reserve_exact(n).map_err(|_| no_memory())?;
        lines.resize(n, Line::ZERO);
        Ok(PanelMatrix { lines, rows, cols, ld })
    }

    /// A copy of a row-major matrix.
    ///
    /// # Errors
    /// As [`PanelMatrix::zeros`].
    pub fn from_rows(x: MatRef) -> Result<Self> {
        let mut out = PanelMatrix::zeros(x.rows(), x.cols())?;
        for r in 0..x.rows() {
            for (p, values) in x.row(r).chunks(LINE).enumerate() {
                out.lines[p * out.ld + r].0[..values.len()].copy_from_slice(values);
            }
        }
        Ok(out)
    }

    /// A row-major copy.
    ///
    /// # Panics
    /// When the copy does not fit in memory.
    pub fn to_rows(&self) -> Matrix {
        let mut out = Matrix::zeros(self.rows, self.cols);
        for r in 0..self.rows {
            let row = &mut out.as_mut_slice()[r * self.cols..][..self.cols];
            for (p, values) in row.chunks_mut(LINE).enumerate() {
                values.copy_from_slice(&self.lines[p * self.ld + r].0[..values.len()]);
            }
        }
        out
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns, without padding.
    pub fn cols(&self) -> usize {
        self.cols
    }

    pub(crate) fn view(&self) -> Panels<'_> {
        Panels::new(&self.lines, self.rows, self.cols, self.ld)
    }

    pub(crate) fn view_mut(&mut self) -> PanelsMut<'_> {
        PanelsMut::new(&mut self.lines, self.rows, self.cols, self.ld)
    }
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
}
