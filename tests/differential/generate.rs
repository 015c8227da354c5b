//! Random operations, chosen by looking at the tree they will meet, so that most of them succeed and the others fail
//! for an interesting reason.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::op::{Op, SLOTS, Who};
use crate::rng::Rng;
use crate::sys::SetTime;
use crate::view::View;

pub const ROOT: Who = Who { uid: 0, gid: 0, groups: &[], umask: 0o022 };

/// Makes operations.
#[derive(Debug)]
pub struct Generator {
    pub rng: Rng,
    /// Which slots hold something, as far as is known: opens may have failed.
    used: [bool; SLOTS],
    /// Names that begin with `.wh.` are made too.
    pub oci_names: bool,
}

/// Where the data of a large, sparse file are.
const LARGE: u64 = 700_000;

const NAMES: &[&str] = &["a", "b", "c", "d", "e", "f", "g", "h", "with space", ".hidden", "-x"];

impl Generator {
    pub fn new(seed: u64, purpose: u64) -> Self {
        Generator { rng: Rng::new(seed, purpose), used: [false; SLOTS], oci_names: false }
    }

    /// After everything was closed.
    pub fn forget_slots(&mut self) {
        self.used = [false; SLOTS];
    }

    pub fn name(&mut self) -> OsString {
        if self.oci_names && self.rng.percent(12) {
            return (*self.rng.pick(&[".wh.a", ".wh.b", ".wh.", ".wh..wh..opq", ".wh..wh.plnk"])).into();
        }
        match self.rng.below(60) {
            0 => "L".repeat(255).into(),
            1 => "M".repeat(252).into(),
            2 => OsString::from_vec(b"\xff\xfe\n".to_vec()),
            3 => "T".repeat(256).into(),
            _ => (*self.rng.pick(NAMES)).into(),
        }
    }

    /// A directory to put something into.
    fn dir(&mut self, view: &View) -> PathBuf {
        self.rng.pick(&view.dirs).clone()
    }

    /// A directory to do something to, seldom the root.
    fn low_dir(&mut self, view: &View) -> PathBuf {
        let dir = self.dir(view);
        if dir == Path::new("/") && self.rng.percent(90) { self.dir(view) } else { dir }
    }

    /// Something that exists, most of the time a file.
    fn any(&mut self, view: &View) -> PathBuf {
        let mut lists: Vec<(u64, &Vec<PathBuf>)> = Vec::new();
        for (weight, list) in [(5, &view.files), (4, &view.dirs), (1, &view.symlinks), (2, &view.others)] {
            if !list.is_empty() {
                lists.push((weight, list));
            }
        }
        if lists.is_empty() || self.rng.percent(4) {
            return self.fresh(view);
        }
        let list = self.rng.weighted(&lists);
        let path = self.rng.pick(list).clone();
        if path == Path::new("/") { self.low_dir(view) } else { path }
    }

    fn file(&mut self, view: &View) -> PathBuf {
        if view.files.is_empty() || self.rng.percent(10) {
            return self.any(view);
        }
        self.rng.pick(&view.files).clone()
    }

    /// A name in some directory; it may be taken.
    fn fresh(&mut self, view: &View) -> PathBuf {
        if self.rng.percent(2) {
            // Below something that may not be a directory.
            let parent = if view.files.is_empty() { "/".into() } else { self.rng.pick(&view.files).clone() };
            return parent.join(self.name());
        }
        let mut dir = self.dir(view);
        // Not too deep, and wide rather than deep.
        if dir.components().count() > 4 {
            dir = self.dir(view);
        }
        dir.join(self.name())
    }

    pub fn mode(&mut self) -> u32 {
        *self.rng.pick(&[
            0o644, 0o644, 0o755, 0o755, 0o777, 0o777, 0o666, 0o600, 0o700, 0o000, 0o4755, 0o2755, 0o6775,
            0o2745, 0o1777, 0o2777, 0o4711, 0o444, 0o555, 0o070,
        ])
    }

