//! One thread or the whole team? Whichever takes less time here and now, found by timing calls.
//!
//! The results do not depend on the threads, so a run may try both. How long two threads need to
//! meet, and whether the second core is there at all, depends on the machine and on the hour; a number
//! of operations cannot know it. It only says where to begin.
//!
//! A trial times some calls by the present way, then some by the other, in three blocks of 0.1 ms or one
//! call each, and keeps the best block of each. The time that the slower way cost is earned back before
//! the next trial, so that trials cost 0.5 % of a run at most. Between trials nothing asks for the time.

use std::time::{Duration, Instant};

/// Who does a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The calling thread.
    One,
    /// The whole team.
    Team,
}

impl Way {
    /// A guess for a call that is made once, by its multiply-adds.
    pub(crate) fn guess(multiply_adds: usize) -> Way {
        if multiply_adds < MEETING { Way::One } else { Way::Team }
    }

    fn other(self) -> Way {
        match self {
            Way::One => Way::Team,
            Way::Team => Way::One,
        }
    }
}

/// Time at the beginning of one thread's half of a trial that does not count: its cache is cold.
const WARM_UP_ONE: Duration = Duration::from_micros(50);

/// The same of a team's half: workers come near, which takes up to 50 µs, and the system may have to
/// move them to a core of their own.
const WARM_UP_TEAM: Duration = Duration::from_millis(1);

/// Time of a block: a thousand times the resolution of the clock.
const BLOCK: Duration = Duration::from_micros(100);

/// Blocks of each way in a trial: the best of three is seldom interrupted.
const BLOCKS: u32 = 3;

/// A call from which one block of each way is enough: a time slice of another program is short beside
/// it.
const LONG: Duration = Duration::from_millis(20);

/// What the slower half of a trial costs, times this, is the time to the next one.
const EARN_BACK: f64 = 200.0;

/// Calls to the next trial at least.
const MIN_CALLS: f64 = 64.0;

/// Calls before the first trial where the number of operations leaves it open who is faster: the first
/// ones find cold caches.
const FIRST_SOON: u64 = 4;

/// Calls before the first trial where it does not: a trial would cost two calls of these.
const FIRST_LATE: u64 = 400;

/// The other way wins if it takes less than this share of the time: both ways near each other do not
/// change places at every trial.
const BETTER: f64 = 0.99;

/// Who does the calls of one kind, for example the steps of one batch size.
#[derive(Debug)]
pub(crate) struct Choice {
    way: Way,
    /// Calls until the next trial.
    left: u64,
    trial: Option<Trial>,
}

#[derive(Debug, Default)]
struct Trial {
    /// What the present way took, once its half is over.
    own: Option<Took>,
    /// When the call began that is being made.
    began: Option<Instant>,
    half: Half,
}

/// What half of a trial found.
#[derive(Clone, Copy, Debug)]
struct Took {
    /// The best time of a row, in seconds.
    row: f64,
    /// Rows and calls of the half.
    rows: u64,
    calls: u64,
}

/// Calls of one way.
#[derive(Debug, Default)]
struct Half {
    warm_up: Duration,
    /// Rows and calls so far.
    rows: u64,
    calls: u64,
    /// Finished blocks, and the shortest time of a row in one.
    blocks: u32,
    best: Option<f64>,
    /// Rows and time of the present block.
    block: (u64, Duration),
}

/// Multiply-adds that take one thread as long as two threads need to meet twice, 2 µs at 50 a
/// nanosecond: the middle of what was measured (docs/performance.md). Only the beginning depends on it.
const MEETING: usize = 100_000;

impl Choice {
    /// For calls of about this many multiply-adds.
    fn new(multiply_adds: usize) -> Choice {
        let way = Way::guess(multiply_adds);
        let open = (MEETING / 8..MEETING * 32).contains(&multiply_adds);
        Choice { way, left: if open { FIRST_SOON } else { FIRST_LATE }, trial: None }
    }

    /// Who does the next call. [`Choice::done`] follows a call that ends well; one that does not leaves
    /// no trace.
    pub(crate) fn next(&mut self) -> Way {
        if self.trial.is_none() && self.left > 0 {
            self.left -= 1;
            return self.way;
        }
        self.trial.get_or_insert_default().began = Some(Instant::now());
        self.present()
    }

    /// Who does the calls now.
    fn present(&self) -> Way {
        match &self.trial {
            Some(Trial { own: Some(_), .. }) => self.way.other(),
            _ => self.way,
        }
    }

    /// The call is done; it had `rows` rows.
    pub(crate) fn done(&mut self, rows: usize) {
        if let Some(began) = self.trial.as_mut().and_then(|trial| trial.began.take()) {
            self.record(began.elapsed(), rows);
        }
    }

