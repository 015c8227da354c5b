//! Becoming a daemon: fork(2), and leaving the parent without running its destructors.

use std::fs::{self, File};
use std::io;

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

/// Cuts the ties to whoever started the daemon: a session of its own, the root as its directory, `null` in place of
/// the terminal.
pub fn detach(null: &File) -> io::Result<()> {
    nix::unistd::setsid()?;
    nix::unistd::chdir("/")?;
    nix::unistd::dup2_stdin(null)?;
    nix::unistd::dup2_stdout(null)?;
    nix::unistd::dup2_stderr(null)?;
    Ok(())
}
