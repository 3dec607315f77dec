//! A job of numbered items that several threads claim one by one.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

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
/// rely on the job until it reports it done. (The job's number is one of 32 bits: after 2³² jobs a
/// thread that slept all the while could take an item of the newest job by a word of the old one.
/// That is an item like any other, or one beyond the end, which [`Slot::take`] looks for last.)
pub(super) struct Slot {
    claims: Vec<Claim>,
    /// The newest job's number.
    posted: AtomicU64,
    items: AtomicUsize,
    done: AtomicUsize,
    work: AtomicPtr<WorkRef>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Whether somebody is in [`Slot::run`].
    busy: AtomicBool,
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
            busy: AtomicBool::new(false),
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
    /// A panic in an item is passed on after every item is done; one in `posted` when nobody is at
    /// an item any more, and no item begins after that.
    ///
    /// # Panics
    /// When another job is running.
    pub(super) fn run(&self, items: usize, work: Work, posted: impl FnOnce()) {
        assert!(items < CLOSED as usize);
        assert!(!self.busy.swap(true, Ordering::Acquire), "one job at a time");
        // SAFETY: only the lifetime changes. `help` calls the work only between a successful claim
        // and its report, and this function returns or unwinds only after every item was reported
        // or can no longer be claimed: `job` sees to it when it is dropped.
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
        let mut job = Posted { slot: self, items, number, is_shared_out: false };
        self.posted.store(number, Ordering::SeqCst);
        posted();
        self.help(0);
        job.is_shared_out = true;
        drop(job);
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
                // Again, since only now the job cannot change.
                return Some(item).filter(|item| *item < self.items.load(Ordering::Acquire));
            }
        }
    }
}

/// A job that others can see. When it is dropped, also by a panic, nobody is at an item of it, and
/// nobody will be.
struct Posted<'a> {
    slot: &'a Slot,
    items: usize,
    number: u64,
    /// Whether every item was taken.
    is_shared_out: bool,
}

impl Drop for Posted<'_> {
    fn drop(&mut self) {
        let Posted { slot, items, number, is_shared_out } = *self;
        let mut left = 0;
        if !is_shared_out {
            for (owner, claim) in slot.claims.iter().enumerate() {
                let seen = claim.0.swap((number << 32) | CLOSED, Ordering::AcqRel);
                let own = items.saturating_sub(owner).div_ceil(slot.workers());
                left += own.saturating_sub((seen & CLOSED) as usize);
            }
        }
        let mut spins = 0u32;
        while slot.done.load(Ordering::Acquire) + left < items {
            // Another thread is still in its last item. If it lost its processor, give it ours.
            spins += 1;
            if spins < 10_000 { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        slot.busy.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

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

    /// What cannot start helpers may panic (rayon does) while a helper is at an item already.
    #[test]
    fn a_panic_while_posting_waits_for_the_items_that_were_taken() {
        const ITEMS: usize = 50;
        let slot = Slot::new(3);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for worker in 1..3 {
                let (slot, stop) = (&slot, &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        slot.help(worker);
                    }
                });
            }
            for round in 0..500 {
                let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
                let taken = Barrier::new(2);
                let job = || {
                    let work = |_, _| {
                        if begun.fetch_add(1, Ordering::SeqCst) == 0 {
                            taken.wait();
                        }
                        (0..round).for_each(|_| std::hint::spin_loop());
                        ended.fetch_add(1, Ordering::SeqCst);
                    };
                    slot.run(ITEMS, &work, || {
                        // A helper is at its first item.
                        taken.wait();
                        panic!("planted");
                    });
                };
                let caught = catch_unwind(AssertUnwindSafe(job)).unwrap_err();
                assert_eq!(caught.downcast_ref::<&str>(), Some(&"planted"));
                let ends = ended.load(Ordering::SeqCst);
                assert!((1..=ITEMS).contains(&ends));
                // Nobody is at an item, and nobody begins one.
                (0..100).for_each(|_| std::hint::spin_loop());
                assert_eq!(begun.load(Ordering::SeqCst), ends);
                // The next job has all of its items.
                let count = AtomicUsize::new(0);
                let add = |_, _| {
                    count.fetch_add(1, Ordering::Relaxed);
                };
                slot.run(7, &add, || ());
                assert_eq!(count.load(Ordering::Relaxed), 7);
            }
            stop.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn a_panic_while_posting_takes_every_item_back() {
        let slot = Slot::new(2);
        let job = || slot.run(5, &|_, _| unreachable!("nobody helps"), || panic!("planted"));
        assert!(catch_unwind(AssertUnwindSafe(job)).is_err());
        slot.help(1);
        slot.run(3, &|_, _| (), || ());
    }

    #[test]
    fn there_is_one_job_at_a_time() {
        let slot = Slot::new(1);
        let job = || slot.run(1, &|_, _| (), || ());
        slot.run(1, &|_, _| assert!(catch_unwind(AssertUnwindSafe(job)).is_err()), || ());
        job();
    }

    /// After 2³² jobs a claim has the number of an old one.
    #[test]
    fn a_word_of_the_past_claims_no_item_beyond_the_end() {
        let slot = Slot::new(1);
        slot.posted.store(u64::from(u32::MAX) - 1, Ordering::SeqCst);
        for items in [9, 4, 0, 3] {
            let count = AtomicUsize::new(0);
            let add = |_, _| {
                count.fetch_add(1, Ordering::Relaxed);
            };
            slot.run(items, &add, || ());
            assert_eq!((count.into_inner(), slot.take(0)), (items, None));
        }
    }
}
