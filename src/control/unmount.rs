//! Taking a mount away from outside, and waiting for its daemon.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::mounts::{Listed, State};
use super::reach::{self, ReachError};
use super::table::{self, Mount};
use crate::error::describe;
use crate::sys::live;

/// How long the daemon may take to end after the mount is gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// For how long a mount in use is tried again.
const MOMENT: Duration = Duration::from_millis(400);

/// What to do about those who still use the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// Refuse to unmount.
    Refuse,
    /// Take the mount out of the tree now; they keep what they have open.
    Detach,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmounted {
    /// The mount is gone; its daemon has ended, or was dead already, or could not be asked for.
    Ended,
    /// The mount is gone; the daemon still runs: something has files of it open, or a copy of it lives in another mount
    /// namespace.
    DaemonRuns {
        /// The daemon.
        pid: u32,
        /// A process that lives in such a namespace, where there is one that we may look at.
        kept_by: Option<u32>,
    },
}

/// Why a mount was not taken away.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum UnmountError {
    #[error(transparent)]
    Unreached(#[from] ReachError),
    #[error("'{}' is in use", .path.display())]
    Busy { path: PathBuf },
    #[error("unmounting '{}': {message}", .path.display())]
    Refused { path: PathBuf, message: String },
    #[error("unmounting '{}' needs fusermount3, which was not found", .path.display())]
    NoHelper { path: PathBuf },
}

impl UnmountError {
    /// What a person can do.
    pub fn hint(&self) -> String {
        match self {
            UnmountError::Unreached(ReachError::Foreign { .. }) => "unmount it with umount".to_owned(),
            UnmountError::Busy { path } => format!(
                "see who uses it with: fuser -vm '{0}'; to take it away from new users at once: lamina umount --lazy '{0}'",
                path.display()
            ),
            UnmountError::Unreached(ReachError::NotYours { .. }) | UnmountError::Refused { .. } => {
                "unmount it as the user who mounted it, or as root".to_owned()
            }
            UnmountError::Unreached(error) => error.hint(),
            UnmountError::NoHelper { .. } => "install the package fuse3, or unmount as root".to_owned(),
        }
    }
}

/// Unmounts what lamina mounted at `path`, living or dead, and waits until its daemon has ended.
pub fn unmount(path: &Path, busy: Busy) -> Result<Unmounted, UnmountError> {
    let (real, Listed { mount, state }) = reach::find(path)?;
    let daemon = match state {
        State::Live(info) => Daemon::find(info.pid),
        State::Foreign | State::Dead | State::Closed | State::Silent(_) => None,
    };
    take_away_patiently(path, &real, busy).map_err(|error| whose(error, mount.owner))?;
    let patience = match busy {
        Busy::Refuse => PATIENCE,
        // Whoever has files open may keep the daemon for as long as they like.
        Busy::Detach => MOMENT,
    };
    match daemon {
        Some(daemon) if !daemon.has_ended_within(patience) => {
            Ok(Unmounted::DaemonRuns { pid: daemon.pid, kept_by: who_has_a_copy(&mount) })
        }
        _ => Ok(Unmounted::Ended),
    }
}

/// A mount namespace that was made while a mount stood has a copy of it, which keeps the file system for as long as the
/// namespace lives.
fn who_has_a_copy(mount: &Mount) -> Option<u32> {
    let is_copy = |other: &Mount| {
        (&other.mountpoint, &other.fs_type, &other.source)
            == (&mount.mountpoint, &mount.fs_type, &mount.source)
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // What has ended meanwhile, or may not be looked at, tells nothing.
    pids.find(|pid: &u32| table::of(*pid).is_ok_and(|mounts| mounts.iter().any(is_copy)))
}

/// Where a mount point really is, though the mount on it may be dead (then only its parent can be resolved).
pub(super) fn resolve_mountpoint(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path).or_else(|error| match (error.raw_os_error(), path.file_name()) {
        // A dead mount, or one of another user.
        (Some(libc::ENOTCONN | libc::EACCES), Some(name)) => {
            let parent =
                path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok(fs::canonicalize(parent)?.join(name))
        }
        _ => Err(error),
    })
}

