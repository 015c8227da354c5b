//! The vocabulary of the union: what callers ask with and what they are answered.

use std::time::Duration;

use bitflags::bitflags;

use crate::path::{Name, NameBuf};

/// What the kernel calls an object by. Apart from the inode number it shows: two names of a broken hard link are two
/// nodes with one `st_ino`. Never reused while the mount lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The root of the union; FUSE fixes this number (`FUSE_ROOT_ID`).
    pub const ROOT: NodeId = NodeId(1);
}

/// An open file. Never reused while the mount lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandleId(pub u64);

/// Which file a request is about: one that was opened here, or one that the kernel has opened by itself (`io=cached`), of which
/// it tells only the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileRef {
    /// What [`super::Overlay::open`] and the like have answered.
    Handle(HandleId),
    /// A node of a regular file. The kernel has seen to it that the file was opened for what is asked.
    Node(NodeId),
}

impl From<HandleId> for FileRef {
    fn from(handle: HandleId) -> Self {
        FileRef::Handle(handle)
    }
}

impl From<NodeId> for FileRef {
    fn from(node: NodeId) -> Self {
        FileRef::Node(node)
    }
}

/// Who asks: the owner of what is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// File-system user id, as the mount shows ids.
    pub uid: u32,
    /// File-system group id, as the mount shows ids.
    pub gid: u32,
    /// The caller's umask; applied only where the parent has no default ACL.
    pub umask: u32,
}

/// Seconds and nanoseconds since 1970; seconds may be negative, nanoseconds are 0..1_000_000_000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub sec: i64,
    /// Nanoseconds above `sec`.
    pub nsec: u32,
}

/// The type of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the names say it
pub enum FileKind {
    Regular,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

impl FileKind {
    /// From the type bits of a mode (`S_IFMT`).
    pub fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & libc::S_IFMT {
            libc::S_IFREG => FileKind::Regular,
            libc::S_IFDIR => FileKind::Directory,
            libc::S_IFLNK => FileKind::Symlink,
            libc::S_IFCHR => FileKind::CharDevice,
            libc::S_IFBLK => FileKind::BlockDevice,
            libc::S_IFIFO => FileKind::Fifo,
            libc::S_IFSOCK => FileKind::Socket,
            _ => return None,
        })
    }

    /// From a directory entry's `d_type`; `None` where the file system does not say.
    pub fn from_dirent(kind: u8) -> Option<Self> {
        FileKind::from_mode(u32::from(kind) << 12)
    }

    /// The type bits of a mode (`S_IFMT`).
    pub fn mode_bits(self) -> u32 {
        match self {
            FileKind::Regular => libc::S_IFREG,
            FileKind::Directory => libc::S_IFDIR,
            FileKind::Symlink => libc::S_IFLNK,
            FileKind::CharDevice => libc::S_IFCHR,
            FileKind::BlockDevice => libc::S_IFBLK,
            FileKind::Fifo => libc::S_IFIFO,
            FileKind::Socket => libc::S_IFSOCK,
        }
    }
}

/// A device number, in its two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rdev {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// The attributes of an object as the mount shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    /// `st_ino`.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of the attributes.
    pub ctime: Timestamp,
    /// Birth, where the file system knows it.
    pub btime: Option<Timestamp>,
    /// Type.
    pub kind: FileKind,
    /// Permission bits, with suid, sgid and sticky: 0..=0o7777.
    pub perm: u32,
    /// Hard links; 1 for a merged directory.
    pub nlink: u32,
    /// Owner, as the mount shows ids.
    pub uid: u32,
    /// Group, as the mount shows ids.
    pub gid: u32,
    /// Device number of a device.
    pub rdev: Rdev,
    /// Preferred size of reads, bytes.
    pub blksize: u32,
}

/// A name found or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The node, whose lookup count this answer raises by one.
    pub node: NodeId,
    /// Its attributes.
    pub attr: Attr,
}

/// What can be made by [`super::Overlay::mknod`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum SpecialKind {
    Regular,
    Fifo,
    Socket,
    CharDevice(Rdev),
    BlockDevice(Rdev),
}

/// A time to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeChange {
    /// The current time (`UTIME_NOW`).
    Now,
    /// This time.
    To(Timestamp),
}

/// Must suid and sgid bits go, because a caller without CAP_FSETID changes the content? (File capabilities go with
/// every change.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillPriv {
    /// They stay.
    Keep,
    /// They go; sgid where the group may execute, and where the file is not of the caller's group.
    Kill {
        /// The caller's group, as the mount shows ids.
        gid: u32,
    },
}

/// Where written data come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteCause {
    /// A caller's write(2).
    Caller,
    /// Pages of a shared mapping: the kernel picks some writable handle of the file, and no privilege goes.
    PageCache,
}

/// A set of attribute changes; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttrChange {
    /// New permission bits, 0..=0o7777.
    pub perm: Option<u32>,
    /// New owner, as the mount shows ids.
    pub uid: Option<u32>,
    /// New group, as the mount shows ids.
    pub gid: Option<u32>,
    /// New size in bytes.
    pub size: Option<u64>,
    /// New time of last access.
    pub atime: Option<TimeChange>,
    /// New time of last content change.
    pub mtime: Option<TimeChange>,
    /// Does the caller lose suid and sgid bits with this change?
    pub kill_priv: KillPriv,
}

