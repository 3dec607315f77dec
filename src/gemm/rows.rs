//! The products whose result has one row per sample: X·W (forward) and D·Wᵀ (backward).

use super::active::ActiveInputs;
use super::blocking::{
    Balanced, K_BLOCK, PREFETCH_ROWS, PREFETCH_WEIGHTS, ROW_BLOCK, has_vectors, panel_vectors,
};
use super::epilogue::{Epilogue, Field, Finish, for_each};
use super::microkernel::{Chunk, Chunks, Operands, Rows, Sums, block_sums};
use super::portable;
use super::row::RowProduct;
use super::store::{ElementwiseOp, FusedOp};
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch, with_const};
use crate::storage::{Panels, PanelsMut, RowsView};
use std::ops::Range;

/// One layer's forward product on a block of rows.
pub(crate) struct Forward<'a, A> {
    /// m x k
    pub(crate) x: RowsView<'a>,
    /// The inputs to take, if some may be left out: those are zero in all rows, and their weights
    /// are finite.
    pub(crate) inputs: Option<&'a ActiveInputs>,
    /// k x n
    pub(crate) w: Panels<'a>,
    /// n values, one line per panel
    pub(crate) bias: &'a [Line],
    /// m x n
    pub(crate) out: PanelsMut<'a>,
    /// m x n: where z = x·w + b goes when backward will need it
    pub(crate) z: Option<PanelsMut<'a>>,
    pub(crate) activation: A,
}

/// out = σ(x·w + bias)
pub(crate) fn forward<A: ElementwiseOp>(level: Level, f: Forward<A>) {
    let Forward { x, inputs, w, bias, out, mut z, activation } = f;
    assert!(bias.len() == w.n_panels());
    assert!(z.as_ref().is_none_or(|z| z.rows == out.rows && z.cols == out.cols));
    let fused = activation.fused().filter(|_| z.is_none());
    let mut after = |out: &mut PanelsMut, panel: usize, rows: Range<usize>| {
        let lines = &mut out.panel_mut(panel)[rows.clone()];
        if let Some(z) = &mut z {
            z.panel_mut(panel)[rows].copy_from_slice(lines);
        }
        activation.forward_lines(level, lines);
    };
    let after: Option<After> = if fused.is_none() { Some(&mut after) } else { None };
    let (bias, op) = (Some(bias), fused.unwrap_or(FusedOp::Identity));
    Product { x, inputs, w, bias, out, op, relu: None, after }.run_at(level);
}

/// One layer's backward product on a block of rows.
pub(crate) struct BackwardInput<'a, A> {
    /// m x n: the deltas of the layer above
    pub(crate) d: Panels<'a>,
    /// n x k: the transposed weights
    pub(crate) wt: Panels<'a>,
    /// m x k: what the layer below kept in its forward pass
    pub(crate) kept: Panels<'a>,
    /// m x k: the deltas of the layer below
    pub(crate) out: PanelsMut<'a>,
    /// of the layer below
    pub(crate) activation: A,
}

/// out = (d·wᵀ) ⊙ σ′(kept)
pub(crate) fn backward_input<A: ElementwiseOp>(level: Level, b: BackwardInput<A>) {
    let BackwardInput { d, wt: w, kept, out, activation } = b;
    assert!(kept.rows == out.rows && kept.cols == out.cols);
    let fused = activation.fused();
    let relu = (fused == Some(FusedOp::Relu) && !is_row(level, d.rows)).then_some(kept);
    let mut after = |out: &mut PanelsMut, panel: usize, rows: Range<usize>| {
        let lines = &mut out.panel_mut(panel)[rows.clone()];
        activation.backward_lines(level, &kept.panel(panel)[rows], lines);
    };
    let is_done = fused == Some(FusedOp::Identity) || relu.is_some();
    let after: Option<After> = if is_done { None } else { Some(&mut after) };
    let (x, inputs, bias, op) = (d.into(), None, None, FusedOp::Identity);
    Product { x, inputs, w, bias, out, op, relu, after }.run_at(level);
}

/// Whether a product of so many rows is a [`RowProduct`].
fn is_row(level: Level, rows: usize) -> bool {
    rows == 1 && level != Level::portable()
}

