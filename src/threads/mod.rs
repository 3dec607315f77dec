//! The only place with threads: a small team that runs the phases of a step.
//!
//! The calling thread always takes part and could finish alone, so nothing deadlocks when the
//! host's pool is busy. Workers stay near between phases, spinning for at most [`SPIN`]; after
//! that they leave (back to the host's rayon pool) or park (threads of our own). Nothing spins
//! when no training runs.

mod choice;
mod job;
mod spread;
mod team;

pub(crate) use choice::{Choices, Way};
pub(crate) use spread::block_rows;
pub(crate) use team::Team;

use crate::error::{Error, Result};

/// How many threads to use, and whose.
///
/// The results are the same bits for any choice. With more than one thread, a run and a predictor time
/// some of their calls by one thread and by all, take the faster way, and look again now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread only.
    One,
    /// The calling thread and the idle workers of the rayon pool it runs in; the pool's
    /// configuration is never touched.
    ///
    /// Outside of any pool that is the global one. Rayon creates it when it is used for the first
    /// time, and `rayon::ThreadPoolBuilder::build_global` fails afterwards: a host that configures
    /// the global pool does so before the first job that is worth more than one thread. A job that
    /// is not (a small batch, a small evaluation) never touches it. Where the pool cannot be
    /// created (a process at its limit of threads) the calling thread works alone.
    ///
    /// Without the feature `rayon` this is [`Threads::One`].
    #[default]
    Current,
    /// The calling thread and n − 1 threads of our own, which live as long as the trainer's run,
    /// training session or predictor that started them.
    N(usize),
}

/// Most threads that can be asked for: far beyond any machine, far below a number that would
/// exhaust one.
const MOST: usize = 1024;

impl Threads {
    /// Checks the number.
    ///
    /// # Errors
    /// [`Error::Threads`] for 0 or more than 1024.
    pub fn validate(self) -> Result<()> {
        match self {
            Threads::N(n) if n == 0 || n > MOST => {
                Err(Error::Threads { reason: format!("expected 1 to {MOST} threads, got {n}") })
            }
            _ => Ok(()),
        }
    }

    /// The threads for a job of about `multiply_adds`: the same, but none of a pool that asking
    /// for them would create, where one thread does the job.
    pub(crate) fn for_job(self, multiply_adds: usize) -> Threads {
        match (self, Way::guess(multiply_adds)) {
            #[cfg(feature = "rayon")]
            (Threads::Current, Way::One) if rayon::current_thread_index().is_none() => Threads::One,
            (Threads::One | Threads::Current | Threads::N(_), Way::One | Way::Team) => self,
        }
    }
}
