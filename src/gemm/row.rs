//! x·W for a single row: a prediction that somebody waits for. No part of it is worth a call: a
//! small network takes a tenth of a microsecond, in which the general product of `rows.rs` has
//! just found its way to the first tile.

use super::active::ActiveInputs;
use super::blocking::{K_BLOCK, has_vectors, panel_vectors};
use super::epilogue::for_each;
use super::microkernel::{Chunks, Operands, Rows, Sums, block_sums};
use super::store::FusedOp;
use crate::simd::{Kernel, LINE, Line, Simd, next_row_panels, with_const};
use crate::storage::{Panels, PanelsMut, RowsView};

/// out = op(bias + x·w) for one row, bit for bit as for the row among others; for a level with
/// tiles.
pub(crate) struct RowProduct<'a> {
    /// 1 x k
    pub(crate) x: RowsView<'a>,
    /// The inputs to take, if some may be left out: those are zero, and their weights are finite.
    pub(crate) inputs: Option<&'a ActiveInputs>,
    /// k x n
    pub(crate) w: Panels<'a>,
    /// n values, one line per panel
    pub(crate) bias: Option<&'a [Line]>,
    /// 1 x n
    pub(crate) out: PanelsMut<'a>,
    pub(crate) op: FusedOp,
}

impl Kernel for RowProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let n_panels = self.w.n_panels();
        assert!(self.x.rows() == 1 && self.x.cols() == self.w.rows);
        assert!(self.inputs.is_none_or(|inputs| inputs.n_in() == self.x.cols()));
        assert!(self.out.rows == 1 && self.out.cols == self.w.cols);
        assert!(self.bias.is_none_or(|bias| bias.len() == n_panels));
        let mut p = 0;
        while p < n_panels {
            let panels = next_row_panels::<S>(n_panels - p);
            let vectors = panel_vectors::<S>(panels, self.w.cols - p * LINE);
            with_const!(P = panels, if S::TILES.has_row_tile(P), {
                with_const!([1 2] H = vectors, if has_vectors::<S>(P, H), {
                    // SAFETY: the panels are there, and the assertions are what `tile` asks for.
                    unsafe { self.tile::<S, P, H>(s, p) }
                })
            });
            p += panels;
        }
    }
}

impl RowProduct<'_> {
    /// The outputs of P panels from panel `p` on, all blocks of the depth.
    ///
    /// # Safety
    /// The panels exist, and the shapes agree.
    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize, const H: usize>(&mut self, s: S, p: usize) {
        let RowProduct { x, inputs, w, bias, out, op } = self;
        let (k, (a, a_row, a_hop)) = (w.rows, x.geometry());
        let mut totals: Sums<S, 1, P, H> = [[[s.splat(0.0); H]; P]];
        if let Some(bias) = bias {
            for_each::<S, 1, P, H>(&mut totals, |total, at| {
                // +0 for −0: so a total is never −0, see `active.rs`.
                *total = s.add(s.load(&bias[p + at.panel].0[at.lane..]), s.splat(0.0));
            });
        }
        for k0 in (0..k).step_by(K_BLOCK) {
            let depth = K_BLOCK.min(k - k0);
            let mut chunks = Chunks::none();
            ActiveInputs::set_chunks(*inputs, &mut chunks, k0 / K_BLOCK, depth, a_hop);
            // SAFETY: the block is inside x and w, whose geometry its constructor checked.
            let sums = unsafe {
                let operands = Operands {
                    a: a.add(k0 / LINE * a_hop),
                    a_row,
                    b: w.as_ptr().add((p * w.ld + k0) * LINE),
                    b_panel: w.ld * LINE,
                    k: depth,
                    chunks: chunks.as_slice(),
                };
                block_sums::<S, Rows, 1, P, H>(s, operands)
            };
            // Without a bias the first sums are the totals, −0 and all.
            let is_total = k0 == 0 && bias.is_none();
            for_each::<S, 1, P, H>(&mut totals, |total, at| {
                let sum = sums[0][at.panel][at.lane / S::LANES];
                *total = if is_total { sum } else { s.add(*total, sum) };
            });
        }
        let floor = s.splat(op.floor());
        for_each::<S, 1, P, H>(&mut totals, |total, at| {
            s.store(s.max(floor, *total), &mut out.panel_mut(p + at.panel)[0].0[at.lane..]);
        });
    }
}
