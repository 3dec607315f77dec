//! Whether an update will be finite, known before it is made: with X the largest input of a layer
//! and D the largest delta, no element of its gradient exceeds rows · X · D, and what an optimiser
//! makes of that bound is known too ([`Optimizer::grow`](crate::optim::Optimizer::grow)). So a step
//! pays for a look at its activations and deltas while they are in the cache, and for nothing in its
//! products; only where the bounds leave room for doubt are the weights themselves looked at, and at
//! last the update tried out (`probe`).

use super::batch::Batch;
use super::buffers::LayerState;
use super::change::Change;
use super::deferred::Deferred;
use super::phase1::Phase1;
use super::update::Phase2;
use super::views::RowBlock;
use crate::network::{LayerParameters, Mlp};
use crate::optim::{LIMIT, Magnitude};
use crate::passes::largest;
use crate::simd::{LINE, Level, Line};
use crate::storage::{PanelMatrix, Panels};
use std::sync::atomic::{AtomicU32, Ordering};

/// The largest |x| that reached a layer in a step. The bits of floats from 0 on are in their order.
#[derive(Default)]
pub(crate) struct Peaks {
    input: AtomicU32,
    /// Over all whose column sums are gradients of the layer's vectors.
    delta: AtomicU32,
}

impl Peaks {
    fn note(peak: &AtomicU32, value: f32) {
        peak.fetch_max(value.to_bits(), Ordering::Relaxed);
    }

    fn get(peak: &AtomicU32) -> f64 {
        f64::from(f32::from_bits(peak.load(Ordering::Relaxed)))
    }
}

impl Peaks {
    /// Before a step: nothing was seen, except the largest inputs that are known.
    pub(crate) fn reset(all: &mut [Peaks], net: &Mlp, batch: &Batch) {
        for (i, peaks) in all.iter_mut().enumerate() {
            let known = i > 0 && net.layers[i - 1].is_within_one();
            let input = if known { 1.0f32.to_bits() } else { 0 };
            *peaks = Peaks { input: input.into(), delta: 0.into() };
        }
        if let Some(largest) = batch.largest_input() {
            all[0].note_batch(net, largest);
        }
    }

    /// The largest feature of a batch, before dropout.
    fn note_batch(&self, net: &Mlp, largest: f32) {
        Peaks::note(&self.input, largest / (1.0 - net.input_dropout));
    }

    /// A mean or a variance that running statistics could not hold: no update comes of it.
    pub(crate) fn note_moments(&self, moments: &[Line], lanes: impl Fn(usize) -> usize) {
        let values = moments.iter().enumerate().flat_map(|(p, line)| &line.0[..lanes(p)]);
        let mut fit = values.map(|x| f64::from(x.abs()) <= LIMIT);
        if !fit.all(|fits| fits) {
            Peaks::note(&self.delta, f32::INFINITY);
        }
    }
}

impl Phase1<'_> {
    /// The largest feature of some rows, and whether it is finite.
    pub(crate) fn note_features(&self, largest: f32) -> bool {
        self.peaks[0].note_batch(self.net, largest);
        largest.is_finite()
    }

    /// Looks at the inputs of a layer after the first, unless it is known how large they are.
    pub(crate) fn note_inputs(&self, layer: usize, x: Panels) {
        let below = &self.net.layers[layer - 1];
        if !below.is_within_one() {
            let largest = largest(self.net.level, x, below.n_out());
            Peaks::note(&self.peaks[layer].input, largest);
        }
    }

    /// Looks at the deltas of layer `i`, which are whole.
    pub(crate) fn note_deltas(&self, i: usize, rows: &RowBlock) {
        let n_out = self.net.layers[i].n_out();
        for &of in &self.program.parameters[i].vectors {
            let largest = largest(self.net.level, rows.read(of), n_out);
            Peaks::note(&self.peaks[i].delta, largest);
        }
    }
}

/// What there is before an update.
pub(crate) struct Before<'a> {
    pub(crate) net: &'a Mlp,
    pub(crate) states: &'a [LayerState],
    pub(crate) peaks: &'a [Peaks],
    pub(crate) phase: &'a Phase2<'a>,
}

/// Bounds of everything that updates change.
pub(crate) struct Bounds {
    now: Vec<LayerBounds>,
    next: Vec<LayerBounds>,
}

#[derive(Clone, Copy, Default)]
struct LayerBounds {
    parameters: Magnitude,
    /// Of the gradients that wait for an update.
    waiting: f64,
}

