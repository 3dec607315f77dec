//! One training step: two parallel phases.
//!
//! ```text
//! phase 1  over row blocks of the batch (no two blocks share anything they write)
//!          gather the rows → the program forwards → loss and output delta → the program in reverse
//! phase 2  over tiles of every W (no two tiles share anything they write)
//!          gradient tile = Xᵀ·D over the whole batch, and the update while it is in registers
//! ```
//!
//! Phase 1 changes nothing that lasts. What it computed decides whether phase 2, which cannot be
//! undone, will write finite values only (`bounds`).

use super::batch::{Batch, ClassWeights, SampleWeights, first_non_finite_value};
use super::bounds::{Before, Verdict};
use super::change::{BatchWeight, Change, Waiting};
use super::columns::Columns;
use super::deferred::{Deferred, Target};
use super::input::Bytes;
use super::memory::{ColumnMemory, ParameterMemory};
use super::peaks::Peaks;
use super::phase1::{Phase1, Turn, first_non_finite};
use super::phase2::Phase2;
use super::probe::Probe;
use super::stages::{Join, Stage};
use super::state;
use super::step::{DropoutStep, Outcome, Step};
use super::tiles::Tiles;
use super::views::Crew;
use super::workspace::{BatchRows, Workspace, rows_of_block};
use crate::error::{Error, Result};
use crate::gemm::{self, Forward, MIN_SCAN_INPUTS, UpdateRule};
use crate::network::Mlp;
use crate::optim::VisitRule;
use crate::passes::Moments;
use crate::threads::{Team, Way};
use std::sync::atomic::{AtomicBool, Ordering};

/// Steps from one scan for inputs that are zero to the next, while few are: a scan costs up to a 30th of a step
/// with few rows.
const SCAN_INTERVAL: u64 = 16;

/// Trains on one batch. On an error nothing was updated.
pub(crate) fn run(
    net: &mut Mlp,
    ws: &mut Workspace,
    team: &mut Team,
    batch: Batch,
    step: &Step,
) -> Result<Outcome> {
    ws.batch.loss_rows = 0;
    // Class weights weigh the shares of a softmax only; the positives of a sigmoid are no share.
    let of_classes = if step.loss.weighs_classes() { step.classes } else { &[] };
    if let (SampleWeights::Equal, []) = (step.samples, of_classes) {
        let outcome = run_counted(net, ws, team, (batch, BatchWeight::Rows(batch.rows())), step)?;
        ws.batch.loss_rows = batch.rows();
        return Ok(outcome);
    }
    ws.weights.resize(ws.rows, 0.0);
    let mut picked = std::mem::take(&mut ws.picked);
    picked.clear();
    picked.reserve(ws.rows);
    let classes = ClassWeights { weights: of_classes, are_smoothed: step.smoothing > 0.0 };
    let weighed = batch.weigh(step.samples, classes, &mut picked, &mut ws.weights);
    let outcome = match weighed.sum > 0.0 {
        true => run_counted(net, ws, team, (weighed.batch, BatchWeight::Sum(weighed.sum)), step),
        false => run_absent(net, ws, team, step),
    };
    if outcome.is_ok() {
        ws.batch.spread_losses(&batch, &picked);
    }
    ws.picked = picked;
    outcome
}

/// What waits for an update.
fn waiting(ws: &Workspace) -> Waiting {
    ws.deferred.as_ref().map_or_else(Waiting::default, Deferred::counts)
}

/// A batch of which no row counts: it is a batch of those whose gradients make an update, and has
/// nothing to add to them.
fn run_absent(net: &mut Mlp, ws: &mut Workspace, team: &mut Team, step: &Step) -> Result<Outcome> {
    let none = BatchWeight::Sum(0.0);
    let change = Change::of_batch(waiting(ws), step.adjustments, 0, none);
    if change.accumulates {
        make(net, ws, &mut Crew::new(team, Way::Team), &change, (None, step))?;
    }
    Ok(Outcome { loss: 0.0, weight: 0.0, updated: change.updates })
}

