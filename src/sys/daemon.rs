//! Becoming a daemon: fork(2), and leaving the parent without running its destructors.

use std::fs::{self, File};
use std::io;
use std::os::fd::RawFd;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::unistd::{ForkResult, Pid};

/// Which of the two processes this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that was there before.
    Parent(Pid),
    /// The new one.
    Child,
}

/// fork(2), for a process with one thread only: the child has no other thread, and whatever lock one held would stay
/// locked for ever.
///
/// # Errors
/// EBUSY where there are several threads, otherwise those of fork(2).
pub fn fork() -> io::Result<Side> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    // SAFETY: there is one thread, so the child may do whatever the parent could.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Side::Parent(child)),
        ForkResult::Child => Ok(Side::Child),
    }
}

/// Ends the process at once. No destructor runs: what the parent opened lives on in its child, and must not be
/// unmounted or removed here.
pub fn leave(code: u8) -> ! {
    // SAFETY: _exit takes any number and does not return.
    unsafe { libc::_exit(code.into()) }
}

/// The descriptors above the standard streams that the program was started with.
static INHERITED: OnceLock<Vec<RawFd>> = OnceLock::new();

/// Notes which descriptors are the caller's, for [`detach`] to close. To be called once, before the program opens
/// anything that is to outlive a detach; not called, nothing counts as the caller's.
///
/// They are not closed at once: a layer or mount point may be named through one (`/proc/self/fd/7`).
///
/// # Errors
/// Those of reading /proc/self/fd.
pub fn note_inherited() -> io::Result<()> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    // The listing's own descriptor was among them, and is closed by now.
    let open = |fd: &RawFd| fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok();
    // A second call finds what this process opened itself: the first one counts.
    INHERITED
        .get_or_init(|| numbers.into_iter().filter(|fd| *fd > libc::STDERR_FILENO && open(fd)).collect());
    Ok(())
}

/// Cuts the ties to whoever started the daemon: a session of its own, the root as its directory, `null` in place of
/// the terminal, and none of the caller's files, locks and pipes held open.
pub fn detach(null: &File) -> io::Result<()> {
    nix::unistd::setsid()?;
    nix::unistd::chdir("/")?;
    nix::unistd::dup2_stdin(null)?;
    nix::unistd::dup2_stdout(null)?;
    nix::unistd::dup2_stderr(null)?;
    for fd in INHERITED.get().into_iter().flatten() {
        // Nothing of this process owns it. It can only be closed already, in an earlier detach.
        match nix::unistd::close(*fd) {
            Ok(()) | Err(Errno::EBADF) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
