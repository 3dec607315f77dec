//! The team: who helps with a job, and where the helpers wait.

use super::Threads;
use super::choice::Way;
use super::job::{Slot, Work};
use crate::error::{Error, Result};
use crate::simd::check_float_environment;
#[cfg(feature = "rayon")]
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a worker looks for the next phase before it leaves or parks. A wake-up costs 5 to
/// 50 µs, so a shorter wait would often pay it; 100 µs is what a host's other work may lose.
const SPIN: Duration = Duration::from_micros(100);

/// A worker is looking for work, or at work.
const NEAR: u8 = 0;
/// A worker has left, or is parked.
const AWAY: u8 = 1;

/// What the team shares.
struct Shared {
    slot: Slot,
    /// One a worker.
    places: Vec<AtomicU8>,
    stop: AtomicBool,
    /// Threads of our own that run.
    started: AtomicUsize,
    /// A worker found its floating-point environment changed and took no work, which
    /// [`Team::check`] has not said yet.
    unfit: AtomicBool,
}

impl Shared {
    /// One worker's stay: helps until nothing came for [`SPIN`].
    fn stay(&self, worker: usize) {
        if check_float_environment().is_err() {
            self.unfit.store(true, Ordering::Relaxed);
            self.places[worker - 1].store(AWAY, Ordering::SeqCst);
            return;
        }
        loop {
            let seen = self.slot.newest();
            self.slot.help(worker);
            let start = Instant::now();
            let mut looks = 0u32;
            while self.slot.newest() == seen {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                std::hint::spin_loop();
                looks += 1;
                // The clock costs as much as many looks.
                if looks.is_multiple_of(64) && start.elapsed() > SPIN {
                    self.places[worker - 1].store(AWAY, Ordering::SeqCst);
                    // A job posted before the line above saw us near and will not call us: look
                    // once more, and come back unless we are called already.
                    let back = self.slot.newest() != seen
                        && self.places[worker - 1].swap(NEAR, Ordering::SeqCst) == AWAY;
                    if !back {
                        return;
                    }
                    break;
                }
            }
        }
    }
}

/// Where the workers come from.
enum Source {
    Nowhere,
    /// Workers of the rayon pool in which a job is run.
    #[cfg(feature = "rayon")]
    Rayon,
    /// Threads of our own.
    Own(Vec<JoinHandle<()>>),
}

/// Threads of the pool in which the caller runs. Outside of any, rayon creates the global one, and
/// panics where it cannot start its threads; the caller is alone then.
#[cfg(feature = "rayon")]
fn pool_threads() -> usize {
    catch_unwind(rayon::current_num_threads).unwrap_or(1)
}

/// A team of workers that helps the calling thread.
pub(crate) struct Team {
    shared: Arc<Shared>,
    source: Source,
}

impl Team {
    /// A team of the calling thread and helpers.
    ///
    /// # Errors
    /// [`Error::Threads`] when the number makes no sense or a thread cannot be started,
    /// [`Error::FloatEnvironment`] when the caller's floating-point environment is not the usual one.
    pub(crate) fn new(threads: Threads) -> Result<Team> {
        threads.validate()?;
        check_float_environment()?;
        let helpers = match threads {
            Threads::One => 0,
            #[cfg(feature = "rayon")]
            Threads::Current => pool_threads().min(super::MOST) - 1,
            #[cfg(not(feature = "rayon"))]
            Threads::Current => 0,
            Threads::N(n) => n - 1,
        };
        let shared = Arc::new(Shared {
            slot: Slot::new(helpers + 1),
            places: (0..helpers).map(|_| AtomicU8::new(AWAY)).collect(),
            stop: AtomicBool::new(false),
            started: AtomicUsize::new(0),
            unfit: AtomicBool::new(false),
        });
        let mut team = Team { shared, source: Source::Nowhere };
        match threads {
            _ if helpers == 0 => {}
            Threads::N(_) => {
                // On an error, dropping the team ends the threads that did start.
                team.source = Source::Own(Vec::with_capacity(helpers));
                for worker in 1..=helpers {
                    team.start(worker)?;
                }
                // A thread allocates while it starts; no job shall.
                while team.shared.started.load(Ordering::Acquire) < helpers {
                    std::thread::yield_now();
                }
            }
            #[cfg(feature = "rayon")]
            _ => team.source = Source::Rayon,
            #[cfg(not(feature = "rayon"))]
            _ => {}
        }
        Ok(team)
    }

    /// Starts a thread of our own.
    fn start(&mut self, worker: usize) -> Result<()> {
        let shared = self.shared.clone();
        shared.places[worker - 1].store(NEAR, Ordering::SeqCst);
        let body = move || {
            shared.started.fetch_add(1, Ordering::Release);
            loop {
                shared.stay(worker);
                // `park` returns at once when `unpark` came first.
                while shared.places[worker - 1].load(Ordering::SeqCst) == AWAY {
                    if shared.stop.load(Ordering::SeqCst) {
                        return;
                    }
                    std::thread::park();
                }
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
            }
        };
        let name = format!("deltarule {worker}");
        match std::thread::Builder::new().name(name).spawn(body) {
            Ok(handle) => {
                if let Source::Own(handles) = &mut self.source {
                    handles.push(handle);
                }
                Ok(())
            }
            Err(e) => {
                Err(Error::Threads { reason: format!("thread {worker} could not be started: {e}") })
            }
        }
    }

