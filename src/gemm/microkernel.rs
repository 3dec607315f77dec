//! The micro-kernel: one tile of MR rows and P panels, one block of the depth, all sums in
//! registers.
//!
//! Each element is one chain of fused multiply-adds in increasing k, from zero: the contract of
//! docs/design.md. Vectors run along the output's columns, never along k, so tile sizes cannot
//! change a bit.

use super::blocking::K_BLOCK;
use crate::simd::{LINE, Simd};
use std::mem::MaybeUninit;

/// Where the broadcast operand keeps element (row r, depth k).
pub(super) trait Broadcast: Copy {
    /// Floats from one k to the next.
    const DEPTH: usize;
    /// Whether the steps are those of chunks, else all.
    const CHUNKS: bool;
    /// The element of row `r`, given the addresses of rows 0, 3, 6 and 9.
    fn row(bases: [*const f32; 4], a_row: usize, r: usize) -> *const f32;
}

/// Rows, in panels (k runs along the lanes of a line, 16 k per panel) or row-major (the next 16 k
/// follow at once). One kernel serves both: the distance of two rows is in a register, and chunks
/// say where the runs are.
#[derive(Clone, Copy)]
pub(super) struct Rows;

impl Broadcast for Rows {
    const DEPTH: usize = 1;
    const CHUNKS: bool = true;
    /// x86 adds an index times 1, 2, 4 or 8 to an address for nothing: three rows share a register.
    #[inline(always)]
    fn row(bases: [*const f32; 4], a_row: usize, r: usize) -> *const f32 {
        bases[r / 3].wrapping_add(r % 3 * a_row)
    }
}

/// Lanes of one panel, the transposed matrix: k runs along the panel's lines.
#[derive(Clone, Copy)]
pub(super) struct Lanes;

impl Broadcast for Lanes {
    const DEPTH: usize = LINE;
    const CHUNKS: bool = false;
    #[inline(always)]
    fn row(bases: [*const f32; 4], _: usize, r: usize) -> *const f32 {
        bases[0].wrapping_add(r)
    }
}

/// Consecutive depth steps of a block, whose broadcast operands follow each other in memory.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    /// Floats from the block's first broadcast operand to the first of these.
    a: usize,
    /// The first step.
    first: u32,
    /// How many; at least one.
    steps: u32,
}

/// The depth steps of a block to take, in increasing order.
pub(super) struct Chunks {
    /// Room for steps four at a time.
    chunks: [MaybeUninit<Chunk>; K_BLOCK / 4],
    /// The first `n` are written.
    n: usize,
}

impl Chunks {
    /// No steps.
    #[inline(always)]
    pub(super) fn none() -> Self {
        Chunks { chunks: [const { MaybeUninit::uninit() }; K_BLOCK / 4], n: 0 }
    }

    /// Sets all steps of a block `k` deep, for [`Rows`] whose runs are `a_hop` floats apart.
    #[inline(always)]
    pub(super) fn set_all(&mut self, k: usize, a_hop: usize) {
        if a_hop == LINE {
            self.n = 1;
            self.chunks[0].write(Chunk { a: 0, first: 0, steps: k as u32 });
            return;
        }
        self.n = k.div_ceil(LINE);
        for (i, chunk) in self.chunks[..self.n].iter_mut().enumerate() {
            let first = i * LINE;
            let steps = LINE.min(k - first) as u32;
            chunk.write(Chunk { a: i * a_hop, first: first as u32, steps });
        }
    }

    /// Sets the steps of groups of `G` steps each (a divisor of [`LINE`], at least 4), for [`Rows`]
    /// whose runs are `a_hop` floats apart. The end of the block, `k`, may cut the last group short.
    #[inline(always)]
    pub(super) fn set_groups<const G: usize>(&mut self, groups: &[u8], k: usize, a_hop: usize) {
        const { assert!(G >= 4 && LINE.is_multiple_of(G)) };
        let (mut n, mut last, mut end) = (0, Chunk { a: 0, first: 0, steps: 0 }, usize::MAX);
        for &group in groups {
            let first = usize::from(group) * G;
            let steps = G.min(k - first);
            // Groups that follow each other in a run are one chunk.
            if first == end && !first.is_multiple_of(LINE) {
                last.steps += steps as u32;
            } else {
                let a = first / LINE * a_hop + first % LINE;
                last = Chunk { a, first: first as u32, steps: steps as u32 };
                n += 1;
            }
            end = first + steps;
            self.chunks[n - 1].write(last);
        }
        self.n = n;
    }

