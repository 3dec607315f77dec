//! The choice between one thread and the whole team, by measured times.
//!
//! The results do not depend on the number of threads, so a run may try both. Which one is faster depends
//! on how long threads take to synchronise and on the other load of the machine. The number of operations
//! only gives a first guess.
//!
//! A trial times calls by the current way, then by the other, in three blocks of 0.1 ms or one call each,
//! and compares the best blocks. The interval to the next trial is proportional to the time that the
//! slower way cost, so that trials take at most 0.5 % of a run. Between trials the clock is not read.

use std::time::{Duration, Instant};

/// Which threads make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The calling thread.
    One,
    /// The whole team.
    Team,
}

impl Way {
    /// A guess from the number of multiply-adds of a call.
    pub(crate) fn guess(multiply_adds: usize) -> Way {
        if multiply_adds < SYNCHRONISATION { Way::One } else { Way::Team }
    }

    fn other(self) -> Way {
        match self {
            Way::One => Way::Team,
            Way::Team => Way::One,
        }
    }
}

/// Duration of one thread's warm-up in a trial, which is not counted: its cache is cold.
const WARM_UP_ONE: Duration = Duration::from_micros(50);

/// Duration of a team's warm-up: workers take up to 50 µs to wake, and the system may move them to
/// other cores.
const WARM_UP_TEAM: Duration = Duration::from_millis(1);

/// Duration of a block: a thousand times the resolution of the clock.
const BLOCK: Duration = Duration::from_micros(100);

/// Blocks per way in a trial: the best of three is seldom interrupted.
const BLOCKS: u32 = 3;

/// Duration of a call from which one block per way is enough: it is long against a time slice of
/// another process.
const LONG: Duration = Duration::from_millis(20);

/// The interval to the next trial, as a multiple of the time that the slower way cost.
const TRIAL_INTERVAL: f64 = 200.0;

/// Minimum number of calls between trials.
const MIN_CALLS: f64 = 64.0;

/// Calls before the first trial if the guess is uncertain: the first calls find cold caches.
const FIRST_SOON: u64 = 4;

/// Calls before the first trial if the guess is certain: a trial costs two of these calls.
const FIRST_LATE: u64 = 400;

/// The other way wins if its time is below this fraction of the current way's, so that two equally fast
/// ways do not alternate.
const BETTER: f64 = 0.99;

/// The current way for calls of one kind, for example the steps of one batch size.
#[derive(Debug)]
pub(crate) struct Choice {
    way: Way,
    /// Calls until the next trial.
    left: u64,
    trial: Option<Trial>,
}

#[derive(Debug, Default)]
struct Trial {
    /// The times of the current way, once they are complete.
    current: Option<Measurement>,
    /// The start of the call in progress.
    began: Option<Instant>,
    /// The times of the way that is measured now.
    now: Measurement,
}

/// The times of one way in a trial.
#[derive(Debug, Default)]
struct Measurement {
    warm_up: Duration,
    /// Rows and calls so far.
    rows: u64,
    calls: u64,
    /// Finished blocks, and the shortest time per row in one, in seconds.
    blocks: u32,
    best: f64,
    /// Rows and time of the current block.
    block: (u64, Duration),
}

/// Multiply-adds that one thread does while two threads synchronise twice: 2 µs at 50 per nanosecond, a
/// median of measurements (docs/performance.md). Only the first guess depends on it.
const SYNCHRONISATION: usize = 100_000;

impl Choice {
    /// For calls of about this many multiply-adds.
    fn new(multiply_adds: usize) -> Choice {
        let way = Way::guess(multiply_adds);
        let open = (SYNCHRONISATION / 8..SYNCHRONISATION * 32).contains(&multiply_adds);
        Choice { way, left: if open { FIRST_SOON } else { FIRST_LATE }, trial: None }
    }

    /// The way of the next call. The caller calls [`Choice::done`] after a call without an error;
    /// others are not counted.
    pub(crate) fn next(&mut self) -> Way {
        if self.trial.is_none() && self.left > 0 {
            self.left -= 1;
            return self.way;
        }
        self.trial.get_or_insert_default().began = Some(Instant::now());
        self.way_now()
    }

    /// The way that is in use, in a trial or outside.
    fn way_now(&self) -> Way {
        match &self.trial {
            Some(Trial { current: Some(_), .. }) => self.way.other(),
            Some(Trial { current: None, .. }) | None => self.way,
        }
    }

    /// Ends a call of `rows` rows.
    pub(crate) fn done(&mut self, rows: usize) {
        if let Some(began) = self.trial.as_mut().and_then(|trial| trial.began.take()) {
            self.record(began.elapsed(), rows);
        }
    }

    /// Adds a call of a trial.
    fn record(&mut self, time: Duration, rows: usize) {
        let way = self.way_now();
        let Some(trial) = &mut self.trial else { return };
        if !trial.now.add(way, time, rows) {
            return;
        }
        let measured = std::mem::take(&mut trial.now);
        let Some(current) = trial.current.take() else {
            trial.current = Some(measured);
            return;
        };
        self.trial = None;
        let (mut better, mut worse) = (current, measured);
        if worse.best < better.best * BETTER {
            self.way = self.way.other();
            std::mem::swap(&mut better, &mut worse);
        }
        // From the best blocks, not the whole time, which includes interruptions.
        let lost = (worse.best - better.best).max(0.0) * worse.rows as f64;
        let call = better.best * better.rows as f64 / better.calls as f64;
        // `max` replaces the NaN of a clock that stands still.
        self.left = (TRIAL_INTERVAL * lost / call).max(MIN_CALLS) as u64;
    }
}

