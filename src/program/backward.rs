//! The backward pass of a block of rows: the reverse of each operation, from ∂L/∂ of what it makes to
//! ∂L/∂ of what it reads.

use super::ops::{Affine, Buffer, InputGradient, Norm, Op, Product};
use super::phase1::Phase1;
use super::views::{RowBlock, Side};
use crate::activation::Activation;
use crate::gemm::bf16::{self, Split, SplitBy};
use crate::gemm::{self, BackwardInput, ElementwiseOp};
use crate::passes::{self, add, copy, maxout_backward};
use crate::simd::Level;
use crate::storage::{Panels, PanelsMut};

impl Phase1<'_> {
    /// Runs the reverse of an operation.
    pub(crate) fn backward(&self, op: &Op, rows: &mut RowBlock) {
        let (net, level) = (self.net, self.net.level);
        match *op {
            Op::Product(ref product) => self.backward_product(product, rows),
            Op::Affine(affine) => self.backward_affine(affine, rows),
            Op::LayerNorm { norm: Norm { layer, z, g, d, .. }, scales } => {
                let ([g, scales], [z, d]) = rows.get([g, scales], [z, d]);
                net.layers[layer].layer_norm().backward(level, g, z, d, scales.panel(0));
            }
            Op::BatchNorm(Norm { layer, z, g, d, .. }) => {
                let Some(moments) = &self.moments[layer] else { return };
                let ([g], [z, d]) = rows.get([g], [z, d]);
                let [[mean, variance], means] = [&moments.values, &moments.gradients]
                    .map(|lines| lines.each_ref().map(|lines| &lines[..]));
                net.layers[layer].batch_norm(mean, variance).backward(level, g, z, d, means);
            }
            Op::Maxout { z, g, d, .. } => {
                let ([z, g], [d]) = rows.get([z, g], [d]);
                maxout_backward(level, z, g, d);
            }
            Op::Activation { activation, kept, g, .. } => {
                let ([kept], [g]) = rows.get([kept], [g]);
                derivative(level, activation, kept, g);
            }
            Op::Keep { .. } => {}
            Op::Dropout { layer, rate, g, .. } => {
                if let Some(mask) = self.mask(layer, rate).filter(|_| self.wants(g)) {
                    let first = rows.first();
                    mask.apply(level, first, rows.write(g));
                }
            }
            Op::Add { g, inner, .. } => {
                if g != inner {
                    let ([g], [inner]) = rows.get([g], [inner]);
                    copy(g, inner);
                }
            }
            Op::Branch { g, from } => {
                if self.wants(g) {
                    let ([from], [g]) = rows.get([from], [g]);
                    add(level, from, g);
                }
            }
        }
    }

    /// Whether anybody reads a gradient: that of the network's inputs only where it was asked for.
    fn wants(&self, gradient: Buffer) -> bool {
        gradient != self.program.dx || self.first_wt.is_some()
    }

    /// Whether the backward pass goes on below a layer.
    fn goes_below(&self, layer: usize) -> bool {
        layer > self.lowest || self.first_wt.is_some()
    }

    fn backward_affine(&self, affine: Affine, rows: &mut RowBlock) {
        let Affine { layer: i, x, g, gx, dx, .. } = affine;
        let level = self.net.level;
        {
            let ([x, g], [gx]) = rows.get([x, g], [gx]);
            passes::Affine::backward(level, x, g, gx);
        }
        self.note_deltas(i, rows);
        let InputGradient { out, kept, activation } = dx;
        if !self.goes_below(i) {
            return;
        }
        {
            let ([g], [out]) = rows.get([g], [out]);
            self.net.layers[i].affine().backward_input(level, g, out);
        }
        let ([kept], [out]) = rows.get([kept], [out]);
        derivative(level, activation, kept, out);
    }

    fn backward_product(&self, product: &Product, rows: &mut RowBlock) {
        let Product { layer: i, d, dx, .. } = *product;
        let level = self.net.level;
        if let Some(kept) = product.derivative {
            let ([kept], [d]) = rows.get([kept], [d]);
            derivative(level, product.activation, kept, d);
        }
        self.note_deltas(i, rows);
        if let Some((w, by)) = self.states[i].parts.as_ref().zip(rows.split_by(i)) {
            self.backward_in_parts(product, w, by, rows);
        }
        // The gradient of the inputs is always a product of f32.
        let wt = if i == 0 { self.first_wt } else { self.states[i].wt.as_ref() };
        if let Some(wt) = wt.filter(|_| self.goes_below(i)) {
            let (wt, InputGradient { out, kept, activation }) = (wt.view(), dx);
            let ([d, kept], [out]) = rows.get([d, kept], [out]);
            gemm::backward_input(level, BackwardInput { d, wt, kept, out, activation });
        }
    }

    /// The same for a layer whose products multiply bf16, with its weights as operands.
    fn backward_in_parts(&self, product: &Product, w: &Split, by: SplitBy, rows: &mut RowBlock) {
        let Product { layer: i, d, dx, above, below, .. } = *product;
        let level = self.net.level;
        let in_parts = |layer: &usize| self.states[*layer].parts.is_some();
        let own = Some(Side::Deltas(i));
        // The store of the product above has split the deltas, if it multiplies bf16 too.
        if !above.as_ref().is_some_and(in_parts) {
            let ([d], [], [own]) = rows.with_parts([d], [], [own]);
            if let Some(mut own) = own {
                own.fill(level, d, (0, 0));
            }
        }
        let InputGradient { out, kept, activation } = dx;
        if i == 0 || !self.goes_below(i) {
            return;
        }
        let sides = [own, below.filter(in_parts).map(Side::Deltas)];
        let ([kept], [out], [own, next]) = rows.with_parts([kept], [out], sides);
        let Some(own) = own else { unreachable!("such a layer has operands") };
        let d = own.view();
        bf16::backward_input(level, bf16::Backward { by, d, w, kept, out, activation, next });
    }
}

/// d = d ⊙ σ′(kept)
fn derivative(level: Level, activation: Activation, kept: Panels, mut d: PanelsMut) {
    for p in 0..d.n_panels() {
        activation.backward_lines(level, kept.panel(p), d.panel_mut(p));
    }
}
