//! One training step: two parallel phases. With `rows`, `layers`, `columns`, `deferred`, `bounds`,
//! `change` and `probe` the only files of `train` with `unsafe`: they hand out the disjoint blocks
//! that the tasks of a phase write.
//!
//! ```text
//! phase 1  over row blocks of the batch (no two blocks share anything they write)
//!          gather the rows → forward through all layers → loss and output delta → backward deltas
//! phase 2  over tiles of every W (no two tiles share anything they write)
//!          gradient tile = Xᵀ·D over the whole batch, and the update while it is in registers
//! ```
//!
//! Phase 1 changes nothing that lasts. What it computed decides whether phase 2, which cannot be
//! undone, will write finite values only (`bounds`).

use super::batch::{Batch, ClassWeights, SampleWeights, first_odd_value};
use super::change::{BatchWeight, Change, allow, run_change};
use super::columns::Columns;
use super::deferred::Run;
use super::split::Bytes;
use super::workspace::{Buffers, Tile, Workspace, rows_of_block};
use crate::error::{Error, Result};
use crate::gemm::{
    ActiveInputs, BiasBlock, LOOK_FROM, Transposed, WeightBlock, bf16, update_bias, update_weights,
};
use crate::loss::Loss;
use crate::network::Mlp;
use crate::optim::{Adjustments, Optimizer, Rule, VisitRule};
use crate::simd::LINE;
use crate::storage::{PanelMatrix, Panels, SharedPanels, SharedSlice};
use crate::threads::{Team, Way};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a step needs besides the network and the workspace.
pub(crate) struct Step<'a> {
    pub(crate) loss: Loss,
    pub(crate) optimizer: &'a Optimizer,
    pub(crate) adjustments: &'a Adjustments,
    pub(crate) samples: SampleWeights<'a>,
    /// ε of label smoothing.
    pub(crate) smoothing: f32,
    /// Weights of the classes, or none.
    pub(crate) classes: &'a [f32],
    pub(crate) lr: f32,
    /// The seed of dropout.
    pub(crate) seed: u64,
    /// The step's number, counted from 1.
    pub(crate) number: u64,
    /// The number of the update that this step makes or has a share in, counted from 1.
    pub(crate) update: u64,
}

/// How often a step looks which inputs are zero while few are: a look costs up to a 30th of a step
/// with few rows.
const LOOK_EVERY: u64 = 16;

/// What a step did.
pub(crate) struct Outcome {
    /// The mean loss before the update: Σ s·ℓ / Σ s with weights s; 0 where all rows weigh 0.
    pub(crate) loss: f64,
    /// What the batch counts in a mean over batches: its rows, or the sum of their weights.
    pub(crate) weight: f64,
    /// Whether there was an update: with accumulated gradients not every step has one.
    pub(crate) updated: bool,
}

/// Trains on one batch. On an error nothing was updated.
pub(crate) fn run(
    net: &mut Mlp,
    ws: &mut Workspace,
    team: &mut Team,
    batch: Batch,
    step: &Step,
) -> Result<Outcome> {
    // Class weights weigh the shares of a softmax only; the positives of a sigmoid are no share.
    let of_classes = if step.loss == Loss::CrossEntropy { step.classes } else { &[] };
    if let (SampleWeights::Equal, []) = (step.samples, of_classes) {
        return run_counted(net, ws, team, (batch, BatchWeight::Rows(batch.rows())), step);
    }
    ws.shares.resize(ws.rows, 0.0);
    let mut picked = std::mem::take(&mut ws.picked);
    picked.clear();
    picked.reserve(ws.rows);
    let classes = ClassWeights { weights: of_classes, are_smoothed: step.smoothing > 0.0 };
    let weighed = batch.weigh(step.samples, classes, &mut picked, &mut ws.shares);
    let outcome = match weighed.sum > 0.0 {
        true => run_counted(net, ws, team, (weighed.batch, BatchWeight::Sum(weighed.sum)), step),
        false => run_absent(net, ws, team, step),
    };
    ws.picked = picked;
    outcome
}

/// A batch of which no row counts: it is a batch of those whose gradients make an update, and has
/// nothing to add to them.
fn run_absent(net: &mut Mlp, ws: &mut Workspace, team: &mut Team, step: &Step) -> Result<Outcome> {
    let none = BatchWeight::Sum(0.0);
    let change = Change::of_batch(ws.deferred.as_ref(), step.adjustments, 0, none);
    if change.accumulates {
        run_change(net, ws, team, &change, step)?;
    }
    Ok(Outcome { loss: 0.0, weight: 0.0, updated: change.updates })
}

