//! What is refused before anything is touched: pure verdicts over [`Facts`].
//!
//! Overlaps follow the kernel's overlay (no layer twice, no layer within another) and, beyond it, what would recurse in
//! user space: a mount point below a layer is reached again through that layer. A mount point that *is* a lower layer,
//! or lies above one, is harmless: layers are reached by descriptors opened before the mount covers them.

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::facts::Privilege;

/// Descriptors that are needed besides those of the layers: the standard streams, /dev/fuse for each thread, the work
/// directory, and some files that callers have open.
pub(crate) const SPARE_DESCRIPTORS: u64 = 128;

/// What a path is in the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A read-only layer.
    Layer,
    /// A data-only layer.
    DataLayer,
    /// The upper directory.
    Upper,
    /// The work directory.
    Work,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Layer => "layer",
            Role::DataLayer => "data-only layer",
            Role::Upper => "upper directory",
            Role::Work => "work directory",
        })
    }
}

/// Which directory it is, whatever path leads there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

/// Whether entries can be made in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writable {
    /// They can.
    Yes,
    /// They cannot, for this reason.
    No(Errno),
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A directory.
    Directory {
        /// Its absolute path without symbolic links.
        real: PathBuf,
        /// Which directory it is.
        identity: Identity,
        /// The mount it lies on.
        mount: u64,
        /// Whether entries can be made in it.
        writable: Writable,
    },
    /// A regular file: perhaps an image.
    RegularFile,
    /// Anything else.
    NotADirectory,
    /// Nothing that could be reached.
    Unreachable(Errno),
}

/// One path of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathFact {
    /// What it is in the stack.
    pub role: Role,
    /// As the caller wrote it.
    pub given: PathBuf,
    /// What is there.
    pub found: Found,
}

/// What is at the mount point.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Mountpoint {
    Directory { given: PathBuf, real: PathBuf, identity: Identity, has_entries: bool },
    Dead { given: PathBuf },
    NotADirectory { given: PathBuf },
    Unreachable { given: PathBuf, errno: Errno },
}

/// Whether /dev/fuse can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fuse {
    /// It opens.
    Usable,
    /// There is no such file.
    NoDevice,
    /// The file is something else.
    AnotherFile,
    /// The kernel has no FUSE.
    NoDriver,
    /// It does not open.
    Refused(Errno),
}

/// What the machine offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// /dev/fuse.
    pub fuse: Fuse,
    /// Where fusermount3 is.
    pub fusermount: Option<PathBuf>,
    /// What this process may do.
    pub privilege: Privilege,
}

/// All that the verdict depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Lowers top first, then data-only layers.
    pub layers: Vec<PathFact>,
    /// The upper directory.
    pub upper: Option<PathFact>,
    /// The work directory; there whenever the upper is.
    pub work: Option<PathFact>,
    /// The mount point.
    pub mountpoint: Mountpoint,
    /// The machine.
    pub machine: Machine,
}

/// Whether a mount may cover entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covering {
    /// Only an empty directory is mounted on.
    Refused,
    /// Any directory (`nonempty`, and the compatible command line, as mount(8) has it).
    Allowed,
}

/// The paths of a stack that passed: absolute, without symbolic links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Lowers top first, then data-only layers.
    pub layers: Vec<PathBuf>,
    /// The upper and work directories.
    pub writable: Option<(PathBuf, PathBuf)>,
    /// The mount point.
    pub mountpoint: PathBuf,
}

