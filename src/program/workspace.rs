//! Everything a training step writes besides the network: allocated once.

use super::bounds::{Bounds, Peaks};
use super::columns::Columns;
use super::deferred::Deferred;
use super::extras::Extras;
use super::rows::batch_norms;
use super::split::SplitLayer;
use crate::activation::Keeps;
use crate::error::Result;
use crate::gemm::ActiveInputs;
use crate::gemm::bf16::{self, SplitBy};
use crate::network::{Dense, Mlp};
use crate::optim::Optimizer;
use crate::simd::LINE;
use crate::storage::{PanelMatrix, padded_rows};
use crate::threads::{Choices, block_rows};
use std::ops::Range;

/// One layer's share of the workspace.
pub(crate) struct LayerBuffers {
    /// batch x n_out: outputs; logits for softmax
    pub(crate) a: PanelMatrix,
    /// batch x n_out: inputs z of activations whose derivative needs them
    pub(crate) z: Option<PanelMatrix>,
    /// batch x columns: ∂L/∂z; 0 between the pieces of maxout
    pub(crate) d: PanelMatrix,
    /// columns x n_in: the transposed weights, for every layer but the first and those that are
    /// split; 0 between the pieces of maxout
    pub(crate) wt: Option<PanelMatrix>,
    /// the optimiser's state, weights and biases
    pub(crate) slots: Vec<Slot>,
    /// what dropout, maxout, norms and residual connections need
    pub(crate) extras: Option<Box<Extras>>,
    /// the operands in bf16 parts, where the layer's products use them
    pub(crate) split: Option<Box<SplitLayer>>,
}

impl LayerBuffers {
    /// What the derivative of the layer's activation is made of: its inputs or outputs.
    pub(crate) fn kept(&self) -> &PanelMatrix {
        let behind = self.extras.as_deref().and_then(|e| e.kept.as_ref());
        behind.or(self.z.as_ref()).unwrap_or(&self.a)
    }

    /// Moves a layer's running statistics towards those of the batch in these buffers.
    pub(crate) fn observe(&self, layer: &mut Dense, rows: usize) {
        let moments = self.extras.as_deref().and_then(|e| e.moments.as_ref());
        let n_out = layer.n_out();
        if let (Some(norm), Some(moments)) = (&mut layer.norm, moments) {
            let lines = moments.lines();
            let (mean, variance) = lines[..lines.len() / 2].split_at(lines.len() / 4);
            norm.observe([mean, variance], n_out, rows);
        }
    }
}

/// One state value a parameter.
pub(crate) struct Slot {
    pub(crate) w: PanelMatrix,
    pub(crate) b: PanelMatrix,
}

/// A block of one layer's weights that phase 2 updates as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Tile {
    pub(crate) layer: usize,
    /// Groups of 16 inputs.
    pub(crate) inputs: Range<usize>,
    /// Groups of 16 outputs.
    pub(crate) outputs: Range<usize>,
}

/// What the tasks of a phase read and write in parts.
pub(crate) struct Buffers {
    /// batch x n_in
    pub(crate) x: PanelMatrix,
    pub(crate) layers: Vec<LayerBuffers>,
    /// The layers with batch normalisation.
    pub(crate) norms: Vec<usize>,
    /// Rows of targets: batch x n_out for values, else empty.
    pub(crate) y: PanelMatrix,
    /// Where columns are shared out instead of rows.
    pub(crate) columns: Option<Columns>,
    /// The largest values that reached each layer in the step.
    pub(crate) peaks: Vec<Peaks>,
    /// For phase 2, one element a panel of x, a bit a column: the inputs that are not zero in the
    /// whole batch. Empty where leaving out the others would not pay.
    pub(crate) active: Vec<u16>,
}

/// Everything of a training run.
pub(crate) struct Workspace {
    /// Rows that the buffers have room for.
    pub(crate) rows: usize,
    pub(crate) buffers: Buffers,
    /// The class of each row; empty for values.
    pub(crate) labels: Vec<u32>,
    pub(crate) losses: Vec<f64>,
    /// What each row counts; empty until something is weighted.
    pub(crate) shares: Vec<f32>,
    /// Room for the rows that count, where something is weighted.
    pub(crate) picked: Vec<u32>,
    pub(crate) tiles: Vec<Tile>,
    /// Which inputs are not zero, one for each block of rows or part of columns.
    pub(crate) inputs: Vec<ActiveInputs>,
    /// Gradients, where phase 2 keeps them first.
    pub(crate) deferred: Option<Deferred>,
    /// What weights, state and gradients that wait do not exceed.
    pub(crate) bounds: Bounds,
    /// Whether one thread or the team makes a step.
    pub(crate) choices: Choices,
}

