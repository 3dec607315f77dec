//! Sigmoid with cross-entropy on the logits: with p = σ(z),
//! L = −(1/n) Σ [w y ln p + (1 − y) ln(1 − p)], and ∂L/∂z = ((1 − y) p − w y (1 − p)) / n, which
//! is (p − y)/n for w = 1. With r = ln(1 + e^−|z|), ln p = min(z, 0) − r and
//! ln(1 − p) = min(−z, 0) − r, without overflow or cancellation.

use super::output::{Output, Weighting};
use crate::activation::Activation;
use crate::gemm::ElementwiseOp;
use crate::simd::{LINE, Level};

pub(super) fn backward(level: Level, o: Output) {
    let Output { a, targets, mut d, losses, scale, weighting, .. } = o;
    let Weighting { classes, .. } = weighting;
    let n = a.cols;
    losses.fill(0.0);
    let z = a.view();
    for p in 0..z.n_panels() {
        let cols = LINE.min(n - p * LINE);
        let lines = d.panel_mut(p);
        lines.copy_from_slice(z.panel(p));
        Activation::Sigmoid.forward_lines(level, lines);
        for (row, line) in lines.iter_mut().enumerate() {
            let logits = z.panel(p)[row].0;
            let mut rest = logits.map(|z| -z.abs());
            Activation::Softplus.forward(level, &mut rest);
            let scale = weighting.of_row(row, scale) / n as f32;
            for lane in 0..cols {
                let col = p * LINE + lane;
                let y = targets.value(row, col, n);
                let w = classes.get(col).copied().unwrap_or(1.0);
                let (z, r) = (f64::from(logits[lane]), f64::from(rest[lane]));
                let [ln_p, ln_not_p] = [z, -z].map(|z| z.min(0.0) - r);
                losses[row] -= f64::from(w * y) * ln_p + f64::from(1.0 - y) * ln_not_p;
                let p = line.0[lane];
                line.0[lane] = ((1.0 - y) * p - w * y * (1.0 - p)) * scale;
            }
            line.0[cols..].fill(0.0);
        }
    }
    losses.iter_mut().for_each(|loss| *loss /= n as f64);
}
