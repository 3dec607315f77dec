//! Operands of the products: f32 matrices split into bf16 parts, in tiles of 1 KiB.
//!
//! A tile has 16 lines of 16 pairs of bf16. Of a left operand it is 16 rows by 32 columns, a line a
//! row; of a right operand 32 rows by 16 columns, a lane per column. Both pair element j of their
//! depth of 32 with element j + 16, in the low and the high half of a lane: products sum over the
//! depth in that order, and packing is a shift and an `or`, without any shuffle.
//!
//! So a block of 32 x 32 of a matrix has a tile for each two of its four quarters, and for each of
//! the two products that it is an operand of:
//!
//! | operand of | tiles are deep | as | matrices |
//! |---|---|---|---|
//! | X·W, D·Wᵀ | along columns | they are | X, D |
//! | D·Wᵀ | along columns | transposed | W |
//! | X·W, Xᵀ·D | along rows | they are | W, D |
//! | Xᵀ·D | along rows | transposed | X |

use super::precision::{ROWS, SplitBy};
use crate::error::Result;
use crate::simd::{LINE, Line, Simd};
use crate::storage::PanelMatrix;

/// What a matrix is, which says how its tiles lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Inputs,
    Deltas,
    Weights,
}

/// Which tiles are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Along {
    Columns,
    Rows,
    Both,
}

/// Tiles in the order in which products read them: all of the depth of one row of tiles, and the
/// parts of each next to each other.
pub(super) struct Packed {
    pub(super) lines: PanelMatrix,
    /// Rows of tiles.
    pub(super) outer: usize,
    /// Tiles along the depth.
    depth: usize,
}

impl Packed {
    fn zeros(outer: usize, depth: usize, parts: usize) -> Result<Self> {
        let (outer, depth) = (outer.div_ceil(LINE), depth.div_ceil(ROWS));
        let lines = outer.saturating_mul(depth).saturating_mul(parts * LINE);
        Ok(Packed { lines: PanelMatrix::with_stride(lines, LINE, lines)?, outer, depth })
    }

    /// Lines before the parts of a tile, where each tile has `parts`.
    pub(super) fn at(&self, outer: usize, q: usize, parts: usize) -> usize {
        assert!(outer < self.outer && q < self.depth);
        (outer * self.depth + q) * parts * LINE
    }
}

/// A matrix as the operand of the products that it takes part in.
pub(crate) struct Split {
    pub(super) role: Role,
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Columns of each of the matrices that lie side by side, `cols` where there is one.
    pub(super) width: usize,
    /// bf16 numbers for an f32, for which there is room. Bytes take one of them.
    pub(super) parts: usize,
    pub(super) columns: Option<Packed>,
    pub(super) by_rows: Option<Packed>,
    /// One row for each 32 of the matrix: the sums of their columns, where they are wanted.
    pub(super) sums: Option<PanelMatrix>,
}

/// Rows of an operand from a multiple of 32 on, to read.
#[derive(Clone, Copy)]
pub(crate) struct SplitRows<'a> {
    pub(super) split: &'a Split,
    pub(super) first: usize,
    pub(super) rows: usize,
}

/// One side of a product.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    packed: &'a Packed,
    sums: Option<&'a PanelMatrix>,
    /// bf16 numbers for a value.
    pub(super) parts: usize,
    /// Tiles of the depth that are used.
    pub(super) depth: usize,
}

