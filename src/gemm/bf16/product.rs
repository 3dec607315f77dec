//! The three products of backpropagation on split operands: blocks of 32 x 32, and what becomes of
//! their sums while they are in L1.

use super::blocks::Product;
use super::bytes::Scaling;
use super::fill::SplitPart;
use super::operand::{Operand, Split, SplitRows};
use super::precision::{ROWS, SplitBy};
use crate::gemm::epilogue::{Epilogue, Place, Update};
use crate::gemm::store::{ElementwiseOp, FusedOp, UpdateRule};
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use crate::storage::{Panels, PanelsMut};
use std::ops::Range;

/// One layer's forward product on a block of rows.
pub(crate) struct Forward<'a, A> {
    pub(crate) by: SplitBy,
    /// m x k
    pub(crate) x: SplitRows<'a>,
    /// What its bytes stand for, where it was filled with bytes; `w` keeps its sums then, if there
    /// is a shift.
    pub(crate) bytes: Option<Scaling>,
    /// k x n
    pub(crate) w: &'a Split,
    /// n values, one line per panel
    pub(crate) bias: &'a [Line],
    /// m x n
    pub(crate) out: PanelsMut<'a>,
    /// m x n: where z = x·w + b goes when backward will need it
    pub(crate) z: Option<PanelsMut<'a>>,
    pub(crate) activation: A,
    /// The same rows of the next layer's inputs, which the outputs are.
    pub(crate) next: Option<SplitPart<'a>>,
}

/// out = σ(x·w + bias)
pub(crate) fn forward<A: ElementwiseOp>(level: Level, f: Forward<A>) {
    let Forward { by, x, bytes, w, bias, out, mut z, activation, next } = f;
    let SplitRows { split: x, first, rows } = x;
    assert!(x.shape().1 == w.shape().0 && out.cols == w.shape().1);
    assert!(bias.len() == out.n_panels() && out.rows <= rows);
    assert!(z.as_ref().is_none_or(|z| z.rows == out.rows && z.cols == out.cols));
    let after = &mut |panel: usize, out: &mut [Line]| {
        if let Some(z) = &mut z {
            z.panel_mut(panel).copy_from_slice(out);
        }
        if activation.fused() != Some(FusedOp::Identity) {
            activation.forward_lines(level, out);
        }
    };
    let operands = (x.along_columns(), w.along_rows(w.shape().0));
    dispatch(level, Rows { level, by, operands, bytes, first, bias: Some(bias), out, after, next });
}

/// One layer's backward product on a block of rows.
pub(crate) struct Backward<'a, A> {
    pub(crate) by: SplitBy,
    /// m x n: the deltas of the layer above
    pub(crate) d: SplitRows<'a>,
    /// k x n: the weights between
    pub(crate) w: &'a Split,
    /// m x k: what the layer below kept in its forward pass
    pub(crate) kept: Panels<'a>,
    /// m x k: the deltas of the layer below
    pub(crate) out: PanelsMut<'a>,
    /// of the layer below
    pub(crate) activation: A,
    /// The same rows of the operand that the deltas of the layer below are.
    pub(crate) next: Option<SplitPart<'a>>,
}

/// out = (d·wᵀ) ⊙ σ′(kept)
pub(crate) fn backward_input<A: ElementwiseOp>(level: Level, b: Backward<A>) {
    let Backward { by, d, w, kept, out, activation, next } = b;
    let SplitRows { split: d, first, rows } = d;
    assert!(d.shape().1 == w.shape().1 && out.cols == w.shape().0);
    assert!(out.rows <= rows);
    assert!(kept.rows == out.rows && kept.cols == out.cols);
    let after = &mut |panel: usize, out: &mut [Line]| {
        if activation.fused() != Some(FusedOp::Identity) {
            activation.backward_lines(level, kept.panel(panel), out);
        }
    };
    let (operands, bytes, bias) = ((d.along_columns(), w.along_columns()), None, None);
    dispatch(level, Rows { level, by, operands, bytes, first, bias, out, after, next });
}

