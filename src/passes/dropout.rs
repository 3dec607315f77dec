//! Inverted dropout (Srivastava et al. 2014): in training, each value is set to zero with probability p
//! and else divided by 1 − p; predictions need no scaling.
//!
//! Whether a value is dropped is a function of (seed, step, layer, row, column), which the backward pass
//! computes again. It uses 16 bits of Threefry per value, so p is a multiple of 1/65536.

use crate::math::{Key, threefry, threefry_lanes};
use crate::simd::{Kernel, LINE, Level, Simd, dispatch};
use crate::storage::PanelsMut;

/// Which values of a batch are dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DropoutMask {
    key: Key,
    /// A value is dropped if its 16 bits are below this.
    threshold: u32,
    scale: f32,
}

/// Number of panels per counter: 64 bits are four values.
const PANELS: usize = 4;

impl DropoutMask {
    /// The mask of a layer in a step. Layer 0 is the inputs.
    pub(crate) fn new(rate: f32, seed: u64, step: u64, layer: usize) -> Self {
        let halves = |x: u64| [x as u32, (x >> 32) as u32];
        let of_step = threefry(halves(seed), halves(step));
        let threshold = (rate * 65536.0).round() as u32;
        let scale = (65536.0 / f64::from(65536 - threshold.min(65535))) as f32;
        DropoutMask { key: threefry(of_step, halves(layer as u64)), threshold, scale }
    }

    /// Drops and scales the values of a block whose first row is row `first` of the batch. The backward
    /// pass applies the same function to the deltas.
    pub(crate) fn apply(self, level: Level, first: usize, x: PanelsMut) {
        dispatch(level, Apply { mask: self, first, x });
    }
}

struct Apply<'a> {
    mask: DropoutMask,
    first: usize,
    x: PanelsMut<'a>,
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const LANE: [f32; LINE] =
            [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.];
        let Apply { mask, first, mut x } = self;
        let (threshold, scale) = (s.int_splat(mask.threshold as i32), s.splat(mask.scale));
        let (low, all) = (s.int_splat(0xffff), s.int_splat(-1));
        for group in 0..x.n_panels().div_ceil(PANELS) {
            let panels = PANELS.min(x.n_panels() - group * PANELS);
            for lane in (0..LINE).step_by(S::LANES) {
                let index = s.to_int(s.load(&LANE[lane..]));
                let index = s.int_add(index, s.int_splat((group * LINE) as i32));
                for r in 0..x.rows {
                    let row = s.int_splat((first + r) as i32);
                    let bits = threefry_lanes(s, mask.key, [row, index]);
                    for p in 0..panels {
                        let word = bits[p / 2];
                        let half = if p % 2 == 0 { word } else { s.int_shr(word, 16) };
                        let value = s.int_and(half, low);
                        // All ones below the threshold.
                        let dropped = s.int_shr(s.int_sub(value, threshold), 31);
                        let kept = s.int_xor(dropped, all);
                        let line = &mut x.panel_mut(group * PANELS + p)[r].0[lane..];
                        let v = s.mul(s.load(line), scale);
                        s.store(s.from_bits(s.int_and(s.to_bits(v), kept)), line);
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

    fn masked(level: Level, mask: DropoutMask, first: usize, rows: usize, cols: usize) -> Matrix {
        let ones = vec![1.0; rows * cols];
        let mut m = PanelMatrix::from_rows(MatRef::new(&ones, rows, cols).unwrap()).unwrap();
        mask.apply(level, first, m.view_mut());
        m.to_rows()
    }

    /// The definition, value by value.
    #[test]
    fn each_value_has_its_own_bits() {
        let (rows, cols, rate) = (5, 150, 0.3);
        let mask = DropoutMask::new(rate, 7, 11, 2);
        let key = threefry(threefry([7, 0], [11, 0]), [2, 0]);
        for level in Level::available() {
            let got = masked(level, mask, 3, rows, cols);
            for r in 0..rows {
                for c in 0..cols {
                    let (panel, lane) = (c / LINE, c % LINE);
                    let counter = [3 + r as u32, (panel / 4 * LINE + lane) as u32];
                    let words = threefry(key, counter);
                    let bits = (words[panel % 4 / 2] >> (16 * (panel % 2))) & 0xffff;
                    let dropped = f64::from(bits) < (f64::from(rate) * 65536.0).round();
                    let want = if dropped { 0.0 } else { 1.0 / (1.0 - rate) };
                    assert!((got.row(r)[c] - want).abs() < 1e-4, "{r} {c}");
                }
            }
        }
    }

    #[test]
    fn rates_scales_and_keys() {
        let level = Level::best();
        for rate in [0.1, 0.5, 0.8] {
            let mask = |seed, step, layer| DropoutMask::new(rate, seed, step, layer);
            let of = |m| masked(level, m, 0, 300, 200).as_slice().to_vec();
            let values = of(mask(1, 1, 0));
            let n = values.len() as f64;
            let dropped = values.iter().filter(|v| **v == 0.0).count() as f64 / n;
            let rate = f64::from(rate);
            // Five standard deviations of a binomial proportion.
            assert!((dropped - rate).abs() < 5.0 * (rate * (1.0 - rate) / n).sqrt(), "{dropped}");
            for other in [mask(2, 1, 0), mask(1, 2, 0), mask(1, 1, 1)] {
                let other = of(other);
                let both = values.iter().zip(&other).filter(|(a, b)| **a == 0.0 && **b == 0.0);
                let both = both.count() as f64 / n;
                let want = rate * rate;
                assert!((both - want).abs() < 5.0 * (want * (1.0 - want) / n).sqrt(), "{both}");
            }
        }
        let none = DropoutMask::new(0.0, 1, 1, 0);
        assert!(masked(level, none, 0, 40, 40).as_slice().iter().all(|&v| v == 1.0));
    }
}
