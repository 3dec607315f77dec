//! 1,797 handwritten digits inside the crate, for examples and tests that need no network.

use super::dataset::Dataset;
use super::targets::Targets;

/// One sample after the other without padding, most significant bit first: 64 pixels of 5 bits,
/// then the label in 4. Made by `tests/data/make_digits.py`.
const PACKED: &[u8] = include_bytes!("digits.bin");

const SAMPLES: usize = 1797;
const PIXELS: usize = 64;

/// The 1,797 handwritten digits of the UCI test set "Optical Recognition of Handwritten Digits":
/// 8 x 8 pixels from 0 (paper) to 16 (ink), read as `byte / 16`, with labels 0 to 9.
///
/// Data by E. Alpaydin and C. Kaynak (1998), UCI Machine Learning Repository,
/// <https://doi.org/10.24432/C50P49>, licensed
/// [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/), here packed into 5 bits per pixel.
///
/// ```
/// let digits = deltarule::data::digits();
/// assert_eq!((digits.len(), digits.n_features()), (1797, 64));
/// ```
#[allow(clippy::expect_used, reason = "the data is part of the crate")]
#[must_use]
pub fn digits() -> Dataset {
    let mut bits = Bits { bytes: PACKED.iter(), held: 0, n_held: 0 };
    let mut pixels = Vec::with_capacity(SAMPLES.saturating_mul(PIXELS));
    let mut labels = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        pixels.extend((0..PIXELS).map(|_| bits.take::<5>()));
        labels.push(u32::from(bits.take::<4>()));
    }
    let data = Dataset::from_u8(pixels, PIXELS, Targets::Classes { labels, n_classes: 10 });
    data.and_then(|data| data.with_scale(1.0 / 16.0, 0.0)).expect("a well-formed data set")
}

/// Bits of bytes, most significant first.
struct Bits<I> {
    bytes: I,
    held: u32,
    n_held: u32,
}

impl<'a, I: Iterator<Item = &'a u8>> Bits<I> {
    /// The next `N <= 8` bits; zeros after the end.
    fn take<const N: u32>(&mut self) -> u8 {
        if self.n_held < N {
            self.held = self.held.wrapping_shl(8) | u32::from(*self.bytes.next().unwrap_or(&0));
            self.n_held = self.n_held.wrapping_add(8);
        }
        self.n_held = self.n_held.wrapping_sub(N);
        let mask = u32::MAX.wrapping_shr(u32::BITS.wrapping_sub(N));
        (self.held.wrapping_shr(self.n_held) & mask) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Features;
    use sha2::{Digest, Sha256};

    #[test]
    fn digits_are_the_published_ones() {
        let digits = digits();
        let Targets::Classes { labels, n_classes: 10 } = digits.targets() else { panic!() };
        let mut counts = [0; 10];
        labels.iter().for_each(|&label| counts[label as usize] += 1);
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);

        let Features::U8 { data, scale, shift } = digits.features() else { panic!() };
        assert_eq!((data.len(), scale, shift), (1797 * 64, 0.0625, 0.0));
        // The first row and the sum of all pixels, as scikit-learn's `load_digits` has them.
        assert_eq!(data[..16], [0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0]);
        assert_eq!(data.iter().map(|&p| u64::from(p)).sum::<u64>(), 561_718);

        // Pixels then label, a byte each, row by row; printed by make_digits.py.
        let mut hash = Sha256::new();
        for (row, &label) in data.chunks(64).zip(labels) {
            hash.update(row);
            hash.update([label as u8]);
        }
        let hex: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "68aea062d35a127749050fa0e52dca09d6569ac08092c925610e0954e172dde2");
    }
}
