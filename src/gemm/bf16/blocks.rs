//! The sums of a block of 32 x 32 of a product, by tiles or f32 units.

use super::bytes::Scaling;
use super::operand::Operand;
use super::precision::{SplitBy, Unit};
use super::tile::{Pairs, Sums};
use super::{amx, fma};
use crate::simd::{LINE, Line, Simd};

/// Tiles of the depth that are summed in one chain: with 32, a depth of 1024, the roundings of the
/// chains' sums stay below those of f32 chains of 256 (docs/performance.md), and two blocks of sums
/// are added, 64 lines, after at least 2,048 cycles of tiles (16 a product, 4 products a step).
const DEPTH_BLOCK: usize = 32;

/// Two operands and what multiplies them.
pub(super) struct Product<'a> {
    left: Operand<'a>,
    right: Operand<'a>,
    /// What the left operand's bytes stand for, where it holds bytes.
    bytes: Option<Scaling>,
    /// None: f32 vector units.
    tiles: Option<amx::Tiles>,
}

impl<'a> Product<'a> {
    pub(super) fn new(
        by: SplitBy,
        left: Operand<'a>,
        right: Operand<'a>,
        bytes: Option<Scaling>,
    ) -> Self {
        assert!(left.depth == right.depth);
        assert!(left.parts == by.parts && right.parts == by.parts);
        let left = if bytes.is_some() { left.of_bytes() } else { left };
        let tiles = match by.unit {
            Unit::Amx(token) => Some(amx::Tiles::configure(token)),
            Unit::Fma => None,
        };
        Product { left, right, bytes, tiles }
    }

    /// What the sums of a block are multiplied by: for all but bytes 1, which changes no bit.
    pub(super) fn scale(&self) -> f32 {
        self.bytes.map_or(1.0, |bytes| bytes.scale)
    }

    /// What is added to a panel's sums then: `to`, and the shift of bytes times the sums of the
    /// right operand's columns.
    ///
    /// # Safety
    /// Nobody writes the operands.
    #[inline(always)]
    pub(super) unsafe fn offset<S: Simd>(&self, s: S, panel: usize, to: Line) -> Line {
        let Some(bytes) = self.bytes.filter(Scaling::has_shift) else { return to };
        // SAFETY: by this function's contract.
        let sums = unsafe { self.right.column_sums(s, panel) };
        let (mut offset, shift) = (to, s.splat(bytes.shift));
        for lane in (0..LINE).step_by(S::LANES) {
            let sums = s.load(&sums.0[lane..]);
            let total = s.mul_add(shift, sums, s.load(&to.0[lane..]));
            s.store(total, &mut offset.0[lane..]);
        }
        offset
    }

    /// The sums of a block: of up to two left tiles from the first on, for `rows` rows, and up to
    /// two right ones.
    ///
    /// # Safety
    /// Nobody writes the operands.
    #[inline(always)]
    pub(super) unsafe fn block<S: Simd>(
        &self,
        s: S,
        (left, rows): (usize, usize),
        right: usize,
        sums: &mut Sums,
    ) {
        let (parts, depth) = ((self.left.parts, self.right.parts), self.left.depth);
        // SAFETY: by this function's contract; `Operand` gives tiles of the depth.
        unsafe {
            let (mut a, b) = (self.left.pair(left), self.right.pair(right));
            if rows <= LINE {
                a.1 = 1;
            }
            let block = |q: usize, sums: &mut Sums| {
                let from = |(tiles, n): ([*const Line; 2], usize), parts| {
                    (tiles.map(|lines| lines.add(q * parts * LINE)), n)
                };
                let depth = DEPTH_BLOCK.min(depth - q);
                let (a, b) = (from(a, parts.0), from(b, parts.1));
                let pairs = Pairs { a, b, parts, depth };
                match &self.tiles {
                    Some(tiles) => tiles.block(&pairs, sums),
                    None => s.enter(fma::Block::new(&pairs, sums)),
                }
            };
            block(0, sums);
            for q in (DEPTH_BLOCK..depth).step_by(DEPTH_BLOCK) {
                let mut more = [[Line::ZERO; LINE]; 4];
                block(q, &mut more);
                add(s, &more, sums);
            }
        }
    }
}

/// sums += more
#[inline(always)]
fn add<S: Simd>(s: S, more: &Sums, sums: &mut Sums) {
    for (more, sum) in more.as_flattened().iter().zip(sums.as_flattened_mut()) {
        for lane in (0..LINE).step_by(S::LANES) {
            let total = s.add(s.load(&sum.0[lane..]), s.load(&more.0[lane..]));
            s.store(total, &mut sum.0[lane..]);
        }
    }
}
