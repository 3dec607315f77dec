//! Whether an update will be finite, known before it is made: with X the largest input of a layer
//! and D the largest delta, no element of its gradient exceeds rows · X · D, and what an optimiser
//! makes of that bound is known too ([`Optimizer::grow`](crate::optim::Optimizer::grow)). So a step
//! scans its activations and deltas while they are in the cache, and its products cost nothing more.
//! Only where these bounds are too large are the weights measured, and at last the update is tried
//! on copies (`probe`).

use super::change::Change;
use super::peaks::Peaks;
use super::state::{LayerState, Slot};
use super::step::Step;
use crate::network::{LayerParameters, Mlp};
use crate::optim::{LIMIT, Magnitude};
use crate::passes::largest;
use crate::simd::{LINE, Level};
use crate::storage::{PanelMatrix, Panels};

/// What there is before an update.
pub(crate) struct Before<'a> {
    pub(crate) net: &'a Mlp,
    pub(crate) states: &'a [LayerState],
    pub(crate) peaks: &'a [Peaks],
    pub(crate) step: &'a Step<'a>,
    /// The gradients that wait for the update; empty where none do.
    pub(crate) waiting: &'a [Slot],
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
    pub(crate) fn look_ahead(&mut self, now: &Before, change: &Change) -> Result<Verdict, usize> {
        let mut verdict = Verdict::Finite;
        for (i, peaks) in now.peaks.iter().enumerate() {
            let gradient = peaks.gradient(change.rows);
            if !gradient.is_finite() {
                return Err(i);
            }
            if now.step.rates.is_frozen(i) {
                continue;
            }
            let rate = now.step.rate(i);
            let mut next = self.now[i].after((now.step, rate), change, gradient);
            if next.is_none() {
                self.now[i] = measure(now, i);
                next = self.now[i].after((now.step, rate), change, gradient);
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

    /// After a change whose gradient is at most `gradient`, at the layer's learning rate; none where
    /// something may overflow.
    fn after(
        &self,
        (step, rate): (&Step, f32),
        change: &Change,
        gradient: f64,
    ) -> Option<LayerBounds> {
        let (a, mut next) = (step.adjustments, *self);
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
            let (at, g) = ((step.update, rate), clipped + penalties);
            next.parameters = step.optimizer.grow(at, self.parameters, g);
            if !(fits(g) && next.parameters.fits()) {
                return None;
            }
            next.waiting = 0.0;
        }
        Some(next)
    }
}

/// The bounds of a layer as it is.
fn measure(now: &Before, i: usize) -> LayerBounds {
    let (level, layer, state) = (now.net.level, &now.net.layers[i], &now.states[i]);
    let both = |w: &PanelMatrix, b: &PanelMatrix| {
        f64::from(largest(level, w.view(), layer.n_out()).max(largest_of_vectors(level, layer, b)))
    };
    let mut bounds = LayerBounds::default();
    bounds.parameters.weight = both(&layer.w, &layer.b);
    for (bound, slot) in bounds.parameters.slots.iter_mut().zip(&state.slots) {
        *bound = both(&slot.w, &slot.b);
    }
    if let Some(gradient) = now.waiting.get(i) {
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
