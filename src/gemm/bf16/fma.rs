//! What the tile unit does, in f32 vector units: a product of two bf16 is exact in f32, so one
//! fused multiply-add rounds as the tile unit does.

use super::tile::{Pairs, Sums, terms};
use crate::simd::{Kernel, LINE, Line, Simd};

/// Rows of a block that are summed at once: with two chains per row they are 8 sums, as many as hide
/// the latency of an FMA (4 cycles, two started in each).
const ROWS: usize = 4;

/// The sums of a block of up to 2 x 2 tiles.
///
/// Each tile's product is a chain over its even and one over its odd places, which are added to
/// each other and then to the sum, as the manual says of TDPBF16PS.
///
pub(super) struct Block<'a>(&'a Pairs, &'a mut Sums);

impl<'a> Block<'a> {
    /// # Safety
    /// The pairs' tiles can be read until it has run.
    #[inline(always)]
    pub(super) unsafe fn new(pairs: &'a Pairs, out: &'a mut Sums) -> Self {
        Block(pairs, out)
    }
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Block(Pairs { a, b, parts, depth }, out) = self;
        *out = [[Line::ZERO; LINE]; 4];
        for q in 0..*depth {
            for &(i, j) in terms(*parts) {
                for (m, a) in a.0.into_iter().enumerate().take(a.1) {
                    // SAFETY: by the contract of `new`.
                    let a = unsafe { widened(s, a.add((q * parts.0 + i) * LINE)) };
                    for (n, b) in b.0.into_iter().enumerate().take(b.1) {
                        // SAFETY: by the contract of `new`.
                        let b = unsafe { widened(s, b.add((q * parts.1 + j) * LINE)) };
                        tile(s, &a, &b, &mut out[2 * m + n]);
                    }
                }
            }
        }
    }
}

/// The even and the odd places of a tile as f32.
type Wide = [[Line; LINE]; 2];

/// # Safety
/// 16 lines can be read.
#[inline(always)]
unsafe fn widened<S: Simd>(s: S, tile: *const Line) -> Wide {
    let mut wide = [[Line::ZERO; LINE]; 2];
    let odd = s.int_splat(!0xffff);
    // SAFETY: by this function's contract.
    let lines = unsafe { std::slice::from_raw_parts(tile, LINE) };
    for (r, line) in lines.iter().enumerate() {
        for lane in (0..LINE).step_by(S::LANES) {
            let pairs = s.to_bits(s.load(&line.0[lane..]));
            s.store(s.from_bits(s.int_shl(pairs, 16)), &mut wide[0][r].0[lane..]);
            s.store(s.from_bits(s.int_and(pairs, odd)), &mut wide[1][r].0[lane..]);
        }
    }
    wide
}

/// sums += a·b, one tile's depth.
#[inline(always)]
fn tile<S: Simd>(s: S, a: &Wide, b: &Wide, sums: &mut [Line; LINE]) {
    for first in (0..LINE).step_by(ROWS) {
        for lane in (0..LINE).step_by(S::LANES) {
            let mut chains = [[s.splat(0.0); 2]; ROWS];
            for k in 0..LINE {
                for half in 0..2 {
                    let b = s.load(&b[half][k].0[lane..]);
                    for r in 0..ROWS {
                        let a = s.splat(a[half][first + r].0[k]);
                        chains[r][half] = s.mul_add(a, b, chains[r][half]);
                    }
                }
            }
            for r in 0..ROWS {
                let out = &mut sums[first + r].0[lane..];
                let both = s.add(chains[r][0], chains[r][1]);
                s.store(s.add(s.load(out), both), out);
            }
        }
    }
}
