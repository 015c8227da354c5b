//! Attributes: shown, and changed.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Overlay;
use super::copy_up::Content;
use super::lookup::{directory, leaf};
use super::node::{AttributesAt, Body, DirNode, LeafData, LeafState, Node, Source};
use super::object::Object;
use super::ownership::LayerStat;
use super::types::*;
use nix::errno::Errno;

use crate::config::StatOverride;
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::layer::Upper;
use crate::marker::override_xattr;
use crate::path::NAME_MAX;
use crate::sys::file;
use crate::sys::fs::{self, At, Stat, Time};
use crate::sys::xattr::{self, SetMode};

/// What directories prefer as the size of a read: callers of getdents64(2) take it as a hint for their buffer, and a
/// large one saves requests.
const DIRECTORY_BLKSIZE: u32 = 1 << 20;

/// Does truncating to the size a file has move its times?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Touch,
    Keep,
}

impl Overlay {
    /// The attributes of a node.
    ///
    /// # Errors
    /// Failing system calls; [`Kind::Stale`] for a node that was never answered.
    pub fn getattr(&self, node: NodeId) -> Result<Attr> {
        self.attr(&*self.node(node)?)
    }

    pub(super) fn attr(&self, node: &Node) -> Result<Attr> {
        match &node.body {
            Body::Dir(dir) => self.dir_attr(node, dir),
            Body::Leaf(leaf) => self.leaf_attr(&leaf.read()),
        }
    }

    fn dir_attr(&self, node: &Node, dir: &DirNode) -> Result<Attr> {
        Ok(self.dir_attr_from(dir, &self.dir_object(node, dir)?.stat()?))
    }

    /// The attributes of a directory whose topmost part has these.
    pub(super) fn dir_attr_from(&self, dir: &DirNode, top: &Stat) -> Attr {
        let mut attr = self.attr_from(top, dir.ino);
        attr.blksize = DIRECTORY_BLKSIZE;
        let hidden = matches!(dir.attributes, AttributesAt::Hidden(_)) && dir.upper.get().is_none();
        if self.options.static_nlink || dir.is_merged() || hidden {
            attr.nlink = 1;
        }
        attr
    }

    pub(super) fn leaf_attr(&self, state: &LeafState) -> Result<Attr> {
        let object = self.object(state)?;
        let stat = object.stat()?;
        let mut attr = self.attr_from(&stat, state.ino);
        match &state.data {
            LeafData::Here => {}
            LeafData::Below(file) => {
                attr.blocks = self.lower_object(file)?.stat()?.blocks;
            }
            LeafData::Missing => attr.blocks = 0,
        }
        if let (true, Source::Lower(_)) = (state.places.is_empty(), &state.source) {
            // The layer keeps the name that the union has lost.
            attr.nlink = attr.nlink.saturating_sub(1);
        }
        if let (Source::Indexed(_), Object::Held(held, layer)) = (&state.source, &object) {
            attr.nlink = self.union_nlink(layer, held.at())?;
        }
        Ok(attr)
    }

    /// A layer's attributes as the mount shows them.
    pub(super) fn attr_from(&self, stat: &Stat, ino: u64) -> Attr {
        let time = |(sec, nsec)| Timestamp { sec, nsec };
        let (uid, gid) = self.ownership.shown(stat.uid, stat.gid);
        Attr {
            ino,
            size: stat.size,
            blocks: stat.blocks,
            atime: time(stat.atime),
            mtime: time(stat.mtime),
            ctime: time(stat.ctime),
            btime: stat.btime.map(time),
            kind: FileKind::from_mode(stat.mode).unwrap_or(FileKind::Regular),
            perm: stat.mode & 0o7777,
            nlink: stat.nlink,
            uid,
            gid,
            rdev: Rdev { major: stat.rdev_major, minor: stat.rdev_minor },
            blksize: stat.blksize,
        }
    }

    /// Changes attributes; copies the object up first. `open` is the open file the caller changes it through.
    ///
    /// # Errors
    /// [`Kind::ReadOnly`]; an owner that is not mapped; what the upper's file system answers.
    pub fn setattr(&self, node: NodeId, open: Option<FileRef>, change: &AttrChange) -> Result<Attr> {
        let node = self.node(node)?;
        match &node.body {
            Body::Dir(dir) => self.set_dir_attr(&node, dir, change)?,
            Body::Leaf(_) => self.set_leaf_attr(&node, open, change)?,
        }
        self.attr(&node)
    }

    fn set_dir_attr(&self, node: &Arc<Node>, dir: &DirNode, change: &AttrChange) -> Result<()> {
        if change.size.is_some() {
            return Err(Error::new("truncate", Kind::IsADirectory));
        }
        let target = self.upper_dir(node)?;
        self.apply(target.upper, At::Fd(target.fd.as_fd()), change)
            .map_err(|e| e.at(self.path_of(node, dir).as_bytes()))
    }

