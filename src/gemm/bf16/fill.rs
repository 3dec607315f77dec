//! How operands are filled: f32 split into their parts, bytes as they are, both in blocks of 32 x 32.

use super::bytes::Scaling;
use super::operand::{Packed, Role, Split, SplitRows};
use super::precision::ROWS;
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use crate::storage::{InputValue, Panels, RowSource, lanes};
use std::ops::Range;

/// Whole blocks of 32 x 32 of an operand, to write.
pub(crate) struct SplitPart<'a> {
    split: &'a Split,
    rows: Range<usize>,
    /// Groups of 16 columns.
    panels: Range<usize>,
}

impl Split {
    /// The blocks of 32 x 32 that these rows and panels have a share in; both begin with a block.
    ///
    /// # Safety
    /// As long as the part lives, nobody else reads or writes these blocks.
    pub(crate) unsafe fn part(&self, rows: Range<usize>, panels: Range<usize>) -> SplitPart<'_> {
        assert!(rows.start.is_multiple_of(ROWS) && panels.start.is_multiple_of(2));
        assert!(rows.end <= self.rows && panels.end <= self.cols.div_ceil(LINE));
        SplitPart { split: self, rows, panels }
    }

    /// All of it, to write.
    pub(crate) fn view_mut(&mut self) -> SplitPart<'_> {
        let panels = 0..self.cols.div_ceil(LINE);
        SplitPart { rows: 0..self.rows, panels, split: self }
    }

    /// Splits the first rows of the matrix, or all.
    pub(crate) fn fill_all(&mut self, level: Level, m: Panels) {
        self.view_mut().fill(level, m, (0, 0));
    }
}

impl<'a> SplitPart<'a> {
    /// The same rows, to read.
    pub(crate) fn view(&self) -> SplitRows<'_> {
        SplitRows { split: self.split, first: self.rows.start, rows: self.rows.len() }
    }

    /// Splits a matrix, `m`, whose first value is at row `to.0` and panel `to.1` of the part,
    /// multiples of 32 and 2. What lies below its last row in a block of 32 rows, and right of its last
    /// column in a block of 32 columns, becomes zero, as does all padding.
    pub(crate) fn fill(&mut self, level: Level, m: Panels, to: (usize, usize)) {
        assert!(to.0.is_multiple_of(ROWS) && to.1.is_multiple_of(2));
        assert!(to.0 + m.rows <= self.rows.len() && to.1 + m.n_panels() <= self.panels.len());
        let to = (self.rows.start + to.0, self.panels.start + to.1);
        assert!(to.1 * LINE + m.cols <= self.split.cols);
        dispatch(level, Fill { split: self.split, m, to });
    }

    /// Fills all rows of the part with the same rows of a batch of bytes, counted from the centre of
    /// their scaling: for products that are told the scaling, and whose other rows are filled in this
    /// way too. What lies beyond the last row and column becomes zero, as in [`SplitPart::fill`].
    pub(crate) fn fill_bytes<R: RowSource<Value = u8>>(
        &mut self,
        level: Level,
        source: R,
        scaling: Scaling,
    ) {
        let (split, rows) = (self.split, self.rows.clone());
        assert!(split.role == Role::Inputs && self.panels == (0..split.cols.div_ceil(LINE)));
        dispatch(level, FillBytes { split, source, rows, centre: scaling.centre });
    }
}

impl Split {
    /// Packs a part of the block of 32 x 32 at a row of lines and a panel, of `parts` parts.
    #[inline(always)]
    fn put<S: Simd>(
        &self,
        s: S,
        block: &Block,
        (row, panel): (usize, usize),
        part: (usize, usize),
    ) {
        for (half, panel_half) in block.iter().enumerate() {
            if let Some(packed) = &self.columns {
                let quarters = [&block[0][half], &block[1][half]];
                let (outer, q) = (row + half, panel / 2);
                let turned = self.role == Role::Weights;
                put(s, quarters, turned, Place { packed, outer, q, part });
            }
            if let Some(packed) = &self.by_rows {
                let (outer, q) = (panel + half, row / 2);
                let turned = self.role == Role::Inputs;
                put(s, panel_half.each_ref(), turned, Place { packed, outer, q, part });
            }
        }
    }
}

/// Two panels of two quarters, upper and lower 16 lines.
type Block = [[[Line; LINE]; 2]; 2];

const EMPTY: Block = [[[Line::ZERO; LINE]; 2]; 2];

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

