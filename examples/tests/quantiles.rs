//! The forecast of quantiles: its true quantiles against Gumbel's distribution, its coverage within the
//! bounds of a binomial distribution, and its quantiles against the true ones.

#![allow(dead_code, reason = "of the examples, what they draw and print is not tested")]

#[path = "../quantiles.rs"]
mod quantiles;

use quantiles::{Forecast, Load, QUANTILES, SAMPLES};
use std::sync::OnceLock;

/// One for all tests: it takes most of the time.
fn forecast() -> &'static Forecast {
    static FORECAST: OnceLock<Forecast> = OnceLock::new();
    FORECAST.get_or_init(|| Forecast::trained(&quantiles::loads(SAMPLES, 1), 1).unwrap())
}

/// Standard deviation of the share of n events with probability p.
fn deviation(p: f64, n: usize) -> f64 {
    (p * (1.0 - p) / n as f64).sqrt()
}

/// Deviations within which a normal variable is, but for 6·10⁻⁵ of the cases.
const LIMIT: f64 = 4.0;

/// Mean γ, variance π²/6 and skewness 12√6·ζ(3)/π³ are those of Gumbel's distribution; the density is
/// P′ = e^(−g − e^(−g)), and P(quantile τ) = τ.
#[test]
fn loads_have_the_distribution_of_gumbel() {
    const N: usize = 200_000;
    let loads = quantiles::loads(N, 3);
    let g = |l: &Load| (l.load - quantiles::course(l.hour)) / quantiles::spread(l.hour);
    let moment = |about: f64, power| {
        loads.iter().map(|l| (g(l) - about).powi(power)).sum::<f64>() / N as f64
    };
    let (mean, variance) = (0.577_215_664_9, std::f64::consts::PI.powi(2) / 6.0);
    let skewness = 1.139_547_1;
    // Variances of the estimates: σ²/n, and with the excess kurtosis 12/5 (2 + 12/5)σ⁴/n.
    let n = N as f64;
    assert!((moment(0.0, 1) - mean).abs() < LIMIT * (variance / n).sqrt());
    assert!((moment(mean, 2) - variance).abs() < LIMIT * (4.4 * variance * variance / n).sqrt());
    // The sixth moment, 91.4 σ⁶ by integration, bounds that of the third.
    let third = LIMIT * (91.4 / n).sqrt();
    assert!((moment(mean, 3) / variance.powf(1.5) - skewness).abs() < third);
    for p in QUANTILES {
        let below = loads.iter().filter(|l| l.load <= quantiles::quantile(l.hour, p)).count();
        assert!((below as f64 / n - p).abs() < LIMIT * deviation(p, N), "{p}: {below} of {N}");
        for hour in [0.0, 7.3, 15.0, 23.9] {
            let load = quantiles::quantile(hour, p);
            assert!((quantiles::probability(Load { hour, load }) - p).abs() < 1e-12);
        }
    }
    assert!(loads.iter().all(|l| (0.0..24.0).contains(&l.hour)));
}

/// Coverage of the fresh loads: within the binomial deviation from its expectation for these intervals,
/// which in turn deviates from 90 % by that of the loads that were learned from.
#[test]
fn nine_of_ten_fresh_loads_are_in_the_interval() {
    let found = quantiles::compare(forecast(), &quantiles::loads(SAMPLES, 2)).unwrap();
    let expected = found.expected_coverage;
    let deviates = |share: f64, p: f64| (share - p).abs() / deviation(p, SAMPLES);
    assert!(deviates(found.coverage, expected) < LIMIT, "{found:?}");
    assert!(deviates(expected, QUANTILES[2] - QUANTILES[0]) < LIMIT, "{found:?}");
    for (below, p) in found.below.into_iter().zip(QUANTILES) {
        // Both samples deviate.
        assert!(deviates(below, p) < LIMIT * 2f64.sqrt(), "{p}: {found:?}");
    }
}

/// A quantile of n values with the density f there deviates by √(τ(1 − τ)/n)/f (Koenker & Bassett 1978), in
/// units of the spread. A fit of d numbers has d times the square, and a loss d·τ(1 − τ)/2nf above the least.
/// The courses are of 5 numbers each. The network finds them as if it had 6 to 9; 20 are allowed.
#[test]
fn quantiles_are_as_near_to_the_true_as_samples_allow() {
    const NUMBERS: f64 = 20.0;
    let distances = quantiles::distances(forecast()).unwrap();
    let found = quantiles::compare(forecast(), &quantiles::loads(SAMPLES, 2)).unwrap();
    for (k, p) in QUANTILES.into_iter().enumerate() {
        // P′(g) = e^(−g)·P(g) with e^(−g) = −ln τ.
        let density = -p.ln() * p;
        let variance = NUMBERS * p * (1.0 - p) / SAMPLES as f64;
        let [relative, largest] = [distances[k].relative, distances[k].largest];
        assert!(relative < variance.sqrt() / density, "{p}: {relative}");
        // At 1440 minutes, with the largest spread.
        let spread = (0..24).map(|h| quantiles::spread(h.into())).fold(0.0, f64::max);
        assert!(largest < LIMIT * relative * spread, "{p}: {largest}");
        // The mean spread is 4.5 MW.
        let excess = found.loss[k] - found.least_loss[k];
        assert!(excess < 4.5 * variance / (2.0 * density), "{p}: {found:?}");
        // The true quantiles have the least loss, up to the deviation of the samples.
        assert!(excess > -4.5 * variance / (2.0 * density), "{p}: {found:?}");
    }
}

#[test]
fn quantiles_do_not_cross_and_midnight_has_no_jump() {
    let hours: Vec<f64> = (0..=24 * 60).map(|minute| f64::from(minute) / 60.0).collect();
    let quantiles = forecast().quantiles(&hours).unwrap();
    assert!(quantiles.iter().all(|q| q[0] < q[1] && q[1] < q[2]));
    let (first, last) = (quantiles[0], quantiles[24 * 60]);
    assert!(first.iter().zip(last).all(|(a, b)| (a - b).abs() < 1e-3), "{first:?}, {last:?}");
}
