//! Squared errors: L = c Σ(a − y)², ∂L/∂z = 2c (a − y) ⊙ σ′(z). With c = 1/n it is the mean squared
//! error, with c = ½ the quadratic cost.

use super::{BlockTargets, Output};
use crate::gemm::Panels;
use crate::simd::{LINE, Level};

/// y of one place.
fn target(targets: BlockTargets, row: usize, col: usize) -> f32 {
    match targets {
        BlockTargets::Classes(labels) => f32::from(u8::from(labels[row] as usize == col)),
        BlockTargets::Values(y) => y.panel(col / LINE)[row].0[col % LINE],
    }
}

/// With c = `factor`.
pub(super) fn backward(level: Level, o: Output, factor: f64) {
    let Output { a, z, targets, mut d, losses, scale, activation } = o;
    let a: Panels = a.view();
    let slope = (2.0 * factor) as f32;
    // One f64 chain a row, in column order: the same for every level and split.
    losses.fill(0.0);
    for p in 0..a.n_panels() {
        let cols = LINE.min(a.cols - p * LINE);
        let lines = d.panel_mut(p);
        for (row, line) in lines.iter_mut().enumerate() {
            for lane in 0..cols {
                let error = a.panel(p)[row].0[lane] - target(targets, row, p * LINE + lane);
                losses[row] += f64::from(error).powi(2);
                line.0[lane] = slope * error * scale;
            }
            line.0[cols..].fill(0.0);
        }
        activation.backward_lines(level, z.unwrap_or(a).panel(p), lines);
    }
    losses.iter_mut().for_each(|loss| *loss *= factor);
}
