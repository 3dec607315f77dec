//! Adjustments of gradients and weights: clipping, penalties, weight decay, max-norm, accumulation; and
//! the element-wise pass that applies them together with a rule.
//!
//! The order is PyTorch's: clip the gradient, add L2 and L1 to it, decay the weight, apply the rule.

use super::optimizer::Optimizer;
use super::rules::sign;
use crate::error::{Result, check_option, check_range};
use crate::gemm::UpdateRule;
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use crate::storage::Panels;

/// The options, all off by default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Adjustments {
    /// λ of g + λ·sign(w)
    pub(crate) l1: f32,
    /// λ of g + λ·w
    pub(crate) l2: f32,
    /// λ of (1 − lr·λ)·w; 0 if the optimiser has weight decay
    pub(crate) decay: f32,
    /// Whether penalties and decay apply to biases, γ and β.
    pub(crate) biases: bool,
    /// Limit of each |gradient|.
    pub(crate) clip_value: Option<f32>,
    /// Limit of the norm of all gradients.
    pub(crate) clip_norm: Option<f32>,
    /// Limit of the norm of a neuron's incoming weights.
    pub(crate) max_norm: Option<f32>,
    /// Number of batches per update.
    pub(crate) accumulate: usize,
}

impl Default for Adjustments {
    fn default() -> Self {
        let (l1, l2, decay, biases) = (0.0, 0.0, 0.0, true);
        let (clip_value, clip_norm, max_norm, accumulate) = (None, None, None, 1);
        Adjustments { l1, l2, decay, biases, clip_value, clip_norm, max_norm, accumulate }
    }
}

impl Adjustments {
    /// Checks the options and their combination.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) that names the option.
    pub(crate) fn validate(&self, optimizer: &Optimizer) -> Result<()> {
        for (name, value) in [("L1", self.l1), ("L2", self.l2), ("weight decay", self.decay)] {
            check_range(name, value, 0.0..f32::INFINITY)?;
        }
        for (name, value) in [
            ("clipping by value", self.clip_value),
            ("clipping by norm", self.clip_norm),
            ("max-norm", self.max_norm),
        ] {
            check_range(name, value.unwrap_or(1.0), f32::MIN_POSITIVE..f32::INFINITY)?;
        }
        check_option(self.accumulate > 0, "accumulation", "expected at least 1 batch, got 0")?;
        let has_decay = optimizer.decay() > 0.0;
        let reason = "the optimiser has a weight decay already; choose one";
        check_option(self.decay <= 0.0 || !has_decay, "weight decay", reason)?;
        let reason = "L2 and decoupled weight decay both shrink weights; choose one";
        check_option(self.l2 <= 0.0 || !(has_decay || self.decay > 0.0), "L2", reason)?;
        let fits = self.clip_value.is_none() || self.clip_norm.is_none();
        check_option(fits, "clipping", "by value or by norm; choose one")
    }

    /// Checks that 1 − lr·λ is positive, so that decay does not change the sign of a weight.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) with the product.
    pub(crate) fn check_rate(&self, optimizer: &Optimizer, lr: f32) -> Result<()> {
        check_range("learning rate times decay", lr * self.decay.max(optimizer.decay()), 0.0..1.0)
    }

    /// Whether the update can run in the store of the gradient's product.
    pub(crate) fn fuse(&self) -> bool {
        *self == Adjustments { biases: self.biases, ..Adjustments::default() }
    }

    /// Whether the update needs all gradients of the network first.
    pub(crate) fn needs_all(&self) -> bool {
        self.clip_norm.is_some() || self.accumulate > 1
    }
}

/// The adjustments of gradients and weights in one step, before the rule.
#[derive(Clone, Copy)]
pub(crate) struct StepAdjustments {
    /// Factor of the gradient: 1/batches for accumulation, times the factor of clipping by norm.
    pub(crate) scale: f32,
    pub(crate) clip: f32,
    pub(crate) l1: f32,
    pub(crate) l2: f32,
    /// 1 − lr·λ
    pub(crate) decay_factor: f32,
    /// Whether to set the gradient to zero afterwards, for the next sum.
    pub(crate) reset: bool,
}

impl StepAdjustments {
    /// The adjustments of biases, γ and β.
    pub(crate) fn for_vectors(self, a: &Adjustments) -> Self {
        match a.biases {
            true => self,
            false => StepAdjustments { l1: 0.0, l2: 0.0, decay_factor: 1.0, ..self },
        }
    }
}

/// Updates weights and state values by a rule with adjusted gradients, for the rows of a panel or a
/// vector.
pub(crate) fn apply<R: UpdateRule>(
    level: Level,
    w: &mut [Line],
    g: &mut [Line],
    slots: [&mut [Line]; 2],
    rule: R,
    adjust: StepAdjustments,
) {
    assert!(g.len() == w.len());
    assert!(slots.iter().take(R::SLOTS).all(|s| s.len() == w.len()));
    dispatch(level, Apply { w, g, slots, rule, adjust });
}

struct Apply<'a, R> {
    w: &'a mut [Line],
    g: &'a mut [Line],
    slots: [&'a mut [Line]; 2],
    rule: R,
    adjust: StepAdjustments,
}

