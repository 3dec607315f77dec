//! A single row through a network of products alone, inside one dispatch.

use super::ops::INPUTS;
use super::scratch::{Plan, Scratch, products};
use crate::activation::{Activation, softmax_panels};
use crate::gemm::{ElementwiseOp, FusedOp, RowProduct};
use crate::network::Mlp;
use crate::simd::{Kernel, LINE, Level, Simd, dispatch};
use crate::storage::{MatRef, RowsView};

impl Plan {
    /// Whether a single row can take the short way: nothing but products, on micro-kernels.
    pub(crate) fn is_plain(&self, level: Level) -> bool {
        self.program.is_products() && level != Level::portable()
    }
}

impl Scratch {
    /// The outputs of one row, of a network whose plan [is plain](Plan::is_plain).
    pub(crate) fn forward_row(&mut self, net: &Mlp, plan: &Plan, x: MatRef, out: &mut [f32]) {
        dispatch(net.level, Row { scratch: self, net, plan, x, out });
    }
}

struct Row<'a> {
    scratch: &'a mut Scratch,
    net: &'a Mlp,
    plan: &'a Plan,
    /// 1 x n_in
    x: MatRef<'a>,
    /// n_out values
    out: &'a mut [f32],
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Row { scratch, net, plan, x, out } = self;
        let inputs = RowsView::RowMajor(x);
        let active = scratch.zeros.scan(net, inputs);
        let mut rows = plan.rows(&mut scratch.matrices, 1);
        for product in products(&plan.program) {
            let layer = &net.layers[product.layer];
            let ([x], [out]) = rows.get([product.x], [product.out]);
            let (x, inputs) = if product.x == INPUTS { (inputs, active) } else { (x.into(), None) };
            let (w, bias, fused) = (layer.w.view(), Some(layer.bias()), product.activation.fused());
            let op = fused.unwrap_or(FusedOp::Identity);
            s.enter(RowProduct { x, inputs, w, bias, out, op });
            if fused.is_none() {
                let mut out = rows.write(product.out);
                for p in 0..out.n_panels() {
                    product.activation.forward_at(s, out.panel_mut(p));
                }
            }
        }
        let mut a = rows.write(plan.program.output.a);
        if net.output_activation() == Activation::Softmax {
            softmax_panels(s, &mut a, 0);
        }
        for (p, values) in out.chunks_mut(LINE).enumerate() {
            values.copy_from_slice(&a.panel_mut(p)[0].0[..values.len()]);
        }
    }
}
