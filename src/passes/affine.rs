//! A scale and a shift per column: y = γ ⊙ x + β.
//!
//! Backward, with g = ∂L/∂y: ∂L/∂x = γ ⊙ g, and the gradients of γ and β are the column sums of g ⊙ x
//! and g.

use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use crate::storage::{Panels, PanelsMut};

/// The parameters of a layer, one line per panel.
#[derive(Clone, Copy)]
pub(crate) struct Affine<'a> {
    pub(crate) gamma: &'a [Line],
    pub(crate) beta: &'a [Line],
}

impl Affine<'_> {
    /// y = γ ⊙ x + β
    pub(crate) fn forward(self, level: Level, x: Panels, mut y: PanelsMut) {
        assert!(x.rows == y.rows && x.cols == y.cols);
        for p in 0..x.n_panels() {
            let (gamma, beta) = (&self.gamma[p], &self.beta[p]);
            dispatch(level, Scale { x: x.panel(p), gamma, beta, y: y.panel_mut(p) });
        }
    }

    /// `gx` = g ⊙ x, whose column sums are the gradient of γ.
    pub(crate) fn backward(level: Level, x: Panels, g: Panels, mut gx: PanelsMut) {
        assert!(x.rows == g.rows && x.cols == g.cols && gx.rows == g.rows && gx.cols == g.cols);
        for p in 0..g.n_panels() {
            dispatch(level, Multiply { x: x.panel(p), g: g.panel(p), gx: gx.panel_mut(p) });
        }
    }

    /// `dx` = γ ⊙ g
    pub(crate) fn backward_input(self, level: Level, g: Panels, mut dx: PanelsMut) {
        assert!(g.rows == dx.rows && g.cols == dx.cols);
        for p in 0..g.n_panels() {
            let (gamma, beta) = (&self.gamma[p], &Line::ZERO);
            dispatch(level, Scale { x: g.panel(p), gamma, beta, y: dx.panel_mut(p) });
        }
    }
}

/// y = γ ⊙ x + β for one panel, each product and sum in one rounding.
struct Scale<'a> {
    x: &'a [Line],
    gamma: &'a Line,
    beta: &'a Line,
    y: &'a mut [Line],
}

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for lane in (0..LINE).step_by(S::LANES) {
            let (gamma, beta) = (s.load(&self.gamma.0[lane..]), s.load(&self.beta.0[lane..]));
            for (x, y) in self.x.iter().zip(&mut *self.y) {
                s.store(s.mul_add(s.load(&x.0[lane..]), gamma, beta), &mut y.0[lane..]);
            }
        }
    }
}

/// gx = g ⊙ x for one panel.
struct Multiply<'a> {
    x: &'a [Line],
    g: &'a [Line],
    gx: &'a mut [Line],
}

impl Kernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for ((x, g), gx) in self.x.iter().zip(self.g).zip(self.gx) {
            for lane in (0..LINE).step_by(S::LANES) {
                s.store(s.mul(s.load(&g.0[lane..]), s.load(&x.0[lane..])), &mut gx.0[lane..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::PanelMatrix;

    /// 17 columns: one beyond a panel. Every product and sum is exact in f64 and rounded once.
    #[test]
    fn values_are_those_of_the_formulas() {
        let (rows, cols) = (3, 17);
        let value = |i: usize| ((i * 37 + 11) % 101) as f32 / 64.0 - 0.75;
        let fill = |from: usize| {
            let mut m = PanelMatrix::zeros(rows, cols).unwrap();
            for (r, c) in (0..rows).flat_map(|r| (0..cols).map(move |c| (r, c))) {
                *m.at_mut(r, c) = value(from + r * cols + c);
            }
            m
        };
        let vector =
            |from: usize| [0, LINE].map(|p| Line(std::array::from_fn(|l| value(from + p + l))));
        let (x, g, gamma, beta) = (fill(0), fill(200), vector(400), vector(500));
        let affine = Affine { gamma: &gamma, beta: &beta };
        for level in Level::available() {
            let [mut y, mut gx, mut dx] = [fill(300), fill(300), fill(300)];
            affine.forward(level, x.view(), y.view_mut());
            Affine::backward(level, x.view(), g.view(), gx.view_mut());
            affine.backward_input(level, g.view(), dx.view_mut());
            for (r, c) in (0..rows).flat_map(|r| (0..cols).map(move |c| (r, c))) {
                let [x, g] = [&x, &g].map(|m| f64::from(m.at(r, c)));
                let [gamma, beta] = [&gamma, &beta].map(|v| f64::from(v[c / LINE].0[c % LINE]));
                assert_eq!(y.at(r, c), (x * gamma + beta) as f32);
                assert_eq!(gx.at(r, c), (g * x) as f32);
                assert_eq!(dx.at(r, c), (g * gamma) as f32);
            }
        }
    }
}