/// Trains on the rows of a batch that count, which have shares unless they weigh one each.
fn run_counted(
    net: &mut Mlp,
    ws: &mut Workspace,
    team: &mut Team,
    (batch, weight): (Batch, BatchWeight),
    step: &Step,
) -> Result<Outcome> {
    let rows = batch.rows();
    let way = match team.threads() {
        1 => Way::One,
        _ => ws.choices.of(rows).next(),
    };
    let weighted = matches!(weight, BatchWeight::Sum(_));
    ws.buffers.reset_peaks(net, &batch);
    let threads = if way == Way::Team { team.threads() } else { 1 };
    let mut run = |items: usize, work: &(dyn Fn(usize) + Sync)| {
        team.run_by(way, items, &|_, i| work(i));
        Ok(())
    };
    let bytes = Bytes::new(net, ws, batch);
    if bytes.is_some_and(|bytes| bytes.scaling.has_shift()) {
        ws.keep_sums(net)?;
    }
    // What is left where columns were shared out is one thread's.
    let columns = ws.buffers.columns.as_ref().filter(|_| threads > 1);
    let block = match columns {
        Some(_) => rows,
        None => rows_of_block(rows, threads, &ws.buffers.layers),
    };
    let looks = net.n_in() >= LOOK_FROM && ws.buffers.layers[0].split.is_none();
    let look = looks && (step.number % LOOK_EVERY == 1 || !ws.buffers.active.is_empty());
    let rows_of = RowsOf {
        labels: SharedSlice::new(&mut ws.labels),
        losses: SharedSlice::new(&mut ws.losses),
        inputs: SharedSlice::new(&mut ws.inputs),
        shares: weighted.then_some(&ws.shares[..]),
        block,
        look,
    };
    let phase = Phase { net, buffers: &ws.buffers, columns, rows, bytes, step };
    let odd = AtomicBool::new(false);
    let seen = |finite: bool| {
        if !finite {
            odd.store(true, Ordering::Relaxed);
        }
    };
    let parts = columns.map_or(0, Columns::parts);
    if let Some(columns) = columns {
        // SAFETY: parts of columns do not overlap, and each comes once.
        run(parts, &|part| seen(unsafe { phase.first_layer(columns, batch, &rows_of, part) }))?;
    }
    for stage in 0..phase.stages() {
        run(rows.div_ceil(block), &|i| {
            let range = i * block..rows.min((i + 1) * block);
            // SAFETY: blocks of rows do not overlap, and each comes once.
            seen(unsafe { phase.stage(stage, batch, &rows_of, range) });
        })?;
        if let Some(layer) = phase.join(stage) {
            let panels = net.layers[layer].columns().div_ceil(LINE);
            // SAFETY: each panel comes once; the blocks of rows are done.
            run(panels, &|panel| unsafe { phase.sums(stage, layer, panel) })?;
        }
    }
    if odd.into_inner() {
        return Err(first_odd_value(&batch));
    }
    ws.join_inputs(look, parts.max(rows.div_ceil(block)));
    // One chain in row order: the same for every split.
    let losses = &ws.losses[..rows];
    let loss = match weighted {
        false => losses.iter().sum::<f64>() / rows as f64,
        true => losses.iter().zip(&ws.shares).map(|(l, s)| l * f64::from(*s)).sum(),
    };
    // A loss that f32 cannot hold has deltas whose products it cannot hold either.
    if !(loss as f32).is_finite() {
        return Err(not_finite(ws, rows, step));
    }
    let change = Change::of_batch(ws.deferred.as_ref(), step.adjustments, rows, weight);
    let Workspace { bounds, deferred, tiles, buffers, .. } = &mut *ws;
    let columns = buffers.columns.as_ref().filter(|_| threads > 1);
    let phase = Phase { net, buffers, columns, rows, bytes, step };
    allow(&phase, (&mut *bounds, deferred.as_mut(), tiles), &change, &mut run)?;
    let made = match deferred {
        Some(deferred) => deferred.run(&phase, tiles, &change, &mut run),
        None => {
            let (at, biases) = ((step.update, step.lr), step.adjustments.biases);
            step.optimizer.with_fused_rule(at, biases, Update { phase, tiles, run: &mut run })
        }
    };
    made.inspect_err(|_| bounds.forget())?;
    for &i in &ws.buffers.norms {
        ws.buffers.layers[i].observe(&mut net.layers[i], rows);
    }
    ws.choices.of(rows).done(rows);
    Ok(Outcome { loss, weight: weight.sum(), updated: change.updates })
}

