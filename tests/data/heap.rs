//! An allocator that counts what each thread holds, so that tests beside each other do not disturb
//! each other's peaks (`support/alloc.rs` counts all threads, which is right for steps that many
//! threads take).

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    /// Bytes that this thread holds now, and the most it held since `peak_of` began.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(bytes: isize) {
    // A thread that is being torn down no longer counts.
    let _ = HELD.try_with(|held| {
        let (now, peak) = held.get();
        held.set((now + bytes, peak.max(now + bytes)));
    });
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory but a
// thread-local that needs no allocation. `realloc` is the trait's own: a new place, then a free.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller guarantees what `System.alloc` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the pointer came from `System.alloc` with this layout, says the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most heap that `work` held beyond what there was before.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.with(|held| {
        held.set((held.get().0, held.get().0));
        held.get().0
    });
    let answer = work();
    (answer, (HELD.with(Cell::get).1 - before) as usize)
}

/// What a refused file may cost beyond twice its size.
pub const SLACK: usize = 64 * 1024;
