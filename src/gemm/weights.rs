//! Xᵀ·D, the gradient of the weights, with the optimiser's update in its store.

use super::blocking::{BLOCK_PANELS, K_BLOCK, Walk, has_vectors, panel_vectors};
use super::epilogue::{Epilogue, Field, Update, for_each};
use super::microkernel::{Lanes, Operands, block_sums};
use super::portable;
use super::store::UpdateRule;
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch, next_gradient_rows, with_const};
use crate::storage::{Panels, PanelsMut};
use std::mem::MaybeUninit;
use std::ops::Range;

/// A block of one layer's weights: some panels (16 outputs each) of some rows (inputs). The rows
/// begin at a multiple of 16.
pub(crate) struct WeightBlock<'a> {
    /// batch x block's rows: the panels of the layer's input that belong to the block
    pub(crate) x: Panels<'a>,
    /// batch x block's columns
    pub(crate) d: Panels<'a>,
    /// one element per panel of x, one bit per column: those that are zero in the whole batch may be left
    /// out, since d is finite; empty where there are none
    pub(crate) active: &'a [u16],
    /// the weights
    pub(crate) w: PanelsMut<'a>,
    /// optimiser state, shaped like the weights, as many as the rule has slots
    pub(crate) slots: [Option<PanelsMut<'a>>; 2],
    /// the transposed weights, refreshed from the new ones
    pub(crate) wt: Option<Transposed<'a>>,
}

/// A block of transposed weights, n x m, of which whole groups of 16 rows and columns are copied.
pub(crate) struct Transposed<'a>(PanelsMut<'a>);

impl<'a> Transposed<'a> {
    /// # Safety
    /// The block begins with a group of 16 rows, and so does the block of weights that it is the
    /// copy of. The memory of both has whole groups, of which nobody else uses a row as long as the
    /// result lives.
    pub(crate) unsafe fn new(wt: PanelsMut<'a>) -> Self {
        Transposed(wt)
    }

    /// The same block for a while.
    pub(crate) fn reborrow(&mut self) -> Transposed<'_> {
        Transposed(self.0.reborrow())
    }

    /// Its values.
    pub(crate) fn panels_mut(&mut self) -> &mut PanelsMut<'a> {
        &mut self.0
    }
}

/// w, slots = rule(w, slots, xᵀ·d); wt = wᵀ
pub(crate) fn update_weights<R: UpdateRule>(level: Level, mut b: WeightBlock, rule: R) {
    let (rows, cols) = (b.w.rows, b.w.cols);
    assert!(b.x.rows == b.d.rows && b.x.cols == rows && b.d.cols == cols);
    assert!(b.active.is_empty() || b.active.len() == b.x.n_panels());
    if let Some(Transposed(wt)) = &b.wt {
        assert!(wt.rows == cols && wt.cols == rows);
        assert!(b.w.ld.is_multiple_of(LINE) && wt.ld.is_multiple_of(LINE));
    }
    let weight = Field::new(&mut b.w);
    let epilogue = Update::new(&mut b.w, &mut b.slots, rule);
    let wt = b.wt.as_mut().map(|Transposed(m)| (m.as_mut_ptr(), m.ld * LINE));
    dispatch(level, Product { x: b.x, d: b.d, active: b.active, epilogue, weight, wt });
}

/// `epilogue(xᵀ·d)` for every element of the block, then the transposed copy.
struct Product<'a, E> {
    x: Panels<'a>,
    d: Panels<'a>,
    active: &'a [u16],
    epilogue: E,
    weight: Field,
    /// First float and floats from one panel to the next.
    wt: Option<(*mut f32, usize)>,
}

