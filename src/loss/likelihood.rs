//! Negative log-likelihoods, without their constants, as PyTorch's `PoissonNLLLoss` and
//! `GaussianNLLLoss`.

use super::output::Output;
use super::rows::{Row, each_row};
use crate::math::exp_f64;
use crate::simd::Level;

/// Poisson with ŷ = ln λ: L = (1/n) Σ (e^ŷ − y ŷ), and ∂L/∂ŷ = (e^ŷ − y)/n.
pub(super) fn poisson(level: Level, o: Output) {
    let n = o.a.cols as f64;
    each_row(level, o, |row: &mut Row| {
        let mut sum = 0.0;
        for col in 0..row.n_out() {
            let (ln_rate, y) = (row.output(col), row.target(col));
            let rate = exp_f64(ln_rate);
            sum += rate - y * ln_rate;
            row.set_gradient(col, (rate - y) / n);
        }
        sum / n
    });
}

/// Gaussian with mean μ and s = ln σ², outputs 2j and 2j + 1 for target j (Nix & Weigend 1994):
/// L = (1/T) Σ ½ [s + (μ − y)² e^−s], ∂L/∂μ = (μ − y) e^−s / T, ∂L/∂s = ½ [1 − (μ − y)² e^−s] / T.
pub(super) fn gaussian(level: Level, o: Output) {
    let n_targets = o.a.cols / 2;
    each_row(level, o, |row: &mut Row| {
        let (mut sum, n) = (0.0, n_targets as f64);
        for target in 0..n_targets {
            let (mean, log_variance) = (row.output(2 * target), row.output(2 * target + 1));
            let e = mean - row.target(target);
            let precision = exp_f64(-log_variance);
            let square = e * e * precision;
            sum += 0.5 * (log_variance + square);
            row.set_gradient(2 * target, e * precision / n);
            row.set_gradient(2 * target + 1, 0.5 * (1.0 - square) / n);
        }
        sum / n
    });
}