    fn who(&mut self) -> Who {
        let umask = *self.rng.pick(&[0o022, 0o022, 0o000, 0o077, 0o027]);
        match self.rng.below(10) {
            0 => Who { uid: 1000, gid: 1000, groups: &[], umask },
            1 => Who { uid: 1000, gid: 1000, groups: &[1001, 2000], umask },
            2 => Who { uid: 1001, gid: 1001, groups: &[], umask },
            _ => Who { umask, ..ROOT },
        }
    }

    fn id(&mut self) -> Option<u32> {
        *self.rng.pick(&[None, Some(0), Some(1000), Some(1000), Some(1001), Some(2000), Some(70_000)])
    }

    fn time(&mut self) -> SetTime {
        match self.rng.below(8) {
            0 => SetTime::Now,
            1 => SetTime::Omit,
            2 => SetTime::To(-1_000_000, 5),
            3 => SetTime::To(0, 0),
            _ => SetTime::To(
                1_000_000_000 + self.rng.below(1_000_000) as i64,
                self.rng.below(1_000_000_000) as u32,
            ),
        }
    }

    /// A time that is set while layers are built.
    pub fn old_time(&mut self) -> SetTime {
        SetTime::To(1_000_000_000 + self.rng.below(1_000_000) as i64, self.rng.below(1_000_000_000) as u32)
    }

    fn offset(&mut self) -> u64 {
        match self.rng.below(8) {
            0 | 1 => 0,
            2 => self.rng.below(20),
            3 => 4096 * self.rng.below(6),
            4 => 4095 + self.rng.below(3),
            5 => self.rng.below(20_000),
            6 => self.rng.below(100),
            _ => 1000,
        }
    }

    fn len(&mut self) -> usize {
        *self.rng.pick(&[0, 1, 5, 100, 1000, 4096, 4097, 9000])
    }

    pub fn xattr(&mut self) -> (String, Vec<u8>) {
        let name = match self.rng.below(24) {
            0..=7 => "user.a".to_owned(),
            8..=11 => "user.b".to_owned(),
            12 => format!("user.{}", "n".repeat(250)),
            13..=15 => "trusted.t".to_owned(),
            16 | 17 => "security.capability".to_owned(),
            18 => "security.other".to_owned(),
            19 => "trusted.overlay.opaque".to_owned(),
            20 => "trusted.overlay.own".to_owned(),
            21 => "bogus.name".to_owned(),
            _ => return self.acl(),
        };
        if name == "security.capability" {
            // VFS_CAP_REVISION_2 with the effective flag; cap_net_raw.
            let mut value = 0x0200_0001u32.to_le_bytes().to_vec();
            value.extend_from_slice(&(1u32 << 13).to_le_bytes());
            value.extend_from_slice(&[0; 12]);
            return (name, value);
        }
        let value = match self.rng.below(6) {
            0 => Vec::new(),
            1 => vec![b'v'; 3000],
            2 => b"y".to_vec(),
            _ => format!("value {}", self.rng.below(5)).into_bytes(),
        };
        (name, value)
    }

    /// An ACL in the form of `system.posix_acl_*`: version 2, then tag, permissions and id of each entry.
    fn acl(&mut self) -> (String, Vec<u8>) {
        let name = if self.rng.percent(50) { "system.posix_acl_access" } else { "system.posix_acl_default" };
        let mut value = 2u32.to_le_bytes().to_vec();
        let mut entry = |tag: u16, perm: u64, id: u32| {
            value.extend_from_slice(&tag.to_le_bytes());
            value.extend_from_slice(&(perm as u16).to_le_bytes());
            value.extend_from_slice(&id.to_le_bytes());
        };
        let nobody = u32::MAX;
        entry(0x01, 4 + self.rng.below(4), nobody);
        let extended = self.rng.percent(75);
        if extended {
            entry(0x02, self.rng.below(8), 1000);
        }
        entry(0x04, self.rng.below(8), nobody);
        if extended {
            entry(0x08, self.rng.below(8), 1001);
            // Left out now and then: that ACL is not valid.
            if !self.rng.percent(5) {
                entry(0x10, self.rng.below(8), nobody);
            }
        }
        entry(0x20, self.rng.below(8), nobody);
        (name.to_owned(), value)
    }

