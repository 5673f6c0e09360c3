//! The two things every target asserts beside its own property: no panic escapes, and memory stays within a bound.
//!
//! Sedge contains panics of automerge, and libFuzzer's own hook would end the process at those too. So the hook only
//! keeps the message, and a panic that arrives here ends the process; `SEDGE_FUZZ_PANICS=1` shows every one. Memory is
//! counted by the allocator, because libFuzzer looks at the whole process once a second and would miss a peak.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::process::abort;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, Once, PoisonError};

static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);
static HELD_BYTES_MAX: AtomicUsize = AtomicUsize::new(usize::MAX);
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// The system's allocator with a count of the bytes it has given out. A target makes it the global one.
pub struct Guarded;

// SAFETY: every call goes to the system's allocator with the arguments as they came.
unsafe impl GlobalAlloc for Guarded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        take(size);
        HELD_BYTES.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD_BYTES.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn take(bytes: usize) {
    let held = HELD_BYTES.fetch_add(bytes, Relaxed) + bytes;
    let most = HELD_BYTES_MAX.load(Relaxed);
    if held > most {
        HELD_BYTES_MAX.store(usize::MAX, Relaxed); // the message needs memory too
        eprintln!("{bytes} bytes more make {held}, above the target's bound of {most}");
        abort();
    }
}

/// Runs one input. A panic that escapes `run`, or more than `bytes_max` bytes of memory at once beyond what was held
/// before, ends the process with a message.
pub fn guarded(bytes_max: usize, run: impl FnOnce()) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let is_shown = std::env::var_os("SEDGE_FUZZ_PANICS").is_some();
        set_hook(Box::new(move |panic| {
            if is_shown {
                eprintln!("{panic}\n{}", Backtrace::capture());
            }
            *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
        }));
    });
    let most = HELD_BYTES.load(Relaxed).saturating_add(bytes_max);
    HELD_BYTES_MAX.store(most, Relaxed);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    HELD_BYTES_MAX.store(usize::MAX, Relaxed);
    if outcome.is_err() {
        eprintln!(
            "{}",
            LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner)
        );
        abort();
    }
}
