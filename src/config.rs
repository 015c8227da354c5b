//! What a mount is asked to be, as values: every option parsed, none of them a string any more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::Digest;
use crate::stamp::FileStamp;

/// The layers of a union.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackSpec {
    /// Read-only layers, **top first**; never empty.
    pub lowers: Vec<LowerSpec>,
    /// Data-only layers (`lowerdir=a::data`), top first: reached by redirects of metacopy files, never listed.
    pub data_only: Vec<PathBuf>,
    /// The writable layer, if there is one.
    pub upper: Option<UpperSpec>,
}

/// A read-only layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LowerSpec {
    /// A directory.
    Directory(PathBuf),
    /// A tar that is served from where it lies.
    Tar(TarSpec),
}

impl LowerSpec {
    /// The directory, or the file that the tar is in.
    pub fn path(&self) -> &Path {
        match self {
            LowerSpec::Directory(path) => path,
            LowerSpec::Tar(tar) => &tar.file,
        }
    }
}

impl StackSpec {
    /// Is a layer of an image among the layers, with owners as the image has them?
    pub fn has_tar(&self) -> bool {
        self.lowers.iter().any(|lower| matches!(lower, LowerSpec::Tar(_)))
    }
}

impl From<PathBuf> for LowerSpec {
    fn from(path: PathBuf) -> Self {
        LowerSpec::Directory(path)
    }
}

/// A layer of an image as a tar, verified, with the index it is served by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarSpec {
    /// The file that holds the uncompressed tar.
    pub file: PathBuf,
    /// What the file was when the tar was verified: it must still be that when it is opened.
    pub stamp: FileStamp,
    /// Where the tar begins in the file, bytes.
    pub offset: u64,
    /// How long the tar is, bytes.
    pub len: u64,
    /// The file with its index ([`crate::tarball::Index`]).
    pub index: PathBuf,
    /// The sha256 of the tar: what the image calls `diff_id`.
    pub diff_id: Digest,
    /// The image it belongs to, by a word that names it from any directory.
    pub image: String,
}

/// The writable layer's two directories; both on one file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpperSpec {
    /// Where changes are kept.
    pub upper: PathBuf,
    /// Where objects are made before one rename puts them into the upper. We work in its `work/` and `index/` only.
    pub work: PathBuf,
}

/// How the union behaves. The defaults are those of `lamina mount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// Refuse every change, though there is an upper (`ro`).
    pub read_only: bool,
    /// What renaming a directory that has parts below does, and whether redirects are believed.
    pub redirect_dir: RedirectDir,
    /// Hard links survive copy-up through an index in the work directory (`index=on`).
    pub index: Index,
    /// Whether `st_ino` carries the number of the file system it comes from (`xino`).
    pub xino: Xino,
    /// In which namespace markers are written, `None` to find out (`trusted.` where it can be written).
    pub namespace: Option<Namespace>,
    /// How deletions are written and whether `.wh.` names mean anything.
    pub whiteouts: Whiteouts,
    /// What is synced, and when.
    pub durability: Durability,
    /// Whether POSIX ACLs are kept and honoured (`noacl` turns it off).
    pub acl: Acl,
    /// Whether extended attributes are offered at all (`noxattrs=1` turns it off).
    pub xattrs: Xattrs,
    /// User ids of the layers (`uidmapping`), empty: as they are.
    pub uid_map: Vec<IdRange>,
    /// Group ids of the layers (`gidmapping`), empty: as they are.
    pub gid_map: Vec<IdRange>,
    /// Show every file as owned by one user and group.
    pub squash: Squash,
    /// Where owner and mode are recorded instead of in the inode (`xattr_permissions`).
    pub stat_override: StatOverride,
    /// `st_nlink` of directories is always 1 (`static_nlink`).
    pub static_nlink: bool,
    /// `st_ino` fits into 32 bits (`ino32_t`).
    pub ino32: bool,
    /// How long the kernel may believe names and attributes (`timeout=`); 0 asks each time.
    pub timeout: Duration,
    /// Who opens files, and where their data go along (`io=`).
    pub io: Io,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour {
            read_only: false,
            redirect_dir: RedirectDir::On,
            index: Index::Off,
            xino: Xino::Auto,
            namespace: None,
            whiteouts: Whiteouts::Auto,
            durability: Durability::SyncCopyUp,
            acl: Acl::On,
            xattrs: Xattrs::On,
            uid_map: Vec::new(),
            gid_map: Vec::new(),
            squash: Squash::None,
            stat_override: StatOverride::Off,
            static_nlink: false,
            ino32: false,
            // Nobody but us changes the layers while they are mounted (the kernel's overlay has the same condition).
            timeout: Duration::from_secs(24 * 60 * 60),
            io: Io::Auto,
        }
    }
}

