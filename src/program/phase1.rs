//! Phase 1 of a training step on a block of rows: the program forwards, the loss, and the program in
//! reverse to the deltas of every layer.
//!
//! Batch normalisation needs sums over the whole batch, so each such operation cuts phase 1 twice.
//! With n of them there are 2n + 1 stages with a join between each two:
//!
//! ```text
//! stage 0      gather, forward to the first z that is normalised
//! join         its mean and variance
//! stage 1      forward from there to the next one's z …
//! stage n      … forward to the end; loss; backward to ∂L/∂y of the last one
//! join         the sums that its ∂L/∂z needs
//! stage n + 1  backward from there to ∂L/∂y of the one before …
//! stage 2n     … backward to the first layer
//! ```

use super::batch::Batch;
use super::bounds::Peaks;
use super::buffers::{LayerState, Moments};
use super::forward::{Pass, forward};
use super::input::Bytes;
use super::ops::{Buffer, INPUTS, Norm, Op, Product, Program};
use super::step::Step;
use super::views::{BatchBlock, RowBlock, Side};
use crate::gemm::bf16::{self, SplitPart};
use crate::gemm::{self, ActiveInputs, Forward};
use crate::loss::{BlockTargets, Output, Weighting};
use crate::network::Mlp;
use crate::passes::DropoutMask;
use crate::simd::Line;
use crate::storage::{PanelMatrix, Panels};
use std::ops::Range;

/// What the tasks of phase 1 share.
pub(crate) struct Phase1<'a> {
    pub(crate) net: &'a Mlp,
    pub(crate) program: &'a Program,
    pub(crate) states: &'a [LayerState],
    pub(crate) moments: &'a [Option<Moments>],
    pub(crate) peaks: &'a [Peaks],
    pub(crate) batch: Batch<'a>,
    /// The batch, where the first layer takes bytes.
    pub(crate) bytes: Option<Bytes<'a>>,
    /// What each row counts; all the same where there is none.
    pub(crate) weights: Option<&'a [f32]>,
    /// Whether to scan which inputs are zero.
    pub(crate) scan: bool,
    /// Operations of the first stage that are done: those of parts of columns.
    pub(crate) done: usize,
    pub(crate) step: &'a Step<'a>,
}

/// The work between two joins.
pub(crate) struct Stage {
    forward: Range<usize>,
    /// Whether the loss is in between.
    loss: bool,
    /// Walked in reverse.
    backward: Range<usize>,
    /// The batch normalisation that follows, and in which direction.
    pub(crate) join: Option<Join>,
}

/// Sums over the batch.
#[derive(Clone, Copy)]
pub(crate) enum Join {
    /// Of z.
    Forward(Norm),
    /// Of g and g ⊙ ẑ.
    Backward(Norm),
}

impl Program {
    pub(crate) fn n_stages(&self) -> usize {
        2 * self.joins.len() + 1
    }

    pub(crate) fn stage(&self, stage: usize) -> Stage {
        let (joins, n, end) = (&self.joins, self.joins.len(), self.ops.len());
        let norm = |join: usize| match self.ops[joins[join]] {
            Op::BatchNorm(norm) => norm,
            other => unreachable!("{other:?} is no join"),
        };
        // The joins that lie before the forward part, and behind the backward part.
        let below = 2 * n - stage;
        Stage {
            forward: match stage {
                0 => 0..joins.first().copied().unwrap_or(end),
                _ if stage <= n => joins[stage - 1]..joins.get(stage).copied().unwrap_or(end),
                _ => end..end,
            },
            loss: stage == n,
            backward: match stage {
                _ if stage < n => 0..0,
                _ => {
                    let from = below.checked_sub(1).map_or(0, |join| joins[join] + 1);
                    from..joins.get(below).map_or(end, |join| join + 1)
                }
            },
            join: match stage {
                _ if stage < n => Some(Join::Forward(norm(stage))),
                _ => below.checked_sub(1).map(|join| Join::Backward(norm(join))),
            },
        }
    }
}