impl<E: Epilogue> Kernel for Product<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if const { S::TILES.is_empty() } {
            // SAFETY: `update_weights` checked that the epilogue's fields have the block's shape, and
            // the block is exclusively ours.
            unsafe { portable::weights(s, self.x, self.d, self.epilogue) };
            for x_panel in 0..self.x.n_panels() {
                (0..self.d.n_panels()).for_each(|p| self.transpose(s, x_panel, p));
            }
            return;
        }
        let walk = Walk::new(self.x.rows);
        let mut scratch = MaybeUninit::<Totals>::uninit();
        let totals = Field { ptr: scratch.as_mut_ptr().cast(), panel: LINE * LINE };
        for x_panels in parts(self.x.n_panels(), walk.x_panels) {
            for d_panels in parts(self.d.n_panels(), walk.d_panels) {
                for samples in parts(self.x.rows, walk.samples) {
                    let (x_panels, d_panels) = (x_panels.clone(), d_panels.clone());
                    self.pass(s, Pass { x_panels, d_panels, samples, totals });
                }
            }
        }
    }
}

/// Totals of tiles between the blocks of their samples, 16 x 16 each.
#[repr(C, align(64))]
struct Totals([[[f32; LINE]; LINE]; BLOCK_PANELS * BLOCK_PANELS]);

/// The parts of `n`, of at most `step`.
fn parts(n: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(step).map(move |first| first..n.min(first.saturating_add(step)))
}

/// A block of panels, some samples.
#[derive(Clone)]
struct Pass {
    x_panels: Range<usize>,
    d_panels: Range<usize>,
    samples: Range<usize>,
    /// One per panel of d for a single pass, else those of [`BLOCK_PANELS`] panels of x by as many of
    /// d.
    totals: Field,
}

impl<E: Epilogue> Product<'_, E> {
    #[inline(always)]
    fn pass<S: Simd>(&self, s: S, pass: Pass) {
        let mut p = pass.d_panels.start;
        while p < pass.d_panels.end {
            let panels = (pass.d_panels.end - p).min(S::TILES.max_gradient_panels());
            let vectors = panel_vectors::<S>(panels, self.d.cols - p * LINE);
            let at = (self, &pass, p);
            with_const!(P = panels, if P <= S::TILES.max_gradient_panels(), {
                with_const!([1 2] H = vectors, if has_vectors::<S>(P, H), {
                    s.enter(Column::<_, P, H>(at))
                })
            });
            p += panels;
        }
    }
}

/// Where a tile is: rows (lanes of a panel of x) from one on, panels of d from one on, and a block
/// of samples.
#[derive(Clone, Copy)]
struct At {
    x_panel: usize,
    row: usize,
    panel: usize,
    k0: usize,
}

/// The weight rows of a pass's panels of x, up to 16 a panel, for P panels of d, H vectors per panel.
struct Column<'a, 'b, E, const P: usize, const H: usize>((&'a Product<'b, E>, &'a Pass, usize));

impl<E: Epilogue, const P: usize, const H: usize> Kernel for Column<'_, '_, E, P, H> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Column((product, pass, panel)) = self;
        let Pass { x_panels, d_panels, samples, mut totals } = pass.clone();
        let is_last = samples.end == product.x.rows;
        let hop = if samples.len() == product.x.rows { 0 } else { BLOCK_PANELS };
        if hop > 0 {
            totals = totals.tile(0, panel - d_panels.start);
        }
        for x_panel in x_panels {
            let end = LINE.min(product.x.cols - x_panel * LINE);
            let mut row = 0;
            while row < end {
                let rows = next_gradient_rows::<S>(end - row);
                let mut k0 = samples.start;
                while k0 < samples.end {
                    let at = At { x_panel, row, panel, k0 };
                    with_const!(MR = rows, if S::TILES.has_gradient_rows(MR), {
                        // SAFETY: the rows are left, and the caller counted the panels; the blocks
                        // come in order, and the pass has totals for this panel of x, or for any.
                        unsafe { product.tile::<S, MR, P, H>(s, at, totals.tile(row, 0)) }
                    });
                    k0 += K_BLOCK;
                }
                row += rows;
            }
            totals = totals.tile(0, hop);
            if is_last {
                (panel..panel + P).for_each(|p| product.transpose(s, x_panel, p));
            }
        }
    }
}

