//! Attaching a connection to the tree and taking it away again: mount(2) where we may, fusermount3 where we may not.
//!
//! fuser can mount too, but its unmounting cannot tell a connection that has ended from a living one and then unmounts
//! whatever else lies at the mount point, a second try after EBUSY is a silent success, and its errors are text.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use bitflags::bitflags;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MntFlags, MsFlags};
use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::Label;
use crate::config::Acl;
use crate::control::FS_TYPE;
use crate::error::{describe, errno_of};
use crate::sys::fuse_dev;

/// The program that mounts for ordinary users.
const HELPER: &str = "fusermount3";

/// What mount(2) reads of its data, with the NUL at the end, on a machine with the smallest pages.
const DATA_LIMIT: usize = 4096;

/// A mount, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSpec {
    /// The directory to be covered; absolute, or relative to the current directory.
    pub mountpoint: PathBuf,
    /// The first field in /proc/mounts; any text.
    pub source_name: String,
    /// Who may use it.
    pub access: AccessPolicy,
    /// What the kernel itself refuses or ignores.
    pub flags: VfsFlags,
    /// Who checks owner, mode and ACL.
    pub permissions: PermissionChecks,
    /// Whether the kernel knows of POSIX ACLs. `On` implies [`PermissionChecks::Kernel`], whatever `permissions` says:
    /// the kernel will not have one without the other.
    pub acl: Acl,
    /// What SELinux makes of its files. The kernel takes them from who may call mount(2) outside of a user namespace, and
    /// only where it has SELinux; fusermount3 does not know them.
    pub labels: Vec<Label>,
    /// Threads that answer requests; 0: one for each processor, 4 at least.
    pub threads: usize,
    /// What `user.lamina.mount` of the root answers: a description of the mount, as JSON.
    pub info: Vec<u8>,
}

/// Who may use a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessPolicy {
    /// The user who mounted it; nobody else, not even root.
    Owner,
    /// And root (`allow_root`).
    AllowRoot,
    /// Everybody (`allow_other`).
    AllowOther,
}

/// Who checks permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermissionChecks {
    /// The kernel, by owner, mode and ACL (`default_permissions`).
    Kernel,
    /// Nobody: whoever may use the mount may do what its owner can.
    Nobody,
}

bitflags! {
    /// Flags of a mount that the kernel heeds by itself. Empty: read and write, suid, devices and programs work, as far as
    /// whoever mounts may grant that.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct VfsFlags: u32 {
        /// `ro`: changes are refused before they reach us.
        const READ_ONLY = 1;
        /// `nosuid`.
        const NO_SUID = 1 << 1;
        /// `nodev`.
        const NO_DEVICES = 1 << 2;
        /// `noexec`.
        const NO_EXEC = 1 << 3;
        /// `noatime`.
        const NO_ATIME = 1 << 4;
        /// `nodiratime`.
        const NO_DIR_ATIME = 1 << 5;
        /// `sync`.
        const SYNC = 1 << 6;
        /// `dirsync`.
        const DIR_SYNC = 1 << 7;
    }
}

/// Each flag, for mount(2) and for fusermount3. The latter does not know `nodiratime`, which changes nothing: the kernel
/// leaves times of access to the file system.
const FLAG_NAMES: [(VfsFlags, MsFlags, Option<&str>); 8] = [
    (VfsFlags::READ_ONLY, MsFlags::MS_RDONLY, Some("ro")),
    (VfsFlags::NO_SUID, MsFlags::MS_NOSUID, Some("nosuid")),
    (VfsFlags::NO_DEVICES, MsFlags::MS_NODEV, Some("nodev")),
    (VfsFlags::NO_EXEC, MsFlags::MS_NOEXEC, Some("noexec")),
    (VfsFlags::NO_ATIME, MsFlags::MS_NOATIME, Some("noatime")),
    (VfsFlags::NO_DIR_ATIME, MsFlags::MS_NODIRATIME, None),
    (VfsFlags::SYNC, MsFlags::MS_SYNCHRONOUS, Some("sync")),
    (VfsFlags::DIR_SYNC, MsFlags::MS_DIRSYNC, Some("dirsync")),
];

