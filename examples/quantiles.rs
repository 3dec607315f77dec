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
use std::f64::consts::TAU;

/// The quantiles of the forecast: 90 % of the loads are between the outer two.
pub const QUANTILES: [f64; 3] = [0.05, 0.5, 0.95];
/// Loads to learn from, and as many others for the comparison: 1000 are beyond each outer quantile.
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
    let day = TAU * hour / 24.0;
    60.0 - 15.0 * (day - 0.4).cos() - 8.0 * (2.0 * day + 0.6).cos()
}

/// The spread of the loads, in MW: from 1.5 at night to 7.5 by day.
pub fn spread(hour: f64) -> f64 {
    4.5 - 3.0 * (TAU * (hour - 3.0) / 24.0).cos()
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
        let n_outputs = QUANTILES.len();
        let values = loads.iter().map(|l| l.load as f32).collect();
        let hours: Vec<f64> = loads.iter().map(|l| l.hour).collect();
        let targets = Targets::Values { values, n_outputs: 1 };
        let data = Dataset::from_f32(inputs(&hours)?.into_vec(), 2, targets)?;
        let scale = Standardizer::fit_targets(&data)?;
        let data = scale.apply_to_targets(&data)?;
        let net = Mlp::builder(2).dense(32, Activation::Gelu).dense(32, Activation::Gelu);
        let mut net = net.dense(n_outputs, Activation::Identity).seed(seed).build()?;
        let loss = Loss::quantile(&QUANTILES.map(|q| q as f32));
        let trainer = Trainer::new(Adam::new(0.01)).loss(loss).schedule(Schedule::one_cycle());
        // 15 epochs are as good. After 240 the upper quantile is twice as far off: it follows single loads.
        trainer.batch_size(256).epochs(30).seed(seed).fit(&mut net, &data)?;
        // Every quantile is in the units of the one target.
        let [mean, std] = [scale.mean(), scale.std()].map(|v| vec![v[0]; n_outputs]);
        Ok(Forecast(Pipeline::new(net).targets(Standardizer::from_parts(mean, std)?)?))
    }

    /// Returns the quantiles at each time.
    pub fn quantiles(&self, hours: &[f64]) -> Result<Vec<[f64; 3]>> {
        let y = self.0.predict(inputs(hours)?.view())?;
        Ok((0..hours.len()).map(|row| [0, 1, 2].map(|k| y.row(row)[k].into())).collect())
    }
}

/// The network's inputs: the time as a point of a circle, so that a day ends as the next begins.
fn inputs(hours: &[f64]) -> Result<Matrix> {
    let point = |hour: &f64| {
        let (sin, cos) = (TAU * hour / 24.0).sin_cos();
        [cos as f32, sin as f32]
    };
    Matrix::from_vec(hours.len(), 2, hours.iter().flat_map(point).collect())
}

/// A forecast beside the true quantiles, at other loads than those that it has learned from.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// The share of the loads between the outer quantiles.
    pub coverage: f64,
    /// The expectation of that share at the same times, by the distribution of the loads.
    pub expected_coverage: f64,
    /// The share of the loads below each quantile.
    pub below: [f64; 3],
    /// The mean pinball loss of each quantile.
    pub loss: [f64; 3],
    /// That of the true quantiles.
    pub least_loss: [f64; 3],
}

/// Compares a forecast with the true quantiles at these loads.
pub fn compare(forecast: &Forecast, loads: &[Load]) -> Result<Comparison> {
    let hours: Vec<f64> = loads.iter().map(|l| l.hour).collect();
    let quantiles = forecast.quantiles(&hours)?;
    let mean = |of: &dyn Fn(&Load, &[f64; 3]) -> f64| {
        let sum: f64 = loads.iter().zip(&quantiles).map(|(l, q)| of(l, q)).sum();
        sum / loads.len() as f64
    };
    let share = |at: &Load, load| probability(Load { load, ..*at });
    Ok(Comparison {
        coverage: mean(&|l, q| f64::from(u8::from((q[0]..q[2]).contains(&l.load)))),
        expected_coverage: mean(&|l, q| share(l, q[2]) - share(l, q[0])),
        below: [0, 1, 2].map(|k| mean(&|l, q| f64::from(u8::from(l.load < q[k])))),
        loss: [0, 1, 2].map(|k| mean(&|l, q| pinball(QUANTILES[k], l.load - q[k]))),
        least_loss: QUANTILES.map(|p| mean(&|l, _| pinball(p, l.load - quantile(l.hour, p)))),
    })
}

