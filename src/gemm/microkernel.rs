//! The micro-kernel: one tile of MR rows and P panels, one block of the depth, all sums in
//! registers.
//!
//! Each element is one chain of fused multiply-adds in increasing k, from zero: the contract of
//! docs/design.md. Vectors run along the output's columns, never along k, so tile sizes cannot
//! change a bit.

use super::active::GROUP;
use crate::simd::{LINE, Simd};

/// Where the broadcast operand keeps element (row r, depth k).
pub(super) trait Broadcast: Copy {
    /// Floats from one row to the next, for operands that say `a_row`.
    fn row(a_row: usize) -> usize;
    /// Floats from one k to the next inside a run.
    const DEPTH: usize;
    /// Depth of a run: after so many k the pointer hops to the next panel.
    const RUN: usize;
}

/// Rows, in panels (k runs along the lanes of a line, 16 k to a panel) or row-major (the next 16 k
/// follow at once). One kernel serves both: the distance of two rows is in a register, and so is
/// that of two runs.
#[derive(Clone, Copy)]
pub(super) struct Rows;

impl Broadcast for Rows {
    const DEPTH: usize = 1;
    const RUN: usize = LINE;
    #[inline(always)]
    fn row(a_row: usize) -> usize {
        a_row
    }
}

/// Lanes of one panel, the transposed matrix: k runs along the panel's lines.
#[derive(Clone, Copy)]
pub(super) struct Lanes;

impl Broadcast for Lanes {
    const DEPTH: usize = LINE;
    const RUN: usize = usize::MAX;
    #[inline(always)]
    fn row(_: usize) -> usize {
        1
    }
}

/// The operands of a tile's block.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    /// Broadcast operand: element (0, 0) of the block.
    pub(super) a: *const f32,
    /// Floats from one row of the broadcast operand to the next; for [`Rows`] only.
    pub(super) a_row: usize,
    /// Floats from one run of the broadcast operand to the next.
    pub(super) a_hop: usize,
    /// Vector operand: line 0 of the block in the first panel.
    pub(super) b: *const f32,
    /// Floats from one panel of the vector operand to the next.
    pub(super) b_panel: usize,
    /// Depth of the block.
    pub(super) k: usize,
    /// The groups of [`GROUP`] depth steps to take, in increasing order; for [`Rows`] only.
    pub(super) groups: &'a [u8],
}

/// The sums of a tile: `[row][panel][vector in the panel]`.
pub(super) type Sums<S, const MR: usize, const P: usize, const H: usize> =
    [[[<S as Simd>::V; H]; P]; MR];

/// Depth steps in the unrolled loop body: 4 amortise the loop's own instructions to 2 % of a
/// 6 x 16 tile at AVX2 and divide the run of 16.
const UNROLL: usize = GROUP;

/// Sums over the block: H vectors of each of P panels, for MR rows.
///
/// # Safety
/// Groups are below `k / GROUP`. Valid for reading: `a` at `r * row + (k % RUN) * DEPTH + (k / RUN) * a_hop` for each row r < MR
/// and k; `b` at `p * b_panel + k * 16 + lane` for each panel p < P and lane < H * LANES.
#[inline(always)]
pub(super) unsafe fn block_sums<
    S: Simd,
    A: Broadcast,
    const MR: usize,
    const P: usize,
    const H: usize,
>(
    s: S,
    t: Operands,
) -> Sums<S, MR, P, H> {
    let mut sums = [[[s.splat(0.0); H]; P]; MR];
    let (mut a, mut b, mut left) = (t.a, t.b, t.k);
    // SAFETY: every step stays inside the ranges that the caller promised; the pointers are moved
    // with wrapping arithmetic because the last hop may leave the allocation.
    unsafe {
        if A::RUN == LINE {
            let at = |group: usize| {
                let (run, step) = (group / (LINE / UNROLL), group % (LINE / UNROLL));
                (
                    a.wrapping_add(run * t.a_hop + step * UNROLL),
                    b.wrapping_add(group * UNROLL * LINE),
                )
            };
            for &group in t.groups {
                let (a, b) = at(usize::from(group));
                steps::<S, A, MR, P, H, UNROLL>(s, a, b, &t, &mut sums);
            }
            (a, b) = at(left / UNROLL);
            left %= UNROLL;
        } else {
            while left >= UNROLL {
                steps::<S, A, MR, P, H, UNROLL>(s, a, b, &t, &mut sums);
                a = a.wrapping_add(UNROLL * A::DEPTH);
                b = b.wrapping_add(UNROLL * LINE);
                left -= UNROLL;
            }
        }
        while left > 0 {
            steps::<S, A, MR, P, H, 1>(s, a, b, &t, &mut sums);
            a = a.wrapping_add(A::DEPTH);
            b = b.wrapping_add(LINE);
            left -= 1;
        }
    }
    sums
}

/// N consecutive depth steps.
///
/// # Safety
/// As for [`block_sums`], for these steps.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "see the comment in the body")]
unsafe fn steps<
    S: Simd,
    A: Broadcast,
    const MR: usize,
    const P: usize,
    const H: usize,
    const N: usize,
>(
    s: S,
    a: *const f32,
    b: *const f32,
    strides: &Operands,
    sums: &mut Sums<S, MR, P, H>,
) {
    let (a_row, b_panel) = (A::row(strides.a_row), strides.b_panel);
    // Index loops: iterator chains give the compiler ten times the code to see through, for each
    // of some three hundred tiles.
    for k in 0..N {
        let mut vectors = [[s.splat(0.0); H]; P];
        for p in 0..P {
            for h in 0..H {
                // SAFETY: by this function's contract.
                vectors[p][h] = unsafe { s.load_ptr(b.add(p * b_panel + k * LINE + h * S::LANES)) };
            }
        }
        for r in 0..MR {
            // SAFETY: by this function's contract.
            let x = s.splat(unsafe { *a.add(r * a_row + k * A::DEPTH) });
            for p in 0..P {
                for h in 0..H {
                    sums[r][p][h] = s.mul_add(x, vectors[p][h], sums[r][p][h]);
                }
            }
        }
    }
}
