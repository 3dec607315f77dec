//! The tiles that the products of a level are cut into.

use super::line::LINE;

/// The tiles of a level: rows of a few panels, whose sums stay in registers.
///
/// A vector FMA has a latency of 4 cycles and two start in each cycle, so a tile needs at least 8
/// independent sums. The sums, the vectors of one depth step and one broadcast stay in registers.
/// Loads do not exceed FMAs, since two of each start in a cycle.
///
/// | level | panels | vectors | rows | sums | loads per FMA | for |
/// |---|---|---|---|---|---|---|
/// | AVX2 | 1 | 2 | 6 | 12 of 16 registers | 8 / 12 | everything else |
/// | AVX2 | 2 | 4 | 3 | 12 | 7 / 12 | 2 or 3 rows |
/// | AVX2 | 4 | 8 | 1 | 8 | 9 / 8 | a single row |
/// | AVX-512 | 3 | 3 | 8 | 24 of 32 registers | 11 / 24 | everything else |
/// | AVX-512 | 2 | 2 | 10 | 20 | 12 / 20 | the last two panels; outputs up to 32 wide |
/// | AVX-512 | 1 | 1 | 10 | 10 | 11 / 10 | the last panel; outputs up to 16 wide |
/// | AVX-512 | 4 | 4 | 2 | 8 | 6 / 8 | 2 rows |
/// | AVX-512 | 8 | 8 | 1 | 8 | 9 / 8 | a single row |
///
/// From 12 rows on the compiler no longer keeps the sums of two panels in registers. A single row is
/// bound by memory anyway.
pub(crate) struct TileShapes {
    /// Vector registers of the level.
    registers: usize,
    /// The most rows of a tile of one panel, of two, and so on.
    pub(super) rows: &'static [usize],
    /// The wider tile of a product of few rows: its panels, and the most rows of such a product.
    pub(super) few_rows: (usize, usize),
    /// Panels of a tile of a single row: the next one is the widest that is left.
    pub(super) row_panels: &'static [usize],
    /// The most panels of a gradient's tile.
    pub(super) gradient_panels: usize,
    /// Rows of a gradient's next tile when one of a panel's rows is left, two, and so on. Only the
    /// last inputs of a layer take the low tiles, so that few heights are enough: each is compiled
    /// for every optimiser.
    pub(super) gradient_rows: [usize; LINE],
}

impl TileShapes {
    /// No tiles: the products run on `matrixmultiply`.
    pub(super) const NONE: TileShapes = TileShapes {
        registers: 0,
        rows: &[],
        few_rows: (0, 0),
        row_panels: &[],
        gradient_panels: 0,
        gradient_rows: [0; LINE],
    };

    /// 16 registers of 8 lanes.
    pub(super) const AVX2: TileShapes = TileShapes {
        registers: 16,
        rows: &[6],
        few_rows: (2, 3),
        row_panels: &[1, 2, 4],
        gradient_panels: 1,
        // 16 = 6 + 5 + 5, 10 = 5 + 5, 9 = 5 + 4, 8 = 4 + 4.
        gradient_rows: [1, 2, 2, 4, 5, 6, 4, 4, 5, 5, 6, 6, 6, 6, 6, 6],
    };

    /// 32 registers of 16 lanes.
    pub(super) const AVX512: TileShapes = TileShapes {
        registers: 32,
        rows: &[10, 10, 8],
        few_rows: (4, 2),
        row_panels: &[1, 2, 3, 4, 8],
        gradient_panels: 3,
        gradient_rows: [1, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8, 8, 8, 8],
    };

    /// Whether there are no tiles.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The most rows, two or more, of a tile of `panels` panels; 0 where there is no such tile.
    pub(crate) const fn max_rows(&self, panels: usize) -> usize {
        match panels {
            0 => 0,
            _ if panels == self.few_rows.0 => self.few_rows.1,
            _ if panels <= self.rows.len() => self.rows[panels - 1],
            _ => 0,
        }
    }

    /// Panels of the next tile of a product of two rows or more, when `left` panels are left.
    #[inline(always)]
    pub(crate) fn next_panels(&self, rows: usize, left: usize) -> usize {
        let (panels, few) = self.few_rows;
        if rows <= few && left >= panels { panels } else { left.min(self.rows.len()) }
    }

    /// Whether a single row has a tile of `panels` panels.
    pub(crate) const fn has_row_tile(&self, panels: usize) -> bool {
        contains(self.row_panels, panels)
    }

    /// The most panels of a gradient's tile.
    pub(crate) const fn max_gradient_panels(&self) -> usize {
        self.gradient_panels
    }

    /// Whether a gradient has tiles of `rows` rows.
    pub(crate) const fn has_gradient_rows(&self, rows: usize) -> bool {
        contains(&self.gradient_rows, rows)
    }

    /// Bit n is set if a gradient's next tile has `rows` rows when n of a panel's rows are left.
    pub(super) const fn gradient_lefts(&self, rows: usize) -> u32 {
        let (mut lefts, mut left) = (0, 1);
        while left <= LINE {
            lefts |= ((self.gradient_rows[left - 1] == rows) as u32) << left;
            left += 1;
        }
        lefts
    }

    /// Whether the sums of a tile, the fewer of its broadcasts and vectors, and one of the others
    /// fit the registers.
    pub(super) const fn fits(&self, rows: usize, vectors: usize) -> bool {
        let fewer = if rows < vectors { rows } else { vectors };
        rows * vectors + fewer < self.registers
    }
}

const fn contains(numbers: &[usize], n: usize) -> bool {
    let mut i = 0;
    while i < numbers.len() {
        if numbers[i] == n {
            return true;
        }
        i += 1;
    }
    false
}
