//! The passes of a single layer in phase 1, on a block of rows: forward from its inputs to its
//! outputs, backward from the deltas above to its own.

use super::extras::Extras;
use super::split::SplitLayer;
use super::step::{Phase, RowsOf, part_of};
use crate::activation::Activation;
use crate::gemm::{BackwardInput, Forward, backward_input, bf16, forward};
use crate::passes::{Mask, add, copy, maxout, maxout_backward};
use crate::storage::{PanelMatrix, Panels};
use std::ops::Range;

impl Phase<'_> {
    /// What the product of a layer ends with: the loss takes logits where it can.
    pub(crate) fn forward_activation(&self, i: usize) -> Activation {
        match self.net.layers[i].activation {
            _ if i + 1 == self.buffers.layers.len() && self.step.loss.is_on_logits() => {
                Activation::Identity
            }
            other => other,
        }
    }

    /// x·W + b of layer `i`, with its activation where nothing comes between.
    ///
    /// # Safety
    /// As [`Phase::stage`].
    pub(crate) unsafe fn product(&self, i: usize, of: &RowsOf, range: &Range<usize>) {
        let (layer, l) = (&self.net.layers[i], &self.buffers.layers[i]);
        // SAFETY: whatever is written is rows of this range, which are ours alone; whatever is
        // read is such rows, or weights, which nobody writes in phase 1.
        unsafe {
            let block = part_of(|t| t.rows_mut(range.clone()));
            let x = part_of(|t| t.all().rows(range.clone()))(self.outputs(i.checked_sub(1)));
            let (w, bias) = (layer.w.view(), layer.bias());
            let inputs = match i {
                0 if l.split.is_none() => {
                    of.inputs.get(range.start / of.block..range.start / of.block + 1)[0]
                        .without_zeros(self.net.level, w, layer.n_out())
                }
                _ => None,
            };
            let (out, z, activation) = match l.extras.as_ref().and_then(|e| e.z.as_ref()) {
                Some(z) => (block(z), None, Activation::Identity),
                None => (block(&l.a), l.z.as_ref().map(&block), self.forward_activation(i)),
            };
            let Some(SplitLayer { by, x: split, w: split_w, .. }) = l.split.as_deref() else {
                forward(
                    self.net.level,
                    Forward { x: x.into(), inputs, w, bias, out, z, activation },
                );
                return;
            };
            let bytes = self.scaling(i);
            if bytes.is_none() && i.checked_sub(1).is_none_or(|below| !self.splits_in_store(below))
            {
                split.fill(self.net.level, x, (range.start, 0));
            }
            let above = self.buffers.layers.get(i + 1).and_then(|above| above.split.as_deref());
            let next = above.filter(|_| self.splits_in_store(i)).map(|above| &above.x);
            let (x, first, w) = (split, range.start, split_w);
            let f = bf16::Forward { by: *by, x, bytes, first, w, bias, out, z, activation, next };
            bf16::forward(self.net.level, f);
        }
    }

    /// Whether nothing comes between the store of a layer's products and its outputs or deltas, and
    /// these products can split them there.
    fn splits_in_store(&self, i: usize) -> bool {
        let l = &self.buffers.layers[i];
        l.split.is_some() && l.extras.is_none()
    }

    /// Splits the deltas of layer `i`, which are whole, if the layer's products need that.
    ///
    /// # Safety
    /// As [`Phase::stage`].
    pub(crate) unsafe fn split_deltas(&self, i: usize, range: &Range<usize>) {
        let l = &self.buffers.layers[i];
        if let Some(split) = &l.split {
            // SAFETY: these rows are ours alone.
            unsafe {
                let d = part_of(|t| t.all().rows(range.clone()))(&l.d);
                split.d.fill(self.net.level, d, (range.start, 0));
            }
        }
    }

    /// From layer `i`'s product to its outputs.
    ///
    /// # Safety
    /// As [`Phase::stage`].
    pub(crate) unsafe fn finish(&self, i: usize, range: &Range<usize>) {
        let (layer, l, level) = (&self.net.layers[i], &self.buffers.layers[i], self.net.level);
        let Some(e) = &l.extras else { return };
        // SAFETY: as in `product`; no tensor is written through one view while it is read through
        // another.
        unsafe {
            let block = part_of(|t| t.rows_mut(range.clone()));
            let read = part_of(|t| t.all().rows(range.clone()));
            match (&e.z, &e.scales, &e.moments) {
                (None, ..) => {}
                (Some(z), Some(scales), _) => {
                    let (mut scales, a) = (block(scales), block(&l.a));
                    layer.layer_norm().forward(level, block(z), a, scales.panel_mut(0));
                }
                (Some(z), _, Some(moments)) => {
                    let lines = moments.lines();
                    let (mean, variance) = lines[..lines.len() / 2].split_at(lines.len() / 4);
                    layer.batch_norm(mean, variance).forward(level, block(z), block(&l.a));
                }
                (Some(z), ..) => maxout(level, read(z), block(&l.a)),
            }
            if layer.norm.is_some() {
                if let Some(kept) = &l.z {
                    copy(read(&l.a), block(kept));
                }
                let mut a = block(&l.a);
                for p in 0..a.n_panels() {
                    layer.activation.forward_lines(level, a.panel_mut(p));
                }
            }
            if let Some(kept) = &e.kept {
                copy(read(&l.a), block(kept));
            }
            if let Some(mask) = self.mask(Some(i)) {
                mask.apply(level, range.start, block(&l.a));
            }
            if layer.residual > 0 {
                add(level, read(self.outputs(i.checked_sub(layer.residual))), block(&l.a));
            }
        }
    }

    /// The deltas ∂L/∂z of layer `i` from the layer above; ∂L/∂y where batch normalisation needs
    /// sums first.
    ///
    /// # Safety
    /// As [`Phase::stage`].
    pub(crate) unsafe fn delta(&self, i: usize, range: &Range<usize>) {
        let (layer, l, level) = (&self.net.layers[i], &self.buffers.layers[i], self.net.level);
        let above = &self.buffers.layers[i + 1];
        let (extras, kept) = (l.extras.as_deref(), l.kept());
        // SAFETY: as in `finish`.
        unsafe {
            let block = part_of(|t| t.rows_mut(range.clone()));
            let read = part_of(|t| t.all().rows(range.clone()));
            let delta = extras.and_then(|e| e.delta.as_ref());
            let (out, kept_here, activation) = match delta {
                Some(delta) => (block(delta), read(&l.a), Activation::Identity),
                None => (block(&l.d), read(kept), layer.activation),
            };
            let in_store = above.split.is_some() && extras.is_none();
            match (above.split.as_deref(), &above.wt) {
                (Some(SplitLayer { by, d, w, .. }), _) => {
                    let next = l.split.as_deref().filter(|_| in_store).map(|split| &split.d);
                    let (by, first, kept) = (*by, range.start, kept_here);
                    let b = bf16::Backward { by, d, first, w, kept, out, activation, next };
                    bf16::backward_input(level, b);
                }
                (None, Some(wt)) => {
                    let (d, wt) = (read(&above.d), wt.view());
                    backward_input(
                        level,
                        BackwardInput { d, wt, kept: kept_here, out, activation },
                    );
                }
                (None, None) => unreachable!("every layer but the first has its weights twice"),
            }
            if !in_store {
                self.finish_delta(i, range);
                self.split_deltas(i, range);
            }
            if extras.is_none_or(|e| e.moments.is_none()) {
                self.note_deltas(i, range);
            }
        }
    }

    /// From the backward product to layer `i`'s deltas, where more than a derivative comes between.
    ///
    /// # Safety
    /// As [`Phase::stage`].
    unsafe fn finish_delta(&self, i: usize, range: &Range<usize>) {
        let (layer, l, level) = (&self.net.layers[i], &self.buffers.layers[i], self.net.level);
        let Some(e) = l.extras.as_deref() else { return };
        let (delta, kept) = (e.delta.as_ref(), l.kept());
        // SAFETY: as in `finish`.
        unsafe {
            let block = part_of(|t| t.rows_mut(range.clone()));
            let read = part_of(|t| t.all().rows(range.clone()));
            let mask = self.mask(Some(i));
            let Some(delta) = delta else {
                if let Some(mask) = mask {
                    mask.apply(level, range.start, block(&l.d));
                }
                return;
            };
            for branch in self.branches(i) {
                add(level, read(branch), block(delta));
            }
            let inner = e.inner(&l.d);
            if !std::ptr::eq(inner, delta) {
                copy(read(delta), block(inner));
            }
            if let Some(mask) = mask {
                mask.apply(level, range.start, block(inner));
            }
            if layer.activation.pieces() == 1 {
                let (kept, mut inner): (Panels, _) = (read(kept), block(inner));
                for p in 0..inner.n_panels() {
                    layer.activation.backward_lines(level, kept.panel(p), inner.panel_mut(p));
                }
            }
            match (&e.z, &e.scales) {
                (Some(z), Some(scales)) => {
                    let (g, scales) = (read(inner), read(scales));
                    let norm = layer.layer_norm();
                    norm.backward(level, g, block(z), block(&l.d), scales.panel(0));
                }
                (Some(z), None) if layer.norm.is_none() => {
                    maxout_backward(level, read(z), read(inner), block(&l.d));
                }
                _ => {}
            }
        }
    }

    /// From ∂L/∂y of batch normalisation to ∂L/∂z, after the join.
    ///
    /// # Safety
    /// As [`Phase::stage`].
    pub(crate) unsafe fn behind_norm(&self, i: usize, range: &Range<usize>) {
        let (layer, l) = (&self.net.layers[i], &self.buffers.layers[i]);
        let Some(e) = &l.extras else { return };
        let (Some(z), Some(moments)) = (&e.z, &e.moments) else { return };
        let quarter = moments.lines().len() / 4;
        let part = |which: usize| &moments.lines()[which * quarter..][..quarter];
        // SAFETY: as in `finish`.
        unsafe {
            let block = part_of(|t| t.rows_mut(range.clone()));
            let g = part_of(|t| t.all().rows(range.clone()))(e.inner(&l.d));
            let norm = layer.batch_norm(part(0), part(1));
            norm.backward(self.net.level, g, block(z), block(&l.d), [part(2), part(3)]);
            self.note_deltas(i, range);
            self.split_deltas(i, range);
        }
    }

    /// The outputs of a layer; the inputs for none.
    fn outputs(&self, layer: Option<usize>) -> &PanelMatrix {
        layer.map_or(&self.buffers.x, |i| &self.buffers.layers[i].a)
    }

    /// ∂L/∂outputs of the layers to which a residual connection adds the outputs of layer `i`.
    fn branches(&self, i: usize) -> impl Iterator<Item = &PanelMatrix> {
        let ends = self.net.layers.iter().zip(&self.buffers.layers).enumerate().skip(i + 1);
        let ends = ends.filter(move |(to, (layer, _))| i + layer.residual == *to);
        ends.filter_map(|(_, (_, l))| l.extras.as_deref().and_then(|e: &Extras| e.delta.as_ref()))
    }

    /// The dropout of a layer's outputs, or of the inputs, if there is any.
    pub(crate) fn mask(&self, layer: Option<usize>) -> Option<Mask> {
        let rate = layer.map_or(self.net.input_dropout, |i| self.net.layers[i].dropout);
        let layer = layer.map_or(0, |i| i + 1);
        (rate > 0.0).then(|| Mask::new(rate, self.step.seed, self.step.number, layer))
    }
}
