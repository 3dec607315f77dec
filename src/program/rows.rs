//! Phase 1 of a block of rows: forward, loss, and the deltas back.
//!
//! Batch normalisation needs sums over the whole batch, so each layer with it cuts phase 1 twice.
//! With n such layers there are 2n + 1 stages with a join between each two:
//!
//! ```text
//! stage 0      gather, forward to the first such layer's z
//! join         its mean and variance
//! stage 1      its outputs, forward to the next one's z …
//! stage n      … forward to the end; loss; deltas back to the last such layer's ∂L/∂y
//! join         the sums that its ∂L/∂z needs
//! stage n + 1  its ∂L/∂z, deltas back to the one before …
//! stage 2n     … deltas back to the first layer
//! ```

use super::batch::Batch;
use super::step::{Phase, RowsOf, part_of};
use crate::loss::{BlockTargets, Output, Weighting};
use crate::network::NormKind;
use crate::passes::Moments;
use crate::simd::LINE;
use crate::storage::Panels;
use std::ops::Range;

impl Phase<'_> {
    pub(crate) fn stages(&self) -> usize {
        2 * self.buffers.norms.len() + 1
    }

    /// The layer whose sums over the batch follow a stage.
    pub(crate) fn join(&self, stage: usize) -> Option<usize> {
        let n = self.buffers.norms.len();
        let place = if stage < n { stage } else { (2 * n).checked_sub(stage + 1)? };
        self.buffers.norms.get(place).copied()
    }

    /// A stage of phase 1 for a block of rows. Returns whether the batch's values are finite.
    ///
    /// # Safety
    /// No other task has rows of this range, and all stages and joins before are done.
    pub(crate) unsafe fn stage(
        &self,
        stage: usize,
        batch: Batch,
        of: &RowsOf,
        range: Range<usize>,
    ) -> bool {
        let (n, last) = (self.buffers.norms.len(), self.buffers.layers.len() - 1);
        let (join, mut finite) = (self.join(stage), true);
        // SAFETY: by this function's contract.
        unsafe {
            if stage <= n {
                let first = match stage {
                    0 if self.columns.is_some() => 1,
                    0 => {
                        finite &= self.gather(batch, of, &range);
                        0
                    }
                    _ => {
                        let i = self.buffers.norms[stage - 1];
                        self.finish(i, &range);
                        i + 1
                    }
                };
                let stop = join.filter(|_| stage < n);
                for i in first..=stop.unwrap_or(last) {
                    if i > 0 {
                        let x =
                            part_of(|t| t.all().rows(range.clone()))(&self.buffers.layers[i - 1].a);
                        self.note_inputs(i, x);
                    }
                    self.product(i, of, &range);
                    if stop != Some(i) {
                        self.finish(i, &range);
                    }
                }
            }
            if stage == n {
                finite &= self.loss(batch, of, &range);
            }
            if stage >= n {
                let mut top = last;
                if stage > n {
                    top = self.buffers.norms[2 * n - stage];
                    self.behind_norm(top, &range);
                }
                for i in (join.unwrap_or(0)..top).rev() {
                    self.delta(i, &range);
                }
                if join.is_none() {
                    // Once for all tiles of the first layer, and while the deltas are in the cache.
                    let d = part_of(|t| t.all().rows(range.clone()))(&self.buffers.layers[0].d);
                    let inputs = of.inputs.get(range.start / of.block..range.start / of.block + 1);
                    inputs[0].check_deltas(self.net.level, d);
                }
            }
        }
        finite
    }

    /// The sums over the batch of a panel of a layer, after a stage.
    ///
    /// # Safety
    /// No other task has this panel, and nobody writes what the layer's rows hold.
    pub(crate) unsafe fn sums(&self, stage: usize, layer: usize, panel: usize) {
        let l = &self.buffers.layers[layer];
        let Some(e) = &l.extras else { return };
        let (Some(z), Some(moments)) = (&e.z, &e.moments) else { return };
        // SAFETY: by this function's contract; each panel has lines of its own in the moments.
        unsafe {
            let all = part_of(|t| t.all().rows(0..self.rows).panel(panel));
            let (which, values) = if stage < self.buffers.norms.len() {
                (0, Moments::of(self.net.level, all(z)))
            } else {
                (2, Moments::of_deltas(self.net.level, all(e.inner(&l.d)), all(z)))
            };
            let panels = l.a.cols().div_ceil(LINE);
            for (i, value) in values.into_iter().enumerate() {
                let lanes = &value.0[..l.a.lanes(panel)];
                lanes.iter().for_each(|x| self.note_moment(layer, x.abs()));
                let at = (which + i) * panels + panel;
                moments.shared().lines_mut(at..at + 1)[0] = value;
            }
        }
    }

    /// # Safety
    /// As [`Phase::stage`].
    unsafe fn gather(&self, batch: Batch, of: &RowsOf, range: &Range<usize>) -> bool {
        // SAFETY: these rows are ours alone.
        unsafe {
            if let (Some(bytes), Some(split)) = (self.bytes, &self.buffers.layers[0].split) {
                split.x.fill_bytes(self.net.level, bytes.rows, range.clone(), bytes.scaling);
                of.inputs.get(range.start / of.block..range.start / of.block + 1)[0].take_all();
                // A data set refuses a scale by which a byte's value is not finite.
                return true;
            }
            let block = part_of(|t| t.rows_mut(range.clone()));
            let largest = batch.features(self.net, range.start, block(&self.buffers.x));
            if let Some(mask) = self.mask(None) {
                mask.apply(self.net.level, range.start, block(&self.buffers.x));
            }
            let x = part_of(|t| t.all().rows(range.clone()))(&self.buffers.x);
            self.look(x, of, range.start / of.block);
            self.note_features(largest)
        }
    }

    /// Looks which inputs of a block are zero in all of its rows.
    ///
    /// # Safety
    /// No other task has this block.
    pub(crate) unsafe fn look(&self, x: Panels, of: &RowsOf, block: usize) {
        // SAFETY: by this function's contract.
        let inputs = unsafe { &mut of.inputs.get(block..block + 1)[0] };
        match of.look {
            true => _ = inputs.look(self.net.level, x.into()),
            false => inputs.take_all(),
        }
    }

    /// The loss, and the deltas of the output layer.
    ///
    /// # Safety
    /// As [`Phase::stage`].
    unsafe fn loss(&self, batch: Batch, of: &RowsOf, range: &Range<usize>) -> bool {
        let (net, last) = (self.net, self.buffers.layers.len() - 1);
        let (l, mut finite) = (&self.buffers.layers[last], true);
        // SAFETY: as in `product`.
        unsafe {
            let block = part_of(|t| t.rows_mut(range.clone()));
            let read = part_of(|t| t.all().rows(range.clone()));
            let targets = if self.buffers.y.cols() > 0 {
                finite = batch.values(net, range.start, block(&self.buffers.y));
                BlockTargets::Values(read(&self.buffers.y))
            } else {
                let labels = of.labels.get(range.clone());
                batch.labels(range.start, labels);
                BlockTargets::Classes(labels)
            };
            self.step.loss.backward(
                net.level,
                Output {
                    a: block(&l.a),
                    z: l.z.as_ref().map(&read),
                    targets,
                    d: block(&l.d),
                    losses: of.losses.get(range.clone()),
                    scale: 1.0 / self.rows as f32,
                    weighting: Weighting {
                        shares: of.shares.map(|s| &s[range.clone()]),
                        smoothing: self.step.smoothing,
                        classes: self.step.classes,
                    },
                    activation: net.layers[last].activation,
                },
            );
            self.note_deltas(last, range);
            self.split_deltas(last, range);
        }
        finite
    }
}

/// The layers with batch normalisation, from the input on.
pub(crate) fn batch_norms(net: &crate::network::Mlp) -> Vec<usize> {
    let is_batch =
        |i: &usize| net.layers[*i].norm.as_ref().is_some_and(|norm| norm.kind == NormKind::Batch);
    (0..net.layers.len()).filter(is_batch).collect()
}