    /// Adds a call of a trial.
    fn record(&mut self, time: Duration, rows: usize) {
        let way = self.present();
        let Some(trial) = &mut self.trial else { return };
        let Some(took) = trial.half.add(way, time, rows) else { return };
        let Some(own) = trial.own else {
            (trial.own, trial.half) = (Some(took), Half::default());
            return;
        };
        self.trial = None;
        let (mut better, mut worse) = (own, took);
        if took.row < own.row * BETTER {
            self.way = self.way.other();
            (better, worse) = (took, own);
        }
        // Not by the whole time: what interrupted it would do so again either way.
        let lost = (worse.row - better.row).max(0.0) * worse.rows as f64;
        let call = better.row * better.rows as f64 / better.calls as f64;
        // NaN, where a clock stands still, becomes the least.
        self.left = (EARN_BACK * lost / call).max(MIN_CALLS) as u64;
    }
}

impl Half {
    /// Adds a call. Returns what was found once there are enough.
    fn add(&mut self, way: Way, time: Duration, rows: usize) -> Option<Took> {
        let warm_up = match way {
            Way::One => WARM_UP_ONE,
            Way::Team => WARM_UP_TEAM,
        };
        self.calls += 1;
        self.rows += rows as u64;
        // At least one call, and an end even if the clock stands still.
        let time = time.max(Duration::from_nanos(1));
        if self.warm_up < warm_up {
            self.warm_up += time;
            return None;
        }
        self.block.0 += rows as u64;
        self.block.1 += time;
        if self.block.1 < BLOCK {
            return None;
        }
        let (block_rows, block_time) = std::mem::take(&mut self.block);
        let row = block_time.as_secs_f64() / block_rows as f64;
        let row = self.best.map_or(row, |best| best.min(row));
        (self.best, self.blocks) = (Some(row), self.blocks + 1);
        let is_over = time >= LONG || self.blocks >= BLOCKS;
        is_over.then_some(Took { row, rows: self.rows, calls: self.calls })
    }
}

/// A choice for each size of a call: up to 1, 3, 7, 15 … rows.
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

    /// Makes calls that take what `time` says, until they took `total`. Returns the time of each way.
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

    /// For calls from 1 µs to 100 ms, whoever is faster, wherever the guess begins: the run takes at most
    /// 1 % more than the faster way alone, once the first trial is paid for.
    #[test]
    fn a_run_takes_what_the_faster_way_takes() {
        for micros in [1.0, 3.0, 10.0, 30.0, 100.0, 1e3, 1e4, 1e5] {
            for ratio in [0.1, 0.5, 0.8, 0.97, 1.03, 1.25, 2.0] {
                for multiply_adds in [0, MEETING, MEETING * 1000] {
                    let time = |way| {
                        let ratio = if way == Way::Team { ratio } else { 1.0 };
                        Duration::from_nanos((micros * 1e3 * ratio) as u64)
                    };
                    let mut choice = Choice::new(multiply_adds);
                    let faster = if ratio < 1.0 { Way::Team } else { Way::One };
                    let slow = if ratio < 1.0 { 1.0 / ratio } else { ratio };
                    let call = time(faster);
                    // Until the first trial is over and earned back.
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
        let mut choice = Choice::new(MEETING);
        for micros in [6, 20, 6] {
            simulate(&mut choice, Duration::from_secs(2), team_takes(micros));
            let faster = if micros < 10 { Way::Team } else { Way::One };
            assert_eq!(choice.way, faster, "a team of {micros} µs");
        }
    }

    #[test]
    fn calls_that_fail_and_clocks_that_stand_still_change_nothing() {
        let mut choice = Choice::new(MEETING);
        // Never `done`.
        (0..1000).for_each(|_| assert_eq!(choice.next(), Way::Team));
        // A nanosecond each is the least that a call takes.
        let calls = 2 * (WARM_UP_TEAM + BLOCK * (BLOCKS + 1)).as_nanos();
        let is_over = (0..calls).any(|_| {
            choice.next();
            choice.record(Duration::ZERO, 1);
            choice.trial.is_none()
        });
        assert!(is_over && choice.left == MIN_CALLS as u64);
    }

    #[test]
    fn sizes_of_calls_have_choices_of_their_own() {
        let mut choices = Choices::new(1024, 1000);
        assert_eq!(choices.0.len(), 11);
        assert_eq!(choices.of(1).next(), Way::One);
        assert_eq!(choices.of(1024).next(), Way::Team);
        assert_eq!(choices.of(5000).next(), Way::Team);
        assert_eq!(Choices::new(0, usize::MAX).of(0).next(), Way::Team);
    }
}
