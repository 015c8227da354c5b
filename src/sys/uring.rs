//! io_uring(7), as far as it is asked whether it is there.

use super::{SysResult, owned};

/// `struct io_uring_params` of <linux/io_uring.h>: 120 bytes, of which none need be set.
const PARAMS: usize = 120 / size_of::<u64>();

/// Makes the smallest ring, and closes it.
///
/// # Errors
/// EPERM where a seccomp filter or `kernel.io_uring_disabled` refuses it, ENOSYS where the kernel has none.
pub fn try_ring() -> SysResult<()> {
    let mut params = [0_u64; PARAMS];
    let entries: libc::c_uint = 1;
    // SAFETY: the kernel reads and writes a structure of this size, as aligned as its 64 bit fields ask for.
    let rc = unsafe { libc::syscall(libc::SYS_io_uring_setup, entries, params.as_mut_ptr()) };
    owned(rc as libc::c_int).map(drop)
}
