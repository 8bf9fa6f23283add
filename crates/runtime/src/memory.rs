//! How the server holds memory: what is free goes back to the system at once, and pages stay small.
//!
//! A node that hosts thousands of functions of which few are warm is mostly idle, and an idle thread gives nothing back
//! by itself: after a burst the allocator kept four fifths of the process's memory for good. Huge pages make the rest
//! dearer, as one live byte holds 2 MiB. Neither showed in requests per second.
//!
//! Functions are not the server: their sandboxes keep the system's choice of pages ([`default_pages`]).
#![expect(unsafe_code, reason = "an option of the allocator, which has no safe face")]

// Links the allocator, which the binary has chosen; this crate only turns its knob.
use libmimalloc_sys as _;
use std::ffi::{c_int, c_long};

/// `mi_option_purge_delay` of `mimalloc.h`: how many milliseconds free pages are kept. The binding does not name it.
const PURGE_DELAY: c_int = 15;

unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
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
