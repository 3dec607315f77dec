//! The team: the workers that help with a job, and how they wait for the next one.

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

/// How long a worker spins for the next phase before it returns to its pool or parks. A wake-up takes 5
/// to 50 µs, which a shorter time would often cost; other work of the host loses at most this time.
const SPIN: Duration = Duration::from_micros(100);

/// The state of a worker that spins or works.
const ACTIVE: u8 = 0;
/// The state of a worker that has returned to its pool or is parked.
const IDLE: u8 = 1;

/// The state that the team's threads share.
struct Shared {
    slot: Slot,
    /// [`ACTIVE`] or [`IDLE`], one per helper.
    states: Vec<AtomicU8>,
    stop: AtomicBool,
    /// Number of the team's own threads that run.
    started: AtomicUsize,
    /// Whether a worker had an unusual floating-point environment and took no work since the last
    /// [`Team::check`].
    float_environment_differs: AtomicBool,
}

impl Shared {
    /// Helps with jobs until none came for [`SPIN`]; the worker is idle afterwards.
    fn work(&self, worker: usize) {
        let state = &self.states[worker - 1];
        if check_float_environment().is_err() {
            self.float_environment_differs.store(true, Ordering::Relaxed);
            state.store(IDLE, Ordering::SeqCst);
            return;
        }
        loop {
            let seen = self.slot.newest();
            self.slot.help(worker);
            let start = Instant::now();
            let mut spins = 0u32;
            while self.slot.newest() == seen {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                std::hint::spin_loop();
                spins += 1;
                // Reading the clock takes as long as many spins.
                if spins.is_multiple_of(64) && start.elapsed() > SPIN {
                    state.store(IDLE, Ordering::SeqCst);
                    // A job posted before this store found the worker active and will not wake it. So
                    // check once more, and continue unless another thread has woken the worker.
                    let missed_a_job =
                        self.slot.newest() != seen && state.swap(ACTIVE, Ordering::SeqCst) == IDLE;
                    if !missed_a_job {
                        return;
                    }
                    break;
                }
            }
        }
    }
}

/// Number of threads of the pool in which the caller runs. Outside of any, rayon creates the global
/// pool, and panics if it cannot start the threads; the result is 1 then.
#[cfg(feature = "rayon")]
fn pool_threads() -> usize {
    catch_unwind(rayon::current_num_threads).unwrap_or(1)
}

/// The calling thread and its helpers.
pub(crate) struct Team {
    shared: Arc<Shared>,
    /// The team's own threads; empty if the helpers are workers of the rayon pool in which a job is run.
    threads: Vec<JoinHandle<()>>,
}

impl Team {
    /// A team with the number of threads that `threads` asks for.
    ///
    /// # Errors
    /// [`Error::Threads`] if the number is not valid or a thread cannot be started,
    /// [`Error::FloatEnvironment`] if the caller's floating-point environment is not the usual one.
    pub(crate) fn new(threads: Threads) -> Result<Team> {
        threads.validate()?;
        check_float_environment()?;
        let helpers = match threads {
            Threads::One => 0,
            #[cfg(feature = "rayon")]
            Threads::Current => pool_threads().min(super::MAX_THREADS) - 1,
            #[cfg(not(feature = "rayon"))]
            Threads::Current => 0,
            Threads::N(n) => n - 1,
        };
        let shared = Arc::new(Shared {
            slot: Slot::new(helpers + 1),
            states: (0..helpers).map(|_| AtomicU8::new(IDLE)).collect(),
            stop: AtomicBool::new(false),
            started: AtomicUsize::new(0),
            float_environment_differs: AtomicBool::new(false),
        });
        let mut team = Team { shared, threads: Vec::new() };
        if let Threads::N(_) = threads {
            // On an error, dropping the team ends the threads that did start.
            (1..=helpers).try_for_each(|worker| team.start(worker))?;
            // Threads allocate while they start; later no job allocates.
            while team.shared.started.load(Ordering::Acquire) < helpers {
                std::thread::yield_now();
            }
        }
        Ok(team)
    }

    /// Starts the thread of a helper.
    fn start(&mut self, worker: usize) -> Result<()> {
        let shared = self.shared.clone();
        shared.states[worker - 1].store(ACTIVE, Ordering::SeqCst);
        let body = move || {
            shared.started.fetch_add(1, Ordering::Release);
            while !shared.stop.load(Ordering::SeqCst) {
                shared.work(worker);
                // `park` returns at once if `unpark` came first.
                while shared.states[worker - 1].load(Ordering::SeqCst) == IDLE
                    && !shared.stop.load(Ordering::SeqCst)
                {
                    std::thread::park();
                }
            }
        };
        let thread = std::thread::Builder::new().name(format!("deltarule {worker}")).spawn(body);
        let failed =
            |e| Error::Threads { reason: format!("thread {worker} could not be started: {e}") };
        self.threads.push(thread.map_err(failed)?);
        Ok(())
    }

    /// Number of threads, including the caller.
    pub(crate) fn threads(&self) -> usize {
        self.shared.slot.workers()
    }

    /// Calls `work(worker, item)` once for each item, spread over the team. Worker numbers are below
    /// [`Team::threads`], and concurrent calls have different ones.
    ///
    /// A worker whose floating-point environment is not the usual one takes no item; the others do all
    /// the work, and [`Team::check`] reports it.
    pub(crate) fn run(&mut self, items: usize, work: Work) {
        if items <= 1 || self.shared.states.is_empty() {
            (0..items).for_each(|item| work(0, item));
            return;
        }
        let helpers = self.shared.states.len().min(items - 1);
        self.shared.slot.run(items, work, || (1..=helpers).for_each(|worker| self.wake(worker)));
    }

    /// Reports whether a worker refused work since the last check. A caller that changes lasting state
    /// calls this before its first change.
    ///
    /// # Errors
    /// [`Error::FloatEnvironment`] if a worker's floating-point environment was not the usual one. It
    /// took no item, so the results of the team are correct.
    pub(crate) fn check(&self) -> Result<()> {
        if self.shared.float_environment_differs.swap(false, Ordering::Relaxed) {
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

    /// Wakes a worker if it is idle.
    fn wake(&self, worker: usize) {
        if self.shared.states[worker - 1].swap(ACTIVE, Ordering::SeqCst) == ACTIVE {
            return;
        }
        match self.threads.get(worker - 1) {
            Some(thread) => thread.thread().unpark(),
            #[cfg(feature = "rayon")]
            None => self.spawn_in_pool(worker),
            #[cfg(not(feature = "rayon"))]
            None => {}
        }
    }

    /// Makes a worker a task of the pool. A session that left the pool in which it began spawns in the
    /// global one. A panic means that this pool cannot be created. The worker then remains marked as
    /// active, so that it is not woken again; the others do its work.
    #[cfg(feature = "rayon")]
    fn spawn_in_pool(&self, worker: usize) {
        let shared = self.shared.clone();
        let _ = catch_unwind(move || {
            rayon::spawn(move || {
                if !shared.stop.load(Ordering::Relaxed) {
                    shared.work(worker);
                }
            });
        });
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // A worker never panics: `Slot::help` catches the panics of items.
            let _ = thread.join();
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
                // Long enough for the workers to become idle.
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
    fn local_threads_end_with_the_team() {
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
        // A joined thread may still be listed for a moment.
        let start = Instant::now();
        while named() > 0 {
            assert!(start.elapsed() < Duration::from_secs(10), "still there");
            std::thread::yield_now();
        }
    }
}