/// Trains on the rows of a batch that count, which have weights unless they weigh one each.
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
    let threads = if way == Way::Team { team.threads() } else { 1 };
    let mut crew = Crew::new(team, way);
    Peaks::reset(&mut ws.peaks, net, &batch);
    let bytes = Bytes::new(&ws.program, &ws.states, batch);
    if bytes.is_some_and(|bytes| bytes.scaling.has_shift()) {
        ws.keep_sums(net)?;
    }
    let weighted = matches!(weight, BatchWeight::Sum(_));
    let scan = scans(net, ws, step);
    let run = Run { batch, bytes, weighted, threads, scan, turn: Turn::Loss(step), dx: false };
    let finite = phase1(net, ws, &mut crew, &run, step.dropout());
    if !finite {
        return Err(first_non_finite_value(&batch));
    }
    // One chain in row order: the same for every split.
    let losses = &ws.batch.losses[..rows];
    let loss = match weighted {
        false => losses.iter().sum::<f64>() / rows as f64,
        true => losses.iter().zip(&ws.weights).map(|(l, s)| l * f64::from(*s)).sum(),
    };
    // A loss that f32 cannot hold has deltas whose products it cannot hold either.
    if !(loss as f32).is_finite() {
        let layer = first_non_finite(net, &ws.program, &ws.batch.matrices, rows);
        let is_of_loss = layer == net.layers.len();
        if let Some(error) = step.loss.non_finite_row(losses, |r| batch.row(r))
            && is_of_loss
        {
            return Err(error);
        }
        return Err(Error::NonFinite { epoch: 0, step: step.number, layer });
    }
    let change = Change::of_batch(waiting(ws), step.adjustments, rows, weight);
    make(net, ws, &mut crew, &change, (Some((bytes, threads)), step))?;
    observe(net, &ws.moments, rows);
    ws.choices.of(rows).done(rows);
    Ok(Outcome { loss, weight: weight.sum(), updated: change.updates })
}

/// Batch normalisation's running statistics take those of a batch.
pub(super) fn observe(net: &mut Mlp, moments: &[Option<state::Moments>], rows: usize) {
    for (layer, moments) in net.layers.iter_mut().zip(moments) {
        if let Some(moments) = moments {
            layer.observe(moments.values.each_ref().map(|lines| &lines[..]), rows);
        }
    }
}

/// Whether a step scans which inputs are zero.
pub(super) fn scans(net: &Mlp, ws: &Workspace, step: &Step) -> bool {
    let in_f32 = ws.states[0].parts.is_none() && ws.program.first_product().is_some();
    let scans = net.n_in() >= MIN_SCAN_INPUTS && in_f32;
    scans && (step.number % SCAN_INTERVAL == 1 || !ws.active.is_empty())
}

/// A run of phase 1.
pub(super) struct Run<'a> {
    pub(super) batch: Batch<'a>,
    /// The batch, where the first layer takes bytes.
    pub(super) bytes: Option<Bytes<'a>>,
    /// Whether rows have weights.
    pub(super) weighted: bool,
    pub(super) threads: usize,
    /// Whether to scan which inputs are zero.
    pub(super) scan: bool,
    pub(super) turn: Turn<'a>,
    /// Whether ∂L/∂inputs is wanted.
    pub(super) dx: bool,
}