/// `out = op(bias + x·w)`, summed block by block in `out`; at levels with micro-kernels for two rows or
/// more, so that no tile has one row (`Balanced` cuts none off).
struct Product<'a> {
    x: RowsView<'a>,
    inputs: Option<&'a ActiveInputs>,
    w: Panels<'a>,
    /// One line per panel of w.
    bias: Option<&'a [Line]>,
    out: PanelsMut<'a>,
    op: FusedOp,
    /// Backward: what a layer below with ReLU kept.
    relu: Option<Panels<'a>>,
    after: Option<After<'a>>,
}

/// Work that is not worth an instance of every tile: it runs over some rows of a panel right after
/// their last tile, while they are in L1.
type After<'a> = &'a mut dyn FnMut(&mut PanelsMut, usize, Range<usize>);

impl Product<'_> {
    #[inline(always)]
    fn run_at(mut self, level: Level) {
        let (rows, n_panels) = (self.x.rows(), self.w.n_panels());
        assert!(self.inputs.is_none_or(|inputs| inputs.n_in() == self.x.cols()));
        assert!(self.x.cols() == self.w.rows);
        assert!(self.out.rows == rows && self.out.cols == self.w.cols);
        if !is_row(level, rows) {
            return dispatch(level, self);
        }
        let Product { x, inputs, w, bias, op, .. } = self;
        dispatch(level, RowProduct { x, inputs, w, bias, out: self.out.reborrow(), op });
        if let Some(after) = self.after {
            (0..n_panels).for_each(|panel| after(&mut self.out, panel, 0..1));
        }
    }
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (rows, n_panels) = (self.x.rows(), self.w.n_panels());
        let out = Field::new(&mut self.out);
        let epilogue =
            Finish { out, floor: self.op.floor(), kept: self.relu.map(Field::read_only) };
        if const { S::TILES.is_empty() } {
            // SAFETY: `run_at` and its callers checked that all shapes agree, so the fields are valid
            // at every place of the result, which is exclusively ours.
            unsafe { portable::rows(s, self.x, self.w, self.bias, epilogue) };
            if let Some(after) = self.after {
                (0..n_panels).for_each(|panel| after(&mut self.out, panel, 0..rows));
            }
            return;
        }
        for (first, rows) in Balanced::new(rows, ROW_BLOCK).iter() {
            self.rows(s, epilogue, first..first + rows);
        }
    }
}

impl Product<'_> {
    /// All panels and blocks of the depth of some rows.
    #[inline(always)]
    fn rows<S: Simd>(&mut self, s: S, epilogue: Finish, rows: Range<usize>) {
        let (k, n_panels) = (self.x.cols(), self.w.n_panels());
        let (a, a_row, a_hop) = self.x.geometry();
        let mut chunks = Chunks::none();
        for k0 in (0..k).step_by(K_BLOCK) {
            let depth = K_BLOCK.min(k - k0);
            ActiveInputs::set_chunks(self.inputs, &mut chunks, k0 / K_BLOCK, depth, a_hop);
            let block = Block {
                a: a.wrapping_add(k0 / LINE * a_hop),
                a_row,
                rows: rows.clone(),
                k0,
                k: depth,
                last: k0 + K_BLOCK >= k,
                chunks: chunks.as_slice(),
                epilogue,
            };
            let mut p = 0;
            while p < n_panels {
                let panels = S::TILES.next_panels(rows.len(), n_panels - p);
                let vectors = panel_vectors::<S>(panels, self.w.cols - p * LINE);
                let at = (&*self, &block, p);
                with_const!(P = panels, if S::TILES.max_rows(P) > 0, {
                    with_const!([1 2] H = vectors, if has_vectors::<S>(P, H), {
                        s.enter(Stripe::<P, H>(at))
                    })
                });
                if block.last
                    && let Some(after) = &mut self.after
                {
                    (p..p + panels).for_each(|panel| after(&mut self.out, panel, rows.clone()));
                }
                p += panels;
            }
        }
    }
}

/// One block of the depth.
struct Block<'a> {
    /// x in this block, see [`Operands`].
    a: *const f32,
    a_row: usize,
    rows: Range<usize>,
    k0: usize,
    k: usize,
    last: bool,
    chunks: &'a [Chunk],
    epilogue: Finish,
}

/// All rows of P panels, from a panel on, for one block, H vectors per panel.
struct Stripe<'a, 'b, const P: usize, const H: usize>((&'a Product<'b>, &'a Block<'a>, usize));

