//! A schedule on its way through a run: where it is, and which rate comes next.

use super::{Schedule, Shape};
use crate::error::{Error, Result, check_range};

/// A schedule on its way through a run.
#[derive(Clone, Debug)]
pub(crate) struct Rates {
    schedule: Schedule,
    lr: f32,
    largest: f32,
    state: RatesState,
}

/// Where a schedule is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RatesState {
    pub(crate) steps: u64,
    pub(crate) epochs: u64,
    /// On a plateau: the best loss, epochs since, and the product of the factors.
    pub(crate) best: f64,
    pub(crate) bad: usize,
    pub(crate) factor: f32,
}

impl Rates {
    /// # Errors
    /// [`Error::Config`] when a number is out of range or the schedule is longer than the run.
    pub(crate) fn new(
        mut schedule: Schedule,
        lr: f32,
        epochs: usize,
        steps_an_epoch: usize,
    ) -> Result<Self> {
        schedule.validate()?;
        // Longer than any run where the product has no place.
        let steps = if schedule.each_epoch { 1 } else { steps_an_epoch as u64 };
        let run = (epochs as u64).saturating_mul(steps);
        let warm_up = schedule.warm_up.0;
        let length = warm_up.saturating_add(schedule.length.unwrap_or(0));
        if warm_up > 0 && warm_up >= run || length > run {
            let reason = format!("its {length} ticks are longer than the run's {run}");
            return Err(Error::config("schedule", reason));
        }
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

    /// Where it is.
    pub(crate) fn state(&self) -> RatesState {
        self.state
    }

    /// Goes on from there.
    pub(crate) fn resume(&mut self, state: RatesState) {
        self.state = state;
    }

    /// The rate of the next step.
    pub(crate) fn rate(&self) -> f32 {
        let t = if self.schedule.each_epoch { self.state.epochs } else { self.state.steps };
        self.schedule.rate(self.lr, t) * self.state.factor
    }

    /// After a step.
    pub(crate) fn step(&mut self) {
        self.state.steps += 1;
    }

    /// After an epoch, with its loss.
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
                let least = self.schedule.smallest.map_or(0.0, |smallest| smallest / self.lr);
                // A rate that is below the smallest already stays.
                state.factor = state.factor.min((state.factor * factor).max(least));
                state.bad = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `ReduceLROnPlateau(factor=0.5, patience=2)` of PyTorch 2.15 gives with lr = 0.1.
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

    /// What `ReduceLROnPlateau(factor=0.5, patience=0, min_lr=0.03)` of PyTorch gives with lr = 0.1.
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
        let refused = |s: Schedule| Rates::new(s, 0.1, 3, 10).is_err();
        assert!(refused(Schedule::cosine(0.0).over(31)));
        assert!(refused(Schedule::cosine(0.0).over(25).warm_up(6, 0.0)));
        assert!(refused(Schedule::cosine(1.5)));
        assert!(refused(Schedule::cosine(f32::NAN)));
        assert!(refused(Schedule::constant().warm_up(30, 0.0)));
        assert!(refused(Schedule::constant().over(3)));
        assert!(refused(Schedule::step(0, 0.5)));
        assert!(refused(Schedule::exponential(0.0)));
        assert!(refused(Schedule::plateau(1.0, 1)));
        assert!(refused(Schedule::plateau(0.5, 1).smallest_rate(-1.0)));
        assert!(refused(Schedule::plateau(0.5, 1).smallest_rate(f32::NAN)));
        assert!(refused(Schedule::cosine(0.5).smallest_rate(0.1)));
        assert!(refused(Schedule::cosine(0.0).over(u64::MAX).warm_up(5, 0.0)));
        assert!(refused(Schedule::plateau(0.5, 1).each_step()));
        assert!(refused(Schedule::one_cycle().warm_up(1, 0.1)));
        assert!(!refused(Schedule::cosine(0.0).over(25).warm_up(5, 0.0)));
        assert!(!refused(Schedule::step(1, 0.1).each_step()));
    }
}