impl Measurement {
    /// Adds a call. Returns whether there are enough.
    fn add(&mut self, way: Way, time: Duration, rows: usize) -> bool {
        let warm_up = match way {
            Way::One => WARM_UP_ONE,
            Way::Team => WARM_UP_TEAM,
        };
        self.calls += 1;
        self.rows += rows as u64;
        // At least 1 ns, so that a trial ends even if the clock stands still.
        let time = time.max(Duration::from_nanos(1));
        if self.warm_up < warm_up {
            self.warm_up += time;
            return false;
        }
        self.block.0 += rows as u64;
        self.block.1 += time;
        if self.block.1 < BLOCK {
            return false;
        }
        let (block_rows, block_time) = std::mem::take(&mut self.block);
        let row = block_time.as_secs_f64() / block_rows as f64;
        self.best = if self.blocks == 0 { row } else { self.best.min(row) };
        self.blocks += 1;
        time >= LONG || self.blocks >= BLOCKS
    }
}

/// One choice per range of rows: up to 1, 3, 7, 15 … rows.
#[derive(Debug)]
pub(crate) struct Choices(Vec<Choice>);

impl Choices {
    /// For calls of up to `rows` rows of `multiply_adds` each.
    pub(crate) fn new(rows: usize, multiply_adds: usize) -> Choices {
        let sizes = 0..=rows.max(1).ilog2();
        Choices(sizes.map(|i| Choice::new(multiply_adds.saturating_mul(1 << i))).collect())
    }

    /// The choice for a call of `rows` rows.
    pub(crate) fn of(&mut self, rows: usize) -> &mut Choice {
        let last = self.0.len() - 1;
        &mut self.0[last.min(rows.max(1).ilog2() as usize)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates calls of duration `time(way)` for `total`. Returns the total time of each way.
    fn simulate(
        choice: &mut Choice,
        total: Duration,
        time: impl Fn(Way) -> Duration,
    ) -> [Duration; 2] {
        let mut spent = [Duration::ZERO; 2];
        while spent[0] + spent[1] < total {
            let way = choice.next();
            let is_trial = choice.trial.is_some();
            spent[usize::from(way == Way::Team)] += time(way);
            if is_trial {
                choice.record(time(way), 1);
            }
        }
        spent
    }

    /// For calls from 1 µs to 100 ms, any faster way, and any first guess: after the first trial, a run
    /// takes at most 1 % more time than the faster way alone.
    #[test]
    fn a_run_takes_the_time_of_the_faster_way() {
        for micros in [1.0, 3.0, 10.0, 30.0, 100.0, 1e3, 1e4, 1e5] {
            for ratio in [0.1, 0.5, 0.8, 0.97, 1.03, 1.25, 2.0] {
                for multiply_adds in [0, SYNCHRONISATION, SYNCHRONISATION * 1000] {
                    let time = |way| {
                        let ratio = if way == Way::Team { ratio } else { 1.0 };
                        Duration::from_nanos((micros * 1e3 * ratio) as u64)
                    };
                    let mut choice = Choice::new(multiply_adds);
                    let faster = if ratio < 1.0 { Way::Team } else { Way::One };
                    let slow = if ratio < 1.0 { 1.0 / ratio } else { ratio };
                    let call = time(faster);
                    // Until the first trial and its interval are over.
                    let slower = time(Way::One).max(time(Way::Team));
                    simulate(&mut choice, slower * 500 + Duration::from_millis(100), time);
                    assert_eq!(choice.way, faster, "{micros} {ratio} {multiply_adds}");
                    let total = call * 20_000 + Duration::from_secs(1);
                    let spent = simulate(&mut choice, total, time);
                    let wasted = spent[usize::from(faster != Way::Team)].as_secs_f64();
                    let lost = wasted * (1.0 - 1.0 / slow);
                    assert!(lost < 0.01 * total.as_secs_f64(), "{micros} {ratio}: {lost} s lost");
                }
            }
        }
    }

    #[test]
    fn a_machine_that_changes_is_noticed() {
        let team_takes =
            |micros| move |way| Duration::from_micros(if way == Way::Team { micros } else { 10 });
        let mut choice = Choice::new(SYNCHRONISATION);
        for micros in [6, 20, 6] {
            simulate(&mut choice, Duration::from_secs(2), team_takes(micros));
            let faster = if micros < 10 { Way::Team } else { Way::One };
            assert_eq!(choice.way, faster, "a team of {micros} µs");
        }
    }

    #[test]
    fn calls_that_fail_and_clocks_that_stand_still_change_nothing() {
        let mut choice = Choice::new(SYNCHRONISATION);
        // Never `done`.
        (0..1000).for_each(|_| assert_eq!(choice.next(), Way::Team));
        // A call counts as at least 1 ns.
        let calls = 2 * (WARM_UP_TEAM + BLOCK * (BLOCKS + 1)).as_nanos();
        let is_over = (0..calls).any(|_| {
            choice.next();
            choice.record(Duration::ZERO, 1);
            choice.trial.is_none()
        });
        assert!(is_over && choice.left == MIN_CALLS as u64);
    }

    #[test]
    fn each_range_of_rows_has_a_choice() {
        let mut choices = Choices::new(1024, 1000);
        assert_eq!(choices.0.len(), 11);
        assert_eq!(choices.of(1).next(), Way::One);
        assert_eq!(choices.of(1024).next(), Way::Team);
        assert_eq!(choices.of(5000).next(), Way::Team);
        assert_eq!(Choices::new(0, usize::MAX).of(0).next(), Way::Team);
    }
}