    fn set_leaf_attr(&self, node: &Arc<Node>, open: Option<FileRef>, change: &AttrChange) -> Result<()> {
        let upper = self.stack.writable()?;
        let file = leaf(node)?;
        // A change of nothing is chown(-1, -1), or announces a write to a file with privileges. From one who keeps suid
        // and sgid the latter follows the removal of the file's capabilities, and has nothing left to do.
        let announced = file.capabilities_gone.swap(false, Ordering::AcqRel);
        if announced && change.is_nothing() && change.kill_priv == KillPriv::Keep {
            return Ok(());
        }
        if let Some(size) = change.size {
            if file.kind != FileKind::Regular {
                return Err(Error::new("truncate", Kind::Invalid("it is not a regular file")));
            }
            let before = self.leaf_attr(&file.read())?.size;
            self.copy_up(node, if size == 0 { Content::Drop } else { Content::Keep })?;
            // ftruncate(2) and O_TRUNC move the time of the last change even where the size stays; truncate(2) does
            // not. The kernel tells them apart by the handle, but for O_TRUNC, which has none and is always to 0.
            let times = match open {
                None if size == before && size > 0 => Times::Keep,
                _ => Times::Touch,
            };
            self.truncate(node, open, size, times)?;
            self.kill_priv_of(node, change.kill_priv)?;
        } else {
            self.copy_up(node, Content::Keep)?;
        }
        let state = file.read();
        let (held, _) = self.held(&state)?;
        self.apply(upper, held.at(), change)
    }

    fn truncate(&self, node: &Arc<Node>, handle: Option<FileRef>, size: u64, times: Times) -> Result<()> {
        let open = match handle {
            Some(handle) => self.writable_file(handle)?,
            None => None,
        };
        let fd = match open {
            Some(fd) => fd,
            None => Arc::new(self.open_data(&leaf(node)?.read(), Access::ReadWrite)?),
        };
        let fd = fd.descriptor()?;
        match times {
            Times::Touch => file::truncate(fd, size),
            Times::Keep => file::truncate_by_path(fd, size),
        }
        .op("truncate")
        .in_layer(LayerRef::Upper)
    }

    fn kill_priv_of(&self, node: &Arc<Node>, kill: KillPriv) -> Result<()> {
        let state = leaf(node)?.read();
        self.kill_priv(self.held(&state)?.0.at(), kill)
    }

    /// Takes suid and sgid bits away, as the kernel does for a caller who changes the content and may not keep them.
    /// (File capabilities went when the upper's file system saw the change.)
    pub(super) fn kill_priv(&self, at: At<'_>, kill: KillPriv) -> Result<()> {
        let (KillPriv::Kill { gid }, Ok(upper)) = (kill, self.stack.writable()) else { return Ok(()) };
        let stat = upper.layer.stat(at)?;
        let perm = stat.mode & 0o7777;
        let (_, group) = self.ownership.shown(stat.uid, stat.gid);
        let kept = without_privilege(perm, gid == group);
        if kept == perm || !stat.is_regular() {
            return Ok(());
        }
        self.set_owner(upper, at, LayerStat { perm: kept, ..LayerStat::of(&stat) }, &stat)
    }

    fn apply(&self, upper: &Upper, at: At<'_>, change: &AttrChange) -> Result<()> {
        let uid = change.uid.map(|uid| self.ownership.stored_uid(uid)).transpose();
        let uid = uid.map_err(|kind| Error::new("chown", kind))?;
        let gid = change.gid.map(|gid| self.ownership.stored_gid(gid)).transpose();
        let gid = gid.map_err(|kind| Error::new("chown", kind))?;
        if upper.layer.rules.stat_override != StatOverride::Off {
            let nothing = change.is_nothing();
            let chowned = uid.is_some() || gid.is_some();
            if chowned || nothing || change.perm.is_some() {
                let stat = upper.layer.stat(at)?;
                let now = LayerStat::of(&stat);
                let mut perm = now.perm;
                if (nothing || (chowned && change.kill_priv != KillPriv::Keep)) && !stat.is_dir() {
                    perm = without_privilege(perm, true);
                }
                let owner = LayerStat {
                    uid: uid.unwrap_or(now.uid),
                    gid: gid.unwrap_or(now.gid),
                    perm: change.perm.unwrap_or(perm),
                    ..now
                };
                self.set_owner(upper, at, owner, &stat)?;
            }
        } else {
            if uid.is_some() || gid.is_some() || change.is_nothing() {
                // By the group that the file has had, and before it has another owner.
                self.kill_priv(at, change.kill_priv)?;
                fs::chown(at, uid, gid).op("chown").in_layer(LayerRef::Upper)?;
            }
            if let Some(perm) = change.perm {
                fs::chmod(at, perm).op("chmod").in_layer(LayerRef::Upper)?;
            }
        }
        if change.atime.is_some() || change.mtime.is_some() {
            let time = |change: Option<TimeChange>| match change {
                None => Time::Omit,
                Some(TimeChange::Now) => Time::Now,
                Some(TimeChange::To(to)) => Time::To(to.sec, to.nsec),
            };
            fs::utimens(at, time(change.atime), time(change.mtime))
                .op("set times")
                .in_layer(LayerRef::Upper)?;
        }
        Ok(())
    }