/// Why a mount is refused. The message says what and where; [`Refusal::hint`] says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum Refusal {
    #[error("{role} '{}' cannot be used: {}", .path.display(), .errno.desc())]
    Unreachable { role: Role, path: PathBuf, errno: Errno },
    #[error("{role} '{}' is not a directory", .path.display())]
    NotADirectory { role: Role, path: PathBuf },
    #[error("layer '{}' is a file, not a directory", .path.display())]
    Image { path: PathBuf },
    #[error("{role} '{}' is not writable: {}", .path.display(), .errno.desc())]
    NotWritable { role: Role, path: PathBuf, errno: Errno },
    #[error("{} '{}' and {} '{}' are the same directory", .a.0, .a.1.display(), .b.0, .b.1.display())]
    Same { a: (Role, PathBuf), b: (Role, PathBuf) },
    #[error("{} '{}' lies inside {} '{}'", .inner.0, .inner.1.display(), .outer.0, .outer.1.display())]
    Inside { inner: (Role, PathBuf), outer: (Role, PathBuf) },
    #[error("upper directory '{}' and work directory '{}' are on different file systems", .upper.display(), .work.display())]
    TwoFileSystems { upper: PathBuf, work: PathBuf },
    #[error("upper directory '{}' and work directory '{}' are on different mounts of one file system", .upper.display(), .work.display())]
    TwoMounts { upper: PathBuf, work: PathBuf },
    #[error("mount point '{}' lies inside {role} '{}'", .mountpoint.display(), .path.display())]
    MountpointInside { mountpoint: PathBuf, role: Role, path: PathBuf },
    #[error("mount point '{}' would cover the {role} '{}'", .mountpoint.display(), .path.display())]
    MountpointCovers { mountpoint: PathBuf, role: Role, path: PathBuf },
    #[error("mount point '{}' is a dead mount: its daemon has ended", .path.display())]
    MountpointDead { path: PathBuf },
    #[error("mount point '{}' is not a directory", .path.display())]
    MountpointNotADirectory { path: PathBuf },
    #[error("mount point '{}' cannot be used: {}", .path.display(), .errno.desc())]
    MountpointUnreachable { path: PathBuf, errno: Errno },
    #[error("mount point '{}' is not empty", .path.display())]
    MountpointNotEmpty { path: PathBuf },
    #[error("{role} '{}' is used by another mount", .path.display())]
    InUse { role: Role, path: PathBuf },
    #[error("{role} '{}' is used by the kernel's overlay on '{}'", .path.display(), .mountpoint.display())]
    InUseByKernel { role: Role, path: PathBuf, mountpoint: PathBuf },
    #[error("{role} '{}' cannot be read: Permission denied", .path.display())]
    NotReadable { role: Role, path: PathBuf },
    #[error("work directory '{}' has the mark of a volatile mount: the upper may have lost data", .work.display())]
    Volatile { work: PathBuf },
    #[error("/dev/fuse is not the FUSE device")]
    NotTheDevice,
    #[error("there is no /dev/fuse")]
    NoDevice,
    #[error("the kernel has no FUSE driver")]
    NoDriver,
    #[error("/dev/fuse cannot be opened: {}", .0.desc())]
    DeviceRefused(Errno),
    #[error("fusermount3 was not found, and without it only root can mount")]
    NoFusermount,
    #[error("{layers} layers need {needed} file descriptors, and the limit is {limit}")]
    Descriptors { layers: usize, needed: u64, limit: u64 },
}

