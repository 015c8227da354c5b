//! What is done to a mount: operations as values, so that they can be replayed, dropped one by one and printed.

use std::fmt;
use std::path::PathBuf;

use nix::fcntl::OFlag;

use crate::sys::SetTime;

/// Where an open descriptor is kept between operations.
pub type Slot = usize;
/// How many descriptors are kept at most.
pub const SLOTS: usize = 6;

/// Who does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    pub uid: u32,
    pub gid: u32,
    pub groups: &'static [u32],
    pub umask: u32,
}

/// One operation. Paths begin with `/`, which is the root of the mount.
#[derive(Debug, Clone, PartialEq, Eq)]
#[rustfmt::skip] // a table: a line each
pub enum Op {
    Open { slot: Slot, path: PathBuf, flags: OFlag, mode: u32 },
    Close { slot: Slot },
    /// Gives an `O_TMPFILE`, or any other open file, a name.
    LinkSlot { slot: Slot, to: PathBuf },
    Pread { slot: Slot, offset: u64, len: usize },
    Pwrite { slot: Slot, offset: u64, len: usize, fill: u8 },
    /// At the descriptor's own position.
    Read { slot: Slot, len: usize },
    Write { slot: Slot, len: usize, fill: u8 },
    Seek { slot: Slot, offset: i64, whence: i32 },
    Ftruncate { slot: Slot, len: u64 },
    Fallocate { slot: Slot, mode: i32, offset: u64, len: u64 },
    CopyRange { from: Slot, from_offset: u64, to: Slot, to_offset: u64, len: usize },
    MmapPoke { slot: Slot, offset: u64, byte: u8 },
    Fsync { slot: Slot },
    Fstat { slot: Slot },
    Fchmod { slot: Slot, mode: u32 },
    Fchown { slot: Slot, uid: Option<u32>, gid: Option<u32> },
    Futimens { slot: Slot, atime: SetTime, mtime: SetTime },
    Fsetxattr { slot: Slot, name: String, value: Vec<u8>, flags: i32 },
    /// Names and values of an open file's extended attributes.
    Fxattrs { slot: Slot },
    /// Relative to the directory that `dir` holds open, which may have moved or gone.
    OpenAt { dir: Slot, slot: Slot, name: PathBuf, flags: OFlag, mode: u32 },
    MkdirAt { dir: Slot, name: PathBuf, mode: u32 },
    UnlinkAt { dir: Slot, name: PathBuf },
    StatAt { dir: Slot, name: PathBuf },
    ReadDirSlot { slot: Slot, chunk: usize },
    Flock { slot: Slot, operation: i32 },
    OfdLock { slot: Slot, kind: i32, start: u64, len: u64 },
    /// Makes a file with data at these offsets and of these lengths, and holes between them.
    Create { path: PathBuf, mode: u32, parts: Vec<(u64, usize)>, len: u64, fill: u8 },
    ReadDir { path: PathBuf, chunk: usize },
    ReadAll { path: PathBuf },
    Stat { path: PathBuf },
    Statfs { path: PathBuf },
    Access { path: PathBuf, mode: i32 },
    Readlink { path: PathBuf },
    Truncate { path: PathBuf, len: u64 },
    Mkdir { path: PathBuf, mode: u32 },
    Rmdir { path: PathBuf },
    Unlink { path: PathBuf },
    /// Reads, removes, and reads on, as `rm -rf` does.
    RemoveTree { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, flags: u32 },
    Link { from: PathBuf, to: PathBuf },
    Symlink { target: PathBuf, path: PathBuf },
    Mknod { path: PathBuf, mode: u32, rdev: (u32, u32) },
    Chmod { path: PathBuf, mode: u32 },
    Chown { path: PathBuf, uid: Option<u32>, gid: Option<u32> },
    Utimens { path: PathBuf, atime: SetTime, mtime: SetTime },
    Setxattr { path: PathBuf, name: String, value: Vec<u8>, flags: i32 },
    Removexattr { path: PathBuf, name: String },
    Getxattr { path: PathBuf, name: String, room: usize },
    Listxattr { path: PathBuf },
}

