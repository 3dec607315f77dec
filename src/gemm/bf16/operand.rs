//! Operands of the products: f32 matrices split into bf16 parts, in tiles of 1 KiB.
//!
//! A tile has 16 lines of 16 pairs of bf16. Of a left operand it is 16 rows by 32 columns, a line a
//! row; of a right operand 32 rows by 16 columns, a lane a column. Both pair element j of their
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

use super::super::{Panels, Tensor};
use super::precision::{ROWS, SplitBy};
use crate::Result;
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};

/// The products of parts that make up a product, (left, right), small ones first where that does
/// not cost loads: each step changes one side, so that a block of 2 x 2 tiles loads 14 for 24
/// products (P = 3) or 8 for 12 (P = 2). Part 0 is the largest.
pub(super) const fn terms(parts: usize) -> &'static [(usize, usize)] {
    match parts {
        1 => &[(0, 0)],
        2 => &[(1, 0), (0, 0), (0, 1)],
        _ => &[(2, 0), (1, 0), (1, 1), (0, 1), (0, 2), (0, 0)],
    }
}

/// The sums of a block of 2 x 2 tiles: those of left tile m and right tile n are the 16 lines
/// `2 * m + n`.
pub(super) type Sums = [[Line; LINE]; 4];

/// The tiles of a block: one or two rows of tiles of each operand, and how many of the two.
#[derive(Clone, Copy)]
pub(super) struct Pairs {
    pub(super) a: ([*const Line; 2], usize),
    pub(super) b: ([*const Line; 2], usize),
    pub(super) parts: usize,
    pub(super) depth: usize,
}

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
struct Packed {
    lines: Tensor,
    /// Rows of tiles.
    outer: usize,
    /// Tiles along the depth.
    depth: usize,
    parts: usize,
}

impl Packed {
    fn zeros(outer: usize, depth: usize, parts: usize) -> Result<Self> {
        let (outer, depth) = (outer.div_ceil(LINE), depth.div_ceil(ROWS));
        let lines = outer.saturating_mul(depth).saturating_mul(parts * LINE);
        Ok(Packed { lines: Tensor::zeros(lines, LINE, lines)?, outer, depth, parts })
    }

    /// Lines before the parts of a tile.
    fn at(&self, outer: usize, q: usize) -> usize {
        assert!(outer < self.outer && q < self.depth);
        (outer * self.depth + q) * self.parts * LINE
    }
}

/// A matrix as the operand of the products that it takes part in.
pub(crate) struct Split {
    role: Role,
    rows: usize,
    cols: usize,
    columns: Option<Packed>,
    by_rows: Option<Packed>,
}

/// One side of a product.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    packed: &'a Packed,
    /// Tiles of the depth that are used.
    pub(super) depth: usize,
}

impl Operand<'_> {
    /// bf16 numbers for an f32.
    pub(super) fn parts(&self) -> usize {
        self.packed.parts
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
            let lines = self.packed.lines.shared().all().as_ptr().cast::<Line>();
            [outer, second].map(|outer| lines.add(self.packed.at(outer, 0)))
        };
        (tiles, second - outer + 1)
    }
}

impl Split {
    /// Room for a matrix of `rows` x `cols`.
    ///
    /// # Errors
    /// As [`Tensor::zeros`].
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
            columns: packed(along != Along::Rows, rows, cols)?,
            by_rows: packed(along != Along::Columns, cols, rows)?,
        })
    }

    /// For a product whose depth is this matrix's columns.
    pub(super) fn along_columns(&self) -> Operand<'_> {
        let Some(packed) = &self.columns else { unreachable!("made for such a product") };
        Operand { packed, depth: packed.depth }
    }

    /// For a product whose depth is the first `rows` of this matrix.
    pub(super) fn along_rows(&self, rows: usize) -> Operand<'_> {
        let Some(packed) = &self.by_rows else { unreachable!("made for such a product") };
        assert!(rows <= self.rows);
        Operand { packed, depth: rows.div_ceil(ROWS) }
    }

    /// Rows and columns.
    pub(super) fn shape(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// Splits a part of the matrix, `m`, whose first value is at row `to.0` and panel `to.1` of the
    /// whole, multiples of 32 and 2. What lies below its last row in a block of 32 rows, and right
    /// of its last column in a block of 32 columns, becomes zero.
    ///
    /// # Safety
    /// As long as this runs, nobody else reads or writes the operand's blocks of 32 x 32 that the
    /// part has a share in.
    pub(crate) unsafe fn fill(&self, level: Level, m: Panels, to: (usize, usize)) {
        assert!(to.0.is_multiple_of(ROWS) && to.1.is_multiple_of(2));
        assert!(to.0 + m.rows <= self.rows && to.1 * LINE + m.cols <= self.cols);
        dispatch(level, Fill { split: self, m, to });
    }
}

impl Split {
    /// The lines of both kinds of tiles.
    #[cfg(test)]
    pub(super) fn lines(&self) -> [&[Line]; 2] {
        [&self.columns, &self.by_rows]
            .map(|packed| packed.as_ref().map_or(&[][..], |packed| packed.lines.lines()))
    }

    /// Splits the first rows of the matrix, or all.
    pub(crate) fn fill_all(&mut self, level: Level, m: Panels) {
        // SAFETY: `self` is exclusive.
        unsafe { self.fill(level, m, (0, 0)) }
    }
}

