//! A single row through a network of products alone, inside one dispatch.

use super::ops::{INPUTS, Product};
use super::plan::Plan;
use super::scratch::Scratch;
use crate::activation::{Activation, softmax_panels};
use crate::gemm::{ElementwiseOp, FusedOp, RowProduct};
use crate::network::Mlp;
use crate::simd::{Kernel, LINE, Level, Simd, dispatch};
use crate::storage::{MatRef, Panels, PanelsMut, RowsView};

/// A network that is nothing but products.
pub(crate) struct RowProducts(Vec<RowLayer>);

/// A layer of such a network.
struct RowLayer {
    /// The matrices that it reads and writes. The first layer reads the caller's row instead.
    from: usize,
    to: usize,
    /// What the product's store applies.
    fused: FusedOp,
    /// What is applied after it.
    activation: Option<Activation>,
}

impl RowProducts {
    /// None where a prediction has other operations, or no micro-kernels.
    pub(crate) fn new(plan: &Plan, level: Level) -> Option<RowProducts> {
        let layer = |Product { x, out, activation, .. }: Product| RowLayer {
            from: plan.places[x.0].matrix,
            to: plan.places[out.0].matrix,
            fused: activation.fused().unwrap_or(FusedOp::Identity),
            activation: activation.fused().is_none().then_some(activation),
        };
        let products = plan.products().filter(|_| level != Level::portable())?;
        Some(RowProducts(products.into_iter().map(layer).collect()))
    }

    /// The outputs of one row. The scratch was made for the same plan.
    #[inline]
    pub(crate) fn forward(&self, net: &Mlp, scratch: &mut Scratch, x: MatRef, out: &mut [f32]) {
        dispatch(net.level, Row { layers: &self.0, scratch, net, x, out });
    }
}

struct Row<'a> {
    layers: &'a [RowLayer],
    scratch: &'a mut Scratch,
    net: &'a Mlp,
    /// 1 x n_in
    x: MatRef<'a>,
    /// n_out values
    out: &'a mut [f32],
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Row { layers, scratch: Scratch { matrices, zeros, .. }, net, x, out } = self;
        let row = RowsView::RowMajor(x);
        let active = zeros.scan(net, row);
        let mut last = INPUTS.0;
        for (i, (step, layer)) in layers.iter().zip(&net.layers).enumerate() {
            let Ok([from, to]) = matrices.get_disjoint_mut([step.from, step.to]) else {
                unreachable!("a product reads and writes different matrices")
            };
            let (w, bias) = (layer.w.view(), Some(layer.bias()));
            // The panels of one row follow each other.
            let (x, inputs) = match i {
                0 => (row, active),
                _ => (Panels::new(from.lines(), 1, w.rows, 1).into(), None),
            };
            let mut out = PanelsMut::new(to.lines_mut(), 1, w.cols, 1);
            s.enter(RowProduct { x, inputs, w, bias, out: out.reborrow(), op: step.fused });
            if let Some(activation) = step.activation {
                for p in 0..out.n_panels() {
                    activation.forward_at(s, out.panel_mut(p));
                }
            }
            last = step.to;
        }
        let lines = matrices[last].lines_mut();
        if net.output_activation() == Activation::Softmax {
            softmax_panels(s, &mut PanelsMut::new(lines, 1, out.len(), 1), 0);
        }
        for (values, line) in out.chunks_mut(LINE).zip(lines) {
            values.copy_from_slice(&line.0[..values.len()]);
        }
    }
}