impl Refusal {
    /// What a person can do.
    pub fn hint(&self) -> String {
        match self {
            Refusal::Unreachable { role: Role::Work | Role::Upper, path, errno: Errno::ENOENT } => {
                format!("make it first: mkdir '{}'", path.display())
            }
            Refusal::Unreachable { errno: Errno::ENOENT, .. } => "check the path".to_owned(),
            Refusal::Unreachable { .. } => "check the path and its permissions".to_owned(),
            Refusal::NotADirectory { .. } => "give a directory".to_owned(),
            Refusal::Image { .. } => "if it is an image, name it by itself: lamina mount IMAGE MOUNTPOINT".to_owned(),
            Refusal::NotWritable { errno: Errno::EROFS, .. } => {
                "choose a directory on a file system that is mounted read-write".to_owned()
            }
            Refusal::NotWritable { .. } => "choose a directory that you may write to".to_owned(),
            Refusal::Same { .. } => "give each directory once".to_owned(),
            Refusal::Inside { .. } => "choose directories that do not contain each other".to_owned(),
            Refusal::TwoFileSystems { upper, .. } => {
                format!("give a work directory on the file system of '{}' with --work (workdir=)", upper.display())
            }
            Refusal::TwoMounts { .. } => "give both by paths below the same mount".to_owned(),
            Refusal::MountpointInside { .. } => {
                "mount somewhere else: the mount would be found inside itself".to_owned()
            }
            Refusal::MountpointCovers { .. } => "mount somewhere else, or move that directory".to_owned(),
            Refusal::MountpointDead { path } => format!("clear it with: lamina umount '{}'", path.display()),
            Refusal::MountpointNotADirectory { .. } => "give an empty directory".to_owned(),
            Refusal::MountpointUnreachable { path, errno: Errno::ENOENT } => {
                format!("make it first: mkdir '{}'", path.display())
            }
            Refusal::MountpointUnreachable { .. } => "check the path and its permissions".to_owned(),
            Refusal::MountpointNotEmpty { .. } => {
                "the last word is the mount point: is it missing? To cover what is in there, add -o nonempty".to_owned()
            }
            Refusal::NotReadable { .. } => "check its permissions".to_owned(),
            Refusal::Volatile { work } => format!(
                "check the upper, then rm -r '{}/work/incompat'; or start with a new upper and work directory",
                work.display()
            ),
            Refusal::NotTheDevice => {
                "another file is in its place; make it as root: mknod -m 666 /dev/fuse c 10 229".to_owned()
            }
            Refusal::InUse { .. } => "unmount that first: lamina list shows where it is".to_owned(),
            Refusal::InUseByKernel { mountpoint, .. } => {
                format!("unmount that first: umount '{}'", mountpoint.display())
            }
            Refusal::NoDevice | Refusal::NoDriver => {
                "load the driver as root (modprobe fuse); in a container, pass the device in (--device /dev/fuse)"
                    .to_owned()
            }
            Refusal::DeviceRefused(_) => {
                "as root: chmod 666 /dev/fuse; in a container, allow the device (--device /dev/fuse)".to_owned()
            }
            Refusal::NoFusermount => {
                "install the package fuse3, or run in a user namespace of your own: unshare -Urm lamina mount ..."
                    .to_owned()
            }
            Refusal::Descriptors { .. } => "raise the hard limit (ulimit -Hn), or stack fewer layers".to_owned(),
        }
    }
}

/// A directory of the stack, once it is known to be one.
#[derive(Debug, Clone, Copy)]
struct Dir<'a> {
    role: Role,
    given: &'a Path,
    real: &'a Path,
    identity: Identity,
    mount: u64,
    writable: Writable,
}

impl Dir<'_> {
    fn named(&self) -> (Role, PathBuf) {
        (self.role, self.given.to_owned())
    }
}

/// The verdict: the first thing that is wrong, in the order a person would look.
pub fn judge(facts: &Facts, covering: Covering) -> Result<Checked, Refusal> {
    let layers = facts.layers.iter().map(directory).collect::<Result<Vec<_>, _>>()?;
    let upper = facts.upper.as_ref().map(directory).transpose()?;
    let work = facts.work.as_ref().map(directory).transpose()?;
    for dir in upper.iter().chain(&work) {
        if let Writable::No(errno) = dir.writable {
            return Err(Refusal::NotWritable { role: dir.role, path: dir.given.to_owned(), errno });
        }
    }
    let all: Vec<Dir<'_>> = upper.iter().chain(&work).chain(&layers).copied().collect();
    apart(&all)?;
    if let (Some(upper), Some(work)) = (&upper, &work) {
        together(upper, work)?;
    }
    let mountpoint = mountpoint(&facts.mountpoint, &all, covering)?;
    machine(&facts.machine)?;
    Ok(Checked {
        layers: layers.iter().map(|dir| dir.real.to_owned()).collect(),
        writable: upper.zip(work).map(|(upper, work)| (upper.real.to_owned(), work.real.to_owned())),
        mountpoint,
    })
}

fn directory(fact: &PathFact) -> Result<Dir<'_>, Refusal> {
    let (role, path) = (fact.role, fact.given.clone());
    match &fact.found {
        Found::Directory { real, identity, mount, writable } => Ok(Dir {
            role,
            given: &fact.given,
            real,
            identity: *identity,
            mount: *mount,
            writable: *writable,
        }),
        Found::RegularFile if role == Role::Layer => Err(Refusal::Image { path }),
        Found::RegularFile | Found::NotADirectory => Err(Refusal::NotADirectory { role, path }),
        Found::Unreachable(errno) => Err(Refusal::Unreachable { role, path, errno: *errno }),
    }
}