/// Why a mount did not come about: what and where. [`MountError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The mount point cannot be used.
    #[error("mount point '{}' cannot be used: {}", path.display(), errno.desc())]
    MountPoint {
        /// The mount point.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// There is no FUSE.
    #[error("there is no /dev/fuse")]
    NoDevice,
    /// FUSE is not for us.
    #[error("/dev/fuse cannot be opened: {}", .0.desc())]
    DeviceDenied(Errno),
    /// The device is there and does not work.
    #[error("/dev/fuse cannot be opened: {}", .0.desc())]
    Device(Errno),
    /// An ordinary user needs a helper that is not installed.
    #[error("fusermount3 was not found, and without it only root can mount")]
    NoHelper,
    /// Ordinary users may not let others in.
    #[error("allow_other and allow_root are not allowed for ordinary users on this machine")]
    AllowOtherRefused,
    /// The mount namespace is not ours.
    #[error("mounting on '{}' is refused: root here has no right over this mount namespace", path.display())]
    Refused {
        /// The mount point.
        path: PathBuf,
    },
    /// The helper may not mount either.
    #[error("fusermount3 has no right to mount on '{}': {message}", path.display())]
    HelperPowerless {
        /// The mount point.
        path: PathBuf,
        /// What it said.
        message: String,
    },
    /// The helper refused.
    #[error("fusermount3 refused to mount on '{}': {message}", path.display())]
    Helper {
        /// The mount point.
        path: PathBuf,
        /// What it said.
        message: String,
    },
    /// mount(2) failed, and it may be due to the labels.
    #[error("mounting on '{}' with {labels}: {}", path.display(), errno.desc())]
    Labels {
        /// The mount point.
        path: PathBuf,
        /// As they were given to the kernel.
        labels: String,
        /// Why.
        errno: Errno,
    },
    /// mount(2) failed.
    #[error("mounting on '{}': {}", path.display(), errno.desc())]
    System {
        /// The mount point.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// The kernel and we do not speak one protocol.
    #[error("the kernel's FUSE does not suit: {}", describe(.0))]
    Handshake(io::Error),
}

impl MountError {
    /// What a person can do.
    pub fn hint(&self) -> &'static str {
        match self {
            MountError::MountPoint { .. } => "give an existing directory",
            MountError::NoDevice => {
                "load the driver as root (modprobe fuse); in a container, pass the device in (--device /dev/fuse)"
            }
            MountError::DeviceDenied(_) | MountError::Device(_) => {
                "as root: chmod 666 /dev/fuse; in a container, allow the device (--device /dev/fuse)"
            }
            MountError::NoHelper => {
                "install the package fuse3, or run in a user namespace of your own (unshare -Urm)"
            }
            MountError::AllowOtherRefused => {
                "leave the option out, or have an administrator put user_allow_other into /etc/fuse.conf"
            }
            MountError::Refused { .. } => {
                "enter a mount namespace of your own (unshare -Urm); in a container, add the capability CAP_SYS_ADMIN"
            }
            MountError::HelperPowerless { .. } => {
                "it must be setuid root: reinstall the package fuse3, or run in a user namespace of your own (unshare -Urm)"
            }
            MountError::Helper { .. } => {
                "mount on a directory of your own; /etc/fuse.conf and fusermount3(1) tell what else it wants"
            }
            MountError::Labels { .. } => {
                "SELinux must know the context and allow the mount, as the kernel's log (dmesg) and ausearch -m avc tell; or leave the option out"
            }
            MountError::System { .. } => "the kernel's log (dmesg) may tell more",
            MountError::Handshake(_) => "Linux 5.17 or later is needed",
        }
    }
}

/// Mounts, and gives the connection and what takes the mount away when dropped.
pub(super) fn attach(spec: &MountSpec) -> Result<(OwnedFd, Attachment), MountError> {
    let bad_place = |errno| MountError::MountPoint { path: spec.mountpoint.clone(), errno };
    let path = spec.mountpoint.canonicalize().map_err(|error| bad_place(errno_of(&error)))?;
    let metadata = std::fs::metadata(&path).map_err(|error| bad_place(errno_of(&error)))?;
    if !metadata.is_dir() {
        return Err(bad_place(Errno::ENOTDIR));
    }

    let device = fuse_dev::open().map_err(|error| match errno_of(&error) {
        Errno::ENOENT | Errno::ENODEV | Errno::ENXIO => MountError::NoDevice,
        errno @ (Errno::EACCES | Errno::EPERM) => MountError::DeviceDenied(errno),
        errno => MountError::Device(errno),
    })?;
    let connection = match mount_directly(&device, &path, metadata.mode(), spec) {
        Ok(()) => device,
        Err(errno @ (Errno::EINVAL | Errno::EACCES | Errno::E2BIG)) if !spec.labels.is_empty() => {
            let labels: Vec<String> = spec.labels.iter().map(ToString::to_string).collect();
            return Err(MountError::Labels { path, labels: labels.join(","), errno });
        }
        Err(Errno::EPERM) if nix::unistd::geteuid().is_root() => return Err(MountError::Refused { path }),
        Err(Errno::EPERM) => mount_by_helper(&path, spec)?,
        Err(errno) => return Err(MountError::System { path, errno }),
    };
    let ours = connection
        .try_clone()
        .map_err(|error| MountError::System { path: path.clone(), errno: errno_of(&error) })?;
    let state = Arc::new(Mutex::new(Some(Attached { path, connection: ours })));
    Ok((connection, Attachment(Unmounter { state })))
}

