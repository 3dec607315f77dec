//! Phase 2 in two parts, for everything that cannot run in the store of the gradient's product:
//! the gradient of a tile is kept (2a), then a pass over it changes the weights (2b). Where the
//! update needs no other tile, 2b follows at once, while the tile is in the cache.
//!
//! `unsafe` here hands out disjoint blocks, see `step`.

use super::change::{Change, Waiting};
use super::step::{Phase, part_of};
use super::workspace::{LayerBuffers, Slot, Tile};
use crate::error::{Error, Result};
use crate::gemm::{
    BiasBlock, Transposed, WeightBlock, bf16, transpose, update_bias, update_weights,
};
use crate::network::Mlp;
use crate::optim::{Keep, Pass, Rule, VisitRule, add_to, apply, limiting_scales, sum_of_squares};
use crate::simd::{LINE, Line};
use crate::storage::{PanelMatrix, PanelsMut, SharedSlice};

/// Runs so many items of a phase's work on the team.
pub(crate) type Run<'a> = &'a mut dyn FnMut(usize, Item) -> Result<()>;
/// The work of an item.
type Item<'a> = &'a (dyn Fn(usize) + Sync);

/// The gradients of a run that keeps them.
pub(crate) struct Deferred {
    /// Shaped like the parameters, layer by layer.
    gradients: Vec<Slot>,
    /// The sum of the squares of each tile.
    squares: Vec<f64>,
    waiting: Waiting,
}

/// What the tasks of 2a and 2b need besides the phase.
struct Update<'a> {
    phase: &'a Phase<'a>,
    gradients: &'a [Slot],
    pass: Pass,
}

impl Deferred {
    pub(crate) fn new(net: &Mlp, tiles: usize) -> Result<Self> {
        let gradient = |layer: &crate::network::Dense| {
            Ok(Slot { w: layer.w.zeros_like()?, b: layer.b.zeros_like()? })
        };
        let gradients = net.layers.iter().map(gradient).collect::<Result<_>>()?;
        Ok(Deferred { gradients, squares: vec![0.0; tiles], waiting: Waiting::default() })
    }

    /// The gradients that the last 2a left.
    pub(crate) fn gradients(&self) -> &[Slot] {
        &self.gradients
    }

    /// The gradients, and room for a number a tile.
    pub(crate) fn parts(&mut self) -> (&[Slot], &mut [f64]) {
        (&self.gradients, &mut self.squares)
    }

    /// What waits for an update.
    pub(crate) fn counts(&self) -> Waiting {
        self.waiting
    }

    /// The gradients, for what a checkpoint writes into them before [`Deferred::resume`].
    pub(crate) fn gradients_mut(&mut self) -> &mut [Slot] {
        &mut self.gradients
    }

    /// So much waits for an update now, with the gradients as they are; none where there are no
    /// batches.
    pub(crate) fn resume(&mut self, waiting: Waiting) {
        if waiting.batches == 0 {
            // The next batch is added to them.
            for tensor in self.gradients.iter_mut().flat_map(|g| [&mut g.w, &mut g.b]) {
                tensor.lines_mut().fill(Line::ZERO);
            }
        }
        self.waiting = waiting;
    }

    /// Gradients that wait for an update.
    pub(crate) fn waiting(&self) -> bool {
        self.waiting.batches > 0
    }

    /// Phase 2 of a change.
    ///
    /// # Errors
    /// As the team's, and [`Error::NonFinite`] when the norm of the gradients is not finite.
    pub(crate) fn run(
        &mut self,
        phase: &Phase,
        tiles: &[Tile],
        change: &Change,
        run: Run,
    ) -> Result<()> {
        let pass = pass(phase, change.scale(), change.accumulates);
        let update = Update { phase, gradients: &self.gradients, pass };
        if !phase.step.adjustments.needs_all() {
            // SAFETY: tiles do not overlap, and each comes once; 2b of a tile follows its 2a in
            // the same task.
            run(tiles.len(), &|i| unsafe {
                update.keep(&tiles[i], Keep);
                update.apply(&tiles[i]);
            })?;
            return limit_norms(phase, run);
        }
        if change.rows > 0 {
            // SAFETY: tiles do not overlap, and each comes once.
            run(tiles.len(), &|i| unsafe {
                match change.accumulates {
                    false => update.keep(&tiles[i], Keep),
                    true => update.keep(&tiles[i], add_to(change.weight)),
                }
            })?;
        }
        self.waiting = change.waiting;
        if change.updates {
            self.update(phase, tiles, pass, run)?;
        }
        if change.updates || self.waiting.batches >= phase.step.adjustments.accumulate {
            self.waiting = Waiting::default();
        }
        Ok(())
    }

