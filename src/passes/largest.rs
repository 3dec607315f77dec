//! The largest |x| of a block. From it a step knows before the update whether a value can overflow.

use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};
use crate::storage::{Panels, lanes, magnitude};

/// The largest |x| of `x` without its padding; infinity if a value is infinite or NaN. The columns are
/// groups of `n` columns, each padded to whole panels: one group per unit of maxout, else one group.
pub(crate) fn largest(level: Level, x: Panels, n: usize) -> f32 {
    dispatch(level, Largest { x, n })
}

struct Largest<'a> {
    x: Panels<'a>,
    n: usize,
}

/// Lines that are processed together: independent chains hide the latency of a maximum.
const SIDE_BY_SIDE: usize = 4;

impl Kernel for Largest<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut all = Line::ZERO;
        for lane in (0..LINE).step_by(S::LANES) {
            let mut tops = [s.int_splat(0); SIDE_BY_SIDE];
            for p in 0..self.x.n_panels() {
                let lanes = lanes(self.n, p);
                if lanes == LINE {
                    tops = maxima(s, self.x.panel(p), lane, tops);
                } else if lane < lanes {
                    let tops = maxima(s, self.x.panel(p), lane, [s.int_splat(0); SIDE_BY_SIDE]);
                    let mut line = Line::ZERO;
                    s.store(joined(s, tops), &mut line.0[lane..]);
                    line.0[lanes..].fill(0.0);
                    all.0[lane] = all.0[lane].max(line.largest());
                }
            }
            let others = s.to_bits(s.load(&all.0[lane..]));
            let tops = s.int_max(others, s.to_bits(joined(s, tops)));
            s.store(s.from_bits(tops), &mut all.0[lane..]);
        }
        all.largest()
    }
}

/// The maxima of `tops` and of the bits of |x| of the lines, from a lane on.
#[inline(always)]
fn maxima<S: Simd>(
    s: S,
    lines: &[Line],
    lane: usize,
    mut tops: [S::I; SIDE_BY_SIDE],
) -> [S::I; SIDE_BY_SIDE] {
    let (groups, rest) = lines.as_chunks::<SIDE_BY_SIDE>();
    let mut scan = |i: usize, line: &Line| {
        tops[i] = s.int_max(tops[i], magnitude(s, s.load(&line.0[lane..])));
    };
    for group in groups {
        group.iter().enumerate().for_each(|(i, line)| scan(i, line));
    }
    rest.iter().enumerate().for_each(|(i, line)| scan(i, line));
    tops
}

#[inline(always)]
fn joined<S: Simd>(s: S, tops: [S::I; SIDE_BY_SIDE]) -> S::V {
    s.from_bits(tops.into_iter().fold(s.int_splat(0), |all, top| s.int_max(all, top)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{MatRef, Matrix, PanelMatrix};

    #[test]
    fn every_value_counts_and_no_padding() {
        for (rows, cols) in [(1, 1), (3, 7), (4, 16), (9, 40), (21, 49)] {
            let values = (0..rows * cols).map(|i| if i % 2 == 0 { 0.5 } else { -0.25 });
            let values = Matrix::from_vec(rows, cols, values.collect()).unwrap();
            for level in Level::available() {
                for place in 0..rows * cols {
                    for (value, want) in
                        [(-3.0, 3.0), (f32::NAN, f32::INFINITY), (f32::NEG_INFINITY, f32::INFINITY)]
                    {
                        let mut values = values.as_slice().to_vec();
                        values[place] = value;
                        let view = MatRef::new(&values, rows, cols).unwrap();
                        let m = PanelMatrix::from_rows(view).unwrap();
                        let got = largest(level, m.view(), cols);
                        assert_eq!(got, want, "{rows} x {cols}: {place}");
                    }
                }
                let mut m = PanelMatrix::from_rows(values.view()).unwrap();
                let mut view = m.view_mut();
                let last = view.n_panels() - 1;
                for line in view.panel_mut(last) {
                    line.0[lanes(cols, last)..].fill(f32::NAN);
                }
                assert_eq!(largest(level, m.view(), cols), 0.5);
            }
        }
        // Two units of 3 neurons: lanes 3 to 15 of both panels are padding.
        let mut m = PanelMatrix::zeros(2, 32).unwrap();
        let mut view = m.view_mut();
        for p in 0..2 {
            view.panel_mut(p).iter_mut().for_each(|line| line.0[3..].fill(f32::NAN));
        }
        view.panel_mut(1)[1].0[2] = -7.0;
        assert_eq!(largest(Level::best(), m.view(), 3), 7.0);
        assert_eq!(largest(Level::best(), m.view(), 32), f32::INFINITY);
    }
}
