//! Phase 1 of a training step on a block of rows: gather, the program forwards, the loss, and the
//! program in reverse.

use super::forward::forward;
use super::ops::{Buffer, INPUTS};
use super::phase1::{Phase1, Training, Turn};
use super::stages::Stage;
use super::step::Step;
use super::views::{BatchBlock, RowBlock, Side};
use crate::activation::{Activation, softmax_backward};
use crate::gemm::ElementwiseOp;
use crate::loss::{BlockTargets, Output, Weighting};
use crate::storage::{MatRef, gather};

impl Phase1<'_> {
    /// A stage for a block of rows. Returns whether the batch's values are finite.
    pub(crate) fn stage(&self, stage: usize, block: BatchBlock) -> bool {
        let Stage { forward: ref ops, loss, ref backward, join } = self.program.stages[stage];
        let BatchBlock { mut rows, labels, losses, inputs } = block;
        let mut finite = true;
        let mut pass = Training { phase: self, x: None, inputs };
        if !matches!(self.turn, Turn::Gradient(_)) {
            let first = if stage == 0 { self.done } else { 0 };
            if stage == 0 && first == 0 {
                finite &= self.gather(&mut rows);
            }
            for op in &self.program.ops[ops.start + first..ops.end] {
                forward(self.net, op, &mut rows, &mut pass);
            }
        }
        match self.turn {
            Turn::End => return finite,
            Turn::Loss(step) if loss => finite &= self.loss(step, &mut rows, labels, losses),
            Turn::Gradient(dy) if loss => self.output_gradient(dy, &mut rows),
            Turn::Loss(_) | Turn::Gradient(_) => {}
        }
        let from = backward.start.max(self.program.n_before(self.lowest)).min(backward.end);
        for op in self.program.ops[from..backward.end].iter().rev() {
            self.backward(op, &mut rows);
        }
        if let (None, Some(product), 0) = (join, self.program.first_product(), self.lowest) {
            // Once for all tiles of the first layer, and while the deltas are in the cache.
            pass.inputs.check_deltas(self.net.level, rows.read(product.d));
        }
        finite
    }

    fn gather(&self, rows: &mut RowBlock) -> bool {
        if let Some(bytes) = self.bytes {
            let ([], [], [x]) = rows.with_parts([], [], [Some(Side::Inputs(0))]);
            if let Some(mut x) = x {
                x.fill_bytes(self.net.level, bytes.rows, bytes.scaling);
            }
            // A data set refuses a scale by which a byte's value is not finite.
            return true;
        }
        let first = rows.first();
        self.note_features(self.batch.features(self.net, first, rows.write(INPUTS)))
    }

    /// The loss, and the deltas of the output layer.
    fn loss(
        &self,
        step: &Step,
        rows: &mut RowBlock,
        labels: &mut [u32],
        losses: &mut [f64],
    ) -> bool {
        let (net, output) = (self.net, self.program.output);
        let range = rows.first()..rows.first() + rows.len();
        let mut finite = true;
        let targets = Buffer(self.program.shapes.len());
        let is_classes = !labels.is_empty();
        if is_classes {
            self.batch.labels(range.start, labels);
        } else {
            finite = self.batch.values(net, range.start, rows.write(targets));
        }
        let read = [output.z.unwrap_or(INPUTS), if is_classes { INPUTS } else { targets }];
        let ([z, y], [a, d]) = rows.get(read, [output.a, output.d]);
        step.loss.backward(
            net.level,
            Output {
                a,
                z: output.z.map(|_| z),
                targets: match is_classes {
                    true => BlockTargets::Classes(labels),
                    false => BlockTargets::Values(y),
                },
                d,
                losses,
                scale: 1.0 / self.batch.rows() as f32,
                weighting: Weighting {
                    rows: self.weights.map(|weights| &weights[range]),
                    smoothing: step.smoothing,
                    classes: step.classes,
                },
                activation: net.output_activation(),
            },
        );
        finite
    }

    /// The deltas of the output layer, from ∂L/∂outputs of the batch.
    pub(super) fn output_gradient(&self, dy: MatRef, rows: &mut RowBlock) {
        let (level, output) = (self.net.level, self.program.output);
        let first = rows.first();
        gather(level, dy, first, rows.write(output.d));
        if output.is_logits {
            return;
        }
        let activation = self.net.output_activation();
        if activation == Activation::Softmax {
            let ([], [z, d]) = rows.get([], [output.a, output.d]);
            return softmax_backward(level, z, d);
        }
        let ([kept], [mut d]) = rows.get([output.z.unwrap_or(output.a)], [output.d]);
        (0..d.n_panels())
            .for_each(|p| activation.backward_lines(level, kept.panel(p), d.panel_mut(p)));
    }
}