    fn flags(&mut self) -> OFlag {
        let mut flags = *self.rng.pick(&[
            OFlag::O_RDONLY,
            OFlag::O_RDONLY,
            OFlag::O_WRONLY,
            OFlag::O_RDWR,
            OFlag::O_RDWR,
        ]);
        let extra = [
            (30, OFlag::O_CREAT),
            (8, OFlag::O_EXCL),
            (15, OFlag::O_TRUNC),
            (15, OFlag::O_APPEND),
            (4, OFlag::O_DIRECTORY),
            (8, OFlag::O_NOFOLLOW),
            (4, OFlag::O_DIRECT),
            (4, OFlag::O_SYNC),
            (4, OFlag::O_NOATIME),
            (3, OFlag::O_PATH),
        ];
        for (percent, flag) in extra {
            if self.rng.percent(percent) {
                flags |= flag;
            }
        }
        flags
    }

    pub fn target(&mut self, view: &View) -> PathBuf {
        match self.rng.below(4) {
            0 => self.any(view),
            1 => PathBuf::from("..").join(self.name()),
            2 => PathBuf::from("t".repeat(1 + self.rng.below(4000) as usize)),
            _ => PathBuf::from(self.name()),
        }
    }

    fn parts(&mut self) -> (Vec<(u64, usize)>, u64) {
        let mut parts = Vec::new();
        let mut end = 0;
        for _ in 0..self.rng.below(3) {
            let (offset, len) = (end + self.offset(), self.len());
            parts.push((offset, len));
            end = offset + len as u64;
        }
        if self.rng.percent(4) {
            // Below the size from which lamina waits with the copy-up of an opened file for its first change.
            parts.push((LARGE, 10));
            end = LARGE + 10;
        }
        let len = if self.rng.percent(20) { end + self.offset() } else { end };
        (parts, len)
    }

    /// A new file with some data.
    pub fn create(&mut self, path: PathBuf) -> Op {
        let (parts, len) = self.parts();
        Op::Create { path, mode: self.mode(), parts, len, fill: self.rng.below(256) as u8 }
    }

    /// A special file that may be opened without harm: null, zero, full, and numbers without a driver.
    pub fn special(&mut self) -> (u32, (u32, u32)) {
        let kind =
            *self.rng.pick(&[libc::S_IFIFO, libc::S_IFSOCK, libc::S_IFCHR, libc::S_IFCHR, libc::S_IFBLK]);
        let rdev = match kind {
            libc::S_IFCHR => *self.rng.pick(&[(1, 3), (1, 5), (1, 7), (250, 3), (0, 1)]),
            libc::S_IFBLK => *self.rng.pick(&[(250, 3), (0, 0)]),
            _ => (0, 0),
        };
        (kind | self.mode(), rdev)
    }

    /// The next operation on a tree that looks like `view`, and who does it.
    pub fn step(&mut self, view: &View) -> (Who, Op) {
        let who = self.who();
        let crowded = view.len() > 70;
        let op = match self.rng.below(100) {
            0..=26 => self.on_slot(view),
            27..=29 if crowded => Op::RemoveTree { path: self.low_dir(view) },
            27..=32 => {
                let path = self.fresh(view);
                self.create(path)
            }
            33..=38 => Op::Mkdir { path: self.fresh(view), mode: self.mode() },
            39..=40 => {
                Op::Rmdir { path: if self.rng.percent(90) { self.low_dir(view) } else { self.any(view) } }
            }
            41 => Op::Statfs { path: self.any(view) },
            42..=46 => Op::Unlink { path: self.any(view) },
            47 => Op::RemoveTree {
                path: if self.rng.percent(30) { self.low_dir(view) } else { self.file(view) },
            },
            48..=60 => self.rename(view),
            61..=64 => Op::Link { from: self.any(view), to: self.fresh(view) },
            65..=66 => Op::Symlink { target: self.target(view), path: self.fresh(view) },
            67..=69 => self.mknod(view),
            70..=74 => Op::Chmod { path: self.any(view), mode: self.mode() },
            75..=78 => Op::Chown { path: self.any(view), uid: self.id(), gid: self.id() },
            79..=80 => Op::Utimens { path: self.any(view), atime: self.time(), mtime: self.time() },
            81..=86 => self.set_xattr(view),
            87..=88 => Op::Removexattr { path: self.any(view), name: self.xattr().0 },
            89 => {
                let room = *self.rng.pick(&[0, 1, 100, 65536]);
                Op::Getxattr { path: self.any(view), name: self.xattr().0, room }
            }
            90 => Op::Listxattr { path: self.any(view) },
            91..=92 => Op::Truncate { path: self.file(view), len: self.offset() },
            93..=94 => Op::ReadAll { path: self.file(view) },
            95 => Op::ReadDir { path: self.dir(view), chunk: self.chunk() },
            96 => Op::Access { path: self.any(view), mode: self.rng.below(8) as i32 },
            97 => Op::Stat { path: self.fresh(view) },
            98 => Op::Stat { path: self.any(view) },
            _ => {
                let path = if view.symlinks.is_empty() {
                    self.any(view)
                } else {
                    self.rng.pick(&view.symlinks).clone()
                };
                Op::Readlink { path }
            }
        };
        (if Self::needs_root(&op) { Who { umask: who.umask, ..ROOT } } else { who }, op)
    }