impl Phase1<'_> {
    /// A stage for a block of rows. Returns whether the batch's values are finite.
    pub(crate) fn stage(&self, stage: usize, block: BatchBlock) -> bool {
        let Stage { forward: ops, loss, backward, join } = self.program.stage(stage);
        let BatchBlock { mut rows, labels, losses, inputs } = block;
        let mut finite = true;
        let first = if stage == 0 { self.done } else { 0 };
        if stage == 0 && first == 0 {
            finite &= self.gather(&mut rows);
        }
        let mut pass = Training { phase: self, inputs };
        for op in &self.program.ops[ops.start + first..ops.end] {
            forward(self.net, op, &mut rows, &mut pass);
        }
        if loss {
            finite &= self.loss(&mut rows, labels, losses);
        }
        for op in self.program.ops[backward].iter().rev() {
            self.backward(op, &mut rows);
        }
        if let (None, Some(product)) = (join, self.program.first_product()) {
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

    /// Scans which inputs are zero in all of these rows.
    pub(crate) fn scan(&self, inputs: &mut ActiveInputs, x: Panels) {
        match self.scan {
            true => _ = inputs.scan_zeros(self.net.level, x.into()),
            false => inputs.take_all(),
        }
    }

    /// The loss, and the deltas of the output layer.
    fn loss(&self, rows: &mut RowBlock, labels: &mut [u32], losses: &mut [f64]) -> bool {
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
        self.step.loss.backward(
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
                    smoothing: self.step.smoothing,
                    classes: self.step.classes,
                },
                activation: net.output_activation(),
            },
        );
        finite
    }

    /// The dropout of a layer's outputs; layer 0 is the inputs.
    pub(crate) fn mask(&self, layer: usize, rate: f32) -> DropoutMask {
        DropoutMask::new(rate, self.step.seed, self.step.number, layer)
    }
}

/// The forward pass of a training step.
struct Training<'a> {
    phase: &'a Phase1<'a>,
    inputs: &'a mut ActiveInputs,
}

impl Pass for Training<'_> {
    fn product(&mut self, product: &Product, rows: &mut RowBlock) {
        let Product { layer: i, x, out, z, activation, above, .. } = *product;
        let Phase1 { net, states, bytes, .. } = *self.phase;
        let (layer, parts) = (&net.layers[i], &states[i].parts);
        let (w, bias) = (layer.w.view(), layer.bias());
        if x != INPUTS {
            self.phase.note_inputs(i, rows.read(x));
        } else if parts.is_none() {
            self.phase.scan(self.inputs, rows.read(x));
        } else {
            self.inputs.take_all();
        }
        let inputs = match x {
            INPUTS => self.inputs.without_zeros(net.level, w, layer.n_out()),
            _ => None,
        };
        let bytes = bytes.filter(|_| x == INPUTS).map(|bytes| bytes.scaling);
        // Bytes are in the operand; values are, where the store of the product below has split them.
        let is_filled = bytes.is_some() || product.below.is_some_and(|i| states[i].parts.is_some());
        let next = above.filter(|above| parts.is_some() && states[*above].parts.is_some());
        let sides = [parts.as_ref().map(|_| Side::Inputs(i)), next.map(Side::Inputs)];
        let by = rows.split_by(i);
        let run = |x: Panels, out, z, [own, next]: [Option<SplitPart>; 2]| match (
            parts.as_ref().zip(by),
            own,
        ) {
            (Some((w, by)), Some(mut own)) => {
                if !is_filled {
                    own.fill(net.level, x, (0, 0));
                }
                let x = own.view();
                let f = bf16::Forward { by, x, bytes, w, bias, out, z, activation, next };
                bf16::forward(net.level, f);
            }
            _ => {
                let x = x.into();
                gemm::forward(net.level, Forward { x, inputs, w, bias, out, z, activation });
            }
        };
        match z {
            None => {
                let ([x], [out], parts) = rows.with_parts([x], [out], sides);
                run(x, out, None, parts);
            }
            Some(z) => {
                let ([x], [out, z], parts) = rows.with_parts([x], [out, z], sides);
                run(x, out, Some(z), parts);
            }
        }
    }

    fn moments<'a>(&'a self, _: &'a Mlp, layer: usize) -> [&'a [Line]; 2] {
        let moments = self.phase.moments[layer].as_ref();
        moments.map_or([&[], &[]], |moments| moments.values.each_ref().map(|lines| &lines[..]))
    }

    fn mask(&self, layer: usize, rate: f32) -> Option<DropoutMask> {
        Some(self.phase.mask(layer, rate))
    }
}

/// The first layer whose outputs are not finite.
pub(crate) fn first_non_finite(
    net: &Mlp,
    program: &Program,
    matrices: &[PanelMatrix],
    rows: usize,
) -> usize {
    let finite = |t: &PanelMatrix| (0..rows).all(|r| (0..t.cols()).all(|c| t.at(r, c).is_finite()));
    let layer = program.outputs.iter().position(|a| !finite(&matrices[a.0]));
    layer.unwrap_or(net.layers.len())
}
