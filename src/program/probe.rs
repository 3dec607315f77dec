//! An update that is tried out before it is made, where bounds cannot tell whether all that it
//! writes will be finite: block by block, on copies on the stack. It costs the gradient's product a
//! second time, and only where weights, states or gradients come near the end of f32's range.

use super::bounds::Before;
use super::change::Change;
use super::deferred::pass;
use super::phase2::Phase2;
use super::tiles::Tile;
use super::views::Crew;
use crate::gemm::{StoreGradient, UpdateRule};
use crate::optim::{StepAdjustments, VisitRule, add_to, apply};
use crate::simd::{LINE, Level, Line};
use crate::storage::PanelsMut;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Panels of a block on both sides: an operand of bf16 parts is cut in blocks of 32 x 32.
const PANELS: usize = 2;

/// Rows of a block.
const ROWS: usize = PANELS * LINE;

/// A block's values.
type Block = [Line; PANELS * ROWS];

/// What norms that the update will sum in f32 may differ by from those here: the scale that clips is
/// taken larger by so much.
const ROUNDING: f64 = 1.0 + 1e-4;

/// A change to try.
pub(crate) struct Probe<'a> {
    before: &'a Before<'a>,
    phase: &'a Phase2<'a>,
    change: &'a Change,
    /// The factor of the gradient in the update, if that is tried too.
    scale: Option<f32>,
}

impl<'a> Probe<'a> {
    pub(crate) fn new(before: &'a Before, phase: &'a Phase2, change: &'a Change) -> Self {
        Probe { before, phase, change, scale: None }
    }

    /// Tries the change. Returns the first layer in which something would not be finite. `squares` has
    /// room for one number per tile, where norms are limited.
    pub(crate) fn run(
        mut self,
        tiles: &[Tile],
        squares: &mut [f64],
        crew: &mut Crew,
    ) -> Option<usize> {
        let (phase, change) = (self.phase, self.change);
        let worst = AtomicUsize::new(usize::MAX);
        if let Some(limit) = phase.step.adjustments.clip_norm.filter(|_| change.updates) {
            crew.fill(squares, |i| self.tile(&tiles[i], &worst));
            let mean = f64::from(change.scale());
            let norm = squares.iter().sum::<f64>().sqrt() * mean;
            let clip = (f64::from(limit) / (norm + 1e-6) * ROUNDING).min(1.0);
            self.scale = Some((mean * clip) as f32);
        } else if change.updates {
            self.scale = Some(change.scale());
        }
        crew.run(tiles.len(), |i| _ = self.tile(&tiles[i], &worst));
        Some(worst.into_inner()).filter(|layer| *layer < usize::MAX)
    }

    /// Tries a tile; returns the sum of the squares of its gradient.
    fn tile(&self, tile: &Tile, worst: &AtomicUsize) -> f64 {
        let mut squares = 0.0;
        // A tile without inputs has the vectors of its outputs.
        let end = tile.inputs.end.max(tile.inputs.start + 1);
        for input in (tile.inputs.start..end).step_by(PANELS) {
            for output in tile.outputs.clone().step_by(PANELS) {
                let block = Tile {
                    layer: tile.layer,
                    inputs: input..tile.inputs.end.min(input + PANELS),
                    outputs: output..tile.outputs.end.min(output + PANELS),
                };
                squares += self.block(&block);
            }
        }
        if !squares.is_finite() {
            worst.fetch_min(tile.layer, Ordering::Relaxed);
        }
        squares
    }

