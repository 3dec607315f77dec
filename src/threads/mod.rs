//! A team of threads that runs the phases of a step; no other module starts or uses threads.
//!
//! The calling thread always takes part and can do all the work alone, so a busy pool of the host
//! cannot cause a deadlock. Between phases workers spin for at most 0.1 ms. Then those of a rayon pool
//! return to it, and the team's own threads park. Nothing spins while no training runs.

mod choice;
mod job;
mod spread;
mod team;
mod text;

pub(crate) use choice::{Choices, Way};
pub(crate) use spread::block_rows;
pub(crate) use team::Team;

use crate::error::{Error, Result};

/// How many threads to use, and which.
///
/// The results have the same bits for any choice. With more than one thread, a run or a predictor times
/// some of its calls on one thread and on all threads, uses the faster way, and repeats the comparison
/// from time to time.
///
/// Text form: `one`, `current`, or n as a number, `4`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum Threads {
    /// The calling thread only.
    One,
    /// The calling thread and the idle workers of the rayon pool in which it runs. The configuration of
    /// the pool is not changed.
    ///
    /// Outside of any pool the global pool is used. Rayon creates it at its first use, and
    /// `rayon::ThreadPoolBuilder::build_global` fails afterwards, so configure the global pool before
    /// the first job that is large enough for several threads. Smaller jobs (a small batch, a small
    /// evaluation) do not use it. If the pool cannot be created (the process has reached its limit of
    /// threads), the calling thread works alone.
    ///
    /// Without the feature `rayon` this is [`Threads::One`].
    #[default]
    Current,
    /// The calling thread and n − 1 new threads, which end with the run, training session or predictor
    /// that started them.
    N(usize),
}

/// The largest number of threads: more than machines have, too few to exhaust one.
const MAX_THREADS: usize = 1024;

impl Threads {
    /// Checks the number.
    ///
    /// # Errors
    /// [`Error::Threads`] for 0 or more than 1024.
    pub fn validate(self) -> Result<()> {
        match self {
            Threads::N(n) if n == 0 || n > MAX_THREADS => Err(Error::Threads {
                reason: format!("expected 1 to {MAX_THREADS} threads, got {n}"),
            }),
            Threads::One | Threads::Current | Threads::N(_) => Ok(()),
        }
    }

    /// The threads for a job of about `multiply_adds`: [`Threads::One`] if the job is small and more
    /// would create the global pool, else `self`.
    pub(crate) fn for_job(self, multiply_adds: usize) -> Threads {
        match (self, Way::guess(multiply_adds)) {
            #[cfg(feature = "rayon")]
            (Threads::Current, Way::One) if rayon::current_thread_index().is_none() => Threads::One,
            (Threads::One | Threads::Current | Threads::N(_), Way::One | Way::Team) => self,
        }
    }
}
