//! Classification problems in the plane, generated from a seed: the same bits everywhere.
//!
//! The classes alternate (0, 1, …, 0, 1, …); `noise` is the standard deviation of a normal error that
//! is added to each coordinate.

#![allow(clippy::arithmetic_side_effects, reason = "there are at least two classes, checked")]

use super::dataset::Dataset;
use super::targets::Targets;
use crate::error::{Error, Result};
use crate::format::with_room;
use crate::math::{Purpose, RandomStream, sin_cos};

/// A circle of radius 1 (class 0) around one of radius 1/2 (class 1).
///
/// # Errors
/// [`Error::Config`] when `n` is less than 2 or not below 2^32, or `noise` is negative or not finite;
/// [`Error::Memory`] when the samples do not fit.
pub fn circles(n: usize, noise: f64, seed: u64) -> Result<Dataset> {
    plane(n, 2, noise, seed, |class, t| {
        let radius = if class == 0 { 1.0 } else { 0.5 };
        let (sin, cos) = sin_cos(t);
        [radius * cos, radius * sin]
    })
}

/// Two interlocking half circles of radius 1.
///
/// # Errors
/// As [`circles`].
pub fn moons(n: usize, noise: f64, seed: u64) -> Result<Dataset> {
    plane(n, 2, noise, seed, |class, t| {
        let (sin, cos) = sin_cos(0.5 * t);
        if class == 0 { [cos, sin] } else { [1.0 - cos, 0.5 - sin] }
    })
}

/// `n_classes` spiral arms that make one turn from the centre to radius 1.
///
/// # Errors
/// [`Error::Config`] when `n_classes` is less than 2, `n` is less than that or not below 2^32, or
/// `noise` is negative or not finite; [`Error::Memory`] when the samples do not fit.
pub fn spirals(n: usize, n_classes: usize, noise: f64, seed: u64) -> Result<Dataset> {
    plane(n, n_classes, noise, seed, |class, t| {
        let (sin, cos) = sin_cos(t + class as f64 / n_classes as f64);
        [t * cos, t * sin]
    })
}

/// `n_classes` clusters around points evenly spaced on the unit circle.
///
/// # Errors
/// As [`spirals`].
pub fn blobs(n: usize, n_classes: usize, noise: f64, seed: u64) -> Result<Dataset> {
    plane(n, n_classes, noise, seed, |class, _| {
        let (sin, cos) = sin_cos(class as f64 / n_classes as f64);
        [cos, sin]
    })
}

/// `n` noisy points of `curve(class, t)`, t evenly spaced in [0, 1) within each class.
fn plane(
    n: usize,
    n_classes: usize,
    noise: f64,
    seed: u64,
    curve: impl Fn(usize, f64) -> [f64; 2],
) -> Result<Dataset> {
    if n_classes < 2 || n < n_classes {
        let reason = format!("expected at least 2 classes and a sample each, got {n_classes}, {n}");
        return Err(Error::config("synthetic data", reason));
    }
    if u32::try_from(n).is_err() {
        let reason = format!("expected at most {} samples, got {n}", u32::MAX);
        return Err(Error::config("synthetic data", reason));
    }
    if !noise.is_finite() || noise < 0.0 {
        let reason = format!("expected a finite number from 0 up, got {noise}");
        return Err(Error::config("noise", reason));
    }
    let mut errors = RandomStream::new(seed, Purpose::Synthetic, 0, 0);
    let mut features = with_room(2 * n, format_args!("{n} samples"))?;
    let mut labels = with_room(n, format_args!("{n} samples"))?;
    for i in 0..n {
        let class = i % n_classes;
        let of_class = (n - class).div_ceil(n_classes);
        let point = curve(class, (i / n_classes) as f64 / of_class as f64);
        features.extend(point.map(|x| (x + noise * errors.normal()) as f32));
    }
    labels.extend((0..n).map(|i| (i % n_classes) as u32));
    Dataset::from_f32(features, 2, Targets::Classes { labels, n_classes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(data: Result<Dataset>) -> Vec<(f32, f32)> {
        data.unwrap().matrix().as_slice().chunks(2).map(|p| (p[0], p[1])).collect()
    }

    #[test]
    fn without_noise_points_lie_on_their_curves() {
        for (i, (x, y)) in points(circles(101, 0.0, 1)).into_iter().enumerate() {
            let radius = if i % 2 == 0 { 1.0 } else { 0.5 };
            assert!((x.hypot(y) - radius).abs() < 1e-6);
        }
        for (i, (x, y)) in points(moons(100, 0.0, 1)).into_iter().enumerate() {
            let (x, y) = if i % 2 == 0 { (x, y) } else { (1.0 - x, 0.5 - y) };
            assert!((x.hypot(y) - 1.0).abs() < 1e-6 && y >= 0.0);
        }
        for (i, (x, y)) in points(spirals(99, 3, 0.0, 1)).into_iter().enumerate() {
            assert!((x.hypot(y) - (i / 3) as f32 / 33.0).abs() < 1e-6);
        }
        let clusters = points(blobs(8, 4, 0.0, 1));
        assert_eq!(clusters[..4], clusters[4..]);
        assert_eq!(clusters[..2], [(1.0, 0.0), (0.0, 1.0)]);
    }

    #[test]
    fn noise_is_of_the_seed_and_the_size() {
        let [a, b, clean] = [(1, 0.1), (2, 0.1), (1, 0.0)].map(|(s, e)| points(moons(5000, e, s)));
        assert_eq!(a, points(moons(5000, 0.1, 1)));
        assert_ne!(a, b);
        let square = |(p, q): (&(f32, f32), &(f32, f32))| (p.0 - q.0).powi(2) + (p.1 - q.1).powi(2);
        let variance = a.iter().zip(&clean).map(square).sum::<f32>() / 10_000.0;
        // Five standard errors of a variance: sqrt(2 / 10000) of it.
        assert!((variance - 0.01).abs() < 5.0 * 0.01 * 0.0142, "{variance}");
    }

    #[test]
    fn invalid_options_are_refused() {
        assert!(circles(1, 0.1, 1).is_err() && moons(0, 0.1, 1).is_err());
        assert!(spirals(10, 1, 0.1, 1).is_err() && blobs(2, 3, 0.1, 1).is_err());
        assert!(moons(10, -0.1, 1).is_err() && moons(10, f64::NAN, 1).is_err());
        assert!(moons(10, f64::MAX, 1).is_err());
        assert!(moons(usize::MAX, 0.1, 1).is_err() && spirals(1 << 33, 3, 0.1, 1).is_err());
    }
}