/// Multiply-adds of a tile: at least 2^16, 1.3 µs of a core at 50 a nanosecond, ten times the cost
/// of claiming one; at most 2^25, whose operands still fit in L2 for batches of 1024; between them a
/// 32nd of all, so that the last tile to finish keeps two threads waiting for 2 % of the phase.
const TILE_WORK: std::ops::RangeInclusive<usize> = 1 << 16..=1 << 25;

/// Panels of inputs of a tile, where there are so many: each panel of deltas that comes from L2 is
/// used that often. (784-512-512-10 at batch 128 on one core: 5.8 ms with 1, 5.3 ms with 4.)
const HEIGHT: usize = 4;

/// Lines of deltas of a tile: 2^13 are 512 KiB, half of a 1 MiB L2, that all its inputs use again.
const WIDTH: usize = 1 << 13;

/// What a workspace is for.
pub(crate) struct Needs {
    /// Rows of a batch at most.
    pub(crate) rows: usize,
    pub(crate) threads: usize,
    /// Whether targets are values, not labels.
    pub(crate) values: bool,
    /// Whether phase 2 keeps the gradients.
    pub(crate) gradients: bool,
    pub(crate) split: Option<SplitBy>,
}

impl Workspace {
    pub(crate) fn new(net: &Mlp, optimizer: &Optimizer, needs: Needs) -> Result<Workspace> {
        let Needs { rows, threads, values, gradients, split: by } = needs;
        let ld = padded_rows(rows);
        let mut layers = Vec::with_capacity(net.layers.len());
        for (i, layer) in net.layers.iter().enumerate() {
            let (n_in, columns) = (layer.n_in(), layer.columns());
            let batch = || PanelMatrix::with_stride(rows, layer.n_out(), ld);
            let slot = || Ok(Slot { w: layer.w.zeros_like()?, b: layer.b.zeros_like()? });
            let split = SplitLayer::new(net, i, rows, by)?;
            let wt = match i {
                _ if i == 0 || split.is_some() => None,
                _ => Some(PanelMatrix::with_stride(columns, n_in, columns.next_multiple_of(LINE))?),
            };
            layers.push(LayerBuffers {
                a: batch()?,
                z: (layer.activation.keeps() == Keeps::Input).then(batch).transpose()?,
                d: PanelMatrix::side_by_side(rows, layer.n_out(), layer.activation.pieces(), ld)?,
                wt,
                slots: (0..optimizer.slots()).map(|_| slot()).collect::<Result<_>>()?,
                extras: Extras::new(net, i, rows)?,
                split,
            });
        }
        let is_split: Vec<_> = layers.iter().map(|l| l.split.is_some()).collect();
        let tiles = tiles(net, rows, &is_split);
        let deferred = gradients.then(|| Deferred::new(net, tiles.len())).transpose()?;
        // The tiles of kept gradients must not depend on the threads: sums run over them.
        let plain = net.input_dropout == 0.0
            && layers.iter().all(|l| l.extras.is_none() && l.split.is_none());
        let columns = match plain && !gradients {
            true => Columns::new(net, rows, threads)?,
            false => None,
        };
        let blocks = rows.div_ceil(rows_of_block(rows, threads, &layers)).max(threads);
        let buffers = Buffers {
            x: PanelMatrix::with_stride(rows, net.n_in(), ld)?,
            layers,
            norms: batch_norms(net),
            y: PanelMatrix::with_stride(rows, if values { net.n_out() } else { 0 }, ld)?,
            columns,
            peaks: net.layers.iter().map(|_| Peaks::default()).collect(),
            active: Vec::with_capacity(net.n_in().div_ceil(LINE)),
        };
        let mut workspace = Workspace {
            rows,
            buffers,
            labels: vec![0; if values { 0 } else { rows }],
            losses: vec![0.0; rows],
            shares: Vec::new(),
            picked: Vec::new(),
            tiles,
            inputs: (0..blocks).map(|_| ActiveInputs::new(net.n_in())).collect(),
            deferred,
            bounds: Bounds::new(net.layers.len()),
            // Forward, gradient of the weights, gradient of the inputs.
            choices: Choices::new(rows, net.n_parameters().saturating_mul(3)),
        };
        workspace.copy_weights(net);
        Ok(workspace)
    }

    /// After phase 1: which inputs are not zero in all of the first `n` blocks that were looked at.
    pub(crate) fn join_inputs(&mut self, look: bool, n: usize) {
        let (active, blocks) = (&mut self.buffers.active, &self.inputs[..n]);
        active.clear();
        if look && blocks.iter().all(ActiveInputs::is_sparse) {
            active.resize(self.buffers.x.cols().div_ceil(LINE), 0);
            blocks.iter().for_each(|block| block.join(active));
        }
    }