fn mount_directly(device: &OwnedFd, path: &Path, mode: u32, spec: &MountSpec) -> Result<(), Errno> {
    let mut flags = MsFlags::empty();
    for (ours, theirs, _) in FLAG_NAMES {
        if spec.flags.contains(ours) {
            flags |= theirs;
        }
    }
    let mut data = vec![
        format!("fd={}", device.as_raw_fd()),
        format!("rootmode={:o}", mode & libc::S_IFMT),
        format!("user_id={}", nix::unistd::getuid()),
        format!("group_id={}", nix::unistd::getgid()),
    ];
    data.extend(kernel_options(spec).map(ToOwned::to_owned));
    data.extend(spec.labels.iter().map(ToString::to_string));
    let data = data.join(",");
    // The kernel reads one page, and would take what is left of a label for another.
    if data.len() >= DATA_LIMIT {
        return Err(Errno::E2BIG);
    }
    // A NUL would end the text anyway.
    let source = spec.source_name.replace('\0', "");
    nix::mount::mount(Some(source.as_str()), path, Some(FS_TYPE), flags, Some(data.as_str()))
}

fn kernel_options(spec: &MountSpec) -> impl Iterator<Item = &'static str> {
    let checks = spec.permissions == PermissionChecks::Kernel || spec.acl == Acl::On;
    // The kernel has no allow_root: that others are refused is then the session's work.
    let others = spec.access != AccessPolicy::Owner;
    [checks.then_some("default_permissions"), others.then_some("allow_other")].into_iter().flatten()
}

/// What fusermount3 is given after `-o`. Commas and backslashes of the source name are escaped as it reads them.
fn helper_options(spec: &MountSpec) -> OsString {
    let mut options = b"fsname=".to_vec();
    for byte in spec.source_name.bytes().filter(|byte| *byte != 0) {
        if matches!(byte, b',' | b'\\') {
            options.push(b'\\');
        }
        options.push(byte);
    }
    let flags =
        FLAG_NAMES.iter().filter(|(ours, _, _)| spec.flags.contains(*ours)).filter_map(|(_, _, n)| *n);
    for option in ["subtype=lamina"].into_iter().chain(flags).chain(kernel_options(spec)) {
        options.push(b',');
        options.extend_from_slice(option.as_bytes());
    }
    OsString::from_vec(options)
}

fn mount_by_helper(path: &Path, spec: &MountSpec) -> Result<OwnedFd, MountError> {
    let system = |error: io::Error| MountError::System { path: path.to_owned(), errno: errno_of(&error) };
    let (theirs, ours) = UnixStream::pair().map_err(system)?;
    fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty())).map_err(|errno| system(errno.into()))?;
    let mut child = Command::new(HELPER)
        .arg("-o")
        .arg(helper_options(spec))
        .arg("--")
        .arg(path)
        .env("_FUSE_COMMFD", theirs.as_raw_fd().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MountError::NoHelper,
            _ => system(error),
        })?;
    // Only the child must hold its end, or we would wait for a message from ourselves.
    drop(theirs);
    let received = fuse_dev::receive_descriptor(&ours);
    let mut message = String::new();
    if let Some(mut stderr) = child.stderr.take()
        && let Err(error) = stderr.read_to_string(&mut message)
    {
        message = format!("(what it said cannot be read: {error})");
    }
    let status = child.wait().map_err(system)?;
    match received {
        Ok(connection) => {
            if !message.is_empty() {
                log::warn!("{HELPER}: {}", message.trim());
            }
            Ok(connection)
        }
        Err(_) if message.contains("user_allow_other") => Err(MountError::AllowOtherRefused),
        Err(error) => {
            let said = message.trim().trim_start_matches("fusermount3: ");
            let message = match said {
                "" => format!("it ended with {status} ({error})"),
                said => said.to_owned(),
            };
            // Not setuid root, it is refused what we were refused.
            Err(match message.contains("Operation not permitted") {
                true => MountError::HelperPowerless { path: path.to_owned(), message },
                false => MountError::Helper { path: path.to_owned(), message },
            })
        }
    }
}