    /// Gives an object of the upper its owner and mode: in the inode, or in a record where that is how they are kept.
    /// `inode` is what the object has now.
    pub(super) fn set_owner(&self, upper: &Upper, at: At<'_>, owner: LayerStat, inode: &Stat) -> Result<()> {
        let LayerStat { uid, gid, perm, kind, .. } = owner;
        let Some(name) = override_xattr(upper.layer.rules.stat_override) else {
            // Changing the owner clears suid and sgid, so the mode comes after it.
            let changed = (uid != inode.uid || gid != inode.gid).then_some(());
            if changed.is_some() {
                fs::chown(at, Some(uid), Some(gid)).op("chown").in_layer(LayerRef::Upper)?;
            }
            if kind != FileKind::Symlink && (changed.is_some() || inode.mode & 0o7777 != perm) {
                fs::chmod(at, perm).op("chmod").in_layer(LayerRef::Upper)?;
            }
            return Ok(());
        };
        let record = owner.record();
        match xattr::set(at, name.to_bytes(), &record.encode(), SetMode::Any) {
            Ok(()) => {}
            // `user.` attributes exist on regular files and directories only; the inode itself is all there is.
            Err(Errno::EPERM | Errno::ENOTSUP) => return Ok(()),
            Err(errno) => return Err(Error::new("record the owner", errno).in_layer(LayerRef::Upper)),
        }
        // The daemon must reach what the record forbids to others.
        let reachable = (perm & 0o777) | if kind == FileKind::Directory { 0o700 } else { 0o600 };
        if kind != FileKind::Symlink && inode.mode & 0o7777 != reachable {
            fs::chmod(at, reachable).op("chmod").in_layer(LayerRef::Upper)?;
        }
        Ok(())
    }

    /// A symlink's target.
    pub fn readlink(&self, node: NodeId) -> Result<Vec<u8>> {
        let node = self.node(node)?;
        let file = leaf(&node)?;
        if file.kind != FileKind::Symlink {
            return Err(Error::new("read link", Kind::Invalid("it is not a symlink")));
        }
        let state = file.read();
        self.object(&state)?.readlink()
    }

    /// Space and names, of the upper's file system or the topmost layer's.
    pub fn statfs(&self) -> Result<StatFs> {
        let top = self.stack.top();
        let stat = fs::statfs(top.on_file_system()).op("statfs").in_layer(top.id())?;
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let longest = self.longest_name();
        Ok(StatFs {
            blocks: stat.blocks,
            bfree: stat.bfree,
            bavail: stat.bavail,
            files: stat.files,
            ffree: stat.ffree,
            bsize: narrow(stat.bsize),
            namelen: narrow(stat.namelen).min(longest),
            frsize: narrow(stat.frsize),
        })
    }

    /// The longest name that can be made, bytes.
    fn longest_name(&self) -> u32 {
        let marks = match self.stack.upper() {
            Some(upper) if upper.whiteout_form == crate::layer::WhiteoutForm::OciFile => {
                crate::marker::OCI_PREFIX_LEN
            }
            _ => 0,
        };
        (NAME_MAX - marks) as u32
    }

    /// Writes a directory's entries to disk.
    pub fn fsyncdir(&self, node: NodeId, sync: Sync) -> Result<()> {
        let node = self.node(node)?;
        let dir = directory(&node)?;
        let (Some(part), Ok(upper)) = (dir.upper.get(), self.stack.writable()) else { return Ok(()) };
        if upper.durability != crate::config::Durability::SyncCopyUp {
            return Ok(());
        }
        let fd = self.upper_fd(&node, dir, part)?;
        let fd = fs::reopen_dir(fd.as_fd(), libc::O_RDONLY).op("open directory").in_layer(LayerRef::Upper)?;
        match sync {
            Sync::All => file::fsync(fd.as_fd()),
            Sync::DataOnly => file::fdatasync(fd.as_fd()),
        }
        .op("sync directory")
        .in_layer(LayerRef::Upper)
    }
}

/// The permission bits that remain when content changes without CAP_FSETID: suid goes; sgid goes where the group may
/// execute, and where the caller is not of the group.
fn without_privilege(perm: u32, in_group: bool) -> u32 {
    let sgid = if perm & libc::S_IXGRP != 0 || !in_group { libc::S_ISGID } else { 0 };
    perm & !(libc::S_ISUID | sgid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suid_goes_and_sgid_goes_where_it_means_anything() {
        for (perm, in_group, left) in [
            (0o755, true, 0o755),
            (0o4755, true, 0o755),
            (0o2755, true, 0o755),
            (0o2745, true, 0o2745),
            (0o2745, false, 0o745),
            (0o6711, true, 0o711),
            (0o1777, false, 0o1777),
            (0o4644, true, 0o644),
        ] {
            assert_eq!(without_privilege(perm, in_group), left, "{perm:o}");
        }
    }
}