impl AttrChange {
    /// Is nothing to be changed but privilege bits?
    pub fn is_nothing(&self) -> bool {
        AttrChange { kill_priv: KillPriv::Keep, ..*self } == AttrChange::NONE
    }
}

impl AttrChange {
    /// Changes nothing.
    pub const NONE: AttrChange = AttrChange {
        perm: None,
        uid: None,
        gid: None,
        size: None,
        atime: None,
        mtime: None,
        kill_priv: KillPriv::Keep,
    };
}

/// For what a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Access {
    Read,
    Write,
    ReadWrite,
}

impl Access {
    /// May it change the file?
    pub fn writes(self) -> bool {
        !matches!(self, Access::Read)
    }
}

/// Does opening empty the file?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Truncate {
    Keep,
    Empty(KillPriv),
}

/// How a file is opened. Creation is a call of its own; O_APPEND and O_DIRECT are the kernel's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenMode {
    /// For what.
    pub access: Access,
    /// O_TRUNC.
    pub truncate: Truncate,
}

/// Does creating insist that the name is new (O_EXCL)?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Existing {
    Open,
    Refuse,
}

/// What a rename does with its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameMode {
    /// Replaces it.
    Replace,
    /// RENAME_NOREPLACE.
    NoReplace,
    /// RENAME_EXCHANGE.
    Exchange,
}

/// What setxattr does with an existing or missing attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XattrMode {
    /// Sets it either way.
    Set,
    /// XATTR_CREATE: EEXIST if it is there.
    Create,
    /// XATTR_REPLACE: ENODATA if it is not.
    Replace,
}

/// Does setting an access ACL also clear the sgid bit (FUSE_SETXATTR_ACL_KILL_SGID)?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum AclSgid {
    Keep,
    Kill,
}

bitflags! {
    /// fallocate(2)'s modes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct FallocateMode: u32 {
        /// The file's size stays.
        const KEEP_SIZE = 1;
        /// Makes a hole.
        const PUNCH_HOLE = 2;
        /// Removes a range.
        const COLLAPSE_RANGE = 8;
        /// Zeroes a range.
        const ZERO_RANGE = 16;
        /// Makes room for a range.
        const INSERT_RANGE = 32;
        /// Unshares shared extents.
        const UNSHARE_RANGE = 64;
    }
}

/// lseek(2)'s questions that only the file system can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Seek {
    Data,
    Hole,
}

/// How much fsync(2) writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Sync {
    All,
    DataOnly,
}

/// Does the caller see attributes of the `trusted.` namespace (CAP_SYS_ADMIN)?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Trusted {
    Shown,
    Hidden,
}

/// A place in a file for copy_file_range(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilePlace {
    /// The open file.
    pub file: FileRef,
    /// Byte offset.
    pub offset: u64,
}

/// statfs(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatFs {
    /// Blocks in units of `frsize`.
    pub blocks: u64,
    /// Free blocks.
    pub bfree: u64,
    /// Free blocks for ordinary users.
    pub bavail: u64,
    /// Inodes.
    pub files: u64,
    /// Free inodes.
    pub ffree: u64,
    /// Preferred block size, bytes.
    pub bsize: u32,
    /// Longest name that can be made, bytes.
    pub namelen: u32,
    /// Size of a block, bytes.
    pub frsize: u32,
}

/// A directory entry as it is offered to a [`DirSink`].
#[derive(Debug, Clone, Copy)]
pub struct DirEntry<'a> {
    /// The name: also `.` and `..`, so bytes and not a [`Name`].
    pub name: &'a [u8],
    /// Where to go on **after** this entry. Never reused while the node lives, so a reader that unlinks what it
    /// reads misses nothing.
    pub cookie: u64,
    /// `d_ino`, equal to the `st_ino` of the entry.
    pub ino: u64,
    /// The type; `None` where it cannot be told, for a name that is listed and cannot be looked up.
    pub kind: Option<FileKind>,
}

/// What a [`DirSink`] says of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkAnswer {
    /// It went into the reply.
    Taken,
    /// There was no room: it was **not** taken, and the listing stops.
    Full,
}

/// Where a listing goes.
pub trait DirSink {
    /// Takes an entry, or says that there is no room. `entry` is given where the listing looks names up as it goes
    /// (never for `.` and `..`); its lookup count rises only if the answer is `Taken`.
    fn push(&mut self, dirent: DirEntry<'_>, entry: Option<&Entry>) -> SinkAnswer;
}

/// Does a listing also look its names up?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Listing {
    Names,
    Plus,
}

/// Something the kernel has cached and must ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invalidation {
    /// The attributes of a node (not its data).
    Attr(NodeId),
    /// The listing of a directory, in which a number has changed.
    Listing(NodeId),
    /// A name in a directory.
    Entry(NodeId, NameBuf),
    /// All that is cached of a node: attributes, and data or listing. The request that brings this about is answered when the
    /// kernel has forgotten everything that came of it.
    Content(NodeId),
}

/// Old and new place of a rename.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The directory.
    pub dir: NodeId,
    /// The name in it.
    pub name: Name<'a>,
}

/// How long the kernel may believe what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Names that exist.
    pub entry: Duration,
    /// Names that do not.
    pub negative: Duration,
    /// Attributes.
    pub attr: Duration,
}
