//! A job of numbered items that several threads claim one by one.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// The work: called once for each item, with the worker's number and the item's.
pub(super) type Work<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// The slot in which one job after the other is posted.
///
/// Of a job's items, worker w of n has w, w + n, w + 2n … as its own, and takes others' only when
/// those are gone: what a worker wrote in the last step is still in its own cache in the next.
///
/// A worker's `claim` packs the job's number (high half) and how many of its items are taken (low
/// half). An item is taken by exchanging that word as a whole, so a thread that looked at an old
/// job can never take an item of it; all words are closed before the job's fields change and opened
/// after; and a job is replaced only when all its items are done, so a thread that did take one can
/// rely on the job until it reports it done.
pub(super) struct Slot {
    claims: Vec<Claim>,
    /// The newest job's number.
    posted: AtomicU64,
    items: AtomicUsize,
    done: AtomicUsize,
    work: AtomicPtr<WorkRef>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Alone in its pair of cache lines, which the prefetcher fetches together.
#[derive(Default)]
#[repr(align(128))]
struct Claim(AtomicU64);

/// Items taken of a job that is being posted.
const CLOSED: u64 = u32::MAX as u64;

/// A thin pointer can be atomic; a `dyn` reference cannot, so it is posted behind one.
struct WorkRef(Work<'static>);

impl Slot {
    /// A slot for so many workers, the one that posts included.
    pub(super) fn new(workers: usize) -> Self {
        Slot {
            claims: (0..workers).map(|_| Claim(AtomicU64::new(CLOSED))).collect(),
            posted: AtomicU64::new(0),
            items: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            work: AtomicPtr::default(),
            panic: Mutex::default(),
        }
    }

    /// Workers, the one that posts included.
    pub(super) fn workers(&self) -> usize {
        self.claims.len()
    }

    /// The number of the newest job.
    pub(super) fn newest(&self) -> u64 {
        self.posted.load(Ordering::SeqCst)
    }

    /// Runs a job of `items` items with whoever helps, as worker 0. `posted` is called once the
    /// others can see it.
    ///
    /// A panic in an item is passed on after every item is done.
    pub(super) fn run(&self, items: usize, work: Work, posted: impl FnOnce()) {
        assert!(items < CLOSED as usize);
        // SAFETY: only the lifetime changes. `help` calls the work only between a successful claim
        // and its report, and this function returns only after every item was reported.
        let work = WorkRef(unsafe { std::mem::transmute::<Work<'_>, Work<'static>>(work) });
        let number = self.posted.load(Ordering::Relaxed) + 1;
        for claim in &self.claims {
            claim.0.store((number << 32) | CLOSED, Ordering::SeqCst);
        }
        // Released, so that a helper that reads a new field also finds the claims closed.
        self.work.store((&raw const work).cast_mut(), Ordering::Release);
        self.items.store(items, Ordering::Release);
        self.done.store(0, Ordering::Release);
        for claim in &self.claims {
            claim.0.store(number << 32, Ordering::Release);
        }
        self.posted.store(number, Ordering::SeqCst);
        posted();
        self.help(0);
        let mut spins = 0u32;
        while self.done.load(Ordering::Acquire) < items {
            // Another thread is still in its last item. If it lost its processor, give it ours.
            spins += 1;
            if spins < 10_000 { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        let panic = self.panic.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(panic) = panic {
            std::panic::resume_unwind(panic);
        }
    }

    /// Takes items of the newest job until none is left.
    pub(super) fn help(&self, worker: usize) {
        let n = self.workers();
        for owner in (worker..n).chain(0..worker) {
            while let Some(item) = self.take(owner) {
                // SAFETY: the claim succeeded, so the job was still the newest, and `run` waits for
                // this item before it lets go of the work.
                let work = unsafe { &*self.work.load(Ordering::Acquire) };
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work.0(worker, item))) {
                    *self.panic.lock().unwrap_or_else(|e| e.into_inner()) = Some(panic);
                }
                self.done.fetch_add(1, Ordering::Release);
            }
        }
    }

    /// Takes an item of a worker's own.
    fn take(&self, owner: usize) -> Option<usize> {
        let claim = &self.claims[owner].0;
        loop {
            let seen = claim.load(Ordering::Acquire);
            let taken = seen & CLOSED;
            let item = owner + taken as usize * self.workers();
            if taken == CLOSED || item >= self.items.load(Ordering::Acquire) {
                return None;
            }
            let exchanged =
                claim.compare_exchange(seen, seen + 1, Ordering::AcqRel, Ordering::Relaxed);
            if exchanged.is_ok() {
                return Some(item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn every_item_runs_once_whoever_helps() {
        let slot = Slot::new(4);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for worker in 1..4 {
                let (slot, stop) = (&slot, &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        slot.help(worker);
                    }
                });
            }
            for round in 0..2000 {
                let counts: Vec<AtomicUsize> = (0..round % 7).map(|_| 0.into()).collect();
                let add = |_, i: usize| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                };
                slot.run(counts.len(), &add, || ());
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
            stop.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn a_panic_is_passed_on_once_and_the_slot_stays_well() {
        let slot = Slot::new(2);
        let run = |bad: usize| slot.run(5, &|_, i| assert!(i != bad, "planted"), || ());
        assert!(catch_unwind(AssertUnwindSafe(|| run(3))).is_err());
        run(9);
    }
}