    /// 2b: the update from the gradients that were summed up.
    fn update(&mut self, phase: &Phase, tiles: &[Tile], mut pass: Pass, run: Run) -> Result<()> {
        let mut update = Update { phase, gradients: &self.gradients, pass };
        if let Some(limit) = phase.step.adjustments.clip_norm {
            let squares = SharedSlice::new(&mut self.squares);
            // SAFETY: each tile has one element of `squares`; nobody writes gradients.
            run(tiles.len(), &|i| unsafe { squares.get(i..i + 1)[0] = update.squares(&tiles[i]) })?;
            let norm = self.squares.iter().sum::<f64>().sqrt() * f64::from(pass.scale);
            if !norm.is_finite() {
                let odd = tiles.iter().zip(&self.squares).filter(|(_, s)| !s.is_finite());
                let layer = odd.map(|(tile, _)| tile.layer).min().unwrap_or(0);
                return Err(Error::NonFinite { epoch: 0, step: phase.step.number, layer });
            }
            // PyTorch's `clip_grad_norm_`.
            pass.scale *= (f64::from(limit) / (norm + 1e-6)).min(1.0) as f32;
            update.pass = pass;
        }
        // SAFETY: tiles do not overlap, and each comes once.
        run(tiles.len(), &|i| unsafe { update.apply(&tiles[i]) })?;
        limit_norms(phase, run)
    }
}

/// What a step's options do to a gradient times `scale` and to the weights before the rule.
pub(crate) fn pass(phase: &Phase, scale: f32, reset: bool) -> Pass {
    let a = phase.step.adjustments;
    let decay = f64::from(a.decay.max(phase.step.optimizer.decay()));
    Pass {
        scale,
        clip: a.clip_value.unwrap_or(f32::INFINITY),
        l1: a.l1,
        l2: a.l2,
        keep: (1.0 - f64::from(phase.step.lr) * decay) as f32,
        reset,
    }
}

/// w = rule(w, xᵀ·d), for a tile's part of the weights or memory of its shape.
///
/// # Safety
/// Nobody writes activations or deltas.
pub(crate) unsafe fn product<R: Rule>(phase: &Phase, tile: &Tile, w: PanelsMut, rule: R) {
    let (level, slots) = (phase.net.level, [None, None]);
    // SAFETY: by this function's contract.
    unsafe {
        if let Some(split) = &phase.buffers.layers[tile.layer].split {
            let gradient = phase.split_gradient(split, tile, w, slots, None);
            bf16::update_weights(level, gradient, rule);
        } else {
            let (x, d) = phase.operands(tile);
            let active = phase.active_inputs(tile);
            update_weights(level, WeightBlock { x, d, active, w, slots, wt: None }, rule);
        }
    }
}

/// The same for one of the vectors of a tile's layer.
///
/// # Safety
/// As [`product`].
pub(crate) unsafe fn vector_product<R: Rule>(
    phase: &Phase,
    (tile, vector): (&Tile, usize),
    lines: &mut [Line],
    rule: R,
) {
    // SAFETY: by this function's contract.
    let d = unsafe { phase.vector_delta(tile, vector) };
    let slots = [&mut [][..], &mut []];
    update_bias(phase.net.level, BiasBlock { d, bias: lines, slots }, rule);
}

/// The part of a tensor of weights that belongs to a tile.
///
/// # Safety
/// Nobody else uses it.
unsafe fn weights<'a>(phase: &Phase, tile: &Tile, t: &'a PanelMatrix) -> PanelsMut<'a> {
    let rows = phase.tile_rows(tile);
    // SAFETY: by this function's contract.
    unsafe { t.shared().block_mut(tile.outputs.clone(), rows) }
}

