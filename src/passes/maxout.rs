//! Maxout (Goodfellow et al. 2013): a neuron is the largest of its k linear units, a_j = max_k z_jk.
//! Backward, the largest unit gets the neuron's delta.
//!
//! The k-th units of all neurons are side by side, padded to whole panels, so the maximum is taken lane
//! by lane. The first of equal units wins; NaN wins over every number.

use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use crate::storage::{Panels, PanelsMut, lanes};

/// out = the largest unit of each neuron. z: rows x (units · padded n), out: rows x n.
pub(crate) fn maxout(level: Level, z: Panels, mut out: PanelsMut) {
    let panels = out.n_panels();
    check(&z, out.rows, panels);
    for p in 0..panels {
        let units = Units { z, panel: p, panels };
        dispatch(level, Forward { units, out: out.panel_mut(p) });
    }
}

/// d = the neuron's delta for its largest unit, 0 for the others and in the padding. z and d: rows x
/// (units · padded n), delta: rows x n.
pub(crate) fn maxout_backward(level: Level, z: Panels, delta: Panels, d: PanelsMut) {
    let panels = delta.n_panels();
    check(&z, delta.rows, panels);
    assert!(d.rows == z.rows && d.cols == z.cols);
    dispatch(level, Backward { z, panels, delta, d });
}

fn check(z: &Panels, rows: usize, panels: usize) {
    assert!(z.rows == rows && z.cols.is_multiple_of(LINE) && z.n_panels().is_multiple_of(panels));
}

/// The units of the neurons of a panel.
#[derive(Clone, Copy)]
struct Units<'a> {
    z: Panels<'a>,
    /// The panel of the first units.
    panel: usize,
    /// Panels from one unit to the next.
    panels: usize,
}

impl Units<'_> {
    /// The largest unit and its index, from a lane of a row on.
    #[inline(always)]
    fn best<S: Simd>(&self, s: S, row: usize, lane: usize) -> (S::V, S::V) {
        let unit = |k: usize| s.load(&self.z.panel(self.panel + k * self.panels)[row].0[lane..]);
        let (mut best, mut winner) = (unit(0), s.splat(0.0));
        for k in 1..self.z.n_panels() / self.panels {
            let z = unit(k);
            // A comparison with NaN is false: a new NaN replaces `best`, and an old one is kept.
            let not_above = s.le(z, best);
            let larger =
                (s.select(not_above, best, z), s.select(not_above, winner, s.splat(k as f32)));
            let is_nan = s.is_nan(best);
            best = s.select(is_nan, best, larger.0);
            winner = s.select(is_nan, winner, larger.1);
        }
        (best, winner)
    }
}

struct Forward<'a> {
    units: Units<'a>,
    out: &'a mut [Line],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (row, line) in self.out.iter_mut().enumerate() {
            for lane in (0..LINE).step_by(S::LANES) {
                s.store(self.units.best(s, row, lane).0, &mut line.0[lane..]);
            }
        }
    }
}

struct Backward<'a> {
    z: Panels<'a>,
    panels: usize,
    delta: Panels<'a>,
    d: PanelsMut<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let none = s.splat(0.0);
        for p in 0..self.panels {
            let units = Units { z: self.z, panel: p, panels: self.panels };
            let lanes = lanes(self.delta.cols, p);
            for (row, line) in self.delta.panel(p).iter().enumerate() {
                let mut delta = Line::ZERO;
                delta.0[..lanes].copy_from_slice(&line.0[..lanes]);
                for lane in (0..LINE).step_by(S::LANES) {
                    let (_, winner) = units.best(s, row, lane);
                    let delta = s.load(&delta.0[lane..]);
                    for k in 0..self.z.n_panels() / self.panels {
                        let unit = s.splat(k as f32);
                        let d = s.select(s.le(winner, unit), delta, none);
                        let d = s.select(s.le(unit, winner), d, none);
                        let line = &mut self.d.panel_mut(p + k * self.panels)[row].0;
                        s.store(d, &mut line[lane..]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{MatRef, PanelMatrix};

    /// Every triple of special values, in a panel and a half of neurons; padding is NaN.
    #[test]
    fn maxout_is_that_of_the_reference() {
        use crate::reference::{Activation, activation_backward, activation_forward};
        let values = [0.0, -0.0, 1.0, -1.0, f32::MIN_POSITIVE, f32::MAX, f32::NAN];
        let (activation, neurons) = (Activation::Maxout { units: 3 }, 24);
        let triples = 7usize.pow(3);
        let rows = triples.div_ceil(neurons);
        let unit = |neuron: usize, k: usize| values[neuron % triples / 7usize.pow(k as u32) % 7];
        let by_neuron: Vec<f32> = (0..rows * neurons * 3).map(|i| unit(i / 3, i % 3)).collect();
        let da: Vec<f32> = (0..rows * neurons).map(|i| i as f32 + 1.0).collect();
        let want = activation_forward(activation, &by_neuron, 3 * neurons);
        let want_d = activation_backward(activation, &da, &by_neuron, 3 * neurons);
        let mut z = vec![f32::NAN; rows * 3 * 2 * LINE];
        let place = |i: usize| (i / 3 / neurons * 3 + i % 3) * 2 * LINE + i / 3 % neurons;
        for (i, value) in by_neuron.iter().enumerate() {
            z[place(i)] = *value;
        }
        let z = PanelMatrix::from_rows(MatRef::new(&z, rows, 6 * LINE).unwrap()).unwrap();
        let mut delta = PanelMatrix::from_rows(MatRef::new(&da, rows, neurons).unwrap()).unwrap();
        for line in delta.view_mut().panel_mut(1) {
            line.0[neurons - LINE..].fill(f32::NAN);
        }
        for level in Level::available() {
            let mut out = PanelMatrix::zeros(rows, neurons).unwrap();
            maxout(level, z.view(), out.view_mut());
            let mut d = PanelMatrix::zeros(rows, 6 * LINE).unwrap();
            maxout_backward(level, z.view(), delta.view(), d.view_mut());
            let d = d.to_rows().into_vec();
            for (i, want) in want_d.iter().enumerate() {
                assert_eq!(d[place(i)], *want, "{} neuron {}", level.name(), i / 3);
            }
            let is_padding = |i: usize| i % (2 * LINE) >= neurons;
            assert!(d.iter().enumerate().all(|(i, &d)| d == 0.0 || !is_padding(i)));
            for (got, want) in out.to_rows().as_slice().iter().zip(&want) {
                assert!(got == want || got.is_nan() && want.is_nan());
            }
        }
    }
}
