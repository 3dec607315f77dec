//! Maxout (Goodfellow et al. 2013): a unit is the largest of its k pieces, a_j = max_k z_jk.
//! Backward, the piece that won takes the unit's delta.
//!
//! The pieces of a unit are as far apart as a whole number of panels, so that the maximum is taken
//! lane by lane. The first of equal pieces wins; NaN wins over everything.

use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use crate::storage::{Panels, PanelsMut, lanes};

/// out = the largest piece. z: rows x (pieces · padded n), out: rows x n.
pub(crate) fn maxout(level: Level, z: Panels, mut out: PanelsMut) {
    let panels = out.n_panels();
    check(&z, out.rows, panels);
    for p in 0..panels {
        let pieces = pieces(&z, p, panels);
        dispatch(level, Forward { pieces, out: out.panel_mut(p) });
    }
}

/// d = the unit's delta for the piece that won, 0 for the others and between the pieces. z and d:
/// rows x (pieces · padded n), delta: rows x n.
pub(crate) fn maxout_backward(level: Level, z: Panels, delta: Panels, d: PanelsMut) {
    let panels = delta.n_panels();
    check(&z, delta.rows, panels);
    assert!(d.rows == z.rows && d.cols == z.cols);
    dispatch(level, Backward { z, panels, delta, d });
}

fn check(z: &Panels, rows: usize, panels: usize) {
    assert!(z.rows == rows && z.cols.is_multiple_of(LINE) && z.n_panels().is_multiple_of(panels));
}

/// The pieces of the units of a panel.
fn pieces<'a>(z: &Panels<'a>, panel: usize, panels: usize) -> Pieces<'a> {
    Pieces { z: *z, panel, panels }
}

#[derive(Clone, Copy)]
struct Pieces<'a> {
    z: Panels<'a>,
    panel: usize,
    panels: usize,
}

impl Pieces<'_> {
    /// The largest piece and its number, from a lane of a row on.
    #[inline(always)]
    fn best<S: Simd>(&self, s: S, row: usize, lane: usize) -> (S::V, S::V) {
        let piece = |k: usize| s.load(&self.z.panel(self.panel + k * self.panels)[row].0[lane..]);
        let (mut best, mut winner) = (piece(0), s.splat(0.0));
        for k in 1..self.z.n_panels() / self.panels {
            let z = piece(k);
            // A NaN that was found stays; a comparison with a new one is false, so it comes in.
            let stay = s.le(z, best);
            let old = (s.select(stay, best, z), s.select(stay, winner, s.splat(k as f32)));
            let found = s.is_nan(best);
            best = s.select(found, best, old.0);
            winner = s.select(found, winner, old.1);
        }
        (best, winner)
    }
}