impl Operand<'_> {
    /// The same, filled by [`Split::fill_bytes`].
    pub(super) fn of_bytes(self) -> Self {
        Operand { parts: 1, ..self }
    }

    /// The sums of the columns of a panel, over the depth: those of its tiles, added in order.
    ///
    /// # Safety
    /// Nobody writes the operand.
    #[inline(always)]
    pub(super) unsafe fn column_sums<S: Simd>(&self, s: S, panel: usize) -> Line {
        let Some(sums) = self.sums else { unreachable!("kept before the first shift") };
        // SAFETY: by this function's contract.
        let lines = &unsafe { sums.shared().read() }.panel(panel)[..self.depth];
        let mut total = Line::ZERO;
        for lane in (0..LINE).step_by(S::LANES) {
            let add = |sum, line: &Line| s.add(sum, s.load(&line.0[lane..]));
            s.store(lines.iter().fold(s.splat(0.0), add), &mut total.0[lane..]);
        }
        total
    }

    /// Two rows of tiles from `outer` on, and how many of them there are; the second is the first
    /// where there is no other.
    ///
    /// # Safety
    /// Nobody writes these tiles as long as the pointers are read.
    pub(super) unsafe fn pair(&self, outer: usize) -> ([*const Line; 2], usize) {
        let second = (outer + 1).min(self.packed.outer - 1);
        // SAFETY: by this function's contract; `at` checks that both are inside.
        let tiles = unsafe {
            let lines = self.packed.lines.shared().read().as_ptr().cast::<Line>();
            [outer, second].map(|outer| lines.add(self.packed.at(outer, 0, self.parts)))
        };
        (tiles, second - outer + 1)
    }
}

impl Split {
    /// Room for a matrix of `rows` x `cols`.
    ///
    /// # Errors
    /// As [`PanelMatrix::zeros`].
    pub(crate) fn new(
        role: Role,
        (rows, cols): (usize, usize),
        by: SplitBy,
        along: Along,
    ) -> Result<Self> {
        let packed = |wanted: bool, outer, depth| {
            wanted.then(|| Packed::zeros(outer, depth, by.parts)).transpose()
        };
        Ok(Split {
            role,
            rows,
            cols,
            width: cols,
            parts: by.parts,
            columns: packed(along != Along::Rows, rows, cols)?,
            by_rows: packed(along != Along::Columns, cols, rows)?,
            sums: None,
        })
    }

    /// The same for matrices of `width` columns side by side, as a [`PanelMatrix`] holds them: what lies
    /// between them becomes zero too.
    pub(crate) fn side_by_side(self, width: usize) -> Self {
        Split { width, ..self }
    }

    /// From the next filling on, the sums of the columns are kept too: what the shift of a left
    /// operand's bytes is multiplied by. Returns whether they were not kept before.
    ///
    /// # Errors
    /// As [`PanelMatrix::zeros`].
    pub(crate) fn keep_sums(&mut self) -> Result<bool> {
        if self.sums.is_some() {
            return Ok(false);
        }
        let blocks = self.rows.div_ceil(ROWS);
        self.sums = Some(PanelMatrix::with_stride(blocks, self.cols, blocks)?);
        Ok(true)
    }

    /// For a product whose depth is this matrix's columns.
    pub(super) fn along_columns(&self) -> Operand<'_> {
        let Some(packed) = &self.columns else { unreachable!("made for such a product") };
        Operand { packed, sums: None, parts: self.parts, depth: packed.depth }
    }

    /// For a product whose depth is the first `rows` of this matrix.
    pub(super) fn along_rows(&self, rows: usize) -> Operand<'_> {
        let Some(packed) = &self.by_rows else { unreachable!("made for such a product") };
        assert!(rows <= self.rows);
        let (sums, depth) = (self.sums.as_ref(), rows.div_ceil(ROWS));
        Operand { packed, sums, parts: self.parts, depth }
    }

    /// Rows and columns.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// The sums of columns, where they are kept.
    #[cfg(test)]
    pub(crate) fn sums_mut(&mut self) -> Option<&mut PanelMatrix> {
        self.sums.as_mut()
    }

    /// All of it, to read.
    pub(crate) fn view(&self) -> SplitRows<'_> {
        SplitRows { split: self, first: 0, rows: self.rows }
    }

    /// The lines of both kinds of tiles.
    #[cfg(test)]
    pub(super) fn lines(&self) -> [&[Line]; 2] {
        [&self.columns, &self.by_rows]
            .map(|packed| packed.as_ref().map_or(&[][..], |packed| packed.lines.lines()))
    }
}
