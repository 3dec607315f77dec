//! Distances between numbers, and assertions on them.

#![allow(dead_code, reason = "no test binary uses all of it")]

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
