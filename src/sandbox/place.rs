//! Making the sandbox's mounts: every path is looked up within its tree, whatever symlinks lead out of it, and is mounted on
//! by its descriptor.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use nix::unistd::{chdir, chroot, fchdir, pivot_root, symlinkat};

use super::bind::Access;
use super::error::SandboxError;
use super::mounts::{Absent, Kind, Step, What};
use crate::sys::sandbox::set_read_only;

/// Symlinks that are followed to where something is to be made; the kernel's own limit is 40.
const MOST_LINKS: u8 = 16;

/// The tree of the sandbox, before it becomes the root.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
}

/// What is not as it was asked for, and goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortcoming {
    /// /proc is the outer one.
    OuterProc,
}

impl Shortcoming {
    /// For people.
    pub fn message(self) -> &'static str {
        match self {
            Shortcoming::OuterProc => {
                "/proc of the sandbox cannot be mounted, since a part of it is hidden around lamina (as in a container): the \
                 outer /proc is shown, with the outer process ids"
            }
        }
    }
}

impl Tree {
    /// The tree that is mounted at a path.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(path: &Path) -> Result<Self, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Tree { root: nix::fcntl::open(path, flags, Mode::empty())? })
    }

    /// Does one step.
    ///
    /// # Errors
    /// Names the path in the sandbox.
    pub fn apply(&self, step: &Step) -> Result<Option<Shortcoming>, SandboxError> {
        let target = step.target.as_path();
        let failed = |what| move |errno| SandboxError::Place { what, path: target.to_owned(), errno };
        match &step.what {
            What::Proc => {
                let at = self.find_or_make(target, Kind::Directory).map_err(failed("make"))?;
                let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
                match mount(Some("proc"), &by_descriptor(&at), Some("proc"), flags, None::<&str>) {
                    Ok(()) => {}
                    Err(Errno::EPERM | Errno::EACCES) => {
                        bind(Path::new("/proc"), &at).map_err(failed("mount the outer /proc on"))?;
                        return Ok(Some(Shortcoming::OuterProc));
                    }
                    Err(errno) => return Err(failed("mount")(errno)),
                }
            }
            What::Tmpfs { mode, size } => {
                let at = self.find_or_make(target, Kind::Directory).map_err(failed("make"))?;
                let size = size.map(|size| format!(",size={size}")).unwrap_or_default();
                let data = format!("mode={mode:o}{size}");
                tmpfs(&at, MsFlags::empty(), &data).map_err(failed("mount a tmpfs on"))?;
            }
            What::Pts { group } => {
                let at = self.find_or_make(target, Kind::Directory).map_err(failed("make"))?;
                let group = group.map(|group| format!(",gid={group}")).unwrap_or_default();
                let data = format!("newinstance,ptmxmode=0666,mode=0620{group}");
                let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
                mount(Some("devpts"), &by_descriptor(&at), Some("devpts"), flags, Some(data.as_str()))
                    .map_err(failed("mount pseudo terminals on"))?;
            }
            What::Bind { source, access, kind, absent } => {
                if *absent == Absent::Skip && source.symlink_metadata().is_err() {
                    return Ok(None);
                }
                let at = self.find_or_make(target, *kind).map_err(failed("make"))?;
                bind(source, &at).map_err(failed("mount on"))?;
                if *access == Access::ReadOnly {
                    self.make_read_only(target).map_err(failed("make read-only"))?;
                }
            }
            What::ReadOnly => match self.find(target) {
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(failed("find")(errno)),
                Ok(at) => {
                    bind(&by_descriptor(&at), &at).map_err(failed("mount on"))?;
                    self.make_read_only(target).map_err(failed("make read-only"))?;
                }
            },
            What::Covered => match self.find(target) {
                Err(Errno::ENOENT | Errno::EACCES) => {}
                Err(errno) => return Err(failed("find")(errno)),
                Ok(at) => cover(&at).map_err(failed("cover"))?,
            },
            What::Link(to) => {
                let (parent, name) = self.parent_of(target).map_err(failed("find"))?;
                symlinkat(*to, &parent, name).map_err(failed("make"))?;
            }
        }
        Ok(None)
    }

    /// The mount that is at the target now, not what it covers.
    fn make_read_only(&self, target: &Path) -> Result<(), Errno> {
        set_read_only(self.find(target)?.as_fd())
    }

    /// What is at a path, all symlinks followed within the tree.
    fn find(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        loop {
            match openat2(&self.root, path, how) {
                // Something was renamed meanwhile, anywhere.
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                result => return result,
            }
        }
    }

    fn parent_of<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr), Errno> {
        let name = path.file_name().ok_or(Errno::EINVAL)?;
        let parent = self.find_or_make(path.parent().unwrap_or(Path::new("/")), Kind::Directory)?;
        Ok((parent, name))
    }

    /// What is at a path; it is made, with the directories above, where there is nothing. Most are in the layer that was made
    /// for them; an image may hide that.
    fn find_or_make(&self, path: &Path, kind: Kind) -> Result<OwnedFd, Errno> {
        self.find_or_make_behind(path.to_owned(), kind, MOST_LINKS)
    }

    fn find_or_make_behind(&self, path: PathBuf, kind: Kind, links: u8) -> Result<OwnedFd, Errno> {
        match self.find(&path) {
            Ok(found) => return checked(found, kind),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        let (parent, name) = self.parent_of(&path)?;
        let made = match kind {
            Kind::Directory => mkdirat(&parent, name, Mode::from_bits_truncate(0o755)),
            Kind::File => {
                let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                openat(&parent, name, flags | OFlag::O_WRONLY, Mode::from_bits_truncate(0o644)).map(drop)
            }
        };
        match made {
            Ok(()) => self.find(&path),
            // A symlink that leads to nothing: what it leads to is made.
            Err(Errno::EEXIST) if links > 0 => {
                let to = PathBuf::from(readlinkat(&parent, name)?);
                let next = path.parent().unwrap_or(Path::new("/")).join(to);
                self.find_or_make_behind(lexically(&next), kind, links - 1)
            }
            Err(errno) => Err(errno),
        }
    }

    /// The tree becomes the root, and nothing else is left of what was mounted before.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn enter(self) -> Result<(), Errno> {
        fchdir(&self.root)?;
        change_root()
    }
}