    /// The chunks.
    #[inline(always)]
    pub(super) fn as_slice(&self) -> &[Chunk] {
        let chunks = &self.chunks[..self.n];
        // SAFETY: both setters wrote the first `n`.
        unsafe { std::slice::from_raw_parts(chunks.as_ptr().cast(), chunks.len()) }
    }
}

/// The operands of a tile's block.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    /// Broadcast operand: element (0, 0) of the block.
    pub(super) a: *const f32,
    /// Floats from one row of the broadcast operand to the next; for [`Rows`] only.
    pub(super) a_row: usize,
    /// Vector operand: line 0 of the block in the first panel.
    pub(super) b: *const f32,
    /// Floats from one panel of the vector operand to the next.
    pub(super) b_panel: usize,
    /// Depth of the block.
    pub(super) k: usize,
    /// The steps to take; for [`Rows`] only.
    pub(super) chunks: &'a [Chunk],
}

/// The sums of a tile: `[row][panel][vector in the panel]`.
pub(super) type Sums<S, const MR: usize, const P: usize, const H: usize> =
    [[[<S as Simd>::V; H]; P]; MR];

/// Sums over the block: H vectors of each of P panels, for MR rows.
///
/// The loop over the depth takes one step a turn: unrolled, the compiler moves the broadcasts of
/// several steps in front of their multiply-adds and runs out of registers. Its counts are not known
/// to the compiler, so it does not unroll by itself.
///
/// # Safety
/// Valid for reading: `a` at `r * a_row` floats from each step's place for each row r < MR (`Lanes`: at
/// `k * 16 + r`); `b` at `p * b_panel + k * 16 + lane` for each panel p < P, step k and lane < H * LANES.
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
    // SAFETY: every step stays inside the ranges that the caller promised.
    unsafe {
        if A::CHUNKS {
            for chunk in t.chunks {
                let (a, b) = (t.a.add(chunk.a), t.b.add(chunk.first as usize * LINE));
                chunk_sums::<S, A, MR, P, H>(s, a, b, chunk.steps as usize, &t, &mut sums);
            }
        } else {
            chunk_sums::<S, A, MR, P, H>(s, t.a, t.b, t.k, &t, &mut sums);
        }
    }
    sums
}

/// Adds `n` consecutive depth steps, at least one.
///
/// # Safety
/// As for [`block_sums`], for these steps.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "see the comment in the body")]
unsafe fn chunk_sums<S: Simd, A: Broadcast, const MR: usize, const P: usize, const H: usize>(
    s: S,
    a: *const f32,
    mut b: *const f32,
    mut n: usize,
    strides: &Operands,
    sums: &mut Sums<S, MR, P, H>,
) {
    let (a_row, b_panel) = (strides.a_row, strides.b_panel);
    // Opaque, or the compiler computes each from the first one in every step.
    let mut bases = [0, 3, 6, 9].map(|r| s.opaque(a.wrapping_add(r * a_row)));
    // Index loops: iterator chains give the compiler ten times the code to see through, for each
    // of some three hundred tiles.
    loop {
        // SAFETY: by this function's contract.
        let row = |r: usize| s.splat(unsafe { *A::row(bases, a_row, r) });
        // SAFETY: by this function's contract.
        let vector = |p: usize, h| unsafe { s.load_ptr(b.add(p * b_panel + h * S::LANES)) };
        // What is fewer stays in registers while the others pass by.
        if const { MR >= P * H } {
            let mut vectors = [[s.splat(0.0); H]; P];
            for p in 0..P {
                for h in 0..H {
                    vectors[p][h] = vector(p, h);
                }
            }
            for r in 0..MR {
                let x = row(r);
                for p in 0..P {
                    for h in 0..H {
                        sums[r][p][h] = s.mul_add(x, vectors[p][h], sums[r][p][h]);
                    }
                }
            }
        } else {
            let mut rows = [s.splat(0.0); MR];
            for r in 0..MR {
                rows[r] = row(r);
            }
            for p in 0..P {
                for h in 0..H {
                    let v = vector(p, h);
                    for r in 0..MR {
                        sums[r][p][h] = s.mul_add(rows[r], v, sums[r][p][h]);
                    }
                }
            }
        }
        // The last move may leave the memory.
        bases = bases.map(|base| base.wrapping_add(A::DEPTH));
        b = b.wrapping_add(LINE);
        n -= 1;
        if n == 0 {
            return;
        }
    }
}