/// `io=`: who opens files, and where their data go along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Io {
    /// What is fastest where it is right.
    Auto,
    /// The kernel opens files by itself, and asks only for data that it does not have.
    Cached,
    /// The kernel tells of each opening and closing, and keeps what it has read in between.
    Open,
}

/// `redirect_dir=`, as in the kernel's overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectDir {
    /// Redirects are written and followed.
    On,
    /// Redirects are followed, not written: renaming a merged directory is EXDEV.
    Follow,
    /// Redirects are neither written nor followed.
    NoFollow,
}

/// `index=`, as in the kernel's overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// Copying up one name of a hard link breaks it from its other names.
    Off,
    /// All names of a hard link stay one file.
    On,
}

/// `xino=`, as in the kernel's overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Xino {
    /// Inode numbers as the layers have them; layers on several file systems get numbers that are not stable.
    Off,
    /// The file system's index in the high bits, where there is room.
    Auto,
    /// As `Auto`, and a warning where there is no room.
    On,
}

/// The namespace of overlay markers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// `trusted.overlay.`; needs CAP_SYS_ADMIN in the first user namespace.
    Trusted,
    /// `user.overlay.` (`userxattr`).
    User,
}

/// How deletions are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whiteouts {
    /// The kernel's forms where they can be made, `.wh.` names elsewhere; `.wh.` names in layers are markers.
    Auto,
    /// The kernel's forms only; `.wh.` names are ordinary names everywhere (`whiteouts=kernel`).
    Kernel,
    /// As `Kernel`, and in lower layers those of unionfs-fuse, too: `.unionfs-fuse/PATH_HIDDEN~` (`whiteouts=unionfs-fuse`).
    UnionfsFuse,
}

/// What reaches the disk when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A copied-up file is synced before its rename; fsync of callers is passed on.
    SyncCopyUp,
    /// Nothing is synced (`fsync=0` of fuse-overlayfs).
    None,
    /// Nothing is synced, and the work directory is marked so that a crash is noticed (`volatile`).
    Volatile,
}

/// POSIX ACLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acl {
    /// Kept, and checked by the kernel.
    On,
    /// Neither (`noacl`).
    Off,
}

/// Extended attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Xattrs {
    /// Offered.
    On,
    /// ENOTSUP for all of them (`noxattrs=1`).
    Off,
}

/// One range of `uidmapping` or `gidmapping`: ids `inside..inside+len` as shown by the mount are
/// `outside..outside+len` in the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// First id as users of the mount see it.
    pub inside: u32,
    /// First id as the layers have it.
    pub outside: u32,
    /// How many.
    pub len: u32,
}

/// `squash_to_root`, `squash_to_uid=`, `squash_to_gid=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Squash {
    /// Owners as they are.
    None,
    /// Everything belongs to these; `None` keeps that half as it is.
    To {
        /// The user everything belongs to.
        uid: Option<u32>,
        /// The group everything belongs to.
        gid: Option<u32>,
    },
}

/// `xattr_permissions=` of fuse-overlayfs: where owner and mode are recorded when they cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatOverride {
    /// In the inode.
    Off,
    /// `security.fuseoverlayfs.override_stat` (`xattr_permissions=1`).
    Privileged,
    /// `user.containers.override_stat` (`xattr_permissions=2`).
    Containers,
}