/// [`Split::fill`].
struct Fill<'a> {
    split: &'a Split,
    m: Panels<'a>,
    to: (usize, usize),
}

impl Kernel for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for panel in (0..self.m.n_panels()).step_by(2) {
            for row in (0..self.m.rows).step_by(ROWS) {
                s.enter(FillBlock(&self, row, panel));
            }
        }
    }
}

/// The block of up to 32 x 32 from a row and a panel on.
struct FillBlock<'a>(&'a Fill<'a>, usize, usize);

/// Two panels of two quarters, upper and lower 16 lines.
type Block = [[[Line; LINE]; 2]; 2];

impl Kernel for FillBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let FillBlock(Fill { split, m, to }, row, panel) = self;
        let mut block: Block = [[[Line::ZERO; LINE]; 2]; 2];
        let rows = ROWS.min(m.rows - row);
        for (p, quarters) in (panel..m.n_panels()).zip(&mut block) {
            let lines = &mut quarters.as_flattened_mut()[..rows];
            lines.copy_from_slice(&m.panel(p)[row..][..rows]);
            // What is beyond the last column is not zero in every matrix.
            let cols = (m.cols - p * LINE).min(LINE);
            if cols < LINE {
                lines.iter_mut().for_each(|line| line.0[cols..].fill(0.0));
            }
        }
        let (row, panel) = ((to.0 + row) / LINE, to.1 + panel);
        let packed = split.columns.as_ref().or(split.by_rows.as_ref());
        for part in 0..packed.map_or(0, |packed| packed.parts) {
            let mut rounded: Block = [[[Line::ZERO; LINE]; 2]; 2];
            let lines = block.as_flattened_mut().as_flattened_mut();
            for (line, near) in lines.iter_mut().zip(rounded.as_flattened_mut().as_flattened_mut())
            {
                next_part(s, line, near);
            }
            for (half, panel_half) in rounded.iter().enumerate() {
                if let Some(packed) = &split.columns {
                    let quarters = [&rounded[0][half], &rounded[1][half]];
                    let turned = split.role == Role::Weights;
                    put(s, quarters, turned, (packed, row + half, panel / 2, part));
                }
                if let Some(packed) = &split.by_rows {
                    let turned = split.role == Role::Inputs;
                    put(s, panel_half.each_ref(), turned, (packed, panel + half, row / 2, part));
                }
            }
        }
    }
}

/// Takes the nearest bf16 out of each float: x = rounded + what is left in x, exactly (or NaN in
/// x where that was not finite).
///
/// What would round to infinity is cut off instead; parts below 2⁻¹²⁶ are zero, as the tile unit
/// would take them.
#[inline(always)]
fn next_part<S: Simd>(s: S, line: &mut Line, rounded: &mut Line) {
    let (infinity, least) = (s.splat(f32::INFINITY), s.splat(f32::MIN_POSITIVE));
    for lane in (0..LINE).step_by(S::LANES) {
        let x = s.load(&line.0[lane..]);
        let bits = s.to_bits(x);
        // To nearest, ties to even: half of the last place less one, and the last bit that stays.
        let odd = s.int_and(s.int_shr(bits, 16), s.int_splat(1));
        let up = s.int_add(bits, s.int_add(s.int_splat(0x7fff), odd));
        let mask = s.int_splat(!0xffff);
        let (up, cut) = (s.from_bits(s.int_and(up, mask)), s.from_bits(s.int_and(bits, mask)));
        let near = s.select(s.lt(s.abs(up), infinity), up, cut);
        let near = s.select(s.is_nan(x), s.splat(f32::NAN), near);
        let near = s.select(s.lt(s.abs(near), least), s.splat(0.0), near);
        s.store(near, &mut rounded.0[lane..]);
        s.store(s.sub(x, near), &mut line.0[lane..]);
    }
}

/// Packs two quarters of a block, transposed or not, as a part of a tile, if there is such a tile.
#[inline(always)]
fn put<S: Simd>(
    s: S,
    quarters: [&[Line; LINE]; 2],
    transposed: bool,
    (packed, outer, q, part): (&Packed, usize, usize, usize),
) {
    if outer >= packed.outer {
        return;
    }
    let mut turned = [[Line::ZERO; LINE]; 2];
    if transposed {
        for (quarter, turned) in quarters.into_iter().zip(&mut turned) {
            // SAFETY: both are 16 lines.
            unsafe { s.transpose(quarter.as_ptr().cast(), turned.as_mut_ptr().cast(), LINE) };
        }
    }
    let [low, high] = if transposed { turned.each_ref() } else { quarters };
    let first = packed.at(outer, q) + part * LINE;
    // SAFETY: nobody else uses the tiles of this block (`Split::fill`).
    let mut lines = unsafe { packed.lines.shared().rows_mut(first..first + LINE) };
    let (low_half, high_half) = (s.int_splat(0xffff), s.int_splat(!0xffff));
    for ((line, low), high) in lines.panel_mut(0).iter_mut().zip(low).zip(high) {
        for lane in (0..LINE).step_by(S::LANES) {
            let low = s.int_shr(s.to_bits(s.load(&low.0[lane..])), 16);
            let high = s.to_bits(s.load(&high.0[lane..]));
            let pair = s.int_or(s.int_and(low, low_half), s.int_and(high, high_half));
            s.store(s.from_bits(pair), &mut line.0[lane..]);
        }
    }
}
