//! What the integration tests share: distances between numbers, data from a seed.
//! `tests/helpers.rs` proves that each of these finds the error it is there to find.
//!
//! Apart are the counting allocator (`alloc.rs`), a folder for files (`folder.rs`) and tests in
//! processes of their own (`alone.rs`): a test binary that wants one of them says
//! `#[path = "support/alloc.rs"] mod alloc;`.

#![allow(dead_code, reason = "no test binary uses all of it")]

pub mod fixtures;

use std::fmt::Display;

/// How many f32 lie between `a` and `b`: 0 when equal (also −0 and +0, also two NaNs), 1 for
/// neighbours, across zero and up to infinity; `u32::MAX` between NaN and a number.
pub fn ulp_distance(a: f32, b: f32) -> u32 {
    // The bits of a float, sign and magnitude, as an integer that counts the floats from zero.
    let place = |x: f32| {
        let magnitude = i64::from(x.to_bits() & 0x7fff_ffff);
        if x.is_sign_negative() { -magnitude } else { magnitude }
    };
    match (a.is_nan(), b.is_nan()) {
        (true, true) => 0,
        (false, false) => (place(a) - place(b)).unsigned_abs() as u32,
        _ => u32::MAX,
    }
}

/// The largest [`ulp_distance`] and where it is.
///
/// # Panics
/// When the lengths differ.
pub fn max_ulp_distance(a: &[f32], b: &[f32]) -> (u32, usize) {
    assert_eq!(a.len(), b.len(), "lengths");
    let distances = a.iter().zip(b).map(|(&a, &b)| ulp_distance(a, b));
    distances.zip(0..).fold((0, 0), |worst, d| if d.0 > worst.0 { d } else { worst })
}

/// max|got − want| / max|want|: the error against the size of the whole tensor, so that
/// elements that cancelled to nearly nothing do not count as wrong. Equal non-finite values are
/// no error (NaN equals NaN), unequal ones an infinite one; so is a non-zero `got` where all of
/// `want` is zero.
///
/// # Panics
/// When the lengths differ.
pub fn relative_error<A, B>(got: &[A], want: &[B]) -> f64
where
    A: Copy + Into<f64>,
    B: Copy + Into<f64>,
{
    assert_eq!(got.len(), want.len(), "lengths");
    let (mut error, mut size) = (0f64, 0f64);
    for (&got, &want) in got.iter().zip(want) {
        let (got, want) = (got.into(), want.into());
        if got == want || (got.is_nan() && want.is_nan()) {
            // Infinities would swallow every other error.
            size = size.max(if want.is_finite() { want.abs() } else { 0.0 });
        } else if got.is_finite() && want.is_finite() {
            error = error.max((got - want).abs());
            size = size.max(want.abs());
        } else {
            return f64::INFINITY;
        }
    }
    if error == 0.0 { 0.0 } else { error / size }
}

/// Asserts [`relative_error`] ≤ `tolerance`; a failure names the place, the worst element and
/// both values.
///
/// # Panics
/// When the error is larger, or the lengths differ.
#[track_caller]
pub fn assert_close<A, B>(place: impl Display, got: &[A], want: &[B], tolerance: f64)
where
    A: Copy + Into<f64>,
    B: Copy + Into<f64>,
{
    assert_eq!(got.len(), want.len(), "{place}: lengths");
    let error = relative_error(got, want);
    if error <= tolerance {
        return;
    }
    let distance = |i: usize| {
        let (got, want) = (got[i].into(), want[i].into());
        let same = got == want || (got.is_nan() && want.is_nan());
        let d = if same { 0.0 } else { (got - want).abs() };
        if d.is_nan() { f64::INFINITY } else { d }
    };
    let worst = (0..got.len()).max_by(|&i, &j| distance(i).total_cmp(&distance(j)));
    let i = worst.expect("an error has a place");
    let (got, want): (f64, f64) = (got[i].into(), want[i].into());
    panic!(
        "{place}: element {i} is {got:e}, not {want:e}; relative error {error:e} > {tolerance:e}"
    );
}

/// Asserts that two slices are the same bits (so −0 is not +0, and a NaN is the same NaN).
///
/// # Panics
/// At the first difference, with its place.
#[track_caller]
pub fn assert_same_bits(place: impl Display, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{place}: lengths");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let (g, w) = (got.to_bits(), want.to_bits());
        assert!(g == w, "{place}: element {i} is {got:e} ({g:08x}), not {want:e} ({w:08x})");
    }
}

/// The same numbers in `f64`.
pub fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

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