impl<E: Epilogue> Product<'_, E> {
    /// One block of samples of a tile: MR inputs from lane `row` of one panel of x.
    ///
    /// # Safety
    /// The lanes and panels exist; `totals` has MR rows of P panels, and holds what the blocks
    /// before left there.
    #[inline(always)]
    unsafe fn tile<S: Simd, const MR: usize, const P: usize, const H: usize>(
        &self,
        s: S,
        At { x_panel, row, panel, k0 }: At,
        totals: Field,
    ) {
        let active = self.active.get(x_panel).is_none_or(|mask| mask >> row & ((1 << MR) - 1) != 0);
        let (x, d) = (&self.x, &self.d);
        // SAFETY: samples, lanes and panels are inside x and d, whose geometry their
        // constructors checked; `update_weights` checked that the epilogue's fields have the
        // block's shape, and the block is exclusively ours. The totals are read only after the
        // first block wrote them.
        unsafe {
            let operands = Operands {
                a: x.as_ptr().add((x_panel * x.ld + k0) * LINE + row),
                a_row: 1,
                b: d.as_ptr().add((panel * d.ld + k0) * LINE),
                b_panel: d.ld * LINE,
                k: K_BLOCK.min(x.rows - k0),
                chunks: &[],
            };
            let mut sums = match active {
                true => block_sums::<S, Lanes, MR, P, H>(s, operands),
                false => [[[s.splat(0.0); H]; P]; MR],
            };
            if k0 > 0 {
                for_each::<S, MR, P, H>(&mut sums, |sum, at| {
                    *sum = s.add(totals.load(s, at), *sum)
                });
            }
            let last = k0 + K_BLOCK >= x.rows;
            let epilogue = self.epilogue.tile(x_panel * LINE + row, panel);
            for_each::<S, MR, P, H>(&mut sums, |sum, at| match last {
                true => epilogue.finish(s, *sum, at),
                false => totals.store(s, *sum, at),
            });
        }
    }

    /// Copies a finished 16 x 16 block of weights, still in L1, into the transposed matrix.
    #[inline(always)]
    fn transpose<S: Simd>(&self, s: S, x_panel: usize, panel: usize) {
        let Some((wt, wt_panel)) = self.wt else { return };
        // SAFETY: both matrices have whole groups of 16 rows in their memory, and this block of
        // both is exclusively ours (`Transposed::new`; `update_weights` checked the shapes).
        unsafe {
            let block = self.weight.ptr.add(panel * self.weight.panel + x_panel * LINE * LINE);
            let to = wt.add(x_panel * wt_panel + panel * LINE * LINE);
            s.enter(Transpose(&*block.cast(), &mut *to.cast()));
        }
    }
}

/// One copy of the code for all products.
struct Transpose<'a>(&'a [Line; LINE], &'a mut [Line; LINE]);

impl Kernel for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        s.transpose_lines(self.0, self.1);
    }
}

/// wt = wᵀ
pub(crate) fn transpose(level: Level, w: &mut PanelsMut, Transposed(mut wt): Transposed) {
    assert!(wt.rows == w.cols && wt.cols == w.rows);
    assert!(w.ld.is_multiple_of(LINE) && wt.ld.is_multiple_of(LINE));
    for panel in 0..w.n_panels() {
        for group in 0..wt.n_panels() {
            let (from, to) = (w.as_mut_ptr(), wt.as_mut_ptr());
            // SAFETY: both memories have whole groups of 16 rows (`Transposed::new`), so these blocks
            // are in them, and both are exclusively ours.
            let block = unsafe {
                let from = from.add((panel * w.ld + group * LINE) * LINE);
                let to = to.add((group * wt.ld + panel * LINE) * LINE);
                Transpose(&*from.cast(), &mut *to.cast())
            };
            dispatch(level, block);
        }
    }
}