impl Update<'_> {
    /// 2a: gradient = rule(gradient, xᵀ·d).
    ///
    /// # Safety
    /// No other task has this tile, and nobody writes activations or deltas.
    unsafe fn keep<R: Rule>(&self, tile: &Tile, rule: R) {
        let g = &self.gradients[tile.layer];
        // SAFETY: by this function's contract; biases belong to the tile with the first inputs.
        unsafe {
            product(self.phase, tile, weights(self.phase, tile, &g.w), rule);
            for vector in self.phase.vectors(tile) {
                let lines = g.b.shared().lines_mut(self.phase.lines(tile, vector));
                vector_product(self.phase, (tile, vector), lines, rule);
            }
        }
    }

    /// # Safety
    /// Nobody writes the gradients of this tile.
    unsafe fn squares(&self, tile: &Tile) -> f64 {
        let g = &self.gradients[tile.layer];
        // SAFETY: by this function's contract; one task has the tile, and writes nothing.
        unsafe {
            let lanes = |panel| g.w.lanes(tile.outputs.start + panel);
            let mut sum = sum_of_squares(&mut weights(self.phase, tile, &g.w), lanes);
            for vector in self.phase.vectors(tile) {
                let panels = self.phase.lines(tile, vector);
                let lines = g.b.shared().lines_mut(panels.clone()).iter().zip(panels);
                let values = lines.flat_map(|(line, panel)| &line.0[..g.b.lanes(panel)]);
                sum += values.map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
            }
            sum
        }
    }

    /// 2b of a tile.
    ///
    /// # Safety
    /// No other task has this tile.
    unsafe fn apply(&self, tile: &Tile) {
        struct Visit<'a, 'b>(&'a Update<'b>, &'a Tile);
        impl VisitRule for Visit<'_, '_> {
            type Output = ();
            fn visit<R: Rule>(self, rule: R) {
                // SAFETY: this function's contract, handed on.
                unsafe { self.0.apply_rule(self.1, rule) }
            }
        }
        let step = self.phase.step;
        step.optimizer.with_rule((step.update, step.lr), Visit(self, tile));
    }

    /// # Safety
    /// As [`Update::apply`].
    unsafe fn apply_rule<R: Rule>(&self, tile: &Tile, rule: R) {
        let level = self.phase.net.level;
        let (dense, l) =
            (&self.phase.net.layers[tile.layer], &self.phase.buffers.layers[tile.layer]);
        let (a, pass) = (self.phase.step.adjustments, self.pass);
        // SAFETY: by this function's contract.
        unsafe {
            let part = |t| weights(self.phase, tile, t);
            let (mut w, mut g) = (part(&dense.w), part(&self.gradients[tile.layer].w));
            let mut slots: [Option<PanelsMut>; 2] = two(l.slots.iter().map(|s| part(&s.w)));
            for p in 0..w.n_panels() {
                let [first, second] = &mut slots;
                let slots = [
                    first.as_mut().map_or(&mut [][..], |s| s.panel_mut(p)),
                    second.as_mut().map_or(&mut [][..], |s| s.panel_mut(p)),
                ];
                apply(level, w.panel_mut(p), g.panel_mut(p), slots, rule, pass);
            }
            for vector in self.phase.vectors(tile) {
                let part = part_of(|t| t.lines_mut(self.phase.lines(tile, vector)));
                let mut slots = l.slots.iter().map(|s| part(&s.b));
                let mut slot = || slots.next().unwrap_or_default();
                let slots = [slot(), slot()];
                let g = part(&self.gradients[tile.layer].b);
                apply(level, part(&dense.b), g, slots, rule, pass.for_vectors(a));
            }
            if a.max_norm.is_none() {
                refresh(self.phase, l, tile, w);
            }
        }
    }
}

fn two<T>(mut items: impl Iterator<Item = T>) -> [Option<T>; 2] {
    [items.next(), items.next()]
}

/// The copies of a tile of weights: transposed or split.
///
/// # Safety
/// No other task has this tile.
unsafe fn refresh(phase: &Phase, l: &LayerBuffers, tile: &Tile, mut w: PanelsMut) {
    if let Some(split) = &l.split {
        let at = (tile.inputs.start * LINE, tile.outputs.start);
        // SAFETY: by this function's contract; tiles of split layers are whole blocks of them.
        unsafe { split.w.fill(phase.net.level, w.view(), at) };
    }
    let Some(wt) = &l.wt else { return };
    let cols = tile.outputs.start * LINE..wt.rows().min(tile.outputs.end * LINE);
    // SAFETY: by this function's contract.
    unsafe {
        let part = part_of(|t| t.block_mut(tile.inputs.clone(), cols.clone()));
        // SAFETY: a layer's weights and their transpose have whole groups of 16 rows, of which the
        // tile has all.
        transpose(phase.net.level, &mut w, Transposed::new(part(wt)));
        phase.net.layers[tile.layer].clear_padding(&mut part(wt), cols.start);
    }
}

/// Phase 2c: every column of W, the weights into one neuron, is scaled down to the largest norm
/// (Srebro and Shraibman 2005; Srivastava et al. 2014, with dropout).
fn limit_norms(phase: &Phase, run: Run) -> Result<()> {
    let Some(limit) = phase.step.adjustments.max_norm else { return Ok(()) };
    let layers = &phase.net.layers;
    // Two panels, since a tile of a split layer is no narrower.
    let pairs = |l: &crate::network::Dense| l.w.cols().div_ceil(2 * LINE);
    let items = layers.iter().map(pairs).sum();
    run(items, &|mut i| {
        let mut layer = 0;
        while i >= pairs(&layers[layer]) {
            i -= pairs(&layers[layer]);
            layer += 1;
        }
        let w = &layers[layer].w;
        let inputs = 0..w.rows().div_ceil(LINE);
        let outputs = 2 * i..w.cols().div_ceil(LINE).min(2 * i + 2);
        let tile = Tile { layer, inputs, outputs };
        // SAFETY: the pairs of panels are tiles that do not overlap, and each comes once.
        unsafe {
            let mut block = weights(phase, &tile, w);
            for panel in 0..block.n_panels() {
                let lines = block.panel_mut(panel);
                let scales = limiting_scales(lines, limit);
                for line in lines {
                    line.0.iter_mut().zip(scales).for_each(|(w, scale)| *w *= scale);
                }
            }
            refresh(phase, &phase.buffers.layers[layer], &tile, block);
        }
    })
}
