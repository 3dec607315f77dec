//! Learning-rate schedules, with the formulas of PyTorch.

mod rates;
mod text;

use crate::error::{Result, check_option, check_range};
use crate::math::{power, sin_cos};
pub(crate) use rates::{Rates, RatesState};
use std::fmt;

/// The learning rate as a function of time. Time is counted in ticks: steps or epochs. In the formulas, t
/// is the tick, counted from 0, and lr is the optimiser's learning rate.
///
/// Text form: the shape and its numbers, as in `cosine:floor=0.1,over=500,ticks=steps`; see
/// [its `FromStr`](#impl-FromStr-for-Schedule).
///
/// ```
/// use deltarule::Schedule;
///
/// let schedule = Schedule::cosine(0.1).over(10);
/// let rates: Vec<f32> = (0..=10).map(|t| schedule.rate(0.1, t)).collect();
/// for (t, rate) in [(0, 0.1), (5, 0.055), (10, 0.01)] {
///     assert!((rates[t] - rate).abs() < 1e-7);
/// }
/// ```
#[derive(Clone, Copy, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[must_use]
pub struct Schedule {
    shape: Shape,
    #[cfg_attr(feature = "serde", serde(rename = "over"))]
    length: Option<u64>,
    /// Number of ticks, and the factor of lr at the first.
    warm_up: (u64, f32),
    each_epoch: bool,
    /// The lower limit of a plateau's rate.
    #[cfg_attr(feature = "serde", serde(rename = "smallest_rate"))]
    smallest: Option<f32>,
}

/// The text is part of checkpoints: a field that was added later appears only if it is set.
impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Schedule { shape, length, warm_up, each_epoch, smallest } = self;
        let mut text = f.debug_struct("Schedule");
        text.field("shape", shape).field("length", length);
        text.field("warm_up", warm_up).field("each_epoch", each_epoch);
        if let Some(smallest) = smallest {
            text.field("smallest", smallest);
        }
        text.finish()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
enum Shape {
    Constant,
    Step { every: u64, factor: f32 },
    Exponential { factor: f32 },
    Cosine { floor: f32 },
    OneCycle { rise: f32, first: f32, last: f32 },
    Plateau { factor: f32, patience: usize },
}

impl Schedule {
    fn new(shape: Shape, each_epoch: bool) -> Self {
        Schedule { shape, length: None, warm_up: (0, 0.0), each_epoch, smallest: None }
    }

    /// lr; for use with [`Schedule::warm_up`]. Ticks are steps.
    pub fn constant() -> Self {
        Schedule::new(Shape::Constant, false)
    }

    /// lr · factor^⌊t / every⌋. Ticks are epochs.
    pub fn step(every: u64, factor: f32) -> Self {
        Schedule::new(Shape::Step { every, factor }, true)
    }

    /// lr · factorᵗ. Ticks are epochs.
    pub fn exponential(factor: f32) -> Self {
        Schedule::new(Shape::Exponential { factor }, true)
    }

    /// From lr down to floor · lr along half a cosine (Loshchilov and Hutter 2017), over the whole run or
    /// the length set by [`Schedule::over`]. Ticks are steps.
    pub fn cosine(floor: f32) -> Self {
        Schedule::new(Shape::Cosine { floor }, false)
    }

    /// From lr/25 up to lr in the first 30 % of the run, then down to lr/250,000, along half cosines
    /// (Smith and Topin 2018). Ticks are steps. In a run of fewer than four ticks the rate falls from the
    /// first on (as in PyTorch).
    pub fn one_cycle() -> Self {
        Schedule::one_cycle_with(0.3, 1.0 / 25.0, 1.0 / 250_000.0)
    }

    /// One cycle: the rate rises from `first` · lr to lr in the fraction `rise` of the run, then falls to
    /// `last` · lr.
    pub fn one_cycle_with(rise: f32, first: f32, last: f32) -> Self {
        Schedule::new(Shape::OneCycle { rise, first, last }, false)
    }