/// Updates from the gradients that still wait for it. Returns whether there were any.
pub(crate) fn flush(
    net: &mut Mlp,
    ws: &mut Workspace,
    team: &mut Team,
    step: &Step,
) -> Result<bool> {
    let Some(deferred) = ws.deferred.as_mut().filter(|d| d.waiting()) else { return Ok(false) };
    let Some(change) = Change::of_rest(deferred) else {
        deferred.resume(Default::default());
        return Ok(false);
    };
    run_change(net, ws, team, &change, step)?;
    Ok(true)
}

/// Names the first layer whose outputs are not finite.
fn not_finite(ws: &Workspace, rows: usize, step: &Step) -> Error {
    let finite = |t: &PanelMatrix| (0..rows).all(|r| (0..t.cols()).all(|c| t.at(r, c).is_finite()));
    let layers = &ws.buffers.layers;
    let layer = layers.iter().position(|l| !finite(&l.a)).unwrap_or(layers.len());
    Error::NonFinite { epoch: 0, step: step.number, layer }
}

/// A closure from a tensor to a part of it: the signature ties the part to the tensor's lifetime,
/// which a closure's own annotations cannot.
///
/// # Safety
/// The closure that is returned is as unsafe as what `part` calls: each of its calls keeps that
/// contract, and it does not leave the `unsafe` block that made it.
pub(crate) unsafe fn part_of<'t, P>(
    part: impl Fn(SharedPanels<'t>) -> P,
) -> impl Fn(&'t PanelMatrix) -> P {
    move |tensor| part(tensor.shared())
}

/// Phase 2, with a rule that is fused into the gradient's store.
struct Update<'a, 'b> {
    phase: Phase<'a>,
    tiles: &'a [Tile],
    run: Run<'b>,
}

impl VisitRule for Update<'_, '_> {
    type Output = Result<()>;

    fn visit<R: Rule>(self, rule: R) -> Result<()> {
        let Update { phase, tiles, run } = self;
        // SAFETY: tiles of the weights do not overlap, and each comes once; nothing is written but
        // their weights, transposed weights and state.
        let update = |tile: &Tile| unsafe { phase.update(tile, rule) };
        match phase.columns {
            Some(columns) => run(columns.parts(), &|i| columns.items()[i].iter().for_each(update)),
            None => run(tiles.len(), &|i| update(&tiles[i])),
        }
    }
}

/// What the tasks of a phase share.
pub(crate) struct Phase<'a> {
    pub(crate) net: &'a Mlp,
    pub(crate) buffers: &'a Buffers,
    /// Where the team shares out columns of the first layer instead of rows.
    pub(crate) columns: Option<&'a Columns>,
    pub(crate) rows: usize,
    /// The batch, where the first layer takes bytes.
    pub(crate) bytes: Option<Bytes<'a>>,
    pub(crate) step: &'a Step<'a>,
}

/// What the tasks of phase 1 have besides, by rows and by blocks of rows.
pub(crate) struct RowsOf<'a> {
    pub(crate) labels: SharedSlice<'a, u32>,
    pub(crate) losses: SharedSlice<'a, f64>,
    /// One a block of rows, or a part of columns.
    pub(crate) inputs: SharedSlice<'a, ActiveInputs>,
    /// What each row counts; all the same where there is none.
    pub(crate) shares: Option<&'a [f32]>,
    /// Rows of a block.
    pub(crate) block: usize,
    /// Whether to look which inputs are zero.
    pub(crate) look: bool,
}