impl Kernel for FillBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let FillBlock(Fill { split, m, to }, row, panel) = self;
        let mut block = EMPTY;
        let rows = ROWS.min(m.rows - row);
        let panels = panel..m.n_panels().min(panel + 2);
        for (p, quarters) in panels.clone().zip(&mut block) {
            let lines = &mut quarters.as_flattened_mut()[..rows];
            lines.copy_from_slice(&m.panel(p)[row..][..rows]);
            // Padding may hold anything.
            let lanes = lanes(split.width, to.1 + p);
            if lanes < LINE {
                lines.iter_mut().for_each(|line| line.0[lanes..].fill(0.0));
            }
        }
        let (row, panel) = ((to.0 + row) / LINE, to.1 + panel);
        if let Some(sums) = &split.sums {
            for (p, quarters) in (panel..panel + panels.len()).zip(&block) {
                // SAFETY: each block has a separate line in each of its panels, and nobody else
                // uses what belongs to this block (`Split::fill`).
                let mut sums =
                    unsafe { sums.shared().panels(p..p + 1).rows(row / 2..row / 2 + 1).write() };
                sums.panel_mut(0)[0] = column_sums(s, quarters.as_flattened());
            }
        }
        for part in 0..split.parts {
            let mut rounded = EMPTY;
            let lines = block.as_flattened_mut().as_flattened_mut();
            for (line, near) in lines.iter_mut().zip(rounded.as_flattened_mut().as_flattened_mut())
            {
                next_part(s, line, near);
            }
            split.put(s, &rounded, (row, panel), (part, split.parts));
        }
    }
}

/// The sums of each column of a block: four chains, each of every fourth line, and the sums of two
/// and two, because one chain would wait four cycles for each of its 32 additions.
#[inline(always)]
fn column_sums<S: Simd>(s: S, lines: &[Line]) -> Line {
    let mut total = Line::ZERO;
    for lane in (0..LINE).step_by(S::LANES) {
        let mut sums = [s.splat(0.0); 4];
        for four in lines.as_chunks::<4>().0 {
            for (sum, line) in sums.iter_mut().zip(four) {
                *sum = s.add(*sum, s.load(&line.0[lane..]));
            }
        }
        let [a, b, c, d] = sums;
        s.store(s.add(s.add(a, b), s.add(c, d)), &mut total.0[lane..]);
    }
    total
}

/// [`Split::fill_bytes`].
struct FillBytes<'a, R> {
    split: &'a Split,
    source: R,
    rows: Range<usize>,
    centre: f32,
}

impl<R: RowSource<Value = u8>> Kernel for FillBytes<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let FillBytes { split, source, rows, centre } = self;
        for first in rows.clone().step_by(ROWS) {
            let mut lines = [&[][..]; ROWS];
            let last = rows.end.min(first + ROWS);
            for (row, line) in (first..last).zip(&mut lines) {
                *line = source.row(row);
                assert!(line.len() == split.cols);
            }
            let lines = &lines[..last - first];
            for panel in (0..split.cols.div_ceil(LINE)).step_by(2) {
                s.enter(BytesBlock { split, lines, centre, at: (first, panel) });
            }
        }
    }
}

/// The block of up to 32 x 32 at a row and a panel, from its rows of bytes.
struct BytesBlock<'a> {
    split: &'a Split,
    lines: &'a [&'a [u8]],
    centre: f32,
    at: (usize, usize),
}

impl Kernel for BytesBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let BytesBlock { split, lines, centre, at: (first, panel) } = self;
        // A line of the cache has a sample's bytes of two blocks, and the samples of a batch lie
        // anywhere: the next line of each is asked for two blocks before it is read, some 600 cycles,
        // about what memory takes.
        let ahead = panel * LINE + size_of::<Line>();
        if ahead.is_multiple_of(size_of::<Line>()) {
            let next = lines.iter().filter_map(|bytes| bytes.get(ahead..));
            next.for_each(|bytes| s.prefetch(bytes.as_ptr().cast()));
        }
        let (mut block, centre) = (EMPTY, s.splat(centre));
        for (p, quarters) in (panel..split.cols.div_ceil(LINE)).zip(&mut block) {
            for (bytes, line) in lines.iter().zip(quarters.as_flattened_mut()) {
                let bytes = &bytes[p * LINE..];
                let values = bytes.first_chunk().copied().unwrap_or_else(|| {
                    let mut last = [0; LINE];
                    last[..bytes.len()].copy_from_slice(bytes);
                    last
                });
                for lane in (0..LINE).step_by(S::LANES) {
                    let value = s.sub(u8::load(s, &values[lane..]), centre);
                    s.store(value, &mut line.0[lane..]);
                }
                if bytes.len() < LINE {
                    line.0[bytes.len()..].fill(0.0);
                }
            }
        }
        split.put(s, &block, (first / LINE, panel), (0, 1));
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

/// Where a part of a tile is.
struct Place<'a> {
    packed: &'a Packed,
    outer: usize,
    q: usize,
    /// The part, and how many a tile has.
    part: (usize, usize),
}

/// Packs two quarters of a block, transposed or not, as a part of a tile, if there is such a tile.
#[inline(always)]
fn put<S: Simd>(s: S, quarters: [&[Line; LINE]; 2], transposed: bool, at: Place) {
    let Place { packed, outer, q, part: (part, parts) } = at;
    if outer >= packed.outer {
        return;
    }
    let mut turned = [[Line::ZERO; LINE]; 2];
    if transposed {
        for (quarter, turned) in quarters.into_iter().zip(&mut turned) {
            s.transpose_lines(quarter, turned);
        }
    }
    let [low, high] = if transposed { turned.each_ref() } else { quarters };
    let first = packed.at(outer, q, parts) + part * LINE;
    // SAFETY: nobody else uses the tiles of this block (`Split::fill`).
    let mut lines = unsafe { packed.lines.shared().rows(first..first + LINE).write() };
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
