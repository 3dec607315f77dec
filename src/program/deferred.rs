//! Phase 2 in two parts, for everything that cannot run in the store of the gradient's product:
//! the gradient of a tile is kept (2a), then a pass over it changes the weights (2b). Where the
//! update needs no other tile, 2b follows at once, while the tile is in the cache.

use super::change::{Change, Waiting};
use super::memory::ParameterMemory;
use super::phase2::Phase2;
use super::state::{LayerState, Slot};
use super::tiles::{Tile, Tiles};
use super::views::{Crew, TileMut, VectorMut};
use crate::error::{Error, Result};
use crate::gemm::{StoreGradient, UpdateRule};
use crate::network::{LayerParameters, Mlp};
use crate::optim::{
    LayerRates, StepAdjustments, VisitRule, add_to, apply, limiting_scales, sum_of_squares,
};
use crate::simd::Line;
use crate::storage::PanelMatrix;

/// The gradients of a run that keeps them.
pub(crate) struct Deferred {
    /// Shaped like the parameters, layer by layer; empty for layers that are not trained.
    gradients: Vec<Slot>,
    /// The sum of the squares of each tile.
    squares: Vec<f64>,
    /// The norm of the gradient of each layer in the last update, if they are wanted; empty before.
    norms: Vec<f64>,
    waiting: Waiting,
}

/// The parameters that an update changes, and their tiles.
pub(crate) struct Target<'a> {
    pub(crate) layers: &'a mut [LayerParameters],
    pub(crate) states: &'a mut [LayerState],
    pub(crate) tiles: &'a Tiles,
    /// Whole columns of the weights, where their norms are limited.
    pub(crate) whole_columns: Option<&'a Tiles>,
}

impl Target<'_> {
    fn memory<'a>(&'a mut self, gradients: &'a mut [Slot]) -> ParameterMemory<'a> {
        ParameterMemory { layers: self.layers, states: self.states, gradients }
    }
}

impl Deferred {
    pub(crate) fn new(net: &Mlp, rates: &LayerRates, tiles: usize) -> Result<Self> {
        let gradient = |(i, layer): (usize, &LayerParameters)| match rates.is_frozen(i) {
            true => {
                let none = || PanelMatrix::with_stride(0, 0, 0);
                Ok(Slot { w: none()?, b: none()? })
            }
            false => Ok(Slot { w: layer.w.zeros_like()?, b: layer.b.zeros_like()? }),
        };
        let gradients = net.layers.iter().enumerate().map(gradient).collect::<Result<_>>()?;
        let (squares, norms) = (vec![0.0; tiles], Vec::with_capacity(net.layers.len()));
        Ok(Deferred { gradients, squares, norms, waiting: Waiting::default() })
    }

    /// The norm of the gradient of each layer in the last update that was made while they were wanted.
    pub(crate) fn norms(&self) -> &[f64] {
        &self.norms
    }

    /// The gradients that the last 2a left.
    pub(crate) fn gradients(&self) -> &[Slot] {
        &self.gradients
    }