impl Op {
    /// The operation's name, for messages and for telling failures apart.
    pub fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split([' ', '{']).next().unwrap_or_default().to_owned()
    }

    /// The paths it may change, whose attributes are compared afterwards.
    pub fn paths(&self) -> Vec<&PathBuf> {
        match self {
            Op::Open { path, .. }
            | Op::LinkSlot { to: path, .. }
            | Op::Create { path, .. }
            | Op::ReadDir { path, .. }
            | Op::ReadAll { path }
            | Op::Stat { path }
            | Op::Statfs { path }
            | Op::Access { path, .. }
            | Op::Readlink { path }
            | Op::Truncate { path, .. }
            | Op::Mkdir { path, .. }
            | Op::Rmdir { path }
            | Op::Unlink { path }
            | Op::RemoveTree { path }
            | Op::Symlink { path, .. }
            | Op::Mknod { path, .. }
            | Op::Chmod { path, .. }
            | Op::Chown { path, .. }
            | Op::Utimens { path, .. }
            | Op::Setxattr { path, .. }
            | Op::Removexattr { path, .. }
            | Op::Getxattr { path, .. }
            | Op::Listxattr { path } => vec![path],
            Op::Rename { from, to, .. } | Op::Link { from, to } => vec![from, to],
            _ => Vec::new(),
        }
    }

    /// The descriptor it works on, if one.
    pub fn slot(&self) -> Option<Slot> {
        match *self {
            Op::Open { slot, .. }
            | Op::LinkSlot { slot, .. }
            | Op::Pread { slot, .. }
            | Op::Pwrite { slot, .. }
            | Op::Read { slot, .. }
            | Op::Write { slot, .. }
            | Op::Seek { slot, .. }
            | Op::Ftruncate { slot, .. }
            | Op::Fallocate { slot, .. }
            | Op::CopyRange { to: slot, .. }
            | Op::MmapPoke { slot, .. }
            | Op::Fsync { slot }
            | Op::Fstat { slot }
            | Op::Fchmod { slot, .. }
            | Op::Fchown { slot, .. }
            | Op::Futimens { slot, .. }
            | Op::Fxattrs { slot }
            | Op::OpenAt { slot, .. }
            | Op::Fsetxattr { slot, .. } => Some(slot),
            _ => None,
        }
    }
}

/// One step of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Do it on both sides and compare what comes back.
    Do(Who, Op),
    /// Compare the whole trees.
    Check,
    /// Make the kernel forget every name and inode that is not in use, on both sides.
    Forget,
    /// Unmount both, mount both again, compare the whole trees.
    Remount,
    /// Unmount both, let each side mount the other's upper, compare the whole trees.
    Cross,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Do(who, op) => {
                let id = if who.uid == 0 { "root".to_owned() } else { format!("{}:{}", who.uid, who.gid) };
                let text = describe_numbers(op);
                write!(f, "[{id} umask {:03o}] {}", who.umask, squeeze(&text))
            }
            other => write!(f, "-- {other:?}"),
        }
    }
}

/// Modes are read in octal only.
fn describe_numbers(op: &Op) -> String {
    let text = format!("{op:?}");
    let Some(at) = text.find("mode: ").filter(|_| !matches!(op, Op::Access { .. } | Op::Fallocate { .. }))
    else {
        return text;
    };
    let (head, tail) = text.split_at(at + "mode: ".len());
    let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
    match tail[..digits].parse::<u32>() {
        Ok(mode) => format!("{head}{mode:#o}{}", &tail[digits..]),
        Err(_) => text,
    }
}

/// Shortens what is long and dull: runs of one character, and lists of bytes.
pub fn squeeze(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let mut run = 1;
        while chars.peek() == Some(&c) {
            chars.next();
            run += 1;
        }
        if run > 12 {
            out.push_str(&format!("{c}{{{run}}}"));
        } else {
            out.extend(std::iter::repeat_n(c, run));
        }
    }
    // Byte lists of values: the first and the last of many.
    if let (Some(open), Some(close)) = (out.find("value: ["), out.rfind(']')) {
        let list = &out[open + 8..close.max(open + 8)];
        let bytes: Vec<&str> = list.split(", ").collect();
        if bytes.len() > 44 {
            let short = format!("{}, … {} bytes", bytes[..8].join(", "), bytes.len());
            out = format!("{}{}{}", &out[..open + 8], short, &out[close..]);
        }
    }
    out
}
