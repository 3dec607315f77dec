//! An interval forecast: the load of an hour is expected between two numbers with a probability of 90 %.
//!
//! One network gives three quantiles of the load y at a time t of the day, by the loss of Koenker and Bassett
//! (Econometrica 46, 33–50, 1978). The smallest expected loss max(τe, (τ − 1)e), e = y − ŷ, is that of the
//! quantile τ of y: no distribution is assumed.
//!
//! The loads are made so that the quantiles are known. y = m(t) + s(t)·G, where m and s are the daily course
//! of the load and of its spread. G has the distribution of Gumbel (Statistics of Extremes, 1958), that of the
//! highest of many values: P(G ≤ g) = exp(−exp(−g)), which is skewed to the right. Its quantile τ is
//! −ln(−ln τ), so that of y is m(t) − s(t)·ln(−ln τ).
//!
//! `cargo run --release --example quantiles` compares the network with these, and draws both into
//! `target/lecture/quantiles.svg`.

#[path = "common/numbers.rs"]
mod numbers;
#[path = "common/plot.rs"]
mod plot;

use deltarule::data::{Dataset, Standardizer, Targets};
use deltarule::{Activation, Adam, Loss, Matrix, Mlp, Pipeline, Result, Schedule, Trainer};
use numbers::Numbers;
use plot::{COLORS, Curve, Panel, RGBColor};
use std::f64::consts::TAU as TURN;

/// The quantiles of the forecast: 90 % of the loads are between the outer two.
pub const QUANTILES: [f64; 3] = [0.05, 0.5, 0.95];
/// Loads to learn from, and as many others for the comparison.
pub const SAMPLES: usize = 20_000;

/// A time of the day in hours, and the load then in MW.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// From 0 to 24.
    pub hour: f64,
    /// In MW.
    pub load: f64,
}

/// The middle of the load's daily course, in MW: low at night, with peaks in the morning and in the evening.
pub fn course(hour: f64) -> f64 {
    let day = TURN * hour / 24.0;
    60.0 - 15.0 * (day - 0.4).cos() - 8.0 * (2.0 * day + 0.6).cos()
}

/// The spread of the loads, in MW: from 1.5 at night to 7.5 by day.
pub fn spread(hour: f64) -> f64 {
    4.5 - 3.0 * (TURN * (hour - 3.0) / 24.0).cos()
}

/// The standard quantile of Gumbel's distribution.
fn gumbel(probability: f64) -> f64 {
    -(-probability.ln()).ln()
}

/// The true quantile of the load at this time.
pub fn quantile(hour: f64, probability: f64) -> f64 {
    course(hour) + spread(hour) * gumbel(probability)
}

/// The probability of a load of at most this at this time.
pub fn probability(Load { hour, load }: Load) -> f64 {
    (-(-(load - course(hour)) / spread(hour)).exp()).exp()
}

/// Returns loads at random times.
pub fn loads(n: usize, seed: u64) -> Vec<Load> {
    let mut numbers = Numbers::new(seed);
    let mut one = || {
        let hour = 24.0 * numbers.uniform();
        Load { hour, load: quantile(hour, numbers.uniform()) }
    };
    (0..n).map(|_| one()).collect()
}

/// The pinball loss of a quantile that is off by `error` = y − ŷ.
fn pinball(probability: f64, error: f64) -> f64 {
    (probability * error).max((probability - 1.0) * error)
}

/// A network that gives quantiles of the load.
pub struct Forecast(Pipeline);

impl Forecast {
    /// Returns one that has learned from these loads.
    pub fn trained(loads: &[Load], seed: u64) -> Result<Forecast> {
        let values = loads.iter().map(|l| l.load as f32).collect();
        let hours: Vec<f64> = loads.iter().map(|l| l.hour).collect();
        let targets = Targets::Values { values, n_outputs: 1 };
        let data = Dataset::from_f32(inputs(&hours)?.into_vec(), 2, targets)?;
        let scale = Standardizer::fit_targets(&data)?;
        let data = scale.apply_to_targets(&data)?;
        let net = Mlp::builder(2).dense(32, Activation::Gelu).dense(32, Activation::Gelu);
        let mut net = net.dense(QUANTILES.len(), Activation::Identity).seed(seed).build()?;
        let loss = Loss::quantile(&QUANTILES.map(|q| q as f32));
        let trainer = Trainer::new(Adam::new(0.01)).loss(loss).schedule(Schedule::one_cycle());
        trainer.batch_size(256).epochs(60).seed(seed).fit(&mut net, &data)?;
        println!("{:?} {:?}", scale.mean(), scale.std());
        Ok(Forecast(Pipeline::new(net)))
    }
}

/// The network's inputs: the time as a point of a circle, so that a day ends as the next begins.
fn inputs(hours: &[f64]) -> Result<Matrix> {
    let point = |hour: &f64| {
        let (sin, cos) = (TURN * hour / 24.0).sin_cos();
        [cos as f32, sin as f32]
    };
    Matrix::from_vec(hours.len(), 2, hours.iter().flat_map(point).collect())
}

fn main() {}
