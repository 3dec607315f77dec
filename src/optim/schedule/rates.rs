//! The progress of a schedule in a run.

use super::{Schedule, Shape};
use crate::error::{Result, check_option, check_range};

/// A schedule and its progress in a run.
#[derive(Clone, Debug)]
pub(crate) struct Rates {
    schedule: Schedule,
    lr: f32,
    largest: f32,
    pub(crate) state: RatesState,
}

/// The progress of a schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RatesState {
    pub(crate) steps: u64,
    pub(crate) epochs: u64,
    /// Of a plateau: the best loss.
    pub(crate) best: f64,
    /// Of a plateau: the number of epochs without an improvement.
    pub(crate) bad: usize,
    /// Of a plateau: the product of the factors so far.
    pub(crate) factor: f32,
}

impl Rates {
    /// A schedule at the start of a run.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if a number is out of range or the schedule is longer than the run.
    pub(crate) fn new(
        mut schedule: Schedule,
        lr: f32,
        epochs: usize,
        steps_an_epoch: usize,
    ) -> Result<Self> {
        schedule.validate()?;
        // Saturates: longer than any schedule.
        let steps = if schedule.each_epoch { 1 } else { steps_an_epoch as u64 };
        let run = (epochs as u64).saturating_mul(steps);
        let warm_up = schedule.warm_up.0;
        let length = warm_up.saturating_add(schedule.length.unwrap_or(0));
        let fits = (warm_up == 0 || warm_up < run) && length <= run;
        let reason = format!("its {length} ticks are longer than the run's {run}");
        check_option(fits, "schedule", reason)?;
        if matches!(schedule.shape, Shape::Cosine { .. } | Shape::OneCycle { .. }) {
            schedule.length.get_or_insert(run - warm_up);
        }
        let largest = schedule.largest_rate(lr, run);
        check_range("schedule: largest rate", largest, 0.0..f32::INFINITY)?;
        let state = RatesState { steps: 0, epochs: 0, best: f64::INFINITY, bad: 0, factor: 1.0 };
        Ok(Rates { schedule, lr, largest, state })
    }

    /// The largest rate of the run.
    pub(crate) fn largest(&self) -> f32 {
        self.largest
    }

    /// The rate of the next step.
    pub(crate) fn rate(&self) -> f32 {
        let t = if self.schedule.each_epoch { self.state.epochs } else { self.state.steps };
        self.schedule.rate(self.lr, t) * self.state.factor
    }

    /// Counts a step.
    pub(crate) fn step(&mut self) {
        self.state.steps += 1;
    }

    /// Counts an epoch, with its loss.
    pub(crate) fn epoch(&mut self, loss: f64) {
        let state = &mut self.state;
        state.epochs += 1;
        if let Shape::Plateau { factor, patience } = self.schedule.shape {
            if loss < state.best * (1.0 - 1e-4) {
                (state.best, state.bad) = (loss, 0);
            } else {
                state.bad += 1;
            }
            if state.bad > patience {
                let limit = self.schedule.smallest.map_or(0.0, |smallest| smallest / self.lr);
                // A rate that is below the limit already does not change.
                state.factor = state.factor.min((state.factor * factor).max(limit));
                state.bad = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rates of `ReduceLROnPlateau(factor=0.5, patience=2)` of PyTorch 2.15 with lr = 0.1.
    #[test]
    fn a_plateau_is_pytorch_s() {
        let mut rates = Rates::new(Schedule::plateau(0.5, 2), 0.1, 20, 1).unwrap();
        let losses = [1.0, 0.9, 0.95, 0.93, 0.92, 0.91, 0.89, 0.89, 0.89, 0.89, 0.89];
        let got = losses.map(|loss| {
            let rate = rates.rate();
            rates.epoch(loss);
            rate
        });
        assert_eq!(got, [0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05, 0.025]);
    }

    /// The rates of `ReduceLROnPlateau(factor=0.5, patience=0, min_lr=0.03)` of PyTorch with lr = 0.1.
    #[test]
    fn a_plateau_has_a_smallest_rate() {
        let rates = |schedule, lr| {
            let mut rates = Rates::new(schedule, lr, 20, 1).unwrap();
            [1.0; 5].map(|loss| {
                rates.epoch(loss);
                rates.rate()
            })
        };
        let schedule = Schedule::plateau(0.5, 0).smallest_rate(0.03);
        for (got, want) in rates(schedule, 0.1).into_iter().zip([0.1, 0.05, 0.03, 0.03, 0.03]) {
            assert!((got - want).abs() < 1e-8, "{got}, not {want}");
        }
        assert_eq!(rates(schedule, 0.02), [0.02; 5]);
        assert_eq!(rates(schedule, 0.0), [0.0; 5]);
    }

    #[test]
    fn the_largest_rate_is_known_before_the_run() {
        let largest = |schedule| Rates::new(schedule, 0.1, 4, 10).map(|r| r.largest());
        assert_eq!(largest(Schedule::constant().warm_up(5, 0.0)).unwrap(), 0.1);
        assert_eq!(largest(Schedule::one_cycle()).unwrap(), 0.1);
        assert_eq!(largest(Schedule::exponential(2.0)).unwrap(), 0.8);
        assert_eq!(largest(Schedule::step(2, 10.0).each_epoch()).unwrap(), 1.0);
        assert!(largest(Schedule::exponential(20.0).each_step()).is_err());
        for epochs in [usize::MAX, 1 << 40] {
            assert!(Rates::new(Schedule::cosine(0.1), 0.1, epochs, 1 << 30).is_ok());
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let (cosine, plateau) = (Schedule::cosine(0.0), Schedule::plateau(0.5, 1));
        for schedule in [
            cosine.over(31),
            cosine.over(25).warm_up(6, 0.0),
            cosine.over(u64::MAX).warm_up(5, 0.0),
            cosine.smallest_rate(0.1),
            Schedule::cosine(1.5),
            Schedule::cosine(f32::NAN),
            Schedule::constant().warm_up(30, 0.0),
            Schedule::constant().over(3),
            Schedule::step(0, 0.5),
            Schedule::exponential(0.0),
            Schedule::plateau(1.0, 1),
            plateau.smallest_rate(-1.0),
            plateau.smallest_rate(f32::NAN),
            plateau.each_step(),
            Schedule::one_cycle().warm_up(1, 0.1),
        ] {
            assert!(Rates::new(schedule, 0.1, 3, 10).is_err(), "{schedule:?}");
        }
        for schedule in [cosine.over(25).warm_up(5, 0.0), Schedule::step(1, 0.1).each_step()] {
            assert!(Rates::new(schedule, 0.1, 3, 10).is_ok(), "{schedule:?}");
        }
    }
}
