//! What the integration tests share: distances between numbers, data from a seed.
//! `tests/helpers.rs` proves that each of these finds the error it is there to find.
//!
//! Apart are the counting allocator (`alloc.rs`), a folder for files (`folder.rs`) and tests in
//! processes of their own (`alone.rs`): a test binary that wants one of them says
//! `#[path = "support/alloc.rs"] mod alloc;`.

#![allow(dead_code, unused_imports, reason = "no test binary uses all of it")]

mod distances;
pub mod fixtures;
pub mod kinds;

pub use distances::*;

/// Test data from a seed: SplitMix64 (Steele, Lea and Flood 2014).
pub struct Data(u64);

impl Data {
    pub fn new(seed: u64) -> Self {
        Data(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An integer in 0..n (the bias of the remainder does not matter to a test).
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// Uniform in [low, high).
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * ((self.bits() >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// `n` values, uniform in [−1, 1).
    pub fn f32s(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.uniform(-1.0, 1.0) as f32).collect()
    }

    /// `n` values, uniform in [−1, 1).
    pub fn f64s(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.uniform(-1.0, 1.0)).collect()
    }

    /// `n` class labels.
    pub fn labels(&mut self, n: usize, classes: usize) -> Vec<usize> {
        (0..n).map(|_| self.below(classes)).collect()
    }
}
