//! Softmax with cross-entropy on the logits: L = −ln p_y = ln Σe^(z − max) − (z_y − max), and
//! ∂L/∂z = p − y.

use super::{BlockTargets, Output};
use crate::activation::softmax_panels;
use crate::simd::{Kernel, LINE, Level, Simd, dispatch};

pub(super) fn backward(level: Level, o: Output) {
    dispatch(level, CrossEntropy(o));
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
        for (row, (&label, loss)) in labels.iter().zip(losses).enumerate() {
            let (panel, lane) = (label as usize / LINE, label as usize % LINE);
            let logit = d.panel_mut(panel)[row].0[lane];
            let sums = softmax_panels(s, &mut d, row);
            *loss = f64::from(sums.ln_sum(s)) - f64::from(logit - sums.max);
            d.panel_mut(panel)[row].0[lane] -= 1.0;
            for p in 0..d.n_panels() {
                let line = &mut d.panel_mut(p)[row].0;
                for lane in (0..LINE).step_by(S::LANES) {
                    let v = s.mul(s.load(&line[lane..]), s.splat(scale));
                    s.store(v, &mut line[lane..]);
                }
            }
        }
    }
}