    /// What is done as root only, since for others the kernel's overlay decides on something that a FUSE file system is
    /// not told.
    fn needs_root(op: &Op) -> bool {
        match op {
            // suid and sgid are cleared even where it then turns out that the operation is not supported.
            Op::Fallocate { mode, .. } => *mode == libc::FALLOC_FL_ZERO_RANGE,
            // An empty chown is refused to others where there is a suid or sgid bit to clear.
            Op::Chown { uid: None, gid: None, .. } | Op::Fchown { uid: None, gid: None, .. } => true,
            // sgid goes with the ACL where the caller is not of the file's group.
            Op::Removexattr { name, .. } => name == "system.posix_acl_access",
            _ => false,
        }
    }

    fn chunk(&mut self) -> usize {
        *self.rng.pick(&[300, 512, 1024, 32768])
    }

    fn rename(&mut self, view: &View) -> Op {
        let from = if self.rng.percent(50) { self.low_dir(view) } else { self.any(view) };
        let to = match self.rng.below(14) {
            0..=2 => self.any(view),
            3 | 4 => self.low_dir(view),
            5 => from.clone(),
            _ => self.fresh(view),
        };
        let flags = match self.rng.below(20) {
            0..=12 => 0,
            13..=14 => libc::RENAME_NOREPLACE,
            15..=17 => libc::RENAME_EXCHANGE,
            18 => libc::RENAME_WHITEOUT,
            _ => libc::RENAME_EXCHANGE | libc::RENAME_NOREPLACE,
        };
        Op::Rename { from, to, flags }
    }

    fn mknod(&mut self, view: &View) -> Op {
        let path = self.fresh(view);
        if self.rng.percent(15) {
            return Op::Mknod { path, mode: libc::S_IFCHR | self.mode(), rdev: (0, 0) };
        }
        if self.rng.percent(15) {
            return Op::Mknod { path, mode: libc::S_IFREG | self.mode(), rdev: (0, 0) };
        }
        let (mode, rdev) = self.special();
        Op::Mknod { path, mode, rdev }
    }

    fn set_xattr(&mut self, view: &View) -> Op {
        let path = self.any(view);
        let (name, value) = if self.rng.percent(35) { self.acl() } else { self.xattr() };
        let flags = *self.rng.pick(&[0, 0, 0, 0, libc::XATTR_CREATE, libc::XATTR_REPLACE]);
        Op::Setxattr { path, name, value, flags }
    }

    fn held(&mut self) -> usize {
        let held: Vec<usize> = (0..SLOTS).filter(|slot| self.used[*slot]).collect();
        if held.is_empty() { self.rng.below(SLOTS as u64) as usize } else { *self.rng.pick(&held) }
    }

