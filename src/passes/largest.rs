//! The largest |x| of a block, from which a step knows before its update that nothing overflows.

use crate::gemm::{Panels, lanes};
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};

/// The largest |x| of the columns of `x`; infinity where a value is infinite or NaN. The columns are
/// groups of `n`, each padded to whole panels, as the pieces of maxout are (one group where `n` is all
/// columns); what stands in the padding does not count.
pub(crate) fn largest(level: Level, x: Panels, n: usize) -> f32 {
    let tops = dispatch(level, Largest::<true> { x, n });
    tops.0.iter().fold(0.0, |all, top| all.max(*top))
}

/// The same of all columns of `x`, for values whose NaN somebody else will find: it costs half.
pub(crate) fn largest_but_nan(level: Level, x: Panels) -> f32 {
    let tops = dispatch(level, Largest::<false> { n: x.cols, x });
    tops.0.iter().fold(0.0, |all, top| all.max(*top))
}

/// The largest |x| of each lane; NAN: NaN counts as infinite.
struct Largest<'a, const NAN: bool> {
    x: Panels<'a>,
    n: usize,
}

/// Lines side by side: as many chains hide the latency of a maximum.
const SIDE_BY_SIDE: usize = 4;

impl<const NAN: bool> Kernel for Largest<'_, NAN> {
    type Output = Line;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Line {
        let mut all = Line::ZERO;
        for lane in (0..LINE).step_by(S::LANES) {
            let mut tops = [s.splat(0.0); SIDE_BY_SIDE];
            for p in 0..self.x.n_panels() {
                let lanes = lanes(self.n, p);
                if lanes == LINE {
                    tops = tops_of::<S, NAN>(s, self.x.panel(p), lane, tops);
                } else if lane < lanes {
                    let tops = tops_of::<S, NAN>(s, self.x.panel(p), lane, [s.splat(0.0); 4]);
                    let mut line = [0.0; LINE];
                    s.store(joined(s, tops), &mut line[lane..]);
                    let used = &line[lane..lanes.min(lane + S::LANES)];
                    all.0[lane] = used.iter().fold(all.0[lane], |all, top| all.max(*top));
                }
            }
            let others = s.load(&all.0[lane..]);
            s.store(s.max(others, joined(s, tops)), &mut all.0[lane..]);
        }
        all
    }
}

/// The largest of `tops` and of |x| of the lines, from a lane on; infinity for good once a value is
/// NaN or infinite, where NAN.
#[inline(always)]
fn tops_of<S: Simd, const NAN: bool>(
    s: S,
    lines: &[Line],
    lane: usize,
    mut tops: [S::V; SIDE_BY_SIDE],
) -> [S::V; SIDE_BY_SIDE] {
    let zero = s.splat(0.0);
    // 0 times each value is added up: NaN once one of them is not finite.
    let mut odd = [zero; SIDE_BY_SIDE];
    let mut look = |i: usize, line: &Line| {
        let x = s.abs(s.load(&line.0[lane..]));
        // In this order a NaN is passed over.
        tops[i] = s.max(x, tops[i]);
        if NAN {
            odd[i] = s.mul_add(x, zero, odd[i]);
        }
    };
    let (groups, rest) = lines.as_chunks::<SIDE_BY_SIDE>();
    for group in groups {
        group.iter().enumerate().for_each(|(i, line)| look(i, line));
    }
    rest.iter().enumerate().for_each(|(i, line)| look(i, line));
    if NAN {
        let odd = odd.into_iter().fold(zero, |all, odd| s.add(all, odd));
        tops[0] = s.select(s.is_nan(odd), s.splat(f32::INFINITY), tops[0]);
    }
    tops
}

#[inline(always)]
fn joined<S: Simd>(s: S, tops: [S::V; SIDE_BY_SIDE]) -> S::V {
    tops.into_iter().fold(s.splat(0.0), |all, top| s.max(all, top))
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
                        let but_nan = largest_but_nan(level, m.view());
                        assert!(but_nan == want || odd.is_nan() && but_nan <= 0.5);
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