    /// The gradients that wait for an update, and one number per tile.
    pub(crate) fn parts(&mut self) -> (&[Slot], &mut [f64]) {
        let gradients = if self.waiting() { &self.gradients[..] } else { &[] };
        (gradients, &mut self.squares)
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
    /// [`Error::NonFinite`] when the norm of the gradients is not finite.
    pub(crate) fn run(
        &mut self,
        phase: &Phase2,
        mut target: Target,
        change: &Change,
        crew: &mut Crew,
    ) -> Result<()> {
        let tiles = target.tiles;
        let waits = phase.step.adjustments.needs_all() || phase.step.norms;
        if !(waits || change.accumulates) {
            crew.run_tiles(tiles, target.memory(&mut self.gradients), |mut tile| {
                keep(phase, &mut tile, StoreGradient);
                update(phase, tile, (change.scale(), change.accumulates));
            });
            limit_norms(phase, &mut target, crew);
            return Ok(());
        }
        if change.rows > 0 {
            let memory = target.memory(&mut self.gradients);
            crew.run_tiles(tiles, memory, |mut tile| match change.accumulates {
                false => keep(phase, &mut tile, StoreGradient),
                true => keep(phase, &mut tile, add_to(change.weight)),
            });
        }
        self.waiting = change.waiting;
        if change.updates {
            self.update(phase, target, change, crew)?;
        }
        let batches = phase.step.adjustments.accumulate;
        if change.updates || batches > 1 && self.waiting.batches >= batches {
            self.waiting = Waiting::default();
        }
        Ok(())
    }

    /// 2b: the update from the gradients that were summed up.
    fn update(
        &mut self,
        phase: &Phase2,
        mut target: Target,
        change: &Change,
        crew: &mut Crew,
    ) -> Result<()> {
        let (tiles, mut scale) = (target.tiles, change.scale());
        let limit = phase.step.adjustments.clip_norm;
        if limit.is_some() || phase.step.norms {
            let (layers, gradients) = (&*target.layers, &self.gradients);
            crew.fill(&mut self.squares, |i| {
                let tile = &tiles.all()[i];
                squares(&layers[tile.layer], &gradients[tile.layer], tile)
            });
        }
        if phase.step.norms {
            self.norms.clear();
            self.norms.resize(target.layers.len(), 0.0);
            for (tile, square) in tiles.all().iter().zip(&self.squares) {
                self.norms[tile.layer] += square;
            }
            let mean = f64::from(scale);
            self.norms.iter_mut().for_each(|norm| *norm = norm.sqrt() * mean);
        }
        if let Some(limit) = limit {
            let norm = self.squares.iter().sum::<f64>().sqrt() * f64::from(scale);
            if !norm.is_finite() {
                let of_tiles = tiles.all().iter().zip(&self.squares);
                let non_finite = of_tiles.filter(|(_, square)| !square.is_finite());
                let layer = non_finite.map(|(tile, _)| tile.layer).min().unwrap_or(0);
                return Err(Error::NonFinite { epoch: 0, step: phase.step.number, layer });
            }
            // PyTorch's `clip_grad_norm_`.
            scale *= (f64::from(limit) / (norm + 1e-6)).min(1.0) as f32;
        }
        crew.run_tiles(tiles, target.memory(&mut self.gradients), |tile| {
            update(phase, tile, (scale, change.accumulates));
        });
        limit_norms(phase, &mut target, crew);
        Ok(())
    }
}

/// What a step's options do to the gradient of a layer times `scale` and to its weights before the rule.
pub(crate) fn pass(phase: &Phase2, layer: usize, (scale, reset): (f32, bool)) -> StepAdjustments {
    let a = phase.step.adjustments;
    let decay = f64::from(a.decay.max(phase.step.optimizer.decay()));
    StepAdjustments {
        scale,
        clip: a.clip_value.unwrap_or(f32::INFINITY),
        l1: a.l1,
        l2: a.l2,
        decay_factor: (1.0 - f64::from(phase.step.rate(layer)) * decay) as f32,
        reset,
    }
}

/// 2a of a tile: gradient = rule(gradient, xᵀ·d).
fn keep<R: UpdateRule>(phase: &Phase2, to: &mut TileMut, rule: R) {
    let tile = to.tile;
    if let Some(gradient) = &mut to.gradient {
        phase.weights(tile, gradient.reborrow().into(), rule);
    }
    to.vectors.each(|v, VectorMut { gradient, .. }| {
        phase.vector((tile, v), gradient, [&mut [], &mut []], rule);
    });
}

/// The sum of the squares of the gradient of a tile.
fn squares(dense: &LayerParameters, gradient: &Slot, tile: &Tile) -> f64 {
    let g = gradient.w.view().rows(tile.rows(dense)).panels(tile.outputs.clone());
    let mut sum = sum_of_squares(g, |panel| gradient.w.lanes(tile.outputs.start + panel));
    for vector in tile.vectors(dense) {
        let panels = tile.lines(dense, vector);
        let lines = gradient.b.lines()[panels.clone()].iter().zip(panels);
        let values = lines.flat_map(|(line, panel)| &line.0[..gradient.b.lanes(panel)]);
        sum += values.map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
    }
    sum
}

/// 2b of a tile.
fn update(phase: &Phase2, tile: TileMut, scale_and_reset: (f32, bool)) {
    struct Visit<'a, 'b>(&'a Phase2<'b>, TileMut<'a>, StepAdjustments);
    impl VisitRule for Visit<'_, '_> {
        type Output = ();
        fn visit<R: UpdateRule>(self, rule: R) {
            apply_rule(self.0, self.1, self.2, rule);
        }
    }
    let (step, layer) = (phase.step, tile.tile.layer);
    let pass = pass(phase, layer, scale_and_reset);
    step.optimizer.with_rule((step.update, step.rate(layer)), Visit(phase, tile, pass));
}

fn apply_rule<R: UpdateRule>(phase: &Phase2, mut tile: TileMut, pass: StepAdjustments, rule: R) {
    let (level, a) = (phase.level, phase.step.adjustments);
    let TileMut { w, slots, gradient, vectors, .. } = &mut tile;
    for p in 0..w.n_panels() {
        let [first, second] = slots;
        let slots = [
            first.as_mut().map_or(&mut [][..], |s| s.panel_mut(p)),
            second.as_mut().map_or(&mut [][..], |s| s.panel_mut(p)),
        ];
        let g = gradient.as_mut().map_or(&mut [][..], |g| g.panel_mut(p));
        apply(level, w.panel_mut(p), g, slots, rule, pass);
    }
    vectors.each(|_, VectorMut { lines, slots: [first, second], gradient }| {
        apply(level, lines, gradient, [first, second], rule, pass.for_vectors(a));
    });
    if a.max_norm.is_none() {
        tile.refresh(level);
    }
}

/// Phase 2c: every column of W, the weights into one neuron, is scaled down to the largest norm
/// (Srebro and Shraibman 2005; Srivastava et al. 2014, with dropout).
fn limit_norms(phase: &Phase2, target: &mut Target, crew: &mut Crew) {
    let limit = phase.step.adjustments.max_norm;
    let Some((limit, columns)) = limit.zip(target.whole_columns) else { return };
    crew.run_tiles(columns, target.memory(&mut []), |mut tile| {
        for panel in 0..tile.w.n_panels() {
            let lines = tile.w.panel_mut(panel);
            let scales = limiting_scales(lines, limit);
            for line in lines {
                line.0.iter_mut().zip(scales).for_each(|(w, scale)| *w *= scale);
            }
        }
        tile.refresh(phase.level);
    });
}