    fn open(&mut self, view: &View) -> Op {
        let slot = self.rng.below(SLOTS as u64) as usize;
        self.used[slot] = true;
        let mode = self.mode();
        match self.rng.below(12) {
            0 => Op::Open { slot, path: self.dir(view), flags: OFlag::O_RDONLY | OFlag::O_DIRECTORY, mode },
            1 => {
                let mut flags = OFlag::O_TMPFILE | *self.rng.pick(&[OFlag::O_RDWR, OFlag::O_WRONLY]);
                if self.rng.percent(15) {
                    flags |= OFlag::O_EXCL;
                }
                Op::Open { slot, path: self.dir(view), flags, mode }
            }
            2 | 3 => Op::Open { slot, path: self.fresh(view), flags: self.flags() | OFlag::O_CREAT, mode },
            4 => Op::Open { slot, path: self.any(view), flags: self.flags(), mode },
            _ => Op::Open { slot, path: self.file(view), flags: self.flags(), mode },
        }
    }

    fn on_slot(&mut self, view: &View) -> Op {
        let open = self.used.iter().filter(|used| **used).count() as u64;
        if self.rng.below(10) >= 3 + open {
            return self.open(view);
        }
        let slot = self.held();
        match self.rng.below(38) {
            32 | 33 => Op::Fxattrs { slot },
            34 => Op::OpenAt {
                dir: slot,
                slot: self.rng.below(SLOTS as u64) as usize,
                name: self.name().into(),
                flags: self.flags(),
                mode: self.mode(),
            },
            35 => Op::MkdirAt { dir: slot, name: self.name().into(), mode: self.mode() },
            36 => Op::UnlinkAt { dir: slot, name: self.name().into() },
            37 => Op::StatAt { dir: slot, name: self.name().into() },
            0 | 1 => self.open(view),
            2 | 3 => {
                self.used[slot] = false;
                Op::Close { slot }
            }
            4 | 5 => Op::LinkSlot { slot, to: self.fresh(view) },
            6 => Op::Pread { slot, offset: self.offset(), len: self.len() },
            7..=9 => {
                Op::Pwrite { slot, offset: self.offset(), len: self.len(), fill: self.rng.below(256) as u8 }
            }
            10 => Op::Read { slot, len: self.len() },
            11 | 12 => Op::Write { slot, len: self.len(), fill: self.rng.below(256) as u8 },
            13 => {
                let whence = *self.rng.pick(&[libc::SEEK_SET, libc::SEEK_CUR, libc::SEEK_END]);
                Op::Seek { slot, offset: self.rng.below(5000) as i64 - 1000, whence }
            }
            14 | 15 => Op::Ftruncate { slot, len: self.offset() },
            16..=18 => {
                let keep = libc::FALLOC_FL_KEEP_SIZE;
                let mode =
                    *self.rng.pick(&[0, keep, keep | libc::FALLOC_FL_PUNCH_HOLE, libc::FALLOC_FL_ZERO_RANGE]);
                Op::Fallocate { slot, mode, offset: self.offset(), len: self.len() as u64 }
            }
            19 | 20 => Op::CopyRange {
                from: self.held(),
                from_offset: self.offset(),
                to: slot,
                to_offset: self.offset(),
                len: self.len(),
            },
            21 | 22 => Op::MmapPoke { slot, offset: self.offset(), byte: self.rng.below(256) as u8 },
            23 => Op::Fsync { slot },
            24 => Op::Fstat { slot },
            25 => Op::Fchmod { slot, mode: self.mode() },
            26 => Op::Fchown { slot, uid: self.id(), gid: self.id() },
            27 => Op::Futimens { slot, atime: self.time(), mtime: self.time() },
            28 => {
                let (name, value) = self.xattr();
                Op::Fsetxattr { slot, name, value, flags: 0 }
            }
            29 => Op::ReadDirSlot { slot, chunk: self.chunk() },
            30 => {
                let operation = *self.rng.pick(&[libc::LOCK_SH, libc::LOCK_EX, libc::LOCK_UN]);
                Op::Flock { slot, operation }
            }
            _ => {
                let kind = *self.rng.pick(&[libc::F_RDLCK, libc::F_WRLCK, libc::F_UNLCK]);
                Op::OfdLock { slot, kind, start: self.offset(), len: self.len() as u64 }
            }
        }
    }
}