/// No directory of the stack is, or lies inside, another one.
fn apart(all: &[Dir<'_>]) -> Result<(), Refusal> {
    for (i, a) in all.iter().enumerate() {
        for b in &all[i + 1..] {
            if a.identity == b.identity {
                return Err(Refusal::Same { a: a.named(), b: b.named() });
            }
            if a.real.starts_with(b.real) {
                return Err(Refusal::Inside { inner: a.named(), outer: b.named() });
            }
            if b.real.starts_with(a.real) {
                return Err(Refusal::Inside { inner: b.named(), outer: a.named() });
            }
        }
    }
    Ok(())
}

/// What is made in the work directory can be renamed into the upper.
fn together(upper: &Dir<'_>, work: &Dir<'_>) -> Result<(), Refusal> {
    let (upper_path, work_path) = (upper.given.to_owned(), work.given.to_owned());
    if upper.identity.device != work.identity.device {
        return Err(Refusal::TwoFileSystems { upper: upper_path, work: work_path });
    }
    if upper.mount != work.mount {
        return Err(Refusal::TwoMounts { upper: upper_path, work: work_path });
    }
    Ok(())
}

fn mountpoint(fact: &Mountpoint, all: &[Dir<'_>], covering: Covering) -> Result<PathBuf, Refusal> {
    let (given, real, identity, has_entries) = match fact {
        Mountpoint::Directory { given, real, identity, has_entries } => (given, real, identity, *has_entries),
        Mountpoint::Dead { given } => return Err(Refusal::MountpointDead { path: given.clone() }),
        Mountpoint::NotADirectory { given } => {
            return Err(Refusal::MountpointNotADirectory { path: given.clone() });
        }
        Mountpoint::Unreachable { given, errno } => {
            return Err(Refusal::MountpointUnreachable { path: given.clone(), errno: *errno });
        }
    };
    for dir in all {
        let (role, path) = dir.named();
        let is_same = *identity == dir.identity;
        if !is_same && real.starts_with(dir.real) {
            return Err(Refusal::MountpointInside { mountpoint: given.clone(), role, path });
        }
        let changes = matches!(role, Role::Upper | Role::Work);
        if changes && (is_same || dir.real.starts_with(real)) {
            return Err(Refusal::MountpointCovers { mountpoint: given.clone(), role, path });
        }
    }
    if has_entries && covering == Covering::Refused {
        return Err(Refusal::MountpointNotEmpty { path: given.clone() });
    }
    Ok(real.clone())
}

fn machine(machine: &Machine) -> Result<(), Refusal> {
    match machine.fuse {
        Fuse::NoDevice => return Err(Refusal::NoDevice),
        Fuse::AnotherFile => return Err(Refusal::NotTheDevice),
        Fuse::NoDriver => return Err(Refusal::NoDriver),
        // Also with fusermount3: the connection is opened here first, and only handed to it where mount(2) is refused.
        Fuse::Refused(errno) => return Err(Refusal::DeviceRefused(errno)),
        Fuse::Usable => {}
    }
    if machine.privilege == Privilege::None && machine.fusermount.is_none() {
        return Err(Refusal::NoFusermount);
    }
    Ok(())
}

/// Raises the soft limit of descriptors to the hard one, and refuses when even that is too low for the layers.
pub fn raise_descriptor_limit(layers: usize) -> Result<(), Refusal> {
    let needed = layers as u64 + SPARE_DESCRIPTORS;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        // A limit that cannot be read is found out by EMFILE, with the layer's name.
        return Ok(());
    };
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    enough_descriptors(layers, needed, limit)
}

fn enough_descriptors(layers: usize, needed: u64, limit: u64) -> Result<(), Refusal> {
    if limit < needed { Err(Refusal::Descriptors { layers, needed, limit }) } else { Ok(()) }
}
