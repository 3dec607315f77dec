//! Whether values are finite.

use super::matrix::MatRef;
use super::panels::Panels;
use super::{PanelMatrix, lanes};
use crate::error::{Error, Result};
use crate::simd::{Kernel, LINE, Level, Line, Simd, dispatch};

/// Whether all values are finite, apart from padding. `m` is matrices of `width` columns side by side, as
/// in [`lanes`]. `skip` says of group g whether the `G` rows from `g * G` on do not matter.
pub(crate) fn is_finite<const G: usize>(
    level: Level,
    m: Panels,
    width: usize,
    skip: impl Fn(usize) -> bool,
) -> bool {
    dispatch(level, IsFinite::<_, G> { m, width, skip })
}

/// The position of the first value that is not finite.
fn first_non_finite(values: &[f32]) -> Option<usize> {
    // Without a branch per value, in blocks that compilers turn into vectors.
    let blocks = values.chunks(BLOCK).position(|block| {
        let others = block.iter().map(|x| u32::from(!x.is_finite()));
        others.fold(0, |all, other| all | other) != 0
    });
    let first = blocks? * BLOCK;
    Some(first + values[first..].iter().position(|x| !x.is_finite())?)
}

/// Values of a block: 4 KiB, a small part of L1.
const BLOCK: usize = 1024;

impl MatRef<'_> {
    /// Checks that all values are finite.
    ///
    /// # Errors
    /// [`Error::Value`] that names the first that is not, as an element of `name`.
    pub(crate) fn check_finite(&self, name: &str) -> Result<()> {
        for r in 0..self.rows() {
            if let Some(c) = first_non_finite(self.row(r)) {
                let place = format!("{name} ({r}, {c})");
                return Err(Error::value(place, "a finite number", self.row(r)[c]));
            }
        }
        Ok(())
    }
}

impl PanelMatrix {
    /// Whether every value is finite.
    pub(crate) fn is_finite(&self) -> bool {
        is_finite::<LINE>(Level::best(), self.view(), self.width(), |_| false)
    }
}

struct IsFinite<'a, F, const G: usize> {
    m: Panels<'a>,
    width: usize,
    skip: F,
}

impl<F: Fn(usize) -> bool, const G: usize> Kernel for IsFinite<'_, F, G> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> bool {
        // Of full panels, and of those with padding, which all have as much of it.
        let [mut full, mut padded] = [[s.splat(0.0); 2]; 2];
        let mut least = LINE;
        for p in 0..self.m.n_panels() {
            let lanes = lanes(self.width, p);
            least = least.min(lanes);
            let sums = if lanes == LINE { &mut full } else { &mut padded };
            for (g, lines) in self.m.panel(p).chunks(G).enumerate() {
                if !(self.skip)(g) {
                    lines.iter().for_each(|line| add(s, line, sums));
                }
            }
        }
        is_zero(s, full, LINE) && is_zero(s, padded, least)
    }
}

/// Adds 0 times each value of a line: the sum is 0 until a value is NaN or infinite, and then NaN.
#[inline(always)]
fn add<S: Simd>(s: S, line: &Line, sums: &mut [S::V; 2]) {
    for (lane, sum) in (0..LINE).step_by(S::LANES).zip(sums) {
        *sum = s.mul_add(s.load(&line.0[lane..]), s.splat(0.0), *sum);
    }
}

/// Whether the sums of the first lanes are 0.
#[inline(always)]
fn is_zero<S: Simd>(s: S, sums: [S::V; 2], lanes: usize) -> bool {
    let mut all = Line::ZERO;
    for (lane, sum) in (0..LINE).step_by(S::LANES).zip(sums) {
        s.store(sum, &mut all.0[lane..]);
    }
    all.0[..lanes].iter().all(|sum| *sum == 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_not_finite() {
        for n in [0, 1, 7, 1023, 1024, 1025, 3000] {
            let mut values = vec![-f32::MAX; n];
            assert_eq!(first_non_finite(&values), None);
            for at in [n.saturating_sub(1), n / 2, 0] {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let Some(value) = values.get_mut(at) else { continue };
                    *value = bad;
                    assert_eq!(first_non_finite(&values), Some(at), "of {n}");
                }
            }
        }
    }
}