impl Phase<'_> {
    /// Phase 2 of a tile.
    ///
    /// # Safety
    /// No other task has weights of this tile, and nobody writes activations or deltas.
    unsafe fn update<R: Rule>(&self, tile: &Tile, rule: R) {
        let (level, l) = (self.net.level, &self.buffers.layers[tile.layer]);
        let dense = &self.net.layers[tile.layer];
        let (inputs, outputs) = (tile.inputs.clone(), tile.outputs.clone());
        let rows = self.tile_rows(tile);
        let cols = outputs.start * LINE..dense.columns().min(outputs.end * LINE);
        // SAFETY: the tile's part of weights, transposed weights and state is ours alone; the
        // activations and deltas that are read are not written in phase 2. The biases of a tile's
        // outputs belong to the tile of those outputs with the first inputs.
        unsafe {
            let block = part_of(|t| t.block_mut(outputs.clone(), rows.clone()));
            let mut slots = l.slots.iter().map(|s| block(&s.w));
            let (w, slots) = (block(&dense.w), [slots.next(), slots.next()]);
            if let Some(split) = &l.split {
                let gradient = self.split_gradient(split, tile, w, slots, Some(&split.w));
                bf16::update_weights(level, gradient, rule);
            } else {
                let (x, d) = self.operands(tile);
                let active = self.active_inputs(tile);
                let wt = part_of(|t| t.block_mut(inputs.clone(), cols.clone()));
                // SAFETY: a layer's weights and their transpose have whole groups of 16 rows, of
                // which the tile has all.
                let copy = l.wt.as_ref().map(|t| Transposed::new(wt(t)));
                update_weights(level, WeightBlock { x, d, active, w, slots, wt: copy }, rule);
                if let Some(t) = &l.wt {
                    dense.clear_padding(&mut wt(t), cols.start);
                }
            }
            for vector in self.vectors(tile) {
                let lines = part_of(|t| t.lines_mut(self.lines(tile, vector)));
                let mut slots = l.slots.iter().map(|s| lines(&s.b));
                let mut slot = || slots.next().unwrap_or_default();
                let slots = [slot(), slot()];
                let d = self.vector_delta(tile, vector);
                update_bias(
                    level,
                    BiasBlock { d, bias: lines(&dense.b), slots },
                    rule.for_biases(),
                );
            }
        }
    }

    /// The vectors of a layer that a tile has: all of its outputs', if it has the first inputs.
    pub(crate) fn vectors(&self, tile: &Tile) -> Range<usize> {
        0..if tile.inputs.start == 0 { self.net.layers[tile.layer].vectors() } else { 0 }
    }

    /// The lines of a layer's vectors that a tile has of one of them.
    pub(crate) fn lines(&self, tile: &Tile, vector: usize) -> Range<usize> {
        let first = vector * self.net.layers[tile.layer].columns().div_ceil(LINE);
        first + tile.outputs.start..first + tile.outputs.end
    }

    /// The deltas whose column sums are the gradient of a tile's part of a vector: ∂L/∂z of the
    /// bias, g ⊙ ẑ of γ, g of β.
    ///
    /// # Safety
    /// Nobody writes deltas as long as the answer lives.
    pub(crate) unsafe fn vector_delta(&self, tile: &Tile, vector: usize) -> Panels<'_> {
        let l = &self.buffers.layers[tile.layer];
        let tensor = match (vector, l.extras.as_deref()) {
            (1, Some(e)) => e.z.as_ref().unwrap_or(&l.d),
            (2, Some(e)) => e.inner(&l.d),
            _ => &l.d,
        };
        // SAFETY: by this function's contract.
        let all = unsafe { part_of(|t| t.all().rows(0..self.rows))(tensor) };
        all.panels(tile.outputs.clone())
    }

    /// Which inputs of a tile are not zero in the whole batch; empty where that does not matter.
    pub(crate) fn active_inputs(&self, tile: &Tile) -> &[u16] {
        match (tile.layer, &self.buffers.active[..]) {
            (0, masks @ [_, ..]) => &masks[tile.inputs.clone()],
            _ => &[],
        }
    }

    /// The rows of the weights that a tile has.
    pub(crate) fn tile_rows(&self, tile: &Tile) -> Range<usize> {
        let n_in = self.net.layers[tile.layer].n_in();
        tile.inputs.start * LINE..n_in.min(tile.inputs.end * LINE)
    }

    /// The inputs and deltas whose product is a tile's gradient.
    ///
    /// # Safety
    /// Nobody writes activations or deltas as long as the answer lives.
    pub(crate) unsafe fn operands(&self, tile: &Tile) -> (Panels<'_>, Panels<'_>) {
        let input = match (tile.layer, self.columns) {
            (0, Some(columns)) => columns.x_of_panel(tile.outputs.start),
            (0, None) => &self.buffers.x,
            (layer, _) => &self.buffers.layers[layer - 1].a,
        };
        // SAFETY: by this function's contract.
        unsafe {
            let batch = part_of(|t| t.all().rows(0..self.rows));
            let d = batch(&self.buffers.layers[tile.layer].d).panels(tile.outputs.clone());
            (batch(input).panels(tile.inputs.clone()), d)
        }
    }
}