/// How far a forecast is from the true quantiles over the day.
#[derive(Clone, Copy, Debug)]
pub struct Distance {
    /// The largest, in MW.
    pub largest: f64,
    /// The root mean square of distance over spread.
    pub relative: f64,
}

/// The distance of each quantile, at each minute of the day.
pub fn distances(forecast: &Forecast) -> Result<[Distance; 3]> {
    let hours: Vec<f64> = (0..24 * 60).map(|minute| f64::from(minute) / 60.0).collect();
    let quantiles = forecast.quantiles(&hours)?;
    Ok([0, 1, 2].map(|k| {
        let off = hours.iter().zip(&quantiles);
        let off = off.map(|(&h, q)| ((q[k] - quantile(h, QUANTILES[k])).abs(), spread(h)));
        let squares: f64 = off.clone().map(|(d, s)| (d / s).powi(2)).sum();
        let relative = (squares / hours.len() as f64).sqrt();
        Distance { largest: off.map(|(d, _)| d).fold(0.0, f64::max), relative }
    }))
}

/// Draws loads as grey squares, the quantiles of the formula as lines, those of the network as dots.
fn panel(forecast: &Forecast, loads: &[Load]) -> Result<Panel> {
    let title = "load in MW: true, network (dots)";
    let mut panel = Panel::new(title, 0.0..24.0, 20.0..130.0);
    // A square of two pixels.
    let square = |l: &Load| [(l.hour - 0.1, l.load - 0.6), (l.hour + 0.1, l.load + 0.6)];
    panel.areas.extend(loads.iter().map(|l| (square(l), RGBColor(205, 205, 205))));
    let line: Vec<f64> = (0..=240).map(|i| f64::from(i) / 10.0).collect();
    let dots: Vec<f64> = (0..24).map(|i| f64::from(i) + 0.5).collect();
    let found = forecast.quantiles(&dots)?;
    for (k, p) in QUANTILES.into_iter().enumerate() {
        let points = line.iter().map(|&h| (h, quantile(h, p))).collect();
        panel.curves.push(Curve { name: String::new(), color: COLORS[0], points });
        panel.dots.extend(dots.iter().zip(&found).map(|(&h, q)| ((h, q[k]), COLORS[1])));
    }
    Ok(panel)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let forecast = Forecast::trained(&loads(SAMPLES, 1), 1)?;
    let fresh = loads(SAMPLES, 2);
    let found = compare(&forecast, &fresh)?;
    println!(
        "learned from {SAMPLES} loads; of {SAMPLES} others, the share below, and the pinball loss"
    );
    println!(
        "in MW, of the network and of the true quantile; its largest distance from this in MW"
    );
    let head = ["quantile", "below", "network", "true", "distance"];
    println!("{}", head.map(|name| format!("{name:>9}")).concat());
    for (k, distance) in distances(&forecast)?.into_iter().enumerate() {
        let (loss, least) = (found.loss[k], found.least_loss[k]);
        let row = [QUANTILES[k], found.below[k], loss, least, distance.largest];
        println!("{}", row.map(|value| format!("{value:9.3}")).concat());
    }
    let [coverage, expected] = [found.coverage, found.expected_coverage].map(|c| 100.0 * c);
    println!("\ncoverage of the 90 % interval: {coverage:.2} % ({expected:.2} % expected)");
    let file = plot::file("quantiles")?;
    // More dots would hide each other.
    plot::save(&file, 1, &[panel(&forecast, &fresh[..1000])?])?;
    println!("\nwritten: {}", file.display());
    Ok(())
}
