//! Becoming a daemon: fork(2), and leaving the parent without running its destructors.

use std::fs::{self, File};
use std::io;
use std::os::fd::RawFd;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::{ForkResult, Pid};

/// Which of the two processes this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that was there before.
    Parent(Pid),
    /// The new one.
    Child,
}

/// How long a thread may take to end once it has nothing left to do.
const ENDING: Duration = Duration::from_secs(2);

/// fork(2), for a process with one thread only: the child has no other thread, and whatever lock one held would stay
/// locked for ever.
///
/// # Errors
/// EBUSY where there are several threads, otherwise those of fork(2).
pub fn fork() -> io::Result<Side> {
    one_thread()?;
    // SAFETY: there is one thread, so the child may do whatever the parent could.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Side::Parent(child)),
        ForkResult::Child => Ok(Side::Child),
    }
}

/// As [`fork`], with the child in new namespaces, whose first process it may be. A process that has left its pid namespace for
/// its children by unshare(2) could start no thread any more (EINVAL); this one is where it was.
///
/// # Errors
/// EBUSY where there are several threads, otherwise those of clone3(2), or of clone(2).
pub fn fork_into(namespaces: CloneFlags) -> io::Result<Side> {
    one_thread()?;
    let child = match clone3(namespaces) {
        // A seccomp filter cannot look at the flags of clone3(2), so that some answer as an old kernel does; the C library, too,
        // then falls back.
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => clone(namespaces)?,
        child => child?,
    };
    match child {
        0 => Ok(Side::Child),
        child => Ok(Side::Parent(Pid::from_raw(child))),
    }
}

/// fork(2) into new namespaces: 0 in the child, its process id here. For a process with one thread only.
fn clone3(namespaces: CloneFlags) -> io::Result<libc::pid_t> {
    // SAFETY: all fields are numbers, for which 0 means that nothing is asked for.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces.bits().cast_unsigned().into();
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM it is a fork: the child has a copy of the stack and of all memory. There is one thread, so the
    // child may do whatever the parent could; the C library's own number of that thread, which only fork(2) would renew, is
    // used by calls about threads, of which the child has none but itself.
    let child =
        unsafe { libc::syscall(libc::SYS_clone3, &mut args as *mut _, size_of::<libc::clone_args>()) };
    Ok(Errno::result(child)? as libc::pid_t)
}

/// As [`clone3`].
fn clone(namespaces: CloneFlags) -> io::Result<libc::pid_t> {
    let flags = libc::c_long::from(namespaces.bits()) | libc::c_long::from(libc::SIGCHLD);
    let unused: libc::c_long = 0;
    // s390 alone has the stack before the flags.
    let [first, second] = if cfg!(target_arch = "s390x") { [unused, flags] } else { [flags, unused] };
    // SAFETY: as in `clone3`; without a stack the child goes on with its copy of this one.
    let child = unsafe { libc::syscall(libc::SYS_clone, first, second, unused, unused, unused) };
    Ok(Errno::result(child)? as libc::pid_t)
}

fn one_thread() -> io::Result<()> {
    // A thread that was joined has done its work, but the kernel may list it for a moment longer.
    let patience = Instant::now() + ENDING;
    while fs::read_dir("/proc/self/task")?.count() != 1 {
        if Instant::now() > patience {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Ends the process at once. No destructor runs: what the parent opened lives on in its child, and must not be
/// unmounted or removed here.
pub fn leave(code: u8) -> ! {
    // SAFETY: _exit takes any number and does not return.
    unsafe { libc::_exit(code.into()) }
}

/// The descriptors above the standard streams that the program was started with, as long as they are open.
static INHERITED: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// Notes which descriptors are the caller's, for [`close_inherited`]. To be called once, before the program opens
/// anything; not called, nothing counts as the caller's.
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
    *INHERITED.lock().unwrap_or_else(PoisonError::into_inner) =
        numbers.into_iter().filter(|fd| *fd > libc::STDERR_FILENO && open(fd)).collect();
    Ok(())
}

/// Closes what [`note_inherited`] noted: a daemon must hold no file, lock or pipe of its caller open. To be called
/// before the fork, or the caller could see the daemon still holding them after its parent has ended.
pub fn close_inherited() -> io::Result<()> {
    // Taken out, for a number that is closed may come to mean something of ours.
    let inherited = std::mem::take(&mut *INHERITED.lock().unwrap_or_else(PoisonError::into_inner));
    for fd in inherited {
        nix::unistd::close(fd)?;
    }
    Ok(())
}

/// Cuts the ties to whoever started the daemon: a session of its own, the root as its directory, `null` in place of
/// the terminal, and nothing else of the caller's.
pub fn detach(null: &File) -> io::Result<()> {
    nix::unistd::setsid()?;
    nix::unistd::chdir("/")?;
    nix::unistd::dup2_stdin(null)?;
    nix::unistd::dup2_stdout(null)?;
    nix::unistd::dup2_stderr(null)?;
    close_inherited()
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::{WaitStatus, waitpid};

    use super::*;

    #[test]
    fn both_calls_make_a_child() {
        for make in [clone3, clone] {
            // The child may do nothing else: there are other threads here.
            match make(CloneFlags::empty()).unwrap() {
                0 => leave(7),
                child => {
                    let child = Pid::from_raw(child);
                    assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 7)));
                }
            }
        }
    }
}
