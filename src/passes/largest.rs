//! The largest |x| of a block, from which a step knows before its update that nothing overflows.

use crate::gemm::{Panels, lanes};
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};

/// The largest |x| of the columns of `x`; infinity where a value is not finite. The columns are
/// groups of `n`, each padded to whole panels, as the pieces of maxout are (one group where `n` is
/// all columns); what stands in the padding does not count.
pub(crate) fn largest(level: Level, x: Panels, n: usize) -> f32 {
    let mut all = 0.0f32;
    for p in 0..x.n_panels() {
        let tops = dispatch(level, Largest(x.panel(p)));
        all = tops.0[..lanes(n, p)].iter().fold(all, |all, x| all.max(*x));
    }
    all
}

struct Largest<'a>(&'a [Line]);

/// Lines side by side: as many chains hide the latency of a maximum.
const SIDE_BY_SIDE: usize = 4;

impl Kernel for Largest<'_> {
    type Output = Line;

    /// The largest |x| of each lane.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Line {
        let (mut out, zero) = (Line::ZERO, s.splat(0.0));
        for lane in (0..LINE).step_by(S::LANES) {
            // 0 times each value is added up: NaN for good once one of them is not finite.
            let (mut tops, mut odd) = ([zero; SIDE_BY_SIDE], [zero; SIDE_BY_SIDE]);
            let mut look = |i: usize, line: &Line| {
                let x = s.abs(s.load(&line.0[lane..]));
                tops[i] = s.max(tops[i], x);
                odd[i] = s.mul_add(x, zero, odd[i]);
            };
            let (groups, rest) = self.0.as_chunks::<SIDE_BY_SIDE>();
            for group in groups {
                group.iter().enumerate().for_each(|(i, line)| look(i, line));
            }
            rest.iter().for_each(|line| look(0, line));
            let top = tops.into_iter().fold(zero, |all, top| s.max(all, top));
            let odd = odd.into_iter().fold(zero, |all, odd| s.add(all, odd));
            s.store(s.select(s.is_nan(odd), s.splat(f32::INFINITY), top), &mut out.0[lane..]);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::PanelMatrix;
    use crate::{MatRef, Matrix};

    #[test]
    fn every_place_is_looked_at_and_no_padding() {
        for (rows, cols) in [(1, 1), (3, 7), (4, 16), (9, 40), (21, 49)] {
            let values = (0..rows * cols).map(|i| if i % 2 == 0 { 0.5 } else { -0.25 });
            let values = Matrix::from_vec(rows, cols, values.collect()).unwrap();
            for level in Level::available() {
                for place in 0..rows * cols {
                    for (odd, want) in
                        [(-3.0, 3.0), (f32::NAN, f32::INFINITY), (f32::NEG_INFINITY, f32::INFINITY)]
                    {
                        let mut values = values.as_slice().to_vec();
                        values[place] = odd;
                        let view = MatRef::new(&values, rows, cols).unwrap();
                        let m = PanelMatrix::from_rows(view).unwrap();
                        assert_eq!(
                            largest(level, m.view(), cols),
                            want,
                            "{rows} x {cols}: {place}"
                        );
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
        // Two pieces of 3 units each: lanes 3 to 15 of both panels are padding.
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