    /// Fills the transposed and the split weights from the network's, which others wrote.
    pub(crate) fn copy_weights(&mut self, net: &Mlp) {
        self.bounds.forget();
        for (layer, buffers) in net.layers.iter().zip(&mut self.buffers.layers) {
            if let Some(split) = &mut buffers.split {
                split.w.fill_all(net.level, layer.w.view());
            }
            if let Some(wt) = &mut buffers.wt {
                let is_padding = |c: usize| c % LINE >= layer.w.lanes(c / LINE);
                for r in 0..layer.n_in() {
                    for c in 0..layer.columns() {
                        *wt.at_mut(c, r) = if is_padding(c) { 0.0 } else { layer.w.at(r, c) };
                    }
                }
            }
        }
    }
}

/// Rows of a block of phase 1 at most: its activations (256 KiB for 256 columns) stay in L2 while
/// the weights stream past.
const BLOCK_ROWS: usize = 256;

/// The same where operands are split: three parts of 128 rows of 2048 columns are 1.5 MiB of the
/// 2 MiB of L2 that CPUs with AMX have.
const SPLIT_ROWS: usize = 128;

/// Rows of a block of phase 1 for a batch of so many.
pub(crate) fn rows_of_block(rows: usize, threads: usize, layers: &[LayerBuffers]) -> usize {
    match layers.iter().any(|l| l.split.is_some()) {
        false => block_rows(rows, threads, BLOCK_ROWS),
        // The gradient's operands are split in blocks of so many rows.
        true => block_rows(rows, threads, SPLIT_ROWS).next_multiple_of(bf16::ROWS),
    }
}

/// Cuts every layer's weights into tiles of about [`TILE_WORK`], the largest first, so that the
/// last ones to finish are small. The cut does not depend on the threads. Tiles of split layers
/// begin at even panels of both sides, since operands are split in blocks of 32 x 32.
fn tiles(net: &Mlp, rows: usize, is_split: &[bool]) -> Vec<Tile> {
    let panels = |n: usize| n.div_ceil(LINE);
    let blocks = |t: &Tile| t.inputs.len() * t.outputs.len();
    let all: usize = net.layers.iter().map(|l| panels(l.n_in()) * panels(l.columns())).sum();
    let work = (rows * LINE * LINE * all / 32).clamp(*TILE_WORK.start(), *TILE_WORK.end());
    let most = (work / (rows * LINE * LINE)).max(1);
    let mut tiles = Vec::new();
    for ((layer, l), &is_split) in net.layers.iter().enumerate().zip(is_split) {
        let (inputs, outputs) = (panels(l.n_in()), panels(l.columns()));
        let height = inputs.min((most / outputs).max(HEIGHT));
        let width = (most / height).min(WIDTH / rows).max(1);
        let (down, across) = (inputs.div_ceil(height), outputs.div_ceil(width));
        let unit = if is_split { 2 } else { 1 };
        let cut = |n: usize, i: usize, parts: usize| match i {
            _ if i == parts => n,
            _ => n * i / parts / unit * unit,
        };
        for i in 0..down {
            for o in 0..across {
                let inputs = cut(inputs, i, down)..cut(inputs, i + 1, down);
                let outputs = cut(outputs, o, across)..cut(outputs, o + 1, across);
                if !inputs.is_empty() && !outputs.is_empty() {
                    tiles.push(Tile { layer, inputs, outputs });
                }
            }
        }
    }
    tiles.sort_by_key(|t| std::cmp::Reverse(blocks(t)));
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;

    #[test]
    fn tiles_cover_every_weight_once() {
        let net = Mlp::builder(784)
            .dense(300, Activation::Relu)
            .dense(17, Activation::Tanh)
            .maxout(20, 3)
            .dense(10, Activation::Softmax)
            .build()
            .unwrap();
        for (rows, is_split) in [(1, false), (10, true), (128, false), (128, true), (5000, true)] {
            let tiles = tiles(&net, rows, &[is_split, false, is_split, false]);
            let begins_even = |t: &Tile| (t.inputs.start | t.outputs.start).is_multiple_of(2);
            assert!(!is_split || tiles.iter().filter(|t| t.layer % 2 == 0).all(begins_even));
            for (i, l) in net.layers.iter().enumerate() {
                let panels = l.columns().div_ceil(LINE);
                let mut seen = vec![0; l.n_in().div_ceil(LINE) * panels];
                for t in tiles.iter().filter(|t| t.layer == i) {
                    for a in t.inputs.clone() {
                        for b in t.outputs.clone() {
                            seen[a * panels + b] += 1;
                        }
                    }
                }
                assert!(seen.iter().all(|&n| n == 1));
            }
        }
    }
}
