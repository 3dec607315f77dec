//! The forward pass of a block of rows, operation by operation: the one that predictions, evaluations
//! and phase 1 of a training step take.

use super::ops::{Affine, Norm, Op, Product};
use super::views::RowBlock;
use crate::gemm::ElementwiseOp;
use crate::network::Mlp;
use crate::passes::{DropoutMask, add, copy, maxout};
use crate::simd::Line;

/// What differs between a prediction and a training step.
pub(crate) trait Pass {
    /// out = σ(x·W + b)
    fn product(&mut self, product: &Product, rows: &mut RowBlock);

    /// Mean and variance, one line per panel, that batch normalisation takes in a layer.
    fn moments<'a>(&'a self, net: &'a Mlp, layer: usize) -> [&'a [Line]; 2];

    /// What dropout drops; nothing when predicting.
    fn mask(&self, layer: usize, rate: f32) -> Option<DropoutMask>;
}

/// Runs an operation.
pub(crate) fn forward(net: &Mlp, op: &Op, rows: &mut RowBlock, pass: &mut impl Pass) {
    let level = net.level;
    match *op {
        Op::Product(ref product) => pass.product(product, rows),
        Op::Affine(Affine { layer, x, y, .. }) => {
            let ([x], [y]) = rows.get([x], [y]);
            net.layers[layer].affine().forward(level, x, y);
        }
        Op::LayerNorm { norm: Norm { layer, z, y, .. }, scales } => {
            let ([], [z, y, mut scales]) = rows.get([], [z, y, scales]);
            net.layers[layer].layer_norm().forward(level, z, y, scales.panel_mut(0));
        }
        Op::BatchNorm(Norm { layer, z, y, .. }) => {
            let ([], [z, y]) = rows.get([], [z, y]);
            let [mean, variance] = pass.moments(net, layer);
            net.layers[layer].batch_norm(mean, variance).forward(level, z, y);
        }
        Op::Maxout { z, a, .. } => {
            let ([z], [a]) = rows.get([z], [a]);
            maxout(level, z, a);
        }
        Op::Activation { activation, a, .. } => {
            let mut a = rows.write(a);
            (0..a.n_panels()).for_each(|p| activation.forward_lines(level, a.panel_mut(p)));
        }
        Op::Keep { from, to } => {
            let ([from], [to]) = rows.get([from], [to]);
            copy(from, to);
        }
        Op::Dropout { layer, rate, a, .. } => {
            if let Some(mask) = pass.mask(layer, rate) {
                let first = rows.first();
                mask.apply(level, first, rows.write(a));
            }
        }
        Op::Add { from, a, .. } => {
            let ([from], [a]) = rows.get([from], [a]);
            add(level, from, a);
        }
        Op::Branch { .. } => {}
    }
}