/// The mount that is the current directory becomes the root, and nothing else is left of what was mounted before.
///
/// # Errors
/// Those of the calls.
pub(crate) fn change_root() -> Result<(), Errno> {
    match pivot_root(".", ".") {
        // The old root lies on the new one, and the current directory is the old one.
        Ok(()) => umount2(".", MntFlags::MNT_DETACH)?,
        // The root is the kernel's first one, of an initramfs, which cannot be moved away.
        Err(Errno::EINVAL) => {
            mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
            chroot(".")?;
        }
        Err(errno) => return Err(errno),
    }
    chdir("/")
}

/// `..` is taken as the name before it: nothing is made that is not below the root in any case.
fn lexically(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    plain
}

/// A directory is mounted on a directory, and anything else on anything else.
fn checked(found: OwnedFd, kind: Kind) -> Result<OwnedFd, Errno> {
    match (is_directory(&found)?, kind) {
        (true, Kind::Directory) | (false, Kind::File) => Ok(found),
        (false, Kind::Directory) => Err(Errno::ENOTDIR),
        (true, Kind::File) => Err(Errno::EISDIR),
    }
}

fn is_directory(found: impl AsFd) -> Result<bool, Errno> {
    let kind = SFlag::from_bits_truncate(fstat(found)?.st_mode) & SFlag::S_IFMT;
    Ok(kind == SFlag::S_IFDIR)
}

/// The path under which the kernel finds an open object, whatever its names are.
fn by_descriptor(found: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

fn bind(source: &Path, at: &OwnedFd) -> Result<(), Errno> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(source), &by_descriptor(at), None::<&str>, flags, None::<&str>)
}

fn tmpfs(at: &OwnedFd, more: MsFlags, data: &str) -> Result<(), Errno> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | more;
    mount(Some("tmpfs"), &by_descriptor(at), Some("tmpfs"), flags, Some(data))
}

fn cover(at: &OwnedFd) -> Result<(), Errno> {
    match is_directory(at)? {
        true => tmpfs(at, MsFlags::MS_RDONLY, "mode=755,size=4k"),
        false => bind(Path::new("/dev/null"), at),
    }
}

/// Reads a small file of the tree, once it is the root; empty where there is none. It is an image's: it may be anything.
pub fn read_small(path: &str) -> String {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    /// No passwd file of people is longer.
    const MOST: u64 = 16 << 20;
    let open = || -> std::io::Result<String> {
        // A fifo without a writer must not keep us waiting.
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let mut bytes = Vec::new();
        if file.metadata()?.is_file() {
            file.take(MOST).read_to_end(&mut bytes)?;
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    open().unwrap_or_default()
}
