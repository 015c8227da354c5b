//! The memory of this process.

/// Gives what is free in the heap back to the system, also from between what is in use: glibc does that by itself only at the end of
/// the first thread's heap. Elsewhere nothing is done.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, touches only what nobody has allocated, and locks the heaps itself.
    unsafe {
        libc::malloc_trim(0);
    }
}