impl<const P: usize, const H: usize> Kernel for Stripe<'_, '_, P, H> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Stripe((product, block, panel)) = self;
        let mut next = product.next::<P>(block, panel);
        for (row, rows) in Balanced::new(block.rows.len(), const { S::TILES.max_rows(P) }).iter() {
            let row = block.rows.start + row;
            next.prefetch(s);
            with_const!(MR = rows, if MR >= 2 && MR <= S::TILES.max_rows(P), {
                // SAFETY: `Balanced` stays inside the rows, and the caller counted the panels.
                unsafe { product.tile::<S, MR, P, H>(s, block, row, panel) }
            });
        }
    }
}

/// Lines of weights that the next stripe will read, fetched a few per tile: with 64 rows a stripe
/// takes 16,000 cycles, and the 16 KiB of each next panel come from L3 behind a jump that the
/// hardware does not foresee. (64 x 2048 x 2048: 72 to 82 GFLOP/s on one core with a peak of 92.)
struct Next<const P: usize> {
    line: *const f32,
    /// Floats from one panel to the next.
    panel: usize,
    left: usize,
    /// Lines of each panel per tile.
    a_tile: usize,
}

impl<const P: usize> Next<P> {
    #[inline(always)]
    fn prefetch<S: Simd>(&mut self, s: S) {
        let now = self.a_tile.min(self.left);
        for _ in 0..now {
            (0..P).for_each(|p| s.prefetch(self.line.wrapping_add(p * self.panel)));
            self.line = self.line.wrapping_add(LINE);
        }
        self.left -= now;
    }
}

impl Product<'_> {
    /// What follows the P panels from `panel` on in this block of the depth, where fetching it is worthwhile.
    #[inline(always)]
    fn next<const P: usize>(&self, block: &Block, panel: usize) -> Next<P> {
        let (w, rows) = (&self.w, block.rows.len());
        let worthwhile = rows >= PREFETCH_ROWS && w.rows * w.cols >= PREFETCH_WEIGHTS;
        let line = w.as_ptr().wrapping_add(((panel + P) * w.ld + block.k0) * LINE);
        let left = if worthwhile && panel + P < w.n_panels() { block.k } else { 0 };
        Next { line, panel: w.ld * LINE, left, a_tile: (block.k * 4).div_ceil(rows) }
    }

    /// One tile for one block.
    ///
    /// # Safety
    /// The rows and panels exist.
    #[inline(always)]
    unsafe fn tile<S: Simd, const MR: usize, const P: usize, const H: usize>(
        &self,
        s: S,
        block: &Block,
        row: usize,
        panel: usize,
    ) {
        let w = &self.w;
        // SAFETY: rows, panels and the block's depth are inside x and w, whose geometry their
        // constructors checked; the fields are valid there (see `run`), and the result is
        // exclusively ours.
        unsafe {
            let operands = Operands {
                a: block.a.add(row * block.a_row),
                a_row: block.a_row,
                b: w.as_ptr().add((panel * w.ld + block.k0) * LINE),
                b_panel: w.ld * LINE,
                k: block.k,
                chunks: block.chunks,
            };
            let mut sums = block_sums::<S, Rows, MR, P, H>(s, operands);
            let epilogue = block.epilogue.tile(row, panel);
            let totals = epilogue.out;
            if block.k0 > 0 {
                for_each::<S, MR, P, H>(&mut sums, |sum, at| {
                    *sum = s.add(totals.load(s, at), *sum)
                });
            } else if let Some(bias) = self.bias {
                let mut vectors: Sums<S, 1, P, H> = [[[s.splat(0.0); H]; P]];
                for_each::<S, 1, P, H>(&mut vectors, |vector, at| {
                    // +0 for −0: so a total is never −0, see `active.rs`.
                    let bias = bias.as_ptr().add(panel + at.panel).cast::<f32>();
                    *vector = s.add(s.load_ptr(bias.add(at.lane)), s.splat(0.0));
                });
                for_each::<S, MR, P, H>(&mut sums, |sum, at| {
                    *sum = s.add(vectors[0][at.panel][at.lane / S::LANES], *sum);
                });
            }
            if block.last {
                for_each::<S, MR, P, H>(&mut sums, |sum, at| epilogue.finish(s, *sum, at));
            } else {
                for_each::<S, MR, P, H>(&mut sums, |sum, at| totals.store(s, *sum, at));
            }
        }
    }
}