    /// Multiplies the rate by `factor` after more than `patience` epochs without an improvement of the
    /// validation loss (without validation data: the training loss) by a factor of 1 − 1e-4.
    pub fn plateau(factor: f32, patience: usize) -> Self {
        Schedule::new(Shape::Plateau { factor, patience }, true)
    }

    /// Sets the lower limit of a plateau's rate (PyTorch's `min_lr`); 0 by default.
    pub fn smallest_rate(mut self, smallest: f32) -> Self {
        self.smallest = Some(smallest);
        self
    }

    /// Sets the length of a cosine or one-cycle schedule; by default the whole run. Afterwards the rate
    /// is the last one.
    pub fn over(mut self, ticks: u64) -> Self {
        self.length = Some(ticks);
        self
    }

    /// Starts with a linear rise from `from` · lr to lr over `ticks` ticks. The schedule follows, starting
    /// at its tick 0.
    pub fn warm_up(mut self, ticks: u64, from: f32) -> Self {
        self.warm_up = (ticks, from);
        self
    }

    /// Counts in steps.
    pub fn each_step(mut self) -> Self {
        self.each_epoch = false;
        self
    }

    /// Counts in epochs.
    pub fn each_epoch(mut self) -> Self {
        self.each_epoch = true;
        self
    }

    /// The rate at tick `t`, counted from 0. Without [`Schedule::over`], a cosine or one cycle has no
    /// length here, and this is its first rate; for a plateau it is lr.
    #[must_use]
    pub fn rate(&self, lr: f32, t: u64) -> f32 {
        let (ticks, from) = self.warm_up;
        let factor = if t < ticks {
            let from = f64::from(from);
            from + (1.0 - from) * t as f64 / ticks as f64
        } else {
            self.factor(t - ticks)
        };
        (f64::from(lr) * factor) as f32
    }

    /// The factor of lr, after the warm-up.
    fn factor(&self, t: u64) -> f64 {
        let down = |from: f64, to: f64, done: f64| {
            let (_, cos) = sin_cos(done.clamp(0.0, 1.0) * 0.5);
            to + (from - to) * 0.5 * (1.0 + cos)
        };
        match self.shape {
            Shape::Constant | Shape::Plateau { .. } => 1.0,
            Shape::Step { every, factor } => power(f64::from(factor), t / every.max(1)),
            Shape::Exponential { factor } => power(f64::from(factor), t),
            Shape::Cosine { floor } => {
                let done = self.length.map_or(0.0, |n| t as f64 / n.max(1) as f64);
                down(1.0, floor.into(), done)
            }
            Shape::OneCycle { rise, first, last } => {
                let (n, t) = (self.length.unwrap_or(u64::MAX) as f64, t as f64);
                let top = f64::from(rise) * n - 1.0;
                if t <= top {
                    down(first.into(), 1.0, if top > 0.0 { t / top } else { 1.0 })
                } else {
                    // As in PyTorch, also if the top is before the first tick.
                    down(1.0, last.into(), (t - top) / (n - 1.0 - top))
                }
            }
        }
    }

    /// The largest rate of the first `ticks` ticks.
    fn largest_rate(&self, lr: f32, ticks: u64) -> f32 {
        // Lines, half cosines and powers have their maxima at their ends; one cycle's maximum is lr.
        let ends = [0, self.warm_up.0, ticks.saturating_sub(1)];
        ends.into_iter().map(|t| self.rate(lr, t)).fold(lr, f32::max)
    }

