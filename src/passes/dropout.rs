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
    use crate::storage::{MatRef, PanelMatrix};

    /// The definition, value by value.
    #[test]
    fn each_value_has_its_own_bits() {
        let (rows, cols) = (5, 150);
        let key = threefry(threefry([7, 0], [11, 0]), [2, 0]);
        let rates = [0.0, 0.1, 0.3, 0.8].into_iter();
        for (rate, level) in rates.flat_map(|r| Level::available().map(move |l| (r, l))) {
            let ones = vec![1.0; rows * cols];
            let mut got = PanelMatrix::from_rows(MatRef::new(&ones, rows, cols).unwrap()).unwrap();
            DropoutMask::new(rate, 7, 11, 2).apply(level, 3, got.view_mut());
            for (r, c) in (0..rows).flat_map(|r| (0..cols).map(move |c| (r, c))) {
                let (panel, lane) = (c / LINE, c % LINE);
                let words = threefry(key, [3 + r as u32, (panel / 4 * LINE + lane) as u32]);
                let bits = (words[panel % 4 / 2] >> (16 * (panel % 2))) & 0xffff;
                let dropped = f64::from(bits) < (f64::from(rate) * 65536.0).round();
                let want = if dropped { 0.0 } else { 1.0 / (1.0 - rate) };
                assert!((got.at(r, c) - want).abs() < 1e-4, "{rate}: {r} {c}");
                assert!(rate > 0.0 || got.at(r, c) == 1.0);
            }
        }
    }
}
