//! Softmax of a row: p = e^(z − max) / Σ e^(z − max).
//!
//! Sums have the same order at every level: sixteen running sums, element i in sum i mod 16, then a tree
//! (i with i + 8, + 4, + 2, + 1). The loss computes ln p as (z − max) − ln Σ, which is more accurate than
//! ln(p) and z − (max + ln Σ).
//!
//! Error: the rounding of z − max, half an ULP, causes an error of at most |z − max| ULP in its term. The
//! exponential, the sum and the quotient add less than 5 ULP in random rows of up to 1000 logits
//! (`tests/activations/softmax.rs`). A row with NaN or +∞, or with −∞ only, becomes NaN, as in the
//! formula.

use crate::math::{exp_negative, ln};
use crate::simd::{Kernel, LINE, Level, Simd, dispatch};
use crate::storage::PanelsMut;

/// The values of a row from which ln p is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RowSum {
    /// The largest logit of the row.
    pub(crate) max: f32,
    /// Σ e^(z − max)
    pub(crate) sum: f32,
}

impl RowSum {
    /// ln Σ e^(z − max): ln p = (z − max) − this.
    #[inline(always)]
    pub(crate) fn ln_sum<S: Simd>(self, s: S) -> f32 {
        let mut out = [0.0; LINE];
        s.store(ln(s, s.splat(self.sum)), &mut out);
        out[0]
    }
}

/// Which lanes of the last group, starting with lane `i`, are below `rest`.
#[inline(always)]
fn counted<S: Simd>(s: S, i: usize, rest: usize) -> S::M {
    const INDEX: [f32; LINE] =
        [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.];
    s.lt(s.load(&INDEX[i..]), s.splat(rest as f32))
}

/// A sequence of groups of sixteen floats, contiguous or not.
pub(super) trait Groups {
    fn count(&self) -> usize;
    fn group(&mut self, i: usize) -> &mut [f32; LINE];
}

impl Groups for [[f32; LINE]] {
    #[inline(always)]
    fn count(&self) -> usize {
        self.len()
    }
    #[inline(always)]
    fn group(&mut self, i: usize) -> &mut [f32; LINE] {
        &mut self[i]
    }
}

/// The full lines of one row of a panel matrix.
struct PanelRow<'a, 'b> {
    m: &'a mut PanelsMut<'b>,
    row: usize,
}

impl Groups for PanelRow<'_, '_> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.m.cols / LINE
    }
    #[inline(always)]
    fn group(&mut self, i: usize) -> &mut [f32; LINE] {
        &mut self.m.panel_mut(i)[self.row].0
    }
}

/// Softmax of full groups and the first `rest` elements of a last group; the other elements become 0.
#[inline(always)]
pub(super) fn softmax_groups<S: Simd>(
    s: S,
    full: &mut (impl Groups + ?Sized),
    last: &mut [f32; LINE],
    rest: usize,
) -> RowSum {
    let lowest = s.splat(f32::NEG_INFINITY);
    let mut tops = [0.0; LINE];
    for i in (0..LINE).step_by(S::LANES) {
        let mut top = s.select(counted(s, i, rest), s.load(&last[i..]), lowest);
        for g in 0..full.count() {
            top = s.max(top, s.load(&full.group(g)[i..]));
        }
        s.store(top, &mut tops[i..]);
    }
    let max = s.max_line(&tops);

    let shift = s.splat(max);
    let mut sums = [0.0; LINE];
    for i in (0..LINE).step_by(S::LANES) {
        let mut sum = s.splat(0.0);
        for g in 0..full.count() {
            let z = &mut full.group(g)[i..];
            let e = exp_negative(s, s.sub(s.load(z), shift));
            sum = s.add(sum, e);
            s.store(e, z);
        }
        let e = exp_negative(s, s.sub(s.load(&last[i..]), shift));
        let e = s.select(counted(s, i, rest), e, s.splat(0.0));
        s.store(e, &mut last[i..]);
        s.store(s.add(sum, e), &mut sums[i..]);
    }
    let sum = s.sum_line(&sums);

    let divisor = s.splat(sum);
    for i in (0..LINE).step_by(S::LANES) {
        for g in 0..full.count() {
            let p = &mut full.group(g)[i..];
            s.store(s.div(s.load(p), divisor), p);
        }
        let p = s.div(s.load(&last[i..]), divisor);
        s.store(s.select(counted(s, i, rest), p, s.splat(0.0)), &mut last[i..]);
    }
    RowSum { max, sum }
}

/// Replaces row `row` of a panel matrix by its softmax, and its padding by 0.
#[inline(always)]
pub(crate) fn softmax_panels<S: Simd>(s: S, m: &mut PanelsMut, row: usize) -> RowSum {
    let (full, rest) = (m.cols / LINE, m.cols % LINE);
    let mut last = if rest > 0 { m.panel_mut(full)[row].0 } else { [0.0; LINE] };
    let sums = softmax_groups(s, &mut PanelRow { m: &mut *m, row }, &mut last, rest);
    if rest > 0 {
        m.panel_mut(full)[row].0 = last;
    }
    sums
}

/// Replaces logits by their softmax p, and `d` = ∂L/∂p by ∂L/∂z = p ⊙ (d − Σ p d), row by row.
pub(crate) fn softmax_backward(level: Level, z: PanelsMut, d: PanelsMut) {
    struct Backward<'a, 'b>(PanelsMut<'a>, PanelsMut<'b>);
    impl Kernel for Backward<'_, '_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let Backward(mut p, mut d) = self;
            for row in 0..p.rows {
                softmax_panels(s, &mut p, row);
                let mut sums = [0.0; LINE];
                for i in (0..LINE).step_by(S::LANES) {
                    let mut sum = s.splat(0.0);
                    for panel in 0..p.n_panels() {
                        let (p, d) = (&p.panel_mut(panel)[row].0, &d.panel_mut(panel)[row].0);
                        sum = s.mul_add(s.load(&p[i..]), s.load(&d[i..]), sum);
                    }
                    s.store(sum, &mut sums[i..]);
                }
                let mean = s.splat(s.sum_line(&sums));
                for panel in 0..p.n_panels() {
                    let (p, d) = (&p.panel_mut(panel)[row].0, &mut d.panel_mut(panel)[row].0);
                    for i in (0..LINE).step_by(S::LANES) {
                        let difference = s.sub(s.load(&d[i..]), mean);
                        s.store(s.mul(s.load(&p[i..]), difference), &mut d[i..]);
                    }
                }
            }
        }
    }
    assert!(z.rows == d.rows && z.cols == d.cols);
    dispatch(level, Backward(z, d));
}
