//! An allocator that counts, for tests that say "this allocates nothing".
//!
//! It becomes the global allocator of the test binary that includes this file. It counts the
//! allocations of *all* threads, so such a binary should hold few tests; a [`Region`] waits for
//! the one before it to end, but a test without a region that runs beside it would be counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

struct Counting;

#[global_allocator]
static GLOBAL: Counting = Counting;

/// Allocations so far; growing or shrinking one counts as one more.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Bytes allocated and not freed.
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// The largest `LIVE` since the region began.
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Held by the region that is being measured.
static ONE_REGION: Mutex<()> = Mutex::new(());

fn grow(bytes: usize) {
    ALLOCATIONS.fetch_add(1, SeqCst);
    let live = LIVE.fetch_add(bytes, SeqCst) + bytes;
    PEAK.fetch_max(live, SeqCst);
}

// SAFETY: every call goes to the system's allocator as it came; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // The old and the new block may both exist while the contents move.
        grow(new_size);
        LIVE.fetch_sub(layout.size(), SeqCst);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), SeqCst);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// The time between two points, [`Region::start`] and [`Region::end`].
pub struct Region {
    allocations: u64,
    live: usize,
    _one_region: MutexGuard<'static, ()>,
}

/// What was allocated in a region, by all threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Calls that allocate or change the size of an allocation.
    pub allocations: u64,
    /// The most bytes that were in use at once, beyond those in use at the start.
    pub peak_bytes: usize,
}

impl Region {
    /// Begins to count; waits for another region to end first.
    pub fn start() -> Self {
        // A test that failed inside its region must not fail the next one.
        let guard = ONE_REGION.lock().unwrap_or_else(PoisonError::into_inner);
        let live = LIVE.load(SeqCst);
        PEAK.store(live, SeqCst);
        Region { allocations: ALLOCATIONS.load(SeqCst), live, _one_region: guard }
    }

    /// What was allocated since the start.
    pub fn end(self) -> Count {
        Count {
            allocations: ALLOCATIONS.load(SeqCst) - self.allocations,
            peak_bytes: PEAK.load(SeqCst).saturating_sub(self.live),
        }
    }
}
