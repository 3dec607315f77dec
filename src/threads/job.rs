//! Jobs of numbered items that several threads claim one by one.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// The work of a job, called once per item with the worker's number and the item's.
pub(super) type Work<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// The slot that holds the current job; jobs follow one another.
///
/// Items w, w + n, w + 2n … of a job are local to worker w of n. A worker takes its local items first and
/// those of others afterwards, because what it wrote in one step is still in its cache in the next.
///
/// Each worker has a claim word: the job's number (high half) and how many of its local items are taken
/// (low half). Three rules make claims safe:
///
/// - An item is taken by a compare-and-exchange of the whole word, so a thread that read the word of an
///   old job cannot take an item.
/// - All words are closed before the fields of a job change, and opened afterwards.
/// - A job is replaced only when all of its items are done, so a thread that took one can rely on the job
///   until it reports the item as done.
///
/// Job numbers have 32 bits in the word. After 2³² jobs, a thread that slept all the time could take an
/// item of the current job with an old word. The item is valid or beyond the end, and [`Slot::take`]
/// checks the latter after the exchange.
pub(super) struct Slot {
    claims: Vec<Claim>,
    /// The current job's number.
    posted: AtomicU64,
    items: AtomicUsize,
    done: AtomicUsize,
    work: AtomicPtr<WorkRef>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Whether a thread is in [`Slot::run`].
    busy: AtomicBool,
}

/// A claim word, alone in a pair of cache lines, since prefetchers fetch pairs.
#[derive(Default)]
#[repr(align(128))]
struct Claim(AtomicU64);

/// The low half of a claim word while its job is being posted.
const CLOSED: u64 = u32::MAX as u64;

/// The target of the atomic pointer: a `dyn` reference itself cannot be atomic.
struct WorkRef(Work<'static>);

impl Slot {
    /// A slot for this number of workers, including the one that posts jobs.
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

    /// Number of workers, including the one that posts jobs.
    pub(super) fn workers(&self) -> usize {
        self.claims.len()
    }

    /// The current job's number.
    pub(super) fn newest(&self) -> u64 {
        self.posted.load(Ordering::SeqCst)
    }

    /// Runs a job of `items` items as worker 0, together with the workers that call [`Slot::help`].
    /// Calls `posted` as soon as they can see the job.
    ///
    /// A panic in an item is propagated after all items are done. A panic in `posted` is propagated after
    /// the items that were taken are done; no item begins afterwards.
    ///
    /// # Panics
    /// If another job is running.
    pub(super) fn run(&self, items: usize, work: Work, posted: impl FnOnce()) {
        assert!(items < CLOSED as usize);
        assert!(!self.busy.swap(true, Ordering::Acquire), "one job at a time");
        // SAFETY: only the lifetime changes. `help` calls the work only between a successful claim and
        // its report, and this function returns or unwinds only after every item was reported or can no
        // longer be claimed: dropping `job` ensures it.
        let work = WorkRef(unsafe { std::mem::transmute::<Work<'_>, Work<'static>>(work) });
        let number = self.posted.load(Ordering::Relaxed) + 1;
        for claim in &self.claims {
            claim.0.store((number << 32) | CLOSED, Ordering::SeqCst);
        }
        // Release: a helper that reads a new field also sees the claims closed.
        self.work.store((&raw const work).cast_mut(), Ordering::Release);
        self.items.store(items, Ordering::Release);
        self.done.store(0, Ordering::Release);
        for claim in &self.claims {
            claim.0.store(number << 32, Ordering::Release);
        }
        let mut job = Posted { slot: self, items, number, all_taken: false };
        self.posted.store(number, Ordering::SeqCst);
        posted();
        self.help(0);
        job.all_taken = true;
        drop(job);
        let panic = self.panic.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(panic) = panic {
            std::panic::resume_unwind(panic);
        }
    }

    /// Does items of the current job until none is left.
    pub(super) fn help(&self, worker: usize) {
        let n = self.workers();
        for owner in (worker..n).chain(0..worker) {
            while let Some(item) = self.take(owner) {
                // SAFETY: the claim succeeded, so the job was still current, and `run` waits for this
                // item before it drops the work.
                let work = unsafe { &*self.work.load(Ordering::Acquire) };
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work.0(worker, item))) {
                    *self.panic.lock().unwrap_or_else(|e| e.into_inner()) = Some(panic);
                }
                self.done.fetch_add(1, Ordering::Release);
            }
        }
    }

    /// Takes an item that is local to `owner`.
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
                // Checked again: only from here on the job cannot change.
                return Some(item).filter(|item| *item < self.items.load(Ordering::Acquire));
            }
        }
    }
}