/// What fusermount3 says of another user's mount is that it is no mount.
fn whose(error: UnmountError, owner: Option<u32>) -> UnmountError {
    match (error, owner) {
        (UnmountError::Refused { path, .. }, Some(owner)) if owner != nix::unistd::getuid().as_raw() => {
            ReachError::NotYours { path, owner: reach::owner_text(Some(owner)) }.into()
        }
        (error, _) => error,
    }
}

/// Whoever lists mounts or looks a path up keeps them busy for a moment: that alone is no reason to refuse.
fn take_away_patiently(given: &Path, real: &Path, busy: Busy) -> Result<(), UnmountError> {
    let deadline = Instant::now() + MOMENT;
    loop {
        match take_away(given, real, busy) {
            Err(UnmountError::Busy { .. }) if Instant::now() < deadline => thread::sleep(MOMENT / 20),
            result => return result,
        }
    }
}

fn take_away(given: &Path, real: &Path, busy: Busy) -> Result<(), UnmountError> {
    let flags = match busy {
        Busy::Refuse => MntFlags::UMOUNT_NOFOLLOW,
        Busy::Detach => MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH,
    };
    let path = given.to_owned();
    match umount2(real, flags) {
        Ok(()) => Ok(()),
        Err(Errno::EBUSY) => Err(UnmountError::Busy { path }),
        Err(Errno::EPERM) => by_helper(path, real, busy),
        Err(errno) => Err(UnmountError::Refused { path, message: errno.desc().to_owned() }),
    }
}

/// An ordinary user's way.
fn by_helper(path: PathBuf, real: &Path, busy: Busy) -> Result<(), UnmountError> {
    let mut command = Command::new("fusermount3");
    command.arg("-u").stdin(Stdio::null());
    if busy == Busy::Detach {
        command.arg("-z");
    }
    match command.arg("--").arg(real).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let message = said.trim().trim_start_matches("fusermount3: ").to_owned();
            Err(match message.contains("busy") {
                true => UnmountError::Busy { path },
                false => UnmountError::Refused { path, message },
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(UnmountError::NoHelper { path }),
        Err(error) => {
            Err(UnmountError::Refused { path, message: format!("fusermount3: {}", describe(&error)) })
        }
    }
}

/// The process that serves a mount, held so that its number cannot come to mean another one.
struct Daemon {
    pid: u32,
    handle: OwnedFd,
}

impl Daemon {
    /// `None` where there is no such process here, or it is not ours: the mount may be served from another pid
    /// namespace.
    fn find(pid: u32) -> Option<Self> {
        let handle = live::pidfd_open(pid).ok()?;
        let own = fs::read_link("/proc/self/exe").ok()?;
        let its = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        (own.file_name() == its.file_name()).then_some(Daemon { pid, handle })
    }

    fn has_ended_within(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut descriptors = [PollFd::new(self.handle.as_fd(), PollFlags::POLLIN)];
            match poll(&mut descriptors, timeout) {
                Ok(ready) => return ready > 0,
                Err(Errno::EINTR) => {}
                // What cannot be waited for is not waited for.
                Err(_) => return true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_users_mount_is_not_yours() {
        let refused =
            || UnmountError::Refused { path: "/m".into(), message: "not found in /etc/mtab".into() };
        let mine = nix::unistd::getuid().as_raw();
        for (owner, expected) in [
            (Some(mine + 1), format!("'/m' is not yours, but mounted by user {}", mine + 1)),
            (Some(mine), "unmounting '/m': not found in /etc/mtab".to_owned()),
            (None, "unmounting '/m': not found in /etc/mtab".to_owned()),
        ] {
            assert_eq!(whose(refused(), owner).to_string(), expected);
        }
    }
}
