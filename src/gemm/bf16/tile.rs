//! Blocks of 2 x 2 tiles: what `amx` and `fma` multiply.

use crate::simd::{LINE, Line};

/// The products of parts that make up a product, (left, right), small ones first where that does
/// not cost loads: each step changes one side, so that a block of 2 x 2 tiles loads 14 for 24
/// products (three parts each) or 8 for 12 (two). Part 0 is the largest. One left part is the whole
/// left operand (bytes), of which no product with a right part is left out: 8 loads for 12 products
/// with three.
pub(super) const fn terms((left, right): (usize, usize)) -> &'static [(usize, usize)] {
    match (left, right) {
        (1, 1) => &[(0, 0)],
        (1, 2) => &[(0, 1), (0, 0)],
        (1, _) => &[(0, 2), (0, 1), (0, 0)],
        (2, _) => &[(1, 0), (0, 0), (0, 1)],
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
    /// bf16 numbers for a value of each.
    pub(super) parts: (usize, usize),
    pub(super) depth: usize,
}
