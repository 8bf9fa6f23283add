//! How the server holds memory: what is free goes back to the system at once, and pages stay small.
//!
//! A node that hosts thousands of functions of which few are warm is mostly idle, and an idle thread gives nothing back
//! by itself: after a burst the allocator kept four fifths of the process's memory for good. Huge pages make the rest
//! dearer, as one live byte holds 2 MiB. Neither showed in requests per second.
//!
//! Functions are not the server: their sandboxes keep the system's choice of pages ([`default_pages`]).
#![expect(unsafe_code, reason = "an allocator has no safe face")]

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};
use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{c_int, c_long};

/// `mi_option_purge_delay` of `mimalloc.h`: how many milliseconds free pages are kept. The binding does not name it.
const PURGE_DELAY: c_int = 15;

unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
}

/// mimalloc, asked for aligned memory only where what it gives would not be aligned anyway. The usual binding asks every
/// time, and then every allocation is examined for it.
pub struct Allocator;

/// What the allocator promises of every block that is at least as large.
const ALIGNED: usize = 16;

fn is_aligned(layout: Layout) -> bool {
    layout.align() <= ALIGNED && layout.align() <= layout.size()
}

// SAFETY: these are the allocator's own functions of the same meaning, and it never unwinds. Blocks of all of them go back
// by the same `mi_free`.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are all that these need.
        let block = unsafe {
            match is_aligned(layout) {
                true => mi_malloc(layout.size()),
                false => mi_malloc_aligned(layout.size(), layout.align()),
            }
        };
        block.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let block = unsafe {
            match is_aligned(layout) {
                true => mi_zalloc(layout.size()),
                false => mi_zalloc_aligned(layout.size(), layout.align()),
            }
        };
        block.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the block is one of ours.
        unsafe { mi_free(block.cast()) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let fits = layout.align() <= ALIGNED && layout.align() <= size;
        // SAFETY: the block is one of ours.
        let block = unsafe {
            match fits {
                true => mi_realloc(block.cast(), size),
                false => mi_realloc_aligned(block.cast(), size, layout.align()),
            }
        };
        block.cast()
    }
}

/// To be called first thing by a process that allocates with mimalloc.
pub fn hold_little_memory() {
    // SAFETY: the allocator takes options at any time, and this is one of those it knows.
    unsafe { mi_option_set(PURGE_DELAY, 0) };
    // A kernel without the call has no huge pages to keep away.
    let _ = nix::sys::prctl::set_thp_disable(true);
}

/// Undoes for this process and its children what they inherit from the server.
pub(crate) fn default_pages() {
    let _ = nix::sys::prctl::set_thp_disable(false);
}