/// Takes a mount away; may be cloned into other threads. Whoever is first does it, all others find it done.
#[derive(Debug, Clone)]
pub struct Unmounter {
    state: Arc<Mutex<Option<Attached>>>,
}

#[derive(Debug)]
struct Attached {
    path: PathBuf,
    connection: OwnedFd,
}

impl Unmounter {
    /// Takes the mount out of the tree. While somebody still uses it the mount is only detached: new users cannot reach
    /// it, old ones are served until they are gone, and serving ends then.
    ///
    /// # Errors
    /// Those of umount2(2), with the mount point. The mount is then still there, and another try is possible.
    pub fn unmount(&mut self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attached) = &*state {
            attached.detach()?;
            *state = None;
        }
        Ok(())
    }
}

impl Attached {
    fn detach(&self) -> io::Result<()> {
        // Somebody else has unmounted it: what is at the mount point now is not ours.
        if has_ended(&self.connection) {
            return Ok(());
        }
        let unmount = |flags| nix::mount::umount2(&self.path, flags | MntFlags::UMOUNT_NOFOLLOW);
        match unmount(MntFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::EBUSY) => {
                log::warn!(
                    "{} is still in use: it is detached now and ends with its last user",
                    self.path.display()
                );
                unmount(MntFlags::MNT_DETACH).map_err(|errno| self.failed(&errno.desc()))
            }
            Err(Errno::EPERM) => self.detach_by_helper(),
            Err(errno) => Err(self.failed(&errno.desc())),
        }
    }

    fn detach_by_helper(&self) -> io::Result<()> {
        let output = Command::new(HELPER)
            .args(["-u", "-z", "--"])
            .arg(&self.path)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| self.failed(&format!("{HELPER}: {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        Err(self.failed(&String::from_utf8_lossy(&output.stderr).trim()))
    }

    fn failed(&self, why: &dyn std::fmt::Display) -> io::Error {
        io::Error::other(format!("cannot unmount {}: {why}", self.path.display()))
    }
}

/// The kernel reports an error on the descriptor of a connection that has ended.
fn has_ended(connection: impl AsFd) -> bool {
    let mut descriptors = [PollFd::new(connection.as_fd(), PollFlags::empty())];
    match nix::poll::poll(&mut descriptors, PollTimeout::ZERO) {
        Ok(_) => descriptors
            .iter()
            .any(|polled| polled.revents().is_some_and(|events| events.contains(PollFlags::POLLERR))),
        Err(_) => false,
    }
}

/// A mount that is taken away when this is dropped.
#[derive(Debug)]
pub(super) struct Attachment(Unmounter);

impl Attachment {
    pub(super) fn unmounter(&self) -> Unmounter {
        self.0.clone()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Err(error) = self.0.unmount() {
            log::warn!("{error}");
        }
        // Unmounters that are left must not keep the connection open: nobody serves it any more, and the kernel fails
        // its callers only when the last descriptor is closed.
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(source_name: &str) -> MountSpec {
        MountSpec {
            mountpoint: "/mnt".into(),
            source_name: source_name.into(),
            access: AccessPolicy::Owner,
            flags: VfsFlags::empty(),
            permissions: PermissionChecks::Nobody,
            acl: Acl::Off,
            labels: Vec::new(),
            threads: 0,
            info: Vec::new(),
        }
    }

    #[test]
    fn a_source_name_cannot_add_options() {
        assert_eq!(helper_options(&spec("a,suid\\b")), "fsname=a\\,suid\\\\b,subtype=lamina");
    }

    #[test]
    fn flags_and_policies_become_options() {
        let mut spec = spec("x");
        spec.flags = VfsFlags::READ_ONLY | VfsFlags::NO_DIR_ATIME | VfsFlags::NO_EXEC;
        spec.access = AccessPolicy::AllowRoot;
        assert_eq!(helper_options(&spec), "fsname=x,subtype=lamina,ro,noexec,allow_other");
        spec.access = AccessPolicy::Owner;
        spec.acl = Acl::On;
        assert_eq!(helper_options(&spec), "fsname=x,subtype=lamina,ro,noexec,default_permissions");
    }

    #[test]
    fn a_mount_point_must_be_a_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut spec = spec("x");
        spec.mountpoint = file.path().into();
        let error = attach(&spec).map(|_| ()).unwrap_err();
        assert!(matches!(error, MountError::MountPoint { .. }), "{error}");
        assert!(error.to_string().contains(&*file.path().to_string_lossy()));
    }
}
