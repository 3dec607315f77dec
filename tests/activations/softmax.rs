//! Softmax of random rows against f64, in ULP: a sample in every run, a hundred times as many rows
//! with the exhaustive tests.

use crate::ulp::ulps;
use deltarule::Level;

/// Uniform numbers in −1..=1, from a generator of Marsaglia's (xorshift).
fn random(state: &mut u32) -> f32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state as i32 as f32 / 2f32.powi(31)
}

/// The softmax of given differences z − max.
fn exact(differences: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let e = differences.map(f64::exp);
    let sum: f64 = e.clone().sum();
    e.map(|e| e / sum).collect()
}

/// The largest errors over rows of `n` logits in ±`size`: against the softmax of the logits, and
/// against that of the differences z − max as f32 rounds them.
fn worst(level: Level, n: usize, size: f32, rows: usize) -> (f64, f64) {
    let mut state = 0x9e37_79b9;
    let (mut total, mut beyond) = (0f64, 0f64);
    for _ in 0..rows {
        let z: Vec<f32> = (0..n).map(|_| size * random(&mut state)).collect();
        let mut p = z.clone();
        level.softmax(&mut p);
        let max = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let want = exact(z.iter().map(|z| f64::from(*z) - f64::from(max)));
        let of_rounded = exact(z.iter().map(|z| f64::from(z - max)));
        for i in 0..n {
            total = total.max(ulps(p[i], want[i]));
            beyond = beyond.max(ulps(p[i], of_rounded[i]));
        }
    }
    (total, beyond)
}

fn check(rows: usize) {
    for level in Level::available() {
        for n in [2, 10, 100, 1000] {
            for size in [1.0, 8.0, 64.0] {
                let (total, beyond) = worst(level, n, size, (rows / n).max(10));
                println!(
                    "softmax of {n:4} in ±{size:2} {:9} {total:.4} ULP, {beyond:.4} beyond z − max",
                    level.name()
                );
                assert!(beyond <= 5.0, "{beyond} ULP at {}, {n} in ±{size}", level.name());
                // z − max rounds by half a place, which eˣ turns into at most half its power of
                // two in ULP.
                assert!(total <= 5.0 + f64::from(size), "{total} ULP at {}", level.name());
            }
        }
    }
}

#[test]
fn softmax_of_random_rows() {
    check(20_000);
}

#[test]
#[ignore = "seconds; runs with the exhaustive tests"]
fn exhaustive_softmax_of_random_rows() {
    check(10_000_000);
}
