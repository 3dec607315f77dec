//! A schedule on its way through a run: where it is, and which rate comes next.

use super::{Schedule, Shape};
use crate::{Error, Result};

/// A schedule on its way through a run.
#[derive(Clone, Debug)]
pub(crate) struct Rates {
    schedule: Schedule,
    lr: f32,
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
        let state = RatesState { steps: 0, epochs: 0, best: f64::INFINITY, bad: 0, factor: 1.0 };
        Ok(Rates { schedule, lr, state })
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
                (state.factor, state.bad) = (state.factor * factor, 0);
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
        assert!(refused(Schedule::plateau(0.5, 1).each_step()));
        assert!(refused(Schedule::one_cycle().warm_up(1, 0.1)));
        assert!(!refused(Schedule::cosine(0.0).over(25).warm_up(5, 0.0)));
        assert!(!refused(Schedule::step(1, 0.1).each_step()));
    }
}