/// Phase 1 of a batch. Returns whether its values are finite.
pub(super) fn phase1(
    net: &Mlp,
    ws: &mut Workspace,
    crew: &mut Crew,
    run: &Run,
    dropout: DropoutStep,
) -> bool {
    let Run { batch, bytes, weighted, threads, scan, turn, dx } = *run;
    let rows = batch.rows();
    let Workspace { program, batch: memory, states, moments, peaks, columns, weights, .. } = ws;
    let first_wt = ws.first_wt.as_ref().filter(|_| dx);
    let lowest = if dx { 0 } else { ws.lowest };
    let mut columns = columns.as_mut().filter(|_| threads > 1);
    let n_parts = columns.as_ref().map_or(0, |columns| columns.parts());
    // What is left where columns were shared out is one thread's.
    let block = match columns {
        Some(_) => rows,
        None => rows_of_block(rows, threads, states),
    };
    let done = usize::from(columns.is_some());
    let weights = weighted.then_some(&weights[..]);
    let is_finite = AtomicBool::new(true);
    let note = |finite: bool| {
        if !finite {
            is_finite.store(false, Ordering::Relaxed);
        }
    };
    for (stage, &Stage { loss, join, .. }) in program.stages.iter().enumerate() {
        let is_in_run = match turn {
            Turn::Loss(_) | Turn::End => true,
            Turn::Gradient(_) => loss || program.stages[..stage].iter().any(|stage| stage.loss),
        };
        if !is_in_run {
            continue;
        }
        let (states, moments_now) = (&*states, &*moments);
        let phase = Phase1 {
            net,
            program,
            states,
            moments: moments_now,
            peaks,
            batch,
            bytes,
            weights,
            scan,
            done,
            lowest,
            first_wt,
            turn,
            dropout: Some(dropout),
        };
        let is_first = stage == 0 && !matches!(turn, Turn::Gradient(_));
        if let Some(columns) = columns.as_deref_mut().filter(|_| is_first) {
            first_layer(&phase, columns, memory, crew, &note);
        }
        crew.run_rows(&mut memory.memory(), (rows, block), |block| note(phase.stage(stage, block)));
        if let (Turn::End, true) = (turn, loss) {
            return is_finite.into_inner();
        }
        let Some(join) = join else { continue };
        let (Join::Forward(norm) | Join::Backward(norm)) = join;
        if matches!(join, Join::Backward(norm) if norm.layer < lowest) {
            continue;
        }
        let of = |buffer: super::ops::Buffer| memory.matrices[buffer.0].view().rows(0..rows);
        let (z, g, level) = (of(norm.z), of(norm.g), net.level);
        let Some(sums) = &mut moments[norm.layer] else { continue };
        let sums = match join {
            Join::Forward(_) => {
                let [mean, variance] = &mut sums.values;
                crew.fill_pairs([mean, variance], |p| Moments::of(level, z.panel(p)));
                &sums.values
            }
            Join::Backward(_) => {
                let [mean, product] = &mut sums.gradients;
                let of_panel = |p| Moments::of_deltas(level, g.panel(p), z.panel(p));
                crew.fill_pairs([mean, product], of_panel);
                &sums.gradients
            }
        };
        let lanes = |p| memory.matrices[norm.g.0].lanes(p);
        sums.iter().for_each(|lines| peaks[norm.layer].note_moments(lines, lanes));
    }
    let finite = is_finite.into_inner();
    if finite {
        ws.join_inputs(scan, n_parts.max(rows.div_ceil(block)));
    }
    finite
}

/// The first layer's forward pass, where its columns are shared out.
fn first_layer(
    phase: &Phase1,
    columns: &mut Columns,
    memory: &mut BatchRows,
    crew: &mut Crew,
    note: &(impl Fn(bool) + Sync),
) {
    let Some(product) = phase.program.first_product() else { return };
    let (rows, outputs) = (phase.batch.rows(), columns.all_outputs());
    let (out, z) = two_of(&mut memory.matrices, product.out.0, product.z.map(|z| z.0));
    let (level, layer) = (phase.net.level, &phase.net.layers[0]);
    let memory = ColumnMemory { x: columns.copies_mut(), out, z, inputs: &mut memory.inputs };
    crew.run_columns(memory, rows, outputs, |part, mut to| {
        let panels = outputs.of(part);
        note(phase.note_features(phase.batch.features(phase.net, 0, to.x.reborrow())));
        let x = to.x.view();
        phase.scan(to.inputs, x);
        let (w, bias) = (layer.w.view().panels(panels.clone()), &layer.bias()[panels]);
        let inputs = to.inputs.without_zeros(level, w, w.cols);
        let (out, z, activation) = (to.out, to.z, product.activation);
        gemm::forward(level, Forward { x: x.into(), inputs, w, bias, out, z, activation });
    });
}