/// What bounds say of a change.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// Everything it writes is finite.
    Finite,
    /// They cannot tell.
    Unknown,
}

impl Bounds {
    /// Before anything was measured.
    pub(crate) fn new(layers: usize) -> Self {
        let unknown = vec![LayerBounds::UNKNOWN; layers];
        Bounds { now: unknown.clone(), next: unknown }
    }

    /// Forgets what was known, since parameters or state were written by somebody else.
    pub(crate) fn forget(&mut self) {
        self.now.fill(LayerBounds::UNKNOWN);
    }

    /// Looks ahead at a change.
    ///
    /// # Errors
    /// The first layer with an input or a delta that is not finite.
    pub(crate) fn look_ahead(
        &mut self,
        now: &Before,
        deferred: Option<&Deferred>,
        change: &Change,
    ) -> Result<Verdict, usize> {
        let phase = now.phase;
        let mut verdict = Verdict::Finite;
        for (i, peaks) in now.peaks.iter().enumerate() {
            let gradient = match change.rows {
                0 => 0.0,
                // Biases have inputs of 1.
                rows => rows as f64 * Peaks::get(&peaks.input).max(1.0) * Peaks::get(&peaks.delta),
            };
            if !gradient.is_finite() {
                return Err(i);
            }
            let mut next = self.now[i].after(phase, change, gradient);
            if next.is_none() {
                self.now[i] = measure(now, deferred, i);
                next = self.now[i].after(phase, change, gradient);
            }
            self.next[i] = next.unwrap_or_else(|| {
                verdict = Verdict::Unknown;
                // To be measured before the next change.
                LayerBounds::UNKNOWN
            });
        }
        Ok(verdict)
    }

    /// The change was made.
    pub(crate) fn advance(&mut self) {
        std::mem::swap(&mut self.now, &mut self.next);
    }
}

impl LayerBounds {
    const UNKNOWN: LayerBounds = LayerBounds {
        parameters: Magnitude { weight: f64::INFINITY, slots: [f64::INFINITY; 2] },
        waiting: f64::INFINITY,
    };

    /// After a change whose gradient is at most `gradient`; none where something may overflow.
    fn after(&self, phase: &Phase2, change: &Change, gradient: f64) -> Option<LayerBounds> {
        let (a, mut next) = (phase.step.adjustments, *self);
        let mut mean = gradient;
        if change.accumulates {
            next.waiting += f64::from(change.weight) * gradient;
            mean = next.waiting / change.total;
        }
        let fits = |x: f64| x <= LIMIT;
        if !(fits(gradient) && fits(next.waiting) && fits(mean)) {
            return None;
        }
        if change.updates {
            let clipped = mean.min(a.clip_value.map_or(f64::INFINITY, f64::from));
            let penalties = f64::from(a.l2) * self.parameters.weight + f64::from(a.l1);
            let (at, g) = ((phase.step.update, phase.step.lr), clipped + penalties);
            next.parameters = phase.step.optimizer.grow(at, self.parameters, g);
            if !(fits(g) && next.parameters.fits()) {
                return None;
            }
            next.waiting = 0.0;
        }
        Some(next)
    }
}

/// The bounds of a layer as it is.
fn measure(now: &Before, deferred: Option<&Deferred>, i: usize) -> LayerBounds {
    let (level, layer, state) = (now.net.level, &now.net.layers[i], &now.states[i]);
    let both = |w: &PanelMatrix, b: &PanelMatrix| {
        f64::from(largest(level, w.view(), layer.n_out()).max(largest_of_vectors(level, layer, b)))
    };
    let mut bounds = LayerBounds::default();
    bounds.parameters.weight = both(&layer.w, &layer.b);
    for (bound, slot) in bounds.parameters.slots.iter_mut().zip(&state.slots) {
        *bound = both(&slot.w, &slot.b);
    }
    if let Some(gradient) = deferred.filter(|d| d.waiting()).map(|d| &d.gradients()[i]) {
        bounds.waiting = both(&gradient.w, &gradient.b);
    }
    bounds
}

/// The largest |x| of the vectors of a layer, in memory shaped like them.
fn largest_of_vectors(level: Level, layer: &LayerParameters, b: &PanelMatrix) -> f32 {
    let panels = layer.columns().div_ceil(LINE);
    let vectors = (0..layer.n_vectors()).map(|v| {
        let lines = &b.lines()[v * panels..][..panels];
        largest(level, Panels::new(lines, 1, layer.columns(), 1), layer.n_out())
    });
    vectors.fold(0.0, f32::max)
}
