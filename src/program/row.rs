//! A single row through a network of products alone, inside one dispatch.

use super::ops::{INPUTS, Product};
use super::plan::Plan;
use super::scratch::Scratch;
use super::views::RowBlock;
use crate::activation::{Activation, softmax_panels};
use crate::gemm::{ElementwiseOp, FusedOp, RowProduct};
use crate::network::Mlp;
use crate::simd::{Kernel, LINE, Level, Simd, dispatch};
use crate::storage::{MatRef, RowsView};

/// The products of a network that has nothing else.
pub(crate) struct RowProducts(Vec<Product>);

impl RowProducts {
    /// None where a prediction has other operations, or no micro-kernels.
    pub(crate) fn new(plan: &Plan, level: Level) -> Option<RowProducts> {
        plan.products().filter(|_| level != Level::portable()).map(RowProducts)
    }

    /// The outputs of one row. The scratch and these products were made for the plan.
    pub(crate) fn forward(
        &self,
        net: &Mlp,
        plan: &Plan,
        scratch: &mut Scratch,
        (x, out): (MatRef, &mut [f32]),
    ) {
        dispatch(net.level, Row { products: &self.0, scratch, net, plan, x, out });
    }
}

struct Row<'a> {
    products: &'a [Product],
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
        let Row { products, scratch, net, plan, x, out } = self;
        let inputs = RowsView::RowMajor(x);
        let active = scratch.zeros.scan(net, inputs);
        let mut rows = RowBlock::all(&mut scratch.matrices, &plan.places, 1);
        for product in products {
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
        let mut a = rows.write(plan.output);
        if net.output_activation() == Activation::Softmax {
            softmax_panels(s, &mut a, 0);
        }
        for (p, values) in out.chunks_mut(LINE).enumerate() {
            values.copy_from_slice(&a.panel_mut(p)[0].0[..values.len()]);
        }
    }
}
