//! Softmax with cross-entropy on the logits: L = −ln p_y = ln Σe^(z − max) − (z_y − max), and
//! ∂L/∂z = p − y.
//!
//! With label smoothing ε and class weights w the target is q = (1 − ε) y + ε/K, and
//! L = −Σ w_c q_c ln p_c, ∂L/∂z_c = p_c Σ w_k q_k − w_c q_c.

use super::{BlockTargets, Output, Weighting};
use crate::activation::{ln, softmax_panels};
use crate::simd::{Kernel, LINE, Level, Simd, dispatch};

pub(super) fn backward(level: Level, o: Output) {
    match o.weighting {
        Weighting { shares: None, smoothing: 0.0, classes: [] } => dispatch(level, CrossEntropy(o)),
        _ => dispatch(level, Weighted(o)),
    }
}

struct CrossEntropy<'a>(Output<'a>);

impl Kernel for CrossEntropy<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Output { a, targets, mut d, losses, scale, .. } = self.0;
        let BlockTargets::Classes(labels) = targets else {
            unreachable!("the trainer checked that cross-entropy has labels")
        };
        for p in 0..a.n_panels() {
            d.panel_mut(p).copy_from_slice(a.view().panel(p));
        }
        for (rows, losses) in (0..).step_by(LINE).zip(losses.chunks_mut(LINE)) {
            // A logarithm costs as much for sixteen sums as for one.
            let mut ln_sums = [1.0; LINE];
            for (row, (loss, sum)) in (rows..).zip(losses.iter_mut().zip(&mut ln_sums)) {
                let (panel, lane) = (labels[row] as usize / LINE, labels[row] as usize % LINE);
                let logit = d.panel_mut(panel)[row].0[lane];
                let sums = softmax_panels(s, &mut d, row);
                (*loss, *sum) = (f64::from(logit - sums.max), sums.sum);
                d.panel_mut(panel)[row].0[lane] -= 1.0;
                for p in 0..d.n_panels() {
                    let line = &mut d.panel_mut(p)[row].0;
                    for lane in (0..LINE).step_by(S::LANES) {
                        let v = s.mul(s.load(&line[lane..]), s.splat(scale));
                        s.store(v, &mut line[lane..]);
                    }
                }
            }
            for lane in (0..LINE).step_by(S::LANES) {
                let sums = &mut ln_sums[lane..];
                s.store(ln(s, s.load(sums)), sums);
            }
            for (loss, ln_sum) in losses.iter_mut().zip(ln_sums) {
                *loss = f64::from(ln_sum) - *loss;
            }
        }
    }
}

struct Weighted<'a>(Output<'a>);

impl Kernel for Weighted<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Output { a, targets, mut d, losses, scale, weighting, .. } = self.0;
        let BlockTargets::Classes(labels) = targets else {
            unreachable!("the trainer checked that cross-entropy has labels")
        };
        let (a, n) = (a.view(), a.cols);
        let Weighting { smoothing, classes, .. } = weighting;
        for p in 0..a.n_panels() {
            d.panel_mut(p).copy_from_slice(a.panel(p));
        }
        let weight = |c: usize| classes.get(c).copied().unwrap_or(1.0);
        let (most, least) = (1.0 - smoothing, smoothing / n as f32);
        let q = |c: usize, label: u32| least + if c == label as usize { most } else { 0.0 };
        for (row, (&label, loss)) in labels.iter().zip(losses).enumerate() {
            let share = weighting.share(row, scale);
            let sums = softmax_panels(s, &mut d, row);
            let ln_sum = f64::from(sums.ln_sum(s));
            let total: f32 = (0..n).map(|c| weight(c) * q(c, label)).sum();
            *loss = 0.0;
            for p in 0..a.n_panels() {
                let line = &mut d.panel_mut(p)[row].0;
                for (lane, d) in line.iter_mut().enumerate() {
                    let c = p * LINE + lane;
                    if c >= n {
                        *d = 0.0;
                        continue;
                    }
                    let target = weight(c) * q(c, label);
                    if target != 0.0 {
                        let logit = a.panel(p)[row].0[lane];
                        *loss += f64::from(target) * (ln_sum - f64::from(logit - sums.max));
                    }
                    *d = (*d * total - target) * share;
                }
            }
        }
    }
}