/// A job that helpers can see. Dropping it, also in a panic, waits until no worker is at an item and
/// ensures that none begins one.
struct Posted<'a> {
    slot: &'a Slot,
    items: usize,
    number: u64,
    /// Whether every item was taken.
    all_taken: bool,
}

impl Drop for Posted<'_> {
    fn drop(&mut self) {
        let Posted { slot, items, number, all_taken } = *self;
        let mut left = 0;
        if !all_taken {
            for (owner, claim) in slot.claims.iter().enumerate() {
                let seen = claim.0.swap((number << 32) | CLOSED, Ordering::AcqRel);
                let local = items.saturating_sub(owner).div_ceil(slot.workers());
                left += local.saturating_sub((seen & CLOSED) as usize);
            }
        }
        let mut spins = 0u32;
        while slot.done.load(Ordering::Acquire) + left < items {
            // Another thread is in its last item. If it was preempted, yield the processor to it.
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

    /// Calls `test` with a slot while the other workers help all the time.
    fn with_helpers(workers: usize, test: impl FnOnce(&Slot)) {
        let (slot, stop) = (Slot::new(workers), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for worker in 1..workers {
                let (slot, stop) = (&slot, &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        slot.help(worker);
                    }
                });
            }
            test(&slot);
            stop.store(true, Ordering::Relaxed);
        });
    }

    /// Runs a job and checks that each item is done once.
    fn check_job(slot: &Slot, items: usize) {
        let counts: Vec<AtomicUsize> = (0..items).map(|_| 0.into()).collect();
        let add = |_, i: usize| {
            counts[i].fetch_add(1, Ordering::Relaxed);
        };
        slot.run(items, &add, || ());
        assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn every_item_is_done_once() {
        with_helpers(4, |slot| (0..2000).for_each(|round| check_job(slot, round % 7)));
    }

    #[test]
    fn a_panic_is_propagated_once_and_the_slot_remains_usable() {
        let slot = Slot::new(2);
        let run = |bad: usize| slot.run(5, &|_, i| assert!(i != bad, "planted"), || ());
        assert!(catch_unwind(AssertUnwindSafe(|| run(3))).is_err());
        run(9);
    }

    /// `posted` may panic (rayon does) while a helper is at an item already.
    #[test]
    fn a_panic_while_posting_waits_for_the_items_that_were_taken() {
        const ITEMS: usize = 50;
        with_helpers(3, |slot| {
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
                // No worker is at an item, and none begins one.
                (0..100).for_each(|_| std::hint::spin_loop());
                assert_eq!(begun.load(Ordering::SeqCst), ends);
                // The next job has all of its items.
                check_job(slot, 7);
            }
        });
    }

    #[test]
    fn a_panic_while_posting_takes_every_item_back() {
        let slot = Slot::new(2);
        let job = || slot.run(5, &|_, _| unreachable!("no worker helps"), || panic!("planted"));
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

    /// After 2³² jobs a claim word has the number of an old job.
    #[test]
    fn an_old_word_claims_no_item_beyond_the_end() {
        let slot = Slot::new(1);
        slot.posted.store(u64::from(u32::MAX) - 1, Ordering::SeqCst);
        for items in [9, 4, 0, 3] {
            check_job(&slot, items);
            assert_eq!(slot.take(0), None);
        }
    }
}
