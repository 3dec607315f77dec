//! The learning-rate range test (Smith 2017): which rates are worth trying.

use super::trainer::Trainer;
use crate::data::{Dataset, in_order, shuffled};
use crate::error::{Error, Result, check_option};
use crate::network::Mlp;

/// Losses at growing learning rates, as [`Trainer::range_test`] returns them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RangeTest {
    /// The rate of each step.
    pub rates: Vec<f32>,
    /// The loss before each step, as a running mean (0.9 of the old one, corrected for its start).
    pub losses: Vec<f64>,
}

impl RangeTest {
    /// The rate at which the loss falls fastest per factor of the rate: a good one to begin with,
    /// or to give to one cycle.
    #[must_use]
    pub fn steepest(&self) -> Option<f32> {
        // Differences over a few steps: single ones are noise.
        let reach = (self.losses.len() / 10).max(1);
        let fall = |i: usize| self.losses[i] - self.losses[i + reach];
        let places = 0..self.losses.len().saturating_sub(reach);
        let best = places.max_by(|&a, &b| fall(a).total_cmp(&fall(b)))?;
        Some(self.rates[best + reach / 2])
    }
}

impl Trainer<'_> {
    /// Trains a copy of `net` for up to `steps` steps while the rate grows by equal factors from
    /// `from` to `to`, and returns the losses. Ends early when the loss is no longer finite, or is
    /// four times its best.
    ///
    /// # Errors
    /// As [`Trainer::run`]; [`Error::Config`] when the range is empty or `steps` is below 2.
    pub fn range_test(
        &self,
        net: &Mlp,
        data: &Dataset,
        (from, to): (f32, f32),
        steps: usize,
    ) -> Result<RangeTest> {
        let fits = from > 0.0 && from < to && to.is_finite() && steps >= 2;
        let reason = format!("expected 0 < from < to and 2 steps, got {from}..{to}, {steps}");
        check_option(fits, "learning-rate range", reason)?;
        let mut order = in_order(data.len())?;
        let mut copy = net.clone();
        let mut training = self.session_on(&mut copy, data)?;
        let batch_size = training.setup.batch_size;
        let batches = data.len().div_ceil(batch_size);
        let mut range = RangeTest { rates: Vec::new(), losses: Vec::new() };
        let (mut mean, mut weight, mut best) = (0.0, 1.0, f64::INFINITY);
        for i in 0..steps {
            let batch = i % batches;
            if batch == 0 {
                shuffled(self.setup.seed, (i / batches) as u64 + 1, &mut order);
            }
            let share = i as f64 / (steps - 1) as f64;
            let rate = (f64::from(from) * (f64::from(to) / f64::from(from)).powf(share)) as f32;
            training.set_learning_rate(rate)?;
            let first = batch * batch_size;
            let samples = &order[first..data.len().min(first + batch_size)];
            let loss = match training.step_samples(data, samples, self.sample_weights) {
                Ok(batch) => f64::from(batch.loss),
                Err(Error::NonFinite { .. }) => break,
                Err(e) => return Err(e),
            };
            mean = 0.9 * mean + 0.1 * loss;
            weight *= 0.9;
            let loss = mean / (1.0 - weight);
            range.rates.push(rate);
            range.losses.push(loss);
            best = best.min(loss);
            if loss > 4.0 * best {
                break;
            }
        }
        Ok(range)
    }
}
