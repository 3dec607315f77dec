//! Batch normalisation (Ioffe and Szegedy 2015) of each column: with μ and v the mean and variance
//! over the m rows of the batch, x̂ = (z − μ) r, r = 1/√(v + ε), y = γ ⊙ x̂ + β.
//!
//! Backward, with g = ∂L/∂y: ∂L/∂z = γ r (g − mean(g) − x̂ mean(g ⊙ x̂)), and the gradients of γ
//! and β are the column sums of g ⊙ x̂ and g.
//!
//! Both directions need sums over the whole batch first ([`Moments`]). They run over all rows in order,
//! in blocks of 256 rows, so the bits do not depend on how the batch is split over threads.

use super::EPSILON;
use crate::gemm::K_BLOCK;
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use crate::storage::{Panels, PanelsMut};

/// The largest error of x̂ that an inexact mean may cause: 6e-5, a thousand roundings of an x̂ of
/// about 1.
const MAX_ERROR: f32 = 1.0 / 16384.0;

/// Moments of the columns of a panel over the batch.
pub(crate) struct Moments;

impl Moments {
    /// Mean and variance of each column.
    ///
    /// The rounding of a sum of many large values can exceed their differences. So the second pass
    /// measures the error of the mean. In columns where it would change x̂ by more than [`MAX_ERROR`],
    /// the mean is corrected and the variance is computed around the corrected mean.
    pub(crate) fn of(level: Level, rows: &[Line]) -> [Line; 2] {
        let around = |mean| Sums { a: rows, b: rows, mean }.means(level);
        let [mut mean, _] = around(Line::ZERO);
        let [error, mut variance] = around(mean);
        let is_inexact = |lane: usize| {
            let limit = f64::from(MAX_ERROR).powi(2) * f64::from(variance.0[lane] + EPSILON);
            f64::from(error.0[lane]).powi(2) > limit
        };
        let inexact: [bool; LINE] = std::array::from_fn(is_inexact);
        if inexact.contains(&true) {
            let corrected = Line(std::array::from_fn(|i| mean.0[i] + error.0[i]));
            let [_, around_corrected] = around(corrected);
            for lane in (0..LINE).filter(|lane| inexact[*lane]) {
                mean.0[lane] = corrected.0[lane];
                variance.0[lane] = around_corrected.0[lane];
            }
        }
        [mean, variance]
    }

    /// Means of g and of g ⊙ x̂.
    pub(crate) fn of_deltas(level: Level, g: &[Line], normal: &[Line]) -> [Line; 2] {
        Sums { a: g, b: normal, mean: Line::ZERO }.means(level)
    }
}

/// Σ (a − mean) and Σ (a − mean)(b − mean) per column.
struct Sums<'a> {
    a: &'a [Line],
    b: &'a [Line],
    mean: Line,
}

impl Sums<'_> {
    /// The sums divided by the number of rows.
    fn means(self, level: Level) -> [Line; 2] {
        let m = self.a.len() as f32;
        dispatch(level, self).map(|line| Line(line.0.map(|x| x / m)))
    }
}

impl Kernel for Sums<'_> {
    type Output = [Line; 2];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [Line; 2] {
        let mut totals = [Line::ZERO; 2];
        for lane in (0..LINE).step_by(S::LANES) {
            let mean = s.load(&self.mean.0[lane..]);
            let mut total = [s.splat(0.0); 2];
            for (a, b) in self.a.chunks(K_BLOCK).zip(self.b.chunks(K_BLOCK)) {
                let mut sum = [s.splat(0.0); 2];
                for (a, b) in a.iter().zip(b) {
                    let a = s.sub(s.load(&a.0[lane..]), mean);
                    let b = s.sub(s.load(&b.0[lane..]), mean);
                    sum = [s.add(sum[0], a), s.mul_add(a, b, sum[1])];
                }
                total = [s.add(total[0], sum[0]), s.add(total[1], sum[1])];
            }
            for (total, out) in total.into_iter().zip(&mut totals) {
                s.store(total, &mut out.0[lane..]);
            }
        }
        totals
    }
}

/// The parameters and the statistics of a layer, one line per panel.
#[derive(Clone, Copy)]
pub(crate) struct BatchNorm<'a> {
    pub(crate) gamma: &'a [Line],
    pub(crate) beta: &'a [Line],
    pub(crate) mean: &'a [Line],
    pub(crate) variance: &'a [Line],
}

