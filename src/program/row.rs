//! A single row through a network of plain layers, inside one dispatch.

use super::forward::Scratch;
use crate::activation::{Activation, softmax_panels};
use crate::gemm::RowProduct;
use crate::network::Mlp;
use crate::simd::{Kernel, LINE, Level, Simd, dispatch};
use crate::storage::{MatRef, Panels, PanelsMut, RowsView};

impl Mlp {
    /// Whether a single row can take the short way: nothing but products and element-wise
    /// activations, on micro-kernels.
    pub(crate) fn is_plain(&self) -> bool {
        let plain = self.layers.iter().all(|l| !l.has_passes() && l.residual == 0);
        plain && self.level != Level::portable()
    }
}

impl Scratch {
    /// The outputs of one row, of a network that [is plain](Mlp::is_plain).
    pub(crate) fn forward_row(&mut self, net: &Mlp, x: MatRef, out: &mut [f32]) {
        dispatch(net.level, Row { scratch: self, net, x, out });
    }
}

struct Row<'a> {
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
        let Row { scratch, net, x, out } = self;
        let x = RowsView::RowMajor(x);
        let active = scratch.zeros.look(net, x);
        let (mut from, mut to) = (scratch.ping.lines_mut(), scratch.pong.lines_mut());
        for (i, layer) in net.layers.iter().enumerate() {
            let (x, inputs) = match i {
                0 => (x, active),
                _ => (Panels::new(from, 1, layer.n_in(), 1).into(), None),
            };
            let out = PanelsMut::new(to, 1, layer.n_out(), 1);
            let (w, bias, activation) = (layer.w.view(), Some(layer.bias()), layer.activation);
            s.enter(RowProduct { x, inputs, w, bias, out, activation });
            (from, to) = (to, from);
        }
        if net.layers[net.layers.len() - 1].activation == Activation::Softmax {
            softmax_panels(s, &mut PanelsMut::new(from, 1, out.len(), 1), 0);
        }
        for (values, line) in out.chunks_mut(LINE).zip(&*from) {
            values.copy_from_slice(&line.0[..values.len()]);
        }
    }
}
