//! What is true of the paths and the machine before a mount: looked up once, judged by [`super::preflight`].

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{major, minor};
use nix::unistd::{AccessFlags, eaccess};

use super::preflight::{Facts, Found, Fuse, Identity, Machine, Mountpoint, PathFact, Role, Writable};
use crate::config::{LowerSpec, StackSpec};
use crate::error::errno_of;
use crate::sys::selinux;

/// What this process may do about mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// CAP_SYS_ADMIN in the first user namespace: `trusted.` xattrs, mount(2), devices.
    Full,
    /// CAP_SYS_ADMIN in a further user namespace: mount(2) of FUSE, no `trusted.` xattrs.
    Namespace,
    /// Neither: mounts are made by fusermount3.
    None,
}

impl Privilege {
    /// Looks it up. What cannot be read counts as not privileged.
    pub fn of_this_process() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let uid_map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        Self::from_proc(&status, &uid_map)
    }

    fn from_proc(status: &str, uid_map: &str) -> Self {
        const CAP_SYS_ADMIN: u32 = 21;
        let effective = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
            .unwrap_or(0);
        if effective & (1 << CAP_SYS_ADMIN) == 0 {
            return Privilege::None;
        }
        let first_namespace = uid_map.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
        if first_namespace { Privilege::Full } else { Privilege::Namespace }
    }
}

/// Does SELinux label files on this machine?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Selinux {
    On,
    Off,
}

impl Selinux {
    /// Looks it up.
    pub fn of_this_machine() -> Self {
        if selinux::is_enabled() { Selinux::On } else { Selinux::Off }
    }
}

/// Which owners and attributes this process may give to files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// All that images use: it is root, or root of a user namespace that has enough ids.
    Any,
    /// Its own, or a few.
    Few,
}

impl Owners {
    /// Ids from 0 that images use: those that distributions give to users of the system, and to `nobody`.
    const USED: u64 = 1 << 16;

    /// Looks it up. What cannot be read counts as few.
    pub fn of_this_process(privilege: Privilege) -> Self {
        let map = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        match privilege {
            Privilege::Full => Owners::Any,
            Privilege::Namespace => Self::from_maps(&[map("uid_map"), map("gid_map")]),
            Privilege::None => Owners::Few,
        }
    }

    fn from_maps(maps: &[String]) -> Self {
        // A line: the first id inside, the first outside, how many (user_namespaces(7)).
        let mapped = |map: &String| {
            let ranges = map.lines().filter_map(|line| {
                let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
                match (numbers.next(), numbers.next(), numbers.next()) {
                    (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) => Some((first, count)),
                    _ => None,
                }
            });
            ranges.map(|(first, count)| (first + count).min(Self::USED).saturating_sub(first)).sum::<u64>()
        };
        if maps.iter().all(|map| mapped(map) >= Self::USED) { Owners::Any } else { Owners::Few }
    }
}

/// Looks up everything [`super::preflight::judge`] wants to know.
pub fn gather(stack: &StackSpec, mountpoint: &Path, privilege: Privilege) -> Facts {
    // A tar was looked at when its image was opened.
    let directories = stack.lowers.iter().filter_map(|lower| match lower {
        LowerSpec::Directory(path) => Some(path),
        LowerSpec::Tar(_) => None,
    });
    let lowers = directories.map(|path| (Role::Layer, path));
    let data = stack.data_only.iter().map(|path| (Role::DataLayer, path));
    Facts {
        layers: lowers.chain(data).map(|(role, path)| path_fact(role, path)).collect(),
        upper: stack.upper.as_ref().map(|spec| path_fact(Role::Upper, &spec.upper)),
        work: stack.upper.as_ref().map(|spec| path_fact(Role::Work, &spec.work)),
        mountpoint: mountpoint_fact(mountpoint),
        machine: Machine { fuse: device_fact(), fusermount: find_program("fusermount3"), privilege },
    }
}

/// A program in PATH, or in the directories where root's tools are.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| eaccess(file.as_path(), AccessFlags::X_OK).is_ok())
}

fn path_fact(role: Role, path: &Path) -> PathFact {
    PathFact { role, given: path.to_owned(), found: found(path) }
}

