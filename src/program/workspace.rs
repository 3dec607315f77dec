//! Everything a training step writes besides the network: allocated once.

use super::batch::Batch;
use super::bounds::Bounds;
use super::columns::Columns;
use super::compile::Program;
use super::deferred::Deferred;
use super::memory::{BatchMemory, Place};
use super::ops::{INPUTS, Outputs, Shape};
use super::peaks::Peaks;
use super::pending::Pending;
use super::state::{LayerState, Moments, PartRows};
use super::tiles::Tiles;
use crate::error::Result;
use crate::gemm::ActiveInputs;
use crate::gemm::bf16::{self, SplitBy};
use crate::loss::Loss;
use crate::network::Mlp;
use crate::optim::{LayerRates, Optimizer};
use crate::simd::LINE;
use crate::storage::{PanelMatrix, padded_rows};
use crate::threads::{Choices, block_rows};

/// The rows of a batch, and what they become.
pub(crate) struct BatchRows {
    /// The buffers of the program, and behind them the target values (where the targets are values).
    pub(crate) matrices: Vec<PanelMatrix>,
    pub(crate) places: Vec<Place>,
    pub(crate) parts: Vec<Option<PartRows>>,
    /// The class of each row; empty for values.
    pub(crate) labels: Vec<u32>,
    pub(crate) losses: Vec<f64>,
    /// Rows of the last batch, whose losses these are; 0 where there is none.
    pub(crate) loss_rows: usize,
    /// Which inputs are not zero, one for each block of rows or part of columns.
    pub(crate) inputs: Vec<ActiveInputs>,
}

/// Everything of a training run.
pub(crate) struct Workspace {
    /// Rows that the buffers have room for.
    pub(crate) rows: usize,
    pub(crate) program: Program,
    /// The lowest layer that is trained: the backward pass ends there.
    pub(crate) lowest: usize,
    pub(crate) batch: BatchRows,
    pub(crate) states: Vec<LayerState>,
    /// One per layer, where it has batch normalisation.
    pub(crate) moments: Vec<Option<Moments>>,
    /// Where columns are shared out instead of rows.
    pub(crate) columns: Option<Columns>,
    /// The largest values that reached each layer in the step.
    pub(crate) peaks: Vec<Peaks>,
    /// For phase 2, one element per panel of x, one bit per column: the inputs that are not zero in the
    /// whole batch. Empty where leaving out the others would not be faster.
    pub(crate) active: Vec<u16>,
    /// The weight of each row; empty until something is weighted.
    pub(crate) weights: Vec<f32>,
    /// Room for the rows that count, where something is weighted.
    pub(crate) picked: Vec<u32>,
    /// columns x n_in: the transposed weights of the first layer, made when ∂L/∂inputs is first wanted.
    pub(crate) first_wt: Option<PanelMatrix>,
    /// The part of a step that the next one continues.
    pub(crate) pending: Option<Pending>,
    pub(crate) tiles: Tiles,
    /// Whole columns of the weights, where their norms are limited.
    pub(crate) whole_columns: Option<Tiles>,
    /// Gradients, where phase 2 keeps them first.
    pub(crate) deferred: Option<Deferred>,
    /// What weights, state and gradients that wait do not exceed.
    pub(crate) bounds: Bounds,
    /// Whether one thread or the team makes a step.
    pub(crate) choices: Choices,
}

/// What a workspace is for.
pub(crate) struct Needs<'a> {
    /// Rows of a batch at most.
    pub(crate) rows: usize,
    pub(crate) threads: usize,
    pub(crate) loss: &'a Loss,
    /// Whether targets are values, not labels.
    pub(crate) values: bool,
    pub(crate) rates: &'a LayerRates,
    /// Whether phase 2 keeps the gradients.
    pub(crate) gradients: bool,
    /// Whether the norms of columns of weights are limited.
    pub(crate) max_norm: bool,
    pub(crate) split: Option<SplitBy>,
}

impl Workspace {
    pub(crate) fn new(net: &Mlp, optimizer: &Optimizer, needs: Needs) -> Result<Workspace> {
        let Needs { rows, threads, loss, values, rates, gradients, max_norm, split: by } = needs;
        let outputs = if loss.is_on_logits() { Outputs::Logits } else { Outputs::OfLayer };
        let program = Program::new(net, outputs);
        let targets = if values { loss.n_targets(net.n_out()) } else { 0 };
        loss.reserve(threads, net.n_out());
        let states: Vec<_> = (0..net.layers.len())
            .map(|i| {
                let slots = if rates.is_frozen(i) { 0 } else { optimizer.slots() };
                LayerState::new(net, i, slots, by)
            })
            .collect::<Result<_>>()?;
        let parts = (0..net.layers.len()).map(|i| PartRows::new(net, i, rows, by));
        let is_in_parts: Vec<_> = states.iter().map(|state| state.parts.is_some()).collect();
        let tiles = Tiles::of_network(net, rates, rows, &is_in_parts);
        let deferred =
            gradients.then(|| Deferred::new(net, rates, tiles.all().len())).transpose()?;
        // The tiles of kept gradients must not depend on the threads: sums run over them.
        let is_plain =
            program.ops.iter().all(|op| op.product().is_some()) && !is_in_parts.contains(&true);
        let columns = match is_plain && !gradients {
            true => Columns::new(net, rates, rows, threads)?,
            false => None,
        };
        let blocks = rows.div_ceil(rows_of_block(rows, threads, &states)).max(threads);
        let mut workspace = Workspace {
            rows,
            batch: BatchRows {
                matrices: matrices(&program, rows, targets)?,
                places: {
                    let mut places = Place::of_each(&program.shapes);
                    places.push(Place { matrix: places.len(), cols: loss.n_targets(net.n_out()) });
                    places
                },
                parts: parts.collect::<Result<_>>()?,
                labels: vec![0; if values { 0 } else { rows }],
                losses: vec![0.0; rows],
                loss_rows: 0,
                inputs: (0..blocks).map(|_| ActiveInputs::new(net.n_in())).collect(),
            },
            moments: (0..net.layers.len()).map(|i| Moments::new(net, &program, i)).collect(),
            program,
            lowest: rates.lowest(),
            states,
            columns,
            peaks: net.layers.iter().map(|_| Peaks::default()).collect(),
            active: Vec::with_capacity(net.n_in().div_ceil(LINE)),
            weights: Vec::new(),
            picked: Vec::new(),
            first_wt: None,
            pending: None,
            tiles,
            whole_columns: max_norm.then(|| Tiles::of_columns(net, rates)),
            deferred,
            bounds: Bounds::new(net.layers.len()),
            // Forward, gradient of the weights, gradient of the inputs.
            choices: Choices::new(rows, net.n_parameters().saturating_mul(3)),
        };
        workspace.copy_weights(net);
        Ok(workspace)
    }

