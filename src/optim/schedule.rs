//! Learning-rate schedules: the rate as a function of the time, in PyTorch's formulas.

mod rates;

use crate::error::{Error, Result, check_range};
use crate::math::{power, sin_cos};
pub(crate) use rates::{Rates, RatesState};
use std::fmt;

/// How the learning rate changes from step to step, or from epoch to epoch. A tick is one step or
/// one epoch; t counts them from 0, and lr is the optimiser's learning rate.
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
#[must_use]
#[derive(Clone, Copy, PartialEq)]
pub struct Schedule {
    shape: Shape,
    length: Option<u64>,
    /// Ticks, and the share of the rate at the first.
    warm_up: (u64, f32),
    each_epoch: bool,
    /// Of a plateau.
    smallest: Option<f32>,
}

/// Part of a checkpoint's text: what was added later shows only where it is set.
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

    /// lr, always. Ticks are steps. Useful with [`Schedule::warm_up`].
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

    /// From lr down to floor · lr along half a cosine (Loshchilov and Hutter 2017), over the
    /// whole run or [`Schedule::over`]. Ticks are steps.
    pub fn cosine(floor: f32) -> Self {
        Schedule::new(Shape::Cosine { floor }, false)
    }

    /// Up from lr/25 to lr in the first 30 % of the run, down to lr/250,000 in the rest, along
    /// half cosines (Smith and Topin 2018). Ticks are steps. In a run of fewer than four ticks the
    /// first is already on the way down (PyTorch's formula).
    pub fn one_cycle() -> Self {
        Schedule::one_cycle_with(0.3, 1.0 / 25.0, 1.0 / 250_000.0)
    }

    /// One cycle with the share of the run in which the rate rises, and the first and the last
    /// rate as shares of lr.
    pub fn one_cycle_with(rise: f32, first: f32, last: f32) -> Self {
        Schedule::new(Shape::OneCycle { rise, first, last }, false)
    }

    /// Multiplies the rate by `factor` whenever the validation loss (the training loss where
    /// there is no validation) has not been better by a share of 1e-4 for more than `patience`
    /// epochs.
    pub fn plateau(factor: f32, patience: usize) -> Self {
        Schedule::new(Shape::Plateau { factor, patience }, true)
    }

    /// The rate that a plateau does not go below (PyTorch's `min_lr`); 0 unless told otherwise.
    pub fn smallest_rate(mut self, smallest: f32) -> Self {
        self.smallest = Some(smallest);
        self
    }

    /// The ticks of a cosine or one-cycle schedule, instead of the whole run. Beyond them the last
    /// rate stays.
    pub fn over(mut self, ticks: u64) -> Self {
        self.length = Some(ticks);
        self
    }

    /// Begins with a straight line from `from` · lr up to lr over so many ticks; then the schedule
    /// follows, from its beginning.
    pub fn warm_up(mut self, ticks: u64, from: f32) -> Self {
        self.warm_up = (ticks, from);
        self
    }

    /// Ticks are steps.
    pub fn each_step(mut self) -> Self {
        self.each_epoch = false;
        self
    }

    /// Ticks are epochs.
    pub fn each_epoch(mut self) -> Self {
        self.each_epoch = true;
        self
    }

    /// The rate at tick `t`, counted from 0. A cosine or one cycle without [`Schedule::over`] has
    /// no length here and stays at its first rate; a plateau at lr.
    pub fn rate(&self, lr: f32, t: u64) -> f32 {
        let (ticks, from) = self.warm_up;
        let share = if t < ticks {
            let from = f64::from(from);
            from + (1.0 - from) * t as f64 / ticks as f64
        } else {
            self.share(t - ticks)
        };
        (f64::from(lr) * share) as f32
    }

    /// The share of lr, after warming up.
    fn share(&self, t: u64) -> f64 {
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
                    // From the top on, also where it lies before the first tick (PyTorch).
                    down(1.0, last.into(), (t - top) / (n - 1.0 - top))
                }
            }
        }
    }

    /// The largest rate of the first `ticks` ticks.
    fn largest_rate(&self, lr: f32, ticks: u64) -> f32 {
        // A straight line, a half cosine and a power have their largest values at their ends; one
        // cycle's top is lr.
        let ends = [0, self.warm_up.0, ticks.saturating_sub(1)];
        ends.into_iter().map(|t| self.rate(lr, t)).fold(lr, f32::max)
    }

    /// Checks every number.
    pub(crate) fn validate(&self) -> Result<()> {
        let share = |name, value| check_range(name, value, 0.0..1.0 + f32::EPSILON);
        match self.shape {
            Shape::Constant => {}
            Shape::Step { every: 0, .. } => {
                return Err(Error::config("schedule", "expected a step of at least 1 tick, got 0"));
            }
            Shape::Step { factor, .. } | Shape::Exponential { factor } => {
                check_range("schedule: factor", factor, f32::MIN_POSITIVE..f32::INFINITY)?;
            }
            Shape::Plateau { factor, .. } => {
                check_range("schedule: factor", factor, f32::MIN_POSITIVE..1.0)?;
            }
            Shape::Cosine { floor } => share("schedule: floor", floor)?,
            Shape::OneCycle { rise, first, last } => {
                check_range("schedule: rise", rise, f32::MIN_POSITIVE..1.0)?;
                share("schedule: first", first)?;
                share("schedule: last", last)?;
            }
        }
        share("schedule: warm-up", self.warm_up.1)?;
        if let Some(smallest) = self.smallest {
            check_range("schedule: smallest rate", smallest, 0.0..f32::INFINITY)?;
            if !matches!(self.shape, Shape::Plateau { .. }) {
                return Err(Error::config("schedule", "only a plateau has a smallest rate"));
            }
        }
        let needs_length = matches!(self.shape, Shape::Cosine { .. } | Shape::OneCycle { .. });
        match self.length {
            Some(0) => Err(Error::config("schedule", "expected a length of at least 1, got 0")),
            Some(_) if !needs_length => {
                Err(Error::config("schedule", "only a cosine and one cycle have a length"))
            }
            _ if matches!(self.shape, Shape::OneCycle { .. }) && self.warm_up.0 > 0 => {
                Err(Error::config("schedule", "one cycle has a warm-up of its own"))
            }
            _ if matches!(self.shape, Shape::Plateau { .. }) && !self.each_epoch => {
                Err(Error::config("schedule", "a plateau is looked for once an epoch"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: impl IntoIterator<Item = f32>, want: &[f64]) {
        let got: Vec<f32> = got.into_iter().collect();
        assert_eq!(got.len(), want.len());
        for (t, (&got, &want)) in got.iter().zip(want).enumerate() {
            let error = (f64::from(got) - want).abs();
            // The rounding of the rate to f32.
            assert!(error <= 2e-7 * want.abs().max(1e-3), "tick {t}: {got}, not {want}");
        }
    }

    /// What `torch.optim.lr_scheduler` of PyTorch 2.15 gives with lr = 0.1.
    #[test]
    fn rates_are_those_of_pytorch() {
        let rates = |s: Schedule, n: u64| (0..n).map(move |t| s.rate(0.1, t));
        let want = [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025];
        near(rates(Schedule::step(3, 0.5), 8), &want);
        near(rates(Schedule::exponential(0.9), 5), &[0.1, 0.09, 0.081, 0.0729, 0.06561]);
        let want = [
            0.1,
            0.09779754323328192,
            0.09140576474687263,
            0.08145033635316129,
            0.06890576474687264,
            0.055,
            0.04109423525312737,
            0.028549663646838717,
            0.01859423525312737,
            0.012202456766718092,
            0.01,
        ];
        near(rates(Schedule::cosine(0.1).over(10), 11), &want);
        let want = [
            0.004,
            0.052,
            0.1,
            0.09504846320134738,
            0.0811745653949763,
            0.06112620219362893,
            0.03887419780637107,
            0.0188258346050237,
            0.004951936798652629,
            4e-07,
        ];
        near(rates(Schedule::one_cycle().over(10), 10), &want);
        let want = [
            0.01,
            0.023180194846605356,
            0.055,
            0.08681980515339464,
            0.1,
            0.0989084726566536,
            0.09568159560924791,
            0.09046039886902862,
            0.08347307378762497,
            0.07502500000000001,
            0.06548539886902863,
            0.0552711967402193,
            0.04482880325978072,
            0.03461460113097138,
            0.02507500000000001,
            0.01662692621237505,
            0.00963960113097138,
            0.004418404390752082,
            0.001191527343346406,
            0.0001,
        ];
        near(rates(Schedule::one_cycle_with(0.25, 0.1, 0.001).over(20), 20), &want);
        // Runs so short that the top lies before the first tick.
        near(rates(Schedule::one_cycle().over(1), 1), &[4e-07]);
        near(rates(Schedule::one_cycle().over(2), 2), &[0.0811745653949763, 4e-07]);
        near(
            rates(Schedule::one_cycle().over(3), 3),
            &[0.09944154354509119, 0.046263710266697504, 4e-07],
        );
        let want = [0.02, 0.04, 0.06, 0.08, 0.1, 0.1];
        near(rates(Schedule::constant().warm_up(4, 0.2), 6), &want);
    }
}