impl<R: UpdateRule> Kernel for Apply<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Apply { w, g, mut slots, rule, adjust } = self;
        let (clip, negative) = (s.splat(adjust.clip), s.splat(-adjust.clip));
        for i in 0..w.len() {
            for lane in (0..LINE).step_by(S::LANES) {
                let weight = s.load(&w[i].0[lane..]);
                let gradient = s.mul(s.load(&g[i].0[lane..]), s.splat(adjust.scale));
                // This order of the operands propagates NaN.
                let gradient = s.min(clip, s.max(negative, gradient));
                let gradient = s.mul_add(s.splat(adjust.l2), weight, gradient);
                let gradient = s.mul_add(s.splat(adjust.l1), sign(s, weight), gradient);
                let weight = s.mul(weight, s.splat(adjust.decay_factor));
                let mut state = [gradient; 2];
                for (value, slot) in state.iter_mut().zip(&slots).take(R::SLOTS) {
                    *value = s.load(&slot[i].0[lane..]);
                }
                s.store(rule.update(s, weight, gradient, &mut state), &mut w[i].0[lane..]);
                for (value, slot) in state.into_iter().zip(&mut slots).take(R::SLOTS) {
                    s.store(value, &mut slot[i].0[lane..]);
                }
            }
            if adjust.reset {
                g[i] = Line::ZERO;
            }
        }
    }
}

/// The smallest sum of squares that is accurate in f32: terms below 2⁻¹²⁶ are rounded to multiples of
/// 2⁻¹⁴⁹. Smaller and overflowing sums are computed in f64, whose range holds the squares of all f32.
const MIN_SQUARES: f64 = 1.0 / (1u128 << 100) as f64;

/// The sum of the squares of a block: an f32 chain per lane and panel, then f64 in order, so its bits do
/// not depend on the level or the number of threads. `lanes(p)` is the number of lanes of panel p
/// without padding.
pub(crate) fn sum_of_squares(m: Panels, lanes: impl Fn(usize) -> usize) -> f64 {
    let mut total = 0.0;
    for p in 0..m.n_panels() {
        let sums = column_squares(m.panel(p));
        total += sums[..lanes(p)].iter().map(|&x| f64::from(x)).sum::<f64>();
    }
    if (MIN_SQUARES..f64::INFINITY).contains(&total) {
        return total;
    }
    let mut total = 0.0;
    for p in 0..m.n_panels() {
        for lane in 0..lanes(p) {
            total += exact_squares(m.panel(p), lane);
        }
    }
    total
}

/// The factor of each column of a panel with which its norm is at most `limit`.
pub(crate) fn limiting_scales(lines: &[Line], limit: f32) -> [f32; LINE] {
    let squares = column_squares(lines);
    // Squares that are too small for f32 matter only if the limit is small too.
    let is_small = f64::from(limit).powi(2) < 4.0 * MIN_SQUARES;
    std::array::from_fn(|lane| {
        let square = squares[lane];
        if square.is_finite() && (!is_small || f64::from(square) >= MIN_SQUARES) {
            let norm = square.sqrt();
            return if norm > limit { limit / norm } else { 1.0 };
        }
        let norm = exact_squares(lines, lane).sqrt();
        (f64::from(limit) / norm).min(1.0) as f32
    })
}

/// The sum of the squares of a column of a panel, in f64.
fn exact_squares(lines: &[Line], lane: usize) -> f64 {
    lines.iter().map(|line| f64::from(line.0[lane]).powi(2)).sum()
}

/// The sum of the squares of each column of a panel.
fn column_squares(lines: &[Line]) -> [f32; LINE] {
    let mut sums = [0.0; LINE];
    for line in lines {
        sums.iter_mut().zip(line.0).for_each(|(sum, x)| *sum += x * x);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns with norms 5·10ᵏ, whose squares overflow or vanish in f32 where k is far from 0.
    #[test]
    fn norms_of_any_size() {
        for k in [-40, -30, -20, -10, 0, 10, 18, 25, 37] {
            let size = 10f64.powi(k);
            let values = [3.0, -4.0].map(|x| Line([(x * size) as f32; LINE]));
            let norm = values.iter().map(|l| f64::from(l.0[0]).powi(2)).sum::<f64>().sqrt();
            for limit in [0.1 * norm, norm * 0.999, norm * 1.001, 1.0] {
                let limit = limit as f32;
                if limit < f32::MIN_POSITIVE {
                    continue;
                }
                let want = (f64::from(limit) / norm).min(1.0);
                for got in limiting_scales(&values, limit) {
                    assert!((f64::from(got) - want).abs() <= 1e-6 * want, "{k}: {got}, not {want}");
                }
            }
            let m = Panels::new(&values, 2, LINE, 2);
            let (got, want) = (sum_of_squares(m, |_| 3).sqrt(), 3f64.sqrt() * norm);
            assert!((got - want).abs() <= 1e-6 * want, "{k}: {got}, not {want}");
        }
        let nan = [Line([f32::NAN; LINE])];
        assert!(limiting_scales(&nan, 1.0).iter().all(|scale| scale.is_nan() || *scale == 1.0));
    }
}