    /// After phase 1: which inputs are not zero in all of the first `n` blocks that were scanned.
    pub(crate) fn join_inputs(&mut self, scan: bool, n: usize) {
        let (active, blocks) = (&mut self.active, &self.batch.inputs[..n]);
        active.clear();
        if scan && blocks.iter().all(ActiveInputs::is_sparse) {
            active.resize(self.batch.places[INPUTS.0].cols.div_ceil(LINE), 0);
            blocks.iter().for_each(|block| block.join(active));
        }
    }

    /// Fills the copies of the weights, transposed and as operands, from the network's, which others
    /// wrote.
    pub(crate) fn copy_weights(&mut self, net: &Mlp) {
        self.bounds.forget();
        for (layer, state) in net.layers.iter().zip(&mut self.states) {
            if let Some(parts) = &mut state.parts {
                parts.fill_all(net.level, layer.w.view());
            }
            if let Some(wt) = &mut state.wt {
                layer.transpose_weights(wt);
            }
        }
    }

    /// The first layer's operands keep the sums of their columns from now on, which a shift of bytes
    /// is multiplied by. Runs without a shift do without.
    ///
    /// # Errors
    /// As [`Split::keep_sums`].
    pub(crate) fn keep_sums(&mut self, net: &Mlp) -> Result<()> {
        if let (Some(w), Some(PartRows { d, .. })) =
            (&mut self.states[0].parts, &mut self.batch.parts[0])
            && w.keep_sums()?
        {
            d.keep_sums()?;
            w.fill_all(net.level, net.layers[0].w.view());
        }
        Ok(())
    }
}

impl BatchRows {
    /// Moves the losses of the rows that counted, of which `picked` are the samples, to the places of
    /// these rows in the batch. The others have none: NaN.
    pub(crate) fn spread_losses(&mut self, batch: &Batch, picked: &[u32]) {
        let mut left = picked.len();
        for row in (0..batch.rows()).rev() {
            let is_next = left > 0 && picked[left - 1] as usize == batch.row(row);
            left -= usize::from(is_next);
            self.losses[row] = if is_next { self.losses[left] } else { f64::NAN };
        }
        self.loss_rows = batch.rows();
    }

    /// What the blocks of rows write.
    pub(crate) fn memory(&mut self) -> BatchMemory<'_> {
        let BatchRows { matrices, places, parts, labels, losses, loss_rows: _, inputs } = self;
        BatchMemory { matrices, places, parts, labels, losses, inputs }
    }
}

/// A matrix for each buffer of a program, and one for the target values. That of ∂L/∂inputs is made when
/// it is first wanted.
fn matrices(program: &Program, rows: usize, targets: usize) -> Result<Vec<PanelMatrix>> {
    let ld = padded_rows(rows);
    let matrix = |(i, shape): (usize, &Shape)| {
        let width = if i == program.dx.0 { 0 } else { shape.width };
        PanelMatrix::side_by_side(rows, width, shape.n, ld)
    };
    let mut matrices = program.shapes.iter().enumerate().map(matrix).collect::<Result<Vec<_>>>()?;
    matrices.push(PanelMatrix::with_stride(rows, targets, ld)?);
    Ok(matrices)
}

/// Rows of a block of phase 1 at most: its activations (256 KiB for 256 columns) stay in L2 while
/// the weights stream past.
const BLOCK_ROWS: usize = 256;

/// The same where products multiply bf16: three parts of 128 rows of 2048 columns are 1.5 MiB of the
/// 2 MiB of L2 that CPUs with AMX have.
const PART_ROWS: usize = 128;

/// Rows of a block of phase 1 for a batch of `rows`.
pub(crate) fn rows_of_block(rows: usize, threads: usize, states: &[LayerState]) -> usize {
    match states.iter().any(|state| state.parts.is_some()) {
        false => block_rows(rows, threads, BLOCK_ROWS),
        // Operands are cut in blocks of 32 rows.
        true => block_rows(rows, threads, PART_ROWS).next_multiple_of(bf16::ROWS),
    }
}
