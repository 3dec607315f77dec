//! The backward pass of a block of rows: the reverse of each operation, from ∂L/∂ of what it makes to
//! ∂L/∂ of what it reads.

use super::ops::{InputGradient, Norm, Op, Product};
use super::phase1::Phase1;
use super::views::{RowBlock, Side};
use crate::activation::Activation;
use crate::gemm::bf16::{self, SplitPart};
use crate::gemm::{self, BackwardInput, ElementwiseOp};
use crate::passes::{add, copy, maxout_backward};
use crate::simd::Level;
use crate::storage::{Panels, PanelsMut};

impl Phase1<'_> {
    /// Runs the reverse of an operation.
    pub(crate) fn backward(&self, op: &Op, rows: &mut RowBlock) {
        let (net, level) = (self.net, self.net.level);
        match *op {
            Op::Product(ref product) => self.backward_product(product, rows),
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
                if let Some(g) = g {
                    let first = rows.first();
                    self.mask(layer, rate).apply(level, first, rows.write(g));
                }
            }
            Op::Add { g, inner, .. } => {
                if g != inner {
                    let ([g], [inner]) = rows.get([g], [inner]);
                    copy(g, inner);
                }
            }
            Op::Branch { g, from } => {
                let ([from], [g]) = rows.get([from], [g]);
                add(level, from, g);
            }
        }
    }

    fn backward_product(&self, product: &Product, rows: &mut RowBlock) {
        let Product { layer: i, d, dx, below, .. } = *product;
        let level = self.net.level;
        if let Some(kept) = product.derivative {
            let ([kept], [d]) = rows.get([kept], [d]);
            derivative(level, product.activation, kept, d);
        }
        self.note_deltas(i, rows);
        let parts = |layer: usize| self.states[layer].parts.as_ref();
        let is_filled = product.above.is_some_and(|above| parts(above).is_some());
        let own = parts(i).map(|_| Side::Deltas(i));
        if own.is_some() && !is_filled {
            let ([d], [], [own]) = rows.with_parts([d], [], [own]);
            if let Some(mut own) = own {
                own.fill(level, d, (0, 0));
            }
        }
        let Some(InputGradient { out, kept, activation }) = dx else { return };
        let next = below.filter(|below| own.is_some() && parts(*below).is_some());
        let by = rows.split_by(i);
        let sides = [own, next.map(Side::Deltas)];
        let ([d, kept], [out], [own, next]) = rows.with_parts([d, kept], [out], sides);
        let own: Option<SplitPart> = own;
        match (parts(i).zip(by), own, &self.states[i].wt) {
            (Some((w, by)), Some(own), _) => {
                let d = own.view();
                let b = bf16::Backward { by, d, w, kept, out, activation, next };
                bf16::backward_input(level, b);
            }
            (_, _, Some(wt)) => {
                let wt = wt.view();
                gemm::backward_input(level, BackwardInput { d, wt, kept, out, activation });
            }
            _ => unreachable!("every layer but the first has a second copy of its weights"),
        }
    }
}

/// d = d ⊙ σ′(kept)
fn derivative(level: Level, activation: Activation, kept: Panels, mut d: PanelsMut) {
    for p in 0..d.n_panels() {
        activation.backward_lines(level, kept.panel(p), d.panel_mut(p));
    }
}
