//! Random numbers for data that the examples make: SplitMix64 (Steele, Lea and Flood 2014).

#![allow(dead_code, reason = "no program that includes this file uses all of it")]

/// A sequence of numbers that its seed decides.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Numbers(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0 and below 1: the middles of 2^52 intervals.
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// One of 0 to n − 1.
    pub fn below(&mut self, n: usize) -> usize {
        // The product rounds up to n only for an n beyond 2^50.
        (self.uniform() * n as f64) as usize
    }
}
