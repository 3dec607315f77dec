//! Softmax with cross-entropy on the logits: L = −ln p_y = ln Σe^(z − max) − (z_y − max), and
//! ∂L/∂z = p − y.
//!
//! With label smoothing ε and class weights w the target is q = (1 − ε) y + ε/K, and
//! L = −Σ w_c q_c ln p_c, ∂L/∂z_c = p_c Σ w_k q_k − w_c q_c.
//!
//! If the largest logit has more than half of the probability, ln Σ is computed as −ln(1 − q) with q the
//! probability of the others: their terms in Σ would be lost in rounding beside the largest term, 1.

use super::output::{BlockTargets, Output, Weighting};
use crate::activation::softmax_panels;
use crate::math::{ln, minus_ln_1m};
use crate::simd::{Kernel, LINE, Level, Simd, dispatch};
use crate::storage::PanelsMut;

pub(super) fn backward(level: Level, o: Output) {
    match o.weighting {
        Weighting { rows: None, smoothing: 0.0, classes: [] } => dispatch(level, CrossEntropy(o)),
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
                (*loss, *sum) = match logit == sums.max && sums.sum < 2.0 {
                    // The loss is complete: ln 1 = 0 is added below.
                    true => (-ln_sum_of_confident(s, &mut d, row, labels[row] as usize), 1.0),
                    false => (f64::from(logit - sums.max), sums.sum),
                };
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
        let (of_label, of_each) = (1.0 - smoothing, smoothing / n as f32);
        let q = |c: usize, label: u32| of_each + if c == label as usize { of_label } else { 0.0 };
        for (row, (&label, loss)) in labels.iter().zip(losses).enumerate() {
            let scale = weighting.of_row(row, scale);
            let sums = softmax_panels(s, &mut d, row);
            let logit = |c: usize| a.panel(c / LINE)[row].0[c % LINE];
            let top = (0..n).find(|c| logit(*c) == sums.max).filter(|_| sums.sum < 2.0);
            let ln_sum = match top {
                Some(top) => ln_sum_of_confident(s, &mut d, row, top),
                None => f64::from(sums.ln_sum(s)),
            };
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
                        *loss += f64::from(target) * (ln_sum - f64::from(logit(c) - sums.max));
                    }
                    *d = (*d * total - target) * scale;
                }
            }
        }
    }
}

/// ln Σ e^(z − max) of a row with softmax `p`, in which column `top` has more than half of the
/// probability.
#[inline(always)]
fn ln_sum_of_confident<S: Simd>(s: S, p: &mut PanelsMut, row: usize, top: usize) -> f64 {
    let (panel, lane) = (top / LINE, top % LINE);
    let largest = std::mem::replace(&mut p.panel_mut(panel)[row].0[lane], 0.0);
    let mut sums = [0.0; LINE];
    for panel in 0..p.n_panels() {
        let line = &p.panel_mut(panel)[row].0;
        for lane in (0..LINE).step_by(S::LANES) {
            s.store(s.add(s.load(&sums[lane..]), s.load(&line[lane..])), &mut sums[lane..]);
        }
    }
    p.panel_mut(panel)[row].0[lane] = largest;
    minus_ln_1m(sums.iter().map(|x| f64::from(*x)).sum())
}