    /// Tries a block; returns the sum of the squares of its gradient, NaN where something is not
    /// finite.
    fn block(&self, tile: &Tile) -> f64 {
        let (phase, dense) = (self.phase, &self.before.net.layers[tile.layer]);
        let rows = tile.rows(dense);
        let cols = dense.columns().min(tile.outputs.end * LINE) - tile.outputs.start * LINE;
        let mut squares = 0.0;
        let mut g: Block = [Line::ZERO; PANELS * ROWS];
        let sums = self.before.waiting.get(tile.layer).filter(|_| self.change.accumulates);
        if let Some(sums) = sums {
            let sums = sums.w.view().rows(rows.clone()).panels(tile.outputs.clone());
            for p in 0..sums.n_panels() {
                g[p * ROWS..][..rows.len()].copy_from_slice(sums.panel(p));
            }
        }
        if self.change.rows > 0 {
            let w = PanelsMut::new(&mut g, rows.len(), cols, ROWS);
            match self.change.accumulates {
                true => phase.weights(tile, w.into(), add_to(self.change.weight)),
                false => phase.weights(tile, w.into(), StoreGradient),
            }
        }
        let state = &self.before.states[tile.layer].slots;
        let pass = self.scale.map(|scale| pass(phase, tile.layer, (scale, false)));
        for (p, panel) in tile.outputs.clone().enumerate() {
            let place = (tile.layer, panel);
            let at = panel * dense.w.ld() + rows.start;
            let part = |lines: &[Line]| Copied::<ROWS>::of(&lines[at..][..rows.len()]);
            let w = part(dense.w.lines());
            let slots = state.iter().map(|slot| part(slot.w.lines()));
            squares += self.values(place, &mut g[p * ROWS..][..rows.len()], w, slots, pass);
        }
        for vector in tile.vectors(dense) {
            let mut g = [Line::ZERO; PANELS];
            let lines = tile.lines(dense, vector);
            let g = &mut g[..lines.len()];
            if let Some(sums) = sums {
                g.copy_from_slice(&sums.b.lines()[lines.clone()]);
            }
            if self.change.rows > 0 {
                let slots = [&mut [][..], &mut []];
                match self.change.accumulates {
                    true => phase.vector((tile, vector), g, slots, add_to(self.change.weight)),
                    false => phase.vector((tile, vector), g, slots, StoreGradient),
                }
            }
            let pass = pass.map(|pass| pass.for_vectors(phase.step.adjustments));
            for ((line, panel), g) in lines.zip(tile.outputs.clone()).zip(g) {
                let part = |lines: &[Line]| Copied::<ROWS>::of(&lines[line..line + 1]);
                let slots = state.iter().map(|slot| part(slot.b.lines()));
                let (place, w) = ((tile.layer, panel), part(dense.b.lines()));
                squares += self.values(place, std::slice::from_mut(g), w, slots, pass);
            }
        }
        squares
    }

    /// Tries lines of one panel; returns as [`Probe::block`].
    fn values(
        &self,
        (layer, panel): (usize, usize),
        g: &mut [Line],
        mut w: Copied<ROWS>,
        slots: impl Iterator<Item = Copied<ROWS>>,
        pass: Option<StepAdjustments>,
    ) -> f64 {
        let (phase, net) = (self.phase, self.before.net);
        let lanes = net.layers[layer].w.lanes(panel);
        let used = |lines: &[Line]| -> f64 {
            let values = lines.iter().flat_map(|line| &line.0[..lanes]);
            values.map(|x| f64::from(*x).powi(2)).sum()
        };
        // Squares of f32 do not overflow in f64: the sum is finite where all of them are.
        let squares = used(g);
        let Some(pass) = pass else { return squares };
        let mut slots = slots.chain(std::iter::repeat_with(Copied::empty));
        let mut slots =
            [slots.next().unwrap_or(Copied::empty()), slots.next().unwrap_or(Copied::empty())];
        let [first, second] = &mut slots;
        let update = Visit { w: w.lines(), g, slots: [first.lines(), second.lines()], pass };
        let at = (phase.step.update, phase.step.rate(layer));
        phase.step.optimizer.with_rule(at, (net.level, update));
        let [first, second] = &mut slots;
        let after = used(w.lines()) + used(first.lines()) + used(second.lines());
        if after.is_finite() { squares } else { f64::NAN }
    }
}

/// Up to N lines on the stack.
struct Copied<const N: usize> {
    lines: [Line; N],
    used: usize,
}

impl<const N: usize> Copied<N> {
    fn empty() -> Self {
        Copied { lines: [Line::ZERO; N], used: 0 }
    }

    fn of(lines: &[Line]) -> Self {
        let mut copied = Self::empty();
        copied.used = lines.len();
        copied.lines().copy_from_slice(lines);
        copied
    }

    fn lines(&mut self) -> &mut [Line] {
        &mut self.lines[..self.used]
    }
}

/// The update of copies.
struct Visit<'a> {
    w: &'a mut [Line],
    g: &'a mut [Line],
    slots: [&'a mut [Line]; 2],
    pass: StepAdjustments,
}

impl VisitRule for (Level, Visit<'_>) {
    type Output = ();
    fn visit<R: UpdateRule>(self, rule: R) {
        let (level, Visit { w, g, slots, pass }) = self;
        apply(level, w, g, slots, rule, pass);
    }
}
