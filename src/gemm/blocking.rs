//! Blocks: the numbers of the products besides the tiles of the levels, with their reasons.

use crate::simd::{LINE, Simd};

/// Depth of a block. Part of the numeric contract (one chain of fused multiply-adds a block, block
/// sums added in order), so it never changes; chosen because 256 lines of a panel are 16 KiB, half
/// of the smallest L1 in use, and because the rounding error grows with 256 + K/256, not with K.
pub(crate) const K_BLOCK: usize = 256;

/// Vectors per panel of a tile of `panels` panels: a single panel may need a part of them, for its
/// last columns.
#[inline(always)]
pub(super) fn panel_vectors<S: Simd>(panels: usize, columns_left: usize) -> usize {
    if panels == 1 { columns_left.min(LINE).div_ceil(S::LANES) } else { S::VECTORS }
}

/// Whether a tile of `panels` panels may have `vectors` vectors per panel.
pub(super) const fn has_vectors<S: Simd>(panels: usize, vectors: usize) -> bool {
    vectors == S::VECTORS || panels == 1 && vectors < S::VECTORS
}

/// `n` rows in the fewest tiles of at most `most` rows, heights as equal as can be (10 rows are
/// 5 + 5, not 6 + 4: a low tile has too few sums in flight).
#[derive(Clone, Copy)]
pub(super) struct Balanced {
    tiles: usize,
    height: usize,
    /// Tiles with one row more.
    extra: usize,
}

impl Balanced {
    #[inline(always)]
    pub(super) const fn new(n: usize, most: usize) -> Self {
        let tiles = n.div_ceil(most);
        let some = if tiles == 0 { 1 } else { tiles };
        Balanced { tiles, height: n / some, extra: n % some }
    }

    /// (first row, rows) of each.
    #[inline(always)]
    pub(super) fn iter(self) -> impl Iterator<Item = (usize, usize)> {
        let Balanced { tiles, height, extra } = self;
        (0..tiles).map(move |t| (t * height + t.min(extra), height + usize::from(t < extra)))
    }
}

/// Rows of a product that take all weights before the next ones: their broadcast operands of one
/// block of the depth are 256 KiB, a quarter of an L2 of 1 MiB.
pub(super) const ROW_BLOCK: usize = 256;

/// Weights from which the next panel is fetched ahead: 2^17 are 512 KiB, half of a 1 MiB L2. Smaller
/// ones stay there from one block of rows to the next, and the instructions cost 2 %.
pub(super) const PREFETCH_WEIGHTS: usize = 1 << 17;

/// Rows from which there is time to fetch between tiles; with fewer, the products are bound by the
/// very same loads.
pub(super) const PREFETCH_ROWS: usize = 16;

/// How a gradient Xᵀ·D is walked over, in blocks of panels and samples.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    /// Panels of X in a block.
    pub(super) x_panels: usize,
    /// Panels of D in a block.
    pub(super) d_panels: usize,
    /// Samples that every tile of a block takes before the next ones.
    pub(super) samples: usize,
}

/// Panels of X and of D in a block of a gradient of many samples. The more they are, the less is
/// read from L3: (8 + 8) · 64 bytes a sample for 64 tiles of 16 cycles are one byte a cycle. The
/// tiles' totals between two passes are 64 KiB.
pub(super) const BLOCK_PANELS: usize = 8;

/// Samples of a pass: 2 · 8 panels of 512 lines are 512 KiB, which with the totals fit an L2 of
/// 1 MiB. (One core with a peak of 92 GFLOP/s, 512 x 2048 x 2048: 75 with 6 panels, 77 with 8, 76
/// with 12 and 256 samples; 63 where a panel of D passed by two panels of X at a time.)
const PASS_SAMPLES: usize = 512;

impl Walk {
    /// Up to 1024 samples, every tile takes them all: its 64 KiB of a panel of x and of d stream from
    /// L2, where a quarter of 1 MiB keeps some panels of X while D passes by. Small batches take
    /// all panels at once, so that the weights are walked in the order of their memory.
    ///
    /// Of more, no panel stays in L2 while others pass by: a block of panels takes some samples, then
    /// the next ones.
    pub(super) fn new(samples: usize) -> Self {
        match samples {
            ..=1024 => {
                let x_panels = (4096 / samples.max(1)).max(1);
                Walk { x_panels, d_panels: usize::MAX, samples: usize::MAX }
            }
            _ => Walk { x_panels: BLOCK_PANELS, d_panels: BLOCK_PANELS, samples: PASS_SAMPLES },
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_tiles_cover_the_rows() {
        for most in 1..9 {
            for n in 0..100 {
                let tiles: Vec<_> = Balanced::new(n, most).iter().collect();
                let mut next = 0;
                for &(first, rows) in &tiles {
                    assert_eq!(first, next);
                    assert!(rows <= most && rows + 1 >= n / tiles.len().max(1));
                    next += rows;
                }
                assert_eq!(next, n);
                assert_eq!(tiles.len(), n.div_ceil(most));
            }
        }
    }
}