impl BatchNorm<'_> {
    /// r of a panel.
    fn scale(&self, p: usize) -> Line {
        Line(self.variance[p].0.map(|v| 1.0 / (v + EPSILON).sqrt()))
    }

    /// Replaces z by x̂, and fills `y`.
    pub(crate) fn forward(self, level: Level, mut z: PanelsMut, mut y: PanelsMut) {
        assert!(z.rows == y.rows && z.cols == y.cols);
        for p in 0..z.n_panels() {
            let (z, y) = (z.panel_mut(p), y.panel_mut(p));
            let lines = [self.mean[p], self.scale(p), self.gamma[p], self.beta[p]];
            dispatch(level, Forward { lines, z, y });
        }
    }

    /// Fills `d` with ∂L/∂z, and replaces x̂ (`normal`) by g ⊙ x̂, whose column sums are the gradient of
    /// γ. `means` are those of [`Moments::of_deltas`] over the batch, one line per panel.
    pub(crate) fn backward(
        self,
        level: Level,
        g: Panels,
        mut normal: PanelsMut,
        mut d: PanelsMut,
        means: [&[Line]; 2],
    ) {
        assert!(g.rows == d.rows && g.cols == d.cols);
        assert!(normal.rows == d.rows && normal.cols == d.cols);
        assert!(means.iter().all(|lines| lines.len() == d.n_panels()));
        for (p, (mean, product)) in means[0].iter().zip(means[1]).enumerate() {
            let scale = self.scale(p);
            let factor = Line(std::array::from_fn(|i| self.gamma[p].0[i] * scale.0[i]));
            let lines = [factor, *mean, *product];
            let (normal, d) = (normal.panel_mut(p), d.panel_mut(p));
            dispatch(level, Backward { lines, g: g.panel(p), normal, d });
        }
    }
}

struct Forward<'a> {
    /// μ, r, γ, β
    lines: [Line; 4],
    z: &'a mut [Line],
    y: &'a mut [Line],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for lane in (0..LINE).step_by(S::LANES) {
            let [mean, scale, gamma, beta] = [0, 1, 2, 3].map(|i| s.load(&self.lines[i].0[lane..]));
            for (z, y) in self.z.iter_mut().zip(&mut *self.y) {
                let normal = s.mul(s.sub(s.load(&z.0[lane..]), mean), scale);
                s.store(normal, &mut z.0[lane..]);
                s.store(s.mul_add(normal, gamma, beta), &mut y.0[lane..]);
            }
        }
    }
}

struct Backward<'a> {
    /// γ r, mean(g), mean(g ⊙ x̂)
    lines: [Line; 3],
    g: &'a [Line],
    normal: &'a mut [Line],
    d: &'a mut [Line],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for lane in (0..LINE).step_by(S::LANES) {
            let [factor, mean, slope] = [0, 1, 2].map(|i| s.load(&self.lines[i].0[lane..]));
            for ((g, normal), d) in self.g.iter().zip(&mut *self.normal).zip(&mut *self.d) {
                let (g, x) = (s.load(&g.0[lane..]), s.load(&normal.0[lane..]));
                let rest = s.neg_mul_add(x, slope, s.sub(g, mean));
                s.store(s.mul(factor, rest), &mut d.0[lane..]);
                s.store(s.mul(g, x), &mut normal.0[lane..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of columns that are constant or nearly constant, against f64.
    #[test]
    fn moments_of_large_values_that_differ_little() {
        for rows in [2usize, 3, 33, 100, 256, 257, 1000] {
            for base in [1000.1f32, -1e6, 16_777_216.0, 3e-3, 1e12] {
                for spread in [0.0f32, 1e-7, 1e-4] {
                    let column = |i: usize| base + base * spread * (i % 7) as f32;
                    let lines: Vec<_> = (0..rows).map(|i| Line([column(i); LINE])).collect();
                    let values = || (0..rows).map(|i| f64::from(column(i)));
                    let mean = values().sum::<f64>() / rows as f64;
                    let variance = values().map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64;
                    let r = 1.0 / (variance + f64::from(EPSILON)).sqrt();
                    for level in Level::available() {
                        let [got, v] = Moments::of(level, &lines).map(|line| f64::from(line.0[5]));
                        // The rounding of the mean itself limits the accuracy of x̂.
                        let rounding = f64::from(base.abs()) * 6e-8;
                        let error = (got - mean).abs();
                        assert!(error <= rounding.max(1e-4 / r), "{rows}, {base}, {spread}: {got}");
                        let limit = 1e-4 * (variance + 1e-5) + rounding * rounding;
                        assert!((v - variance).abs() <= limit, "{rows}, {base}, {spread}: {v}");
                        if spread == 0.0 && base.abs() > 1.0 {
                            assert_eq!((got as f32, v), (base, 0.0), "{rows}, {base}");
                        }
                    }
                }
            }
        }
    }
}
