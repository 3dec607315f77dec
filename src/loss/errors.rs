//! Losses of the differences e = a − y: L = c Σ h(e), ∂L/∂z = c h′(e) ⊙ σ′(z), with c = 1/n for a mean
//! over the n outputs.

use super::output::Output;
use crate::gemm::ElementwiseOp;
use crate::simd::{LINE, Level};
use crate::storage::Panels;

/// The function h.
#[derive(Clone, Copy)]
pub(super) enum Error {
    /// e²
    Square,
    /// |e|, with h′(0) = 0
    Absolute,
    /// ½e² for |e| ≤ δ, else δ (|e| − ½δ)
    Huber { delta: f32 },
}

impl Error {
    /// h(e)
    fn value(self, e: f32) -> f64 {
        let x = f64::from(e).abs();
        match self {
            Error::Square => x * x,
            Error::Absolute => x,
            Error::Huber { delta } => {
                let delta = f64::from(delta);
                if x > delta { delta * (x - 0.5 * delta) } else { 0.5 * x * x }
            }
        }
    }

    /// c h′(e)
    fn slope(self, e: f32, c: f32) -> f32 {
        match self {
            Error::Square => 2.0 * c * e,
            Error::Absolute if e == 0.0 => 0.0,
            Error::Absolute => c.copysign(e) + 0.0 * e,
            Error::Huber { delta } if e.abs() > delta => c * delta.copysign(e),
            Error::Huber { .. } => c * e,
        }
    }
}

/// Computes the losses and deltas of a block, with c = `factor`.
pub(super) fn backward(level: Level, o: Output, error: Error, factor: f64) {
    let Output { a, z, targets, mut d, losses, scale, weighting, activation } = o;
    let a: Panels = a.view();
    // One f64 chain per row, in column order: the same bits at every level and for any split.
    losses.fill(0.0);
    for p in 0..a.n_panels() {
        let cols = LINE.min(a.cols - p * LINE);
        let lines = d.panel_mut(p);
        for (row, line) in lines.iter_mut().enumerate() {
            let scale = weighting.of_row(row, scale);
            for lane in 0..cols {
                let y = targets.value(row, p * LINE + lane, a.cols);
                let e = a.panel(p)[row].0[lane] - y;
                losses[row] += error.value(e);
                line.0[lane] = error.slope(e, factor as f32) * scale;
            }
            line.0[cols..].fill(0.0);
        }
        activation.backward_lines(level, z.unwrap_or(a).panel(p), lines);
    }
    losses.iter_mut().for_each(|loss| *loss *= factor);
}
