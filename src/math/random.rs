//! Random streams. Each is a function of (seed, purpose, two counters) and independent of numbers that
//! were drawn before. So a checkpoint has no generator state, and threads cannot influence each other's
//! numbers.
//!
//! The generator is the portable ChaCha8 of `rand`. The conversion to floats uses IEEE operations only,
//! so the numbers are the same on every platform.

use super::scalar::ln_f64;
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// The use of a stream. Streams of different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Purpose {
    /// Initial weights; counters: layer, row of the weights (after the last row: a vector).
    Init = 1,
    /// The order of samples; counters: epoch, chunk.
    Shuffle = 2,
    /// The choice of samples in a split; counters: class, 0.
    Split = 16,
    /// Generated data sets; counters: 0, 0.
    Synthetic = 17,
    /// The distortions of an image; counters: epoch, index of the image.
    Augment = 18,
}

/// A stream of random numbers, determined by its key.
pub(crate) struct RandomStream(ChaCha8Rng);

impl RandomStream {
    pub(crate) fn new(seed: u64, purpose: Purpose, a: u64, b: u64) -> Self {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..12].copy_from_slice(&(purpose as u32).to_le_bytes());
        key[16..24].copy_from_slice(&a.to_le_bytes());
        key[24..].copy_from_slice(&b.to_le_bytes());
        RandomStream(ChaCha8Rng::from_seed(key))
    }

    /// The next 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..n`, by Lemire's multiply-and-reject: without bias.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        let reject = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.bits()) * u128::from(n);
            if product as u64 >= reject {
                return (product >> 64) as u64;
            }
        }
    }

    /// Uniform in [0, 1): 53 bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Standard normal, by Marsaglia's polar method with the logarithm of `scalar`.
    pub(crate) fn normal(&mut self) -> f64 {
        loop {
            let u = 2.0 * self.uniform() - 1.0;
            let v = 2.0 * self.uniform() - 1.0;
            let s = u * u + v * v;
            if s > 0.0 && s < 1.0 {
                return u * (-2.0 * ln_f64(s) / s).sqrt();
            }
        }
    }

    /// Shuffles in place (Fisher and Yates, in Durstenfeld's order).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_decide_and_nothing_else() {
        let draw = |a, b| RandomStream::new(7, Purpose::Init, a, b).bits();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(2, 1));
        assert_ne!(draw(1, 2), RandomStream::new(7, Purpose::Shuffle, 1, 2).bits());
        assert_ne!(draw(1, 2), RandomStream::new(8, Purpose::Init, 1, 2).bits());
    }

    #[test]
    fn normal_has_the_moments_of_a_normal() {
        let mut s = RandomStream::new(1, Purpose::Init, 0, 0);
        let n = 200_000;
        let (mut m1, mut m2, mut m4) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let x = s.normal();
            m1 += x;
            m2 += x * x;
            m4 += x * x * x * x;
        }
        let n = f64::from(n);
        // Five standard errors: 1/sqrt(n), sqrt(2/n), sqrt(96/n).
        assert!((m1 / n).abs() < 5.0 / n.sqrt());
        assert!((m2 / n - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
        assert!((m4 / n - 3.0).abs() < 5.0 * (96.0 / n).sqrt());
    }

    #[test]
    fn below_is_uniform_and_shuffle_permutes() {
        let mut s = RandomStream::new(3, Purpose::Shuffle, 0, 0);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[s.below(7) as usize] += 1;
        }
        // Five standard deviations of a binomial(70000, 1/7).
        assert!(counts.iter().all(|&c| (f64::from(c) - 10_000.0).abs() < 5.0 * 92.6));
        let mut items: Vec<u32> = (0..100).collect();
        s.shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