struct Forward<'a> {
    pieces: Pieces<'a>,
    out: &'a mut [Line],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (row, line) in self.out.iter_mut().enumerate() {
            for lane in (0..LINE).step_by(S::LANES) {
                s.store(self.pieces.best(s, row, lane).0, &mut line.0[lane..]);
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
            let pieces = pieces(&self.z, p, self.panels);
            let lanes = lanes(self.delta.cols, p);
            for (row, line) in self.delta.panel(p).iter().enumerate() {
                let mut delta = Line::ZERO;
                delta.0[..lanes].copy_from_slice(&line.0[..lanes]);
                for lane in (0..LINE).step_by(S::LANES) {
                    let (_, winner) = pieces.best(s, row, lane);
                    let delta = s.load(&delta.0[lane..]);
                    for k in 0..self.z.n_panels() / self.panels {
                        let piece = s.splat(k as f32);
                        let d = s.select(s.le(winner, piece), delta, none);
                        let d = s.select(s.le(piece, winner), d, none);
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
    use crate::storage::{MatRef, Matrix, PanelMatrix};

    /// Two units in panels of 16, three pieces.
    #[test]
    fn the_first_of_the_largest_wins_and_nan_before_all() {
        let rows = [[1.0, 5.0, 3.0], [7.0, 7.0, 2.0], [f32::NAN, 9.0, 1.0], [0.0, f32::NAN, 4.0]];
        let winners = [1, 0, 0, 1];
        let mut z = vec![0.0; 4 * 3 * LINE];
        for (r, pieces) in rows.iter().enumerate() {
            for (k, value) in pieces.iter().enumerate() {
                z[r * 3 * LINE + k * LINE] = *value;
                z[r * 3 * LINE + k * LINE + 1] = -value;
            }
        }
        let z = PanelMatrix::from_rows(MatRef::new(&z, 4, 3 * LINE).unwrap()).unwrap();
        let delta = Matrix::from_vec(4, 2, (1..9).map(|i| i as f32).collect()).unwrap();
        let delta = PanelMatrix::from_rows(delta.view()).unwrap();
        for level in Level::available() {
            let mut out = PanelMatrix::zeros(4, 2).unwrap();
            maxout(level, z.view(), out.view_mut());
            let out = out.to_rows();
            assert_eq!((out.row(0), out.row(1)), (&[5.0, -1.0][..], &[7.0, -2.0][..]));
            assert!(out.row(2)[0].is_nan() && out.row(3)[0].is_nan());
            let mut d = PanelMatrix::zeros(4, 3 * LINE).unwrap();
            maxout_backward(level, z.view(), delta.view(), d.view_mut());
            for (r, &winner) in winners.iter().enumerate() {
                for k in 0..3 {
                    let want = if k == winner { (2 * r + 1) as f32 } else { 0.0 };
                    assert_eq!(d.to_rows().row(r)[k * LINE], want, "row {r}, piece {k}");
                }
            }
        }
    }

    /// Every triple of special values, as many units as make a panel and a half, padding NaN.
    #[test]
    fn maxout_is_that_of_the_reference() {
        use crate::reference::{Activation, activation_backward, activation_forward};
        let values = [0.0, -0.0, 1.0, -1.0, f32::MIN_POSITIVE, f32::MAX, f32::NAN];
        let (maxout, units) = (Activation::Maxout { units: 3 }, 24);
        let triples = 7usize.pow(3);
        let rows = triples.div_ceil(units);
        let piece = |unit: usize, k: usize| values[unit % triples / 7usize.pow(k as u32) % 7];
        let side_by_side: Vec<f32> = (0..rows * units * 3).map(|i| piece(i / 3, i % 3)).collect();
        let da: Vec<f32> = (0..rows * units).map(|i| i as f32 + 1.0).collect();
        let want = activation_forward(maxout, &side_by_side, 3 * units);
        let want_d = activation_backward(maxout, &da, &side_by_side, 3 * units);
        let mut z = vec![f32::NAN; rows * 3 * 2 * LINE];
        let place = |row: usize, unit: usize, k: usize| (row * 3 + k) * 2 * LINE + unit;
        for (i, value) in side_by_side.iter().enumerate() {
            z[place(i / 3 / units, i / 3 % units, i % 3)] = *value;
        }
        let z = PanelMatrix::from_rows(MatRef::new(&z, rows, 6 * LINE).unwrap()).unwrap();
        let mut delta = PanelMatrix::from_rows(MatRef::new(&da, rows, units).unwrap()).unwrap();
        for line in delta.view_mut().panel_mut(1) {
            line.0[units - LINE..].fill(f32::NAN);
        }
        for level in Level::available() {
            let mut out = PanelMatrix::zeros(rows, units).unwrap();
            maxout_forward_and_backward(level, [&z, &delta], &mut out, |d| {
                for (i, want) in want_d.iter().enumerate() {
                    let got = d.as_slice()[place(i / 3 / units, i / 3 % units, i % 3)];
                    assert_eq!(got, *want, "{} unit {}", level.name(), i / 3);
                }
                let between = |i: usize| i % (2 * LINE) >= units;
                assert!(
                    (0..d.as_slice().len()).filter(|&i| between(i)).all(|i| d.as_slice()[i] == 0.0)
                );
            });
            for (got, want) in out.to_rows().as_slice().iter().zip(&want) {
                assert!(got == want || got.is_nan() && want.is_nan());
            }
        }
    }

    fn maxout_forward_and_backward(
        level: Level,
        [z, delta]: [&PanelMatrix; 2],
        out: &mut PanelMatrix,
        check: impl Fn(Matrix),
    ) {
        maxout(level, z.view(), out.view_mut());
        let mut d = PanelMatrix::zeros(z.rows(), z.cols()).unwrap();
        maxout_backward(level, z.view(), delta.view(), d.view_mut());
        check(d.to_rows());
    }
}