/// `out = bias + left·right`, `after` for each panel, and `next` filled with the result.
struct Rows<'a> {
    level: Level,
    by: SplitBy,
    /// Left and right.
    operands: (Operand<'a>, Operand<'a>),
    bytes: Option<Scaling>,
    first: usize,
    bias: Option<&'a [Line]>,
    out: PanelsMut<'a>,
    after: &'a mut dyn FnMut(usize, &mut [Line]),
    next: Option<SplitPart<'a>>,
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (rows, n_panels) = (self.out.rows, self.out.n_panels());
        let mut sums = [[Line::ZERO; LINE]; 4];
        let (left, right) = self.operands;
        let product = Product::new(self.by, left, right, self.bytes);
        let scale = s.splat(product.scale());
        for panel in (0..n_panels).step_by(2) {
            let stripe = panel..n_panels.min(panel + 2);
            let mut offsets = [Line::ZERO; 2];
            for (p, offset) in stripe.clone().zip(&mut offsets) {
                let bias = self.bias.map_or(Line::ZERO, |bias| bias[p]);
                // SAFETY: as below.
                *offset = unsafe { product.offset(s, p, bias) };
            }
            for row in (0..rows).step_by(ROWS) {
                let tiles = ((self.first + row) / LINE, rows - row);
                // SAFETY: nobody writes the operands while they are borrowed (`Split::part`).
                unsafe { product.block(s, tiles, panel, &mut sums) };
                for p in stripe.clone() {
                    let offset = &offsets[p - panel];
                    let out = &mut self.out.panel_mut(p)[row..rows.min(row + ROWS)];
                    let lines = sums[p - panel].iter().chain(&sums[2 + p - panel]);
                    for (out, line) in out.iter_mut().zip(lines) {
                        for lane in (0..LINE).step_by(S::LANES) {
                            let (sum, offset) =
                                (s.load(&line.0[lane..]), s.load(&offset.0[lane..]));
                            s.store(s.mul_add(scale, sum, offset), &mut out.0[lane..]);
                        }
                    }
                }
            }
            stripe.clone().for_each(|p| (self.after)(p, self.out.panel_mut(p)));
            if let Some(next) = &mut self.next {
                next.fill(self.level, self.out.view().panels(stripe), (0, panel));
            }
        }
    }
}

/// The gradient of a block of one layer's weights and their update.
pub(crate) struct Gradient<'a> {
    pub(crate) by: SplitBy,
    /// the layer's inputs
    pub(crate) x: &'a Split,
    /// what their bytes stand for, as in [`Forward`]; `d` keeps its sums then
    pub(crate) bytes: Option<Scaling>,
    /// the layer's deltas
    pub(crate) d: &'a Split,
    /// Rows of the batch.
    pub(crate) rows: usize,
    /// The block's first row (input) and panel (of outputs) in the layer: multiples of 32 and 2.
    pub(crate) at: (usize, usize),
    /// the block's weights
    pub(crate) w: PanelsMut<'a>,
    /// optimiser state, shaped like the weights, as many as the rule has slots
    pub(crate) slots: [Option<PanelsMut<'a>>; 2],
    /// the block as an operand, refreshed from the new weights
    pub(crate) split: Option<SplitPart<'a>>,
}

/// w, slots = rule(w, slots, xᵀ·d); split = w
pub(crate) fn update_weights<R: UpdateRule>(level: Level, mut g: Gradient, rule: R) {
    let (rows, cols) = (g.w.rows, g.w.cols);
    assert!(g.at.0 + rows <= g.x.shape().1 && g.at.1 * LINE + cols <= g.d.shape().1);
    let epilogue = Update::new(&mut g.w, &mut g.slots, rule);
    let product = Product::new(g.by, g.x.along_rows(g.rows), g.d.along_rows(g.rows), g.bytes);
    for row in (0..rows).step_by(ROWS) {
        for panel in (0..g.w.n_panels()).step_by(2) {
            let height = ROWS.min(rows - row);
            let panels = panel..g.w.n_panels().min(panel + 2);
            let tiles = (g.at.0 + row, g.at.1 + panel);
            let place = (row..row + height, panels.clone());
            dispatch(level, Block { product: &product, tiles, place, epilogue });
            if let Some(split) = &mut g.split {
                split.fill(level, g.w.view().rows(row..row + height).panels(panels), (row, panel));
            }
        }
    }
}

/// One block of weights.
struct Block<'a, E> {
    product: &'a Product<'a>,
    /// Its first row and panel in the whole matrix.
    tiles: (usize, usize),
    /// Its rows and panels in the part that the epilogue has.
    place: (Range<usize>, Range<usize>),
    epilogue: E,
}

impl<E: Epilogue> Kernel for Block<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Block { product, tiles: (row, panel), place: (rows, panels), epilogue } = self;
        let mut sums = [[Line::ZERO; LINE]; 4];
        let epilogue = epilogue.tile(rows.start, panels.start);
        // SAFETY: nobody writes the operands while they are borrowed; `update_weights` checked
        // that the epilogue's fields have these rows and panels.
        unsafe {
            product.block(s, (row / LINE, rows.len()), panel, &mut sums);
            let (first, scale) = (panel, s.splat(product.scale()));
            for panel in 0..panels.len() {
                // −0 is what changes no sum, not even −0.
                let offset = product.offset(s, first + panel, Line([-0.0; LINE]));
                for row in 0..rows.len() {
                    let line = &sums[2 * (row / LINE) + panel][row % LINE];
                    for lane in (0..LINE).step_by(S::LANES) {
                        let at = Place { row, panel, lane };
                        let (sum, offset) = (s.load(&line.0[lane..]), s.load(&offset.0[lane..]));
                        epilogue.finish(s, s.mul_add(scale, sum, offset), at);
                    }
                }
            }
        }
    }
}
