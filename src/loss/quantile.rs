//! The quantile (pinball) loss of Koenker & Bassett (1978). Output jK + k estimates the quantile τ_k of
//! target j, with K quantiles. With e = y − ŷ,
//!
//! L = (1/n) Σ max(τe, (τ − 1)e), and ∂L/∂ŷ = −τ/n for e > 0, (1 − τ)/n for e < 0, 0 for e = 0.

use super::output::Output;
use super::rows::{Row, each_row};
use crate::simd::Level;

pub(super) fn backward(level: Level, o: Output, quantiles: &[f32]) {
    let n = o.a.cols as f64;
    each_row(level, o, |row: &mut Row| {
        let mut sum = 0.0;
        for col in 0..row.n_out() {
            let tau = f64::from(quantiles[col % quantiles.len()]);
            let e = row.target(col / quantiles.len()) - row.output(col);
            let slope = if e > 0.0 {
                -tau
            } else if e < 0.0 {
                1.0 - tau
            } else {
                // 0, and NaN stays NaN.
                0.0 * e
            };
            sum -= slope * e;
            row.set_gradient(col, slope / n);
        }
        sum / n
    });
}