/// Two elements of a slice.
fn two_of<T>(all: &mut [T], a: usize, b: Option<usize>) -> (&mut T, Option<&mut T>) {
    let Some(b) = b else { return (&mut all[a], None) };
    let (low, high) = all.split_at_mut(a.max(b));
    if a < b { (&mut low[a], Some(&mut high[0])) } else { (&mut high[0], Some(&mut low[b])) }
}

/// Makes a change, of a batch whose phase 1 is done or of none; refuses it where it would write what is
/// not finite.
///
/// # Errors
/// [`Error::NonFinite`].
pub(super) fn make(
    net: &mut Mlp,
    ws: &mut Workspace,
    crew: &mut Crew,
    change: &Change,
    (batch, step): (Option<(Option<Bytes>, usize)>, &Step),
) -> Result<()> {
    let Workspace { program, batch: memory, states, peaks, bounds, deferred, tiles, .. } = ws;
    let (bytes, threads) = batch.unwrap_or((None, 1));
    let columns = ws.columns.as_ref().filter(|_| threads > 1);
    let phase = Phase2 {
        level: net.level,
        program,
        matrices: &memory.matrices,
        parts: &memory.parts,
        columns,
        rows: change.rows,
        scaling: bytes.map(|bytes| bytes.scaling),
        active: &ws.active,
        step,
    };
    let (waiting, squares) = match deferred {
        Some(deferred) => deferred.parts(),
        None => (&[][..], &mut [][..]),
    };
    let before = Before { net, states, peaks, step, waiting };
    let layer = match bounds.look_ahead(&before, change) {
        Ok(Verdict::Finite) => None,
        Ok(Verdict::Unknown) => Probe::new(&before, &phase, change).run(tiles.all(), squares, crew),
        Err(layer) => Some(layer),
    };
    if let Some(layer) = layer {
        return Err(Error::NonFinite { epoch: 0, step: step.number, layer });
    }
    bounds.advance();
    let whole_columns = ws.whole_columns.as_ref();
    let target = Target { layers: &mut net.layers, states, tiles, whole_columns };
    match deferred.as_mut().filter(|_| change.accumulates || !step.fuses()) {
        Some(deferred) => {
            let made = deferred.run(&phase, target, change, crew);
            made.inspect_err(|_| bounds.forget())
        }
        None => {
            let Target { layers, states, .. } = target;
            let memory = ParameterMemory { layers, states, gradients: &mut [] };
            let tiles = columns.map_or(&*tiles, Columns::tiles);
            let (at, biases) = ((step.update, step.lr), step.adjustments.biases);
            let rule = step.optimizer.fused_rule(at, biases);
            let rule = rule.ok_or_else(|| Error::config("optimizer", "needs stored gradients"))?;
            rule.visit(Update { phase, tiles, memory, crew });
            Ok(())
        }
    }
}

/// Updates from the gradients that still wait for it. Returns whether there were any.
pub(crate) fn flush(
    net: &mut Mlp,
    ws: &mut Workspace,
    team: &mut Team,
    step: &Step,
) -> Result<bool> {
    let Some(deferred) = ws.deferred.as_mut().filter(|d| d.waiting()) else { return Ok(false) };
    let Some(change) = Change::of_rest(deferred.counts()) else {
        deferred.resume(Default::default());
        return Ok(false);
    };
    make(net, ws, &mut Crew::new(team, Way::Team), &change, (None, step))?;
    Ok(true)
}

/// Phase 2, with a rule that is fused into the gradient's store.
struct Update<'a, 'b, 'c> {
    phase: Phase2<'a>,
    tiles: &'a Tiles,
    memory: ParameterMemory<'a>,
    crew: &'b mut Crew<'c>,
}

impl VisitRule for Update<'_, '_, '_> {
    type Output = ();

    fn visit<R: UpdateRule>(self, rule: R) {
        let Update { phase, tiles, memory, crew } = self;
        crew.run_tiles(tiles, memory, |tile| phase.update(tile, rule));
    }
}