fn found(path: &Path) -> Found {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return Found::Unreachable(errno_of(&error)),
    };
    if metadata.is_file() {
        return Found::RegularFile;
    }
    if !metadata.is_dir() {
        return Found::NotADirectory;
    }
    match (fs::canonicalize(path), mount_id(path)) {
        (Ok(real), Ok(mount)) => Found::Directory {
            real,
            identity: Identity { device: metadata.dev(), inode: metadata.ino() },
            mount,
            writable: writable(path),
        },
        (Err(error), _) | (_, Err(error)) => Found::Unreachable(errno_of(&error)),
    }
}

fn writable(path: &Path) -> Writable {
    match eaccess(path, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => Writable::Yes,
        Err(errno) => Writable::No(errno),
    }
}

/// Which mount a path lies on: a rename does not cross mounts, even of one file system.
fn mount_id(path: &Path) -> io::Result<u64> {
    let dir = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path)?;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", dir.as_raw_fd()))?;
    info.lines()
        .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
        .ok_or_else(|| io::Error::other("/proc/self/fdinfo has no mnt_id"))
}

fn mountpoint_fact(path: &Path) -> Mountpoint {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => {
            return Mountpoint::Dead { given: path.to_owned() };
        }
        Err(error) => return Mountpoint::Unreachable { given: path.to_owned(), errno: errno_of(&error) },
    };
    if !metadata.is_dir() {
        return Mountpoint::NotADirectory { given: path.to_owned() };
    }
    let identity = Identity { device: metadata.dev(), inode: metadata.ino() };
    match fs::canonicalize(path) {
        Ok(real) => {
            // A directory that cannot be listed may hold anything: it counts as not empty.
            let entries = fs::read_dir(path).map(|mut dir| dir.next().is_some()).unwrap_or(true);
            Mountpoint::Directory { given: path.to_owned(), real, identity, has_entries: entries }
        }
        Err(error) => Mountpoint::Unreachable { given: path.to_owned(), errno: errno_of(&error) },
    }
}

/// The device number of /dev/fuse (the kernel's Documentation/admin-guide/devices.txt).
const FUSE_DEVICE: (u64, u64) = (10, 229);

/// Whether /dev/fuse can be used: tried.
pub fn device_fact() -> Fuse {
    match File::options().read(true).write(true).open("/dev/fuse").and_then(|file| file.metadata()) {
        Ok(metadata) => {
            let is_device = metadata.file_type().is_char_device();
            match is_device && (major(metadata.rdev()), minor(metadata.rdev())) == FUSE_DEVICE {
                true => Fuse::Usable,
                false => Fuse::AnotherFile,
            }
        }
        Err(error) => match errno_of(&error) {
            Errno::ENOENT => Fuse::NoDevice,
            Errno::ENODEV | Errno::ENXIO => Fuse::NoDriver,
            errno => Fuse::Refused(errno),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privilege_is_read_from_proc() {
        let admin = "Name:\tx\nCapEff:\t000001ffffffffff\n";
        let user = "CapEff:\t0000000000000000\n";
        let first = "         0          0 4294967295\n";
        let other = "         0       1000          1\n";
        assert_eq!(Privilege::from_proc(admin, first), Privilege::Full);
        assert_eq!(Privilege::from_proc(admin, other), Privilege::Namespace);
        assert_eq!(Privilege::from_proc(user, first), Privilege::None);
        assert_eq!(Privilege::from_proc("", ""), Privilege::None);
    }

    #[test]
    fn a_namespace_with_few_ids_cannot_give_files_their_owners() {
        let owners = |map: &str| Owners::from_maps(&[map.to_owned(), "0 0 4294967295\n".to_owned()]);
        assert_eq!(owners("         0       1000          1\n"), Owners::Few);
        assert_eq!(owners("0 1000 1\n1 100000 65536\n"), Owners::Any);
        assert_eq!(owners("0 1000 1\n1 100000 1000\n"), Owners::Few);
        assert_eq!(owners("100000 100000 4000000\n"), Owners::Few);
        assert_eq!(owners(""), Owners::Few);
    }

    #[test]
    fn a_directory_is_found_with_its_mount() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(matches!(found(dir.path()), Found::Directory { writable: Writable::Yes, .. }));
        assert_eq!(found(&dir.path().join("file")), Found::RegularFile);
        assert_eq!(found(&dir.path().join("none")), Found::Unreachable(Errno::ENOENT));
        assert!(matches!(mountpoint_fact(dir.path()), Mountpoint::Directory { has_entries: true, .. }));
    }
}
