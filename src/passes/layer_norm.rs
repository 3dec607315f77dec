//! Layer normalisation (Ba, Kiros and Hinton 2016) of each row: with μ and v the mean and variance
//! of the row's n values, x̂ = (z − μ) r, r = 1/√(v + ε), y = γ ⊙ x̂ + β.
//!
//! Backward, with g = ∂L/∂y and h = γ ⊙ g: ∂L/∂z = r (h − mean(h) − x̂ mean(h ⊙ x̂)), and the
//! gradients of γ and β are the column sums of g ⊙ x̂ and g.
//!
//! Sums run in sixteen chains and one tree at every level, so all levels give the same bits.

use super::EPSILON;
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use crate::storage::{Panels, PanelsMut, lanes};

/// The parameters of a layer, one line per panel.
#[derive(Clone, Copy)]
pub(crate) struct LayerNorm<'a> {
    pub(crate) gamma: &'a [Line],
    pub(crate) beta: &'a [Line],
}

impl LayerNorm<'_> {
    /// Replaces z by x̂, fills `y`, and stores each row's r in the first lane of its line of `scales`.
    pub(crate) fn forward(self, level: Level, z: PanelsMut, y: PanelsMut, scales: &mut [Line]) {
        assert!(z.rows == y.rows && z.cols == y.cols && scales.len() == z.rows);
        dispatch(level, Forward { norm: self, z, y, scales });
    }

    /// Fills `d` with ∂L/∂z, and replaces x̂ (`normal`) by g ⊙ x̂, whose column sums are the gradient of
    /// γ.
    pub(crate) fn backward(
        self,
        level: Level,
        g: Panels,
        normal: PanelsMut,
        d: PanelsMut,
        scales: &[Line],
    ) {
        assert!(g.rows == d.rows && g.cols == d.cols && scales.len() == d.rows);
        assert!(normal.rows == d.rows && normal.cols == d.cols);
        dispatch(level, Backward { norm: self, g, normal, d, scales });
    }
}

struct Forward<'a> {
    norm: LayerNorm<'a>,
    z: PanelsMut<'a>,
    y: PanelsMut<'a>,
    scales: &'a mut [Line],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Forward { norm, mut z, mut y, scales } = self;
        let (n, cols, panels) = (z.cols as f32, z.cols, z.n_panels());
        for (r, scale) in scales.iter_mut().enumerate() {
            let mut sums = [0.0; LINE];
            for p in 0..panels {
                let line = &mut z.panel_mut(p)[r].0;
                line[lanes(cols, p)..].fill(0.0);
                for i in (0..LINE).step_by(S::LANES) {
                    s.store(s.add(s.load(&sums[i..]), s.load(&line[i..])), &mut sums[i..]);
                }
            }
            let mean = s.splat(s.sum_line(&sums) / n);
            let mut squares = [0.0; LINE];
            for p in 0..panels {
                let line = &mut z.panel_mut(p)[r].0;
                for i in (0..LINE).step_by(S::LANES) {
                    s.store(s.sub(s.load(&line[i..]), mean), &mut line[i..]);
                }
                line[lanes(cols, p)..].fill(0.0);
                for i in (0..LINE).step_by(S::LANES) {
                    let e = s.load(&line[i..]);
                    s.store(s.mul_add(e, e, s.load(&squares[i..])), &mut squares[i..]);
                }
            }
            let variance = s.sum_line(&squares) / n;
            scale.0[0] = match variance.is_finite() {
                true => 1.0 / (variance + EPSILON).sqrt(),
                false => scale_of_large(&mut z, r),
            };
            let scale = s.splat(scale.0[0]);
            for p in 0..panels {
                let (z, y) = (&mut z.panel_mut(p)[r].0, &mut y.panel_mut(p)[r].0);
                for i in (0..LINE).step_by(S::LANES) {
                    let normal = s.mul(s.load(&z[i..]), scale);
                    s.store(normal, &mut z[i..]);
                    let (gamma, beta) = (&norm.gamma[p].0[i..], &norm.beta[p].0[i..]);
                    s.store(s.mul_add(normal, s.load(gamma), s.load(beta)), &mut y[i..]);
                }
            }
        }
    }
}

/// r of a row of z − μ above 1.8e19, whose squares overflow in f32.
#[cold]
fn scale_of_large(z: &mut PanelsMut, row: usize) -> f32 {
    let (cols, mut squares) = (z.cols, 0.0);
    for p in 0..z.n_panels() {
        let values = &z.panel_mut(p)[row].0[..lanes(cols, p)];
        squares += values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    }
    (1.0 / (squares / cols as f64 + f64::from(EPSILON)).sqrt()) as f32
}

struct Backward<'a> {
    norm: LayerNorm<'a>,
    g: Panels<'a>,
    normal: PanelsMut<'a>,
    d: PanelsMut<'a>,
    scales: &'a [Line],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Backward { norm, g, mut normal, mut d, scales } = self;
        let (n, cols, panels) = (d.cols as f32, d.cols, d.n_panels());
        for (r, scale) in scales.iter().enumerate() {
            let (mut sums, mut products) = ([0.0; LINE], [0.0; LINE]);
            for p in 0..panels {
                let (g, normal) = (&g.panel(p)[r].0, &normal.panel_mut(p)[r].0);
                let d = &mut d.panel_mut(p)[r].0;
                for i in (0..LINE).step_by(S::LANES) {
                    let h = s.mul(s.load(&g[i..]), s.load(&norm.gamma[p].0[i..]));
                    s.store(h, &mut d[i..]);
                }
                // The padding of x̂ is 0 already.
                d[lanes(cols, p)..].fill(0.0);
                for i in (0..LINE).step_by(S::LANES) {
                    let h = s.load(&d[i..]);
                    s.store(s.add(s.load(&sums[i..]), h), &mut sums[i..]);
                    let product = s.mul_add(h, s.load(&normal[i..]), s.load(&products[i..]));
                    s.store(product, &mut products[i..]);
                }
            }
            let (mean, slope) =
                (s.splat(s.sum_line(&sums) / n), s.splat(s.sum_line(&products) / n));
            let scale = s.splat(scale.0[0]);
            for p in 0..panels {
                let (g, normal) = (&g.panel(p)[r].0, &mut normal.panel_mut(p)[r].0);
                let d = &mut d.panel_mut(p)[r].0;
                for i in (0..LINE).step_by(S::LANES) {
                    let x = s.load(&normal[i..]);
                    let h = s.neg_mul_add(x, slope, s.sub(s.load(&d[i..]), mean));
                    s.store(s.mul(h, scale), &mut d[i..]);
                    s.store(s.mul(s.load(&g[i..]), x), &mut normal[i..]);
                }
                // Keeps the padding of the weights at 0, which avoids slow special values.
                d[lanes(cols, p)..].fill(0.0);
            }
        }
    }
}