    /// Threads that may take part, the caller included.
    pub(crate) fn threads(&self) -> usize {
        self.shared.slot.workers()
    }

    /// Calls `work(worker, item)` once for each item, spread over the team; worker numbers are
    /// below [`Team::threads`], and no two calls at a time have the same one.
    ///
    /// A worker whose floating-point environment is not the usual one takes no item; the others do
    /// all the work, and [`Team::check`] says so.
    pub(crate) fn run(&mut self, items: usize, work: Work) {
        if items <= 1 || self.shared.places.is_empty() {
            (0..items).for_each(|item| work(0, item));
            return;
        }
        let helpers = self.shared.places.len().min(items - 1);
        self.shared.slot.run(items, work, || (1..=helpers).for_each(|worker| self.call(worker)));
    }

    /// Checks that every worker which came near since the last check was fit to work. Whoever
    /// changes something that stays asks before the first change, so that on the error there is
    /// none.
    ///
    /// # Errors
    /// [`Error::FloatEnvironment`] when a worker's floating-point environment was not the usual
    /// one. It took no part: what the team did is right all the same.
    pub(crate) fn check(&self) -> Result<()> {
        if self.shared.unfit.swap(false, Ordering::Relaxed) {
            return Err(Error::float_environment(
                "a worker thread flushes subnormals or does not round to nearest",
            ));
        }
        Ok(())
    }

    /// [`Team::run`] by the calling thread alone, or by the team.
    pub(crate) fn run_by(&mut self, way: Way, items: usize, work: Work) {
        match way {
            Way::One => (0..items).for_each(|item| work(0, item)),
            Way::Team => self.run(items, work),
        }
    }

    /// Brings a worker near if it is away.
    fn call(&self, worker: usize) {
        if self.shared.places[worker - 1].swap(NEAR, Ordering::SeqCst) == NEAR {
            return;
        }
        match &self.source {
            Source::Nowhere => {}
            #[cfg(feature = "rayon")]
            Source::Rayon => {
                let shared = self.shared.clone();
                // A session that is used outside of the pool that it began in spawns in the global
                // pool, and a panic says that there is none and never will be. The worker then
                // counts as near for ever, so that it is not called again; the others do its work.
                let _ = catch_unwind(move || {
                    rayon::spawn(move || {
                        if !shared.stop.load(Ordering::Relaxed) {
                            shared.stay(worker);
                        }
                    });
                });
            }
            Source::Own(handles) => handles[worker - 1].thread().unpark(),
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Source::Own(handles) = &mut self.source {
            for handle in handles.drain(..) {
                handle.thread().unpark();
                // A worker never panics: `Slot::help` catches what its items throw.
                let _ = handle.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mut team: Team) {
        for round in 0..500 {
            let counts: Vec<AtomicUsize> = (0..round % 9).map(|_| 0.into()).collect();
            let threads = team.threads();
            team.run(counts.len(), &|worker, i| {
                assert!(worker < threads);
                counts[i].fetch_add(1, Ordering::Relaxed);
            });
            team.check().unwrap();
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            if round % 100 == 0 {
                // Long enough for the workers to leave or park.
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    #[test]
    fn every_kind_of_team_does_all_work() {
        check(Team::new(Threads::One).unwrap());
        check(Team::new(Threads::N(1)).unwrap());
        check(Team::new(Threads::N(3)).unwrap());
        check(Team::new(Threads::Current).unwrap());
        assert!(Team::new(Threads::N(0)).is_err());
        assert!(Team::new(Threads::N(1_000_000)).is_err());
    }

    #[cfg(feature = "rayon")]
    #[test]
    fn a_team_inside_a_busy_or_one_thread_pool_finishes() {
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let stop = Arc::new(AtomicBool::new(false));
            for _ in 1..threads {
                let stop = stop.clone();
                pool.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                });
            }
            pool.install(|| check(Team::new(Threads::Current).unwrap()));
            stop.store(true, Ordering::Relaxed);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn own_threads_end_with_the_team() {
        let named = || {
            let tasks = std::fs::read_dir("/proc/self/task").unwrap();
            tasks
                .filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("comm")).ok())
                .filter(|name| name.starts_with("deltarule 7"))
                .count()
        };
        let team = Team::new(Threads::N(8)).unwrap();
        assert_eq!(team.threads(), 8);
        drop(team);
        // A thread that was joined may be listed a moment longer.
        let start = Instant::now();
        while named() > 0 {
            assert!(start.elapsed() < Duration::from_secs(10), "still there");
            std::thread::yield_now();
        }
    }
}