    /// Checks the numbers and their combination.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) that names the number.
    pub(crate) fn validate(&self) -> Result<()> {
        let fraction = |name, value| check_range(name, value, 0.0..1.0 + f32::EPSILON);
        let check = |holds, reason| check_option(holds, "schedule", reason);
        match self.shape {
            Shape::Constant => {}
            Shape::Step { every, factor } => {
                check(every > 0, "expected a step of at least 1 tick, got 0")?;
                check_range("schedule: factor", factor, f32::MIN_POSITIVE..f32::INFINITY)?;
            }
            Shape::Exponential { factor } => {
                check_range("schedule: factor", factor, f32::MIN_POSITIVE..f32::INFINITY)?;
            }
            Shape::Plateau { factor, .. } => {
                check_range("schedule: factor", factor, f32::MIN_POSITIVE..1.0)?;
            }
            Shape::Cosine { floor } => fraction("schedule: floor", floor)?,
            Shape::OneCycle { rise, first, last } => {
                check_range("schedule: rise", rise, f32::MIN_POSITIVE..1.0)?;
                fraction("schedule: first", first)?;
                fraction("schedule: last", last)?;
            }
        }
        fraction("schedule: warm-up", self.warm_up.1)?;
        check_range("schedule: smallest rate", self.smallest.unwrap_or(0.0), 0.0..f32::INFINITY)?;
        let is_cycle = matches!(self.shape, Shape::OneCycle { .. });
        let has_length = is_cycle || matches!(self.shape, Shape::Cosine { .. });
        let is_plateau = matches!(self.shape, Shape::Plateau { .. });
        check(self.smallest.is_none() || is_plateau, "only a plateau has a smallest rate")?;
        check(self.length != Some(0), "expected a length of at least 1, got 0")?;
        let fits = self.length.is_none() || has_length;
        check(fits, "only a cosine and one cycle have a length")?;
        check(!is_cycle || self.warm_up.0 == 0, "one cycle has a warm-up already")?;
        check(!is_plateau || self.each_epoch, "a plateau counts in epochs, not in steps")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rates of `torch.optim.lr_scheduler` of PyTorch 2.15 with lr = 0.1.
    #[test]
    fn rates_are_those_of_pytorch() {
        // In units of 1e-3: eight decimals of the rate, which is rounded to f32.
        let check = |schedule: Schedule, want: &[f64]| {
            for (t, want) in want.iter().enumerate() {
                let got = f64::from(schedule.rate(0.1, t as u64)) * 1e3;
                assert!((got - want).abs() <= 1.2e-5, "{schedule:?}, tick {t}: {got}, not {want}");
            }
        };
        check(Schedule::step(3, 0.5), &[100.0, 100.0, 100.0, 50.0, 50.0, 50.0, 25.0, 25.0]);
        check(Schedule::exponential(0.9), &[100.0, 90.0, 81.0, 72.9, 65.61]);
        let cosine = [
            100.0, 97.79754, 91.40576, 81.45034, 68.90576, 55.0, 41.09424, 28.54966, 18.59424,
            12.20246, 10.0, 10.0,
        ];
        check(Schedule::cosine(0.1).over(10), &cosine);
        let one_cycle =
            [4.0, 52.0, 100.0, 95.04846, 81.17457, 61.12620, 38.87420, 18.82583, 4.95194, 0.0004];
        check(Schedule::one_cycle().over(10), &one_cycle);
        let other_cycle = [
            10.0, 23.18019, 55.0, 86.81981, 100.0, 98.90847, 95.68160, 90.46040, 83.47307, 75.025,
            65.48540, 55.27120, 44.82880, 34.61460, 25.075, 16.62693, 9.63960, 4.41840, 1.19153,
            0.1,
        ];
        check(Schedule::one_cycle_with(0.25, 0.1, 0.001).over(20), &other_cycle);
        // Runs so short that the top is before the first tick.
        check(Schedule::one_cycle().over(1), &[0.0004]);
        check(Schedule::one_cycle().over(2), &[81.17457, 0.0004]);
        check(Schedule::one_cycle().over(3), &[99.44154, 46.26371, 0.0004]);
        check(Schedule::constant().warm_up(4, 0.2), &[20.0, 40.0, 60.0, 80.0, 100.0, 100.0]);
        let last = Schedule::one_cycle().over(10).rate(0.1, 9);
        assert!((last - 4e-7).abs() < 1e-13, "{last}");
    }
}
