//! Making objects: in the work directory, finished, then put in place by one rename.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use smallvec::smallvec;

use super::acl;
use super::copy_up::{Content, UpperDir};
use super::descriptors::Cell;
use super::file::Opened;
use super::listing::Listed;
use super::lookup::directory;
use super::node::{
    AttributesAt, Body, DirNode, DirState, InodeKey, LeafData, LeafNode, LeafState, Node, NodePlace, Places,
    Source, UpperPart,
};
use super::ownership::LayerStat;
use super::types::*;
use super::{Overlay, lock};
use crate::config::Acl;
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::layer::{OpaqueForm, Staged, Upper};
use crate::marker::Marker;
use crate::path::{Name, NameBuf};
use crate::sys::fs::{self, At, RenameFlag, Stat};
use crate::sys::xattr::{self, SetMode};

/// What a new object is to be.
#[derive(Debug, Clone, Copy)]
enum New<'a> {
    Regular,
    Directory,
    Symlink(&'a [u8]),
    Special(FileKind, Rdev),
}

impl New<'_> {
    fn kind(self) -> FileKind {
        match self {
            New::Regular => FileKind::Regular,
            New::Directory => FileKind::Directory,
            New::Symlink(_) => FileKind::Symlink,
            New::Special(kind, _) => kind,
        }
    }
}

/// What an object made in a directory gets from it and from the caller, in the layer's ids.
#[derive(Debug)]
struct Legacy {
    uid: u32,
    gid: u32,
    perm: u32,
    kind: FileKind,
    /// Its access ACL, where the permission bits do not say it all.
    access: Option<Vec<u8>>,
    /// A directory's default ACL.
    default: Option<Vec<u8>>,
}

/// What the upper has at a name where the union has nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vacant {
    /// Nothing at all.
    Empty,
    /// A whiteout device, or an empty file that is marked as one.
    Whiteout,
}

impl Overlay {
    /// Makes a regular file, fifo, socket or device. `perm` is before the umask.
    ///
    /// # Errors
    /// [`Kind::Exists`]; [`Kind::NotPermitted`] for a character device 0:0, which would be a whiteout.
    pub fn mknod(&self, caller: &Caller, at: Place<'_>, kind: SpecialKind, perm: u32) -> Result<Entry> {
        let new = match kind {
            SpecialKind::Regular => New::Regular,
            SpecialKind::Fifo => New::Special(FileKind::Fifo, Rdev::default()),
            SpecialKind::Socket => New::Special(FileKind::Socket, Rdev::default()),
            SpecialKind::CharDevice(Rdev { major: 0, minor: 0 }) => {
                return Err(Error::new("mknod", Kind::NotPermitted("a character device 0:0 is a whiteout")));
            }
            SpecialKind::CharDevice(rdev) => New::Special(FileKind::CharDevice, rdev),
            SpecialKind::BlockDevice(rdev) => New::Special(FileKind::BlockDevice, rdev),
        };
        Ok(self.make(caller, at, new, perm)?.0)
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// [`Kind::Exists`], and what the upper's file system answers.
    pub fn mkdir(&self, caller: &Caller, at: Place<'_>, perm: u32) -> Result<Entry> {
        Ok(self.make(caller, at, New::Directory, perm)?.0)
    }

    /// Makes a symlink.
    ///
    /// # Errors
    /// [`Kind::Exists`], and what the upper's file system answers.
    pub fn symlink(&self, caller: &Caller, at: Place<'_>, target: &[u8]) -> Result<Entry> {
        Ok(self.make(caller, at, New::Symlink(target), 0o777)?.0)
    }

    /// Makes and opens a regular file. Where the name exists: opens it, or refuses, as `existing` says.
    ///
    /// # Errors
    /// [`Kind::Exists`], [`Kind::IsADirectory`], and what the upper's file system answers.
    pub fn create(
        &self,
        caller: &Caller,
        at: Place<'_>,
        perm: u32,
        mode: OpenMode,
        existing: Existing,
    ) -> Result<(Entry, Opened)> {
        loop {
            match self.make(caller, at, New::Regular, perm) {
                Ok((entry, file)) => {
                    let node = self.node(entry.node)?;
                    let file = file.ok_or_else(|| Error::new("create", Kind::Stale))?;
                    return Ok((entry, self.new_handle(&node, mode.access, file)?));
                }
                Err(error) if *error.kind() == Kind::Exists && existing == Existing::Open => {}
                Err(error) => return Err(error),
            }
            // Removed again meanwhile: then it can be made.
            let Some(entry) = self.lookup(at.dir, at.name)? else { continue };
            return match self.open(entry.node, mode) {
                Ok(opened) => Ok((Entry { attr: self.getattr(entry.node)?, ..entry }, opened)),
                Err(error) => {
                    self.forget(entry.node, 1);
                    Err(error)
                }
            };
        }
    }

    /// O_TMPFILE: a file without a name, which [`Overlay::link`] may give one.
    ///
    /// # Errors
    /// What the upper's file system answers.
    pub fn tmpfile(
        &self,
        caller: &Caller,
        dir: NodeId,
        perm: u32,
        access: Access,
    ) -> Result<(Entry, Opened)> {
        let node = self.node(dir)?;
        let target = self.upper_dir(&node)?;
        let legacy = self.legacy(&target, caller, FileKind::Regular, perm)?;
        let file = target.upper.open_nameless()?;
        self.bequeath(target.upper, At::Fd(file.as_fd()), &legacy, Rdev::default())?;
        let stat = target.upper.layer.stat(At::Fd(file.as_fd()))?;
        let file = Arc::new(file);
        let attr = self.attr_from(&stat, self.numbers.shown(stat.dev, stat.ino));
        let state = LeafState {
            ino: attr.ino,
            places: Places::new(),
            source: Source::Nameless(Arc::clone(&file)),
            data: LeafData::Here,
            link_key: None,
        };
        let node = self.new_node(Body::Leaf(LeafNode::new(FileKind::Regular, state)));
        let opened = self.new_handle_shared(&node, access, file)?;
        Ok((Entry { node: node.id, attr }, opened))
    }

    /// Gives a file another name.
    ///
    /// # Errors
    /// [`Kind::Exists`]; [`Kind::NotPermitted`] for a directory.
    pub fn link(&self, node: NodeId, at: Place<'_>) -> Result<Entry> {
        let node = self.node(node)?;
        let Some(file) = node.as_leaf() else {
            return Err(Error::new("link", Kind::NotPermitted("a directory has one name")));
        };
        let parent = self.node(at.dir)?;
        let dir = directory(&parent)?;
        self.copy_up(&node, Content::Keep)?;
        let target = self.upper_dir(&parent)?;
        target.upper.check_new_name(at.name)?;
        let mut names = dir.lock();
        let vacant = self.vacant(&parent, dir, &mut names, &target, at.name)?;
        let mut state = file.write();
        let (held, layer) = self.held(&state)?;
        target.upper.keep_literal(held.at(), at.name)?;
        // A copy shows the number of what it was copied from, and a listing must know to ask for it.
        let has_origin = layer.marker(held.at(), Marker::Origin)?.is_some();
        if let (true, Some(part)) = (has_origin, dir.upper.get()) {
            self.mark_impure(target.upper, part, &target.fd)?;
        }
        match vacant {
            Vacant::Empty => {
                fs::link(held.at(), target.fd.as_fd(), at.name).op("link").at(at.name.as_bytes())?
            }
            Vacant::Whiteout => {
                let staged = target.upper.stage_link(held.at())?;
                staged.publish(target.fd.as_fd(), at.name, RenameFlag::Replace)?;
            }
        }
        self.now_in_upper(&target, dir, &mut names, at.name);
        if let Source::Nameless(_) = state.source {
            state.source = Source::Upper;
        }
        let name = names.shared(at.name);
        state.places.push(NodePlace { dir: Arc::clone(&parent), name: name.clone() });
        parent.hold();
        names.children.insert(name, Arc::clone(&node));
        let (held, layer) = self.held(&state)?;
        let stat = layer.stat(held.at())?;
        let by_inode = || Box::new(InodeKey::Upper { ino: stat.ino });
        let key = state.link_key.get_or_insert_with(by_inode).as_ref().clone();
        lock(&self.hard_links).insert(key, Arc::downgrade(&node));
        let attr = self.leaf_attr(&state)?;
        drop(state);
        node.hold();
        Ok(Entry { node: node.id, attr })
    }

    /// Makes an object at a name that must be free. The answer raises its count by one.
    fn make(
        &self,
        caller: &Caller,
        at: Place<'_>,
        new: New<'_>,
        perm: u32,
    ) -> Result<(Entry, Option<OwnedFd>)> {
        let parent = self.node(at.dir)?;
        let dir = directory(&parent)?;
        let target = self.upper_dir(&parent)?;
        target.upper.check_new_name(at.name)?;
        let mut names = dir.lock();
        let vacant = self.vacant(&parent, dir, &mut names, &target, at.name)?;
        let staged = self.stage(&target, caller, new, perm)?;
        if new.kind() == FileKind::Directory && !dir.lowers.is_empty() {
            // What is below at this name stays hidden, now and after a remount.
            target.upper.mark_opaque(staged.at())?;
        }
        let stat = target.upper.layer.stat(staged.at())?;
        let file = self.publish_new(&target, staged, at.name, new.kind(), vacant)?;
        self.now_in_upper(&target, dir, &mut names, at.name);
        let name = names.shared(at.name);
        let body = self.new_body(&parent, dir, &name, new.kind(), &stat);
        let child = self.adopt(&parent, &mut names, name, body);
        drop(names);
        // The rename changed its ctime, and opaque directories are shown as they are.
        let attr = match self.attr(&child) {
            Ok(attr) => attr,
            Err(error) => {
                self.release_node(&child, 1);
                return Err(error);
            }
        };
        Ok((Entry { node: child.id, attr }, file))
    }

    fn new_body(
        &self,
        parent: &Arc<Node>,
        dir: &DirNode,
        name: &NameBuf,
        kind: FileKind,
        stat: &Stat,
    ) -> Body {
        let place = NodePlace { dir: Arc::clone(parent), name: name.clone() };
        let ino = self.numbers.shown(stat.dev, stat.ino);
        if kind == FileKind::Directory {
            let upper = UpperPart::new(Cell::empty(), stat.ino, false);
            return Body::Dir(Box::new(DirNode::new(
                Some(place),
                Some(upper),
                Box::default(),
                AttributesAt::Part(0),
                dir.lower_path.join(name.as_name()),
                ino,
            )));
        }
        let state = LeafState {
            ino,
            places: smallvec![place],
            source: Source::Upper,
            data: LeafData::Here,
            link_key: None,
        };
        Body::Leaf(LeafNode::new(kind, state))
    }

    /// Puts a new object in place.
    fn publish_new(
        &self,
        target: &UpperDir<'_>,
        staged: Staged<'_>,
        name: Name<'_>,
        kind: FileKind,
        vacant: Vacant,
    ) -> Result<Option<OwnedFd>> {
        let flag = match (vacant, kind) {
            (Vacant::Empty, _) => RenameFlag::NoReplace,
            // A directory cannot be renamed over a device; the whiteout goes with the displaced.
            (Vacant::Whiteout, FileKind::Directory) => RenameFlag::Exchange,
            (Vacant::Whiteout, _) => RenameFlag::Replace,
        };
        let published = staged.publish(target.fd.as_fd(), name, flag)?;
        if let Some(mut displaced) = published.displaced {
            displaced.now_directory(false);
        }
        Ok(published.file)
    }

    /// The union has something at this name now: its listing knows, and a `.wh.` file that said otherwise goes.
    pub(super) fn now_in_upper(
        &self,
        target: &UpperDir<'_>,
        dir: &DirNode,
        state: &mut DirState,
        name: Name<'_>,
    ) {
        if let Some(names) = &mut state.names {
            names.insert(name.to_owned(), Listed::Present(None));
        }
        let Some(part) = dir.upper.get() else { return };
        let erased = self.upper_oci(part, &target.upper.layer, &target.fd).and_then(|mut marks| match marks
            .as_mut()
            .is_some_and(|marks| marks.whiteouts.remove(name.as_bytes()))
        {
            true => target.upper.erase_oci_whiteout(target.fd.as_fd(), name),
            false => Ok(()),
        });
        if let Err(error) = erased {
            // The object is in place. Beside it the file hides what is below, which the object does anyway, unless
            // it is a directory that was moved here.
            log::warn!("after a name was made: {error}");
        }
    }

    /// Checks that the union has nothing at a name, and says what the upper has there.
    ///
    /// # Errors
    /// [`Kind::Exists`]; [`Kind::NotFound`] in a directory that was removed.
    pub(super) fn vacant(
        &self,
        parent: &Arc<Node>,
        dir: &DirNode,
        state: &mut DirState,
        target: &UpperDir<'_>,
        name: Name<'_>,
    ) -> Result<Vacant> {
        if state.removed {
            return Err(Error::new("make", Kind::NotFound).at(name.as_bytes()));
        }
        if self.exists(parent, dir, state, name)? {
            return Err(Error::new("make", Kind::Exists).at(name.as_bytes()));
        }
        match fs::stat(At::Name(target.fd.as_fd(), name)) {
            Err(nix::errno::Errno::ENOENT) => Ok(Vacant::Empty),
            Ok(_) => Ok(Vacant::Whiteout),
            Err(errno) => {
                Err(Error::new("look into the upper", errno).at(name.as_bytes()).in_layer(LayerRef::Upper))
            }
        }
    }

    /// Makes an object in the work directory, with the owner, mode and ACLs it is to have.
    fn stage<'u>(
        &self,
        target: &UpperDir<'u>,
        caller: &Caller,
        new: New<'_>,
        perm: u32,
    ) -> Result<Staged<'u>> {
        let upper = target.upper;
        let legacy = self.legacy(target, caller, new.kind(), perm)?;
        let (staged, rdev) = match new {
            New::Regular => (upper.stage_file()?, Rdev::default()),
            New::Directory => (upper.stage_directory()?, Rdev::default()),
            New::Symlink(link) => (upper.stage_symlink(link)?, Rdev::default()),
            New::Special(kind, rdev) => (self.stage_special(upper, kind, rdev.major, rdev.minor)?, rdev),
        };
        self.bequeath(upper, staged.at(), &legacy, rdev)?;
        Ok(staged)
    }

    /// What an object made in a directory gets from it and from the caller.
    fn legacy(&self, target: &UpperDir<'_>, caller: &Caller, kind: FileKind, perm: u32) -> Result<Legacy> {
        let parent = target.upper.layer.stat(At::Fd(target.fd.as_fd()))?;
        let (uid, gid) =
            self.ownership.stored(caller.uid, caller.gid).map_err(|kind| Error::new("make", kind))?;
        let setgid = parent.mode & libc::S_ISGID != 0;
        let default = match kind {
            FileKind::Symlink => None,
            _ => self.default_acl(target.upper, target)?,
        };
        let perm = perm & 0o7777;
        let inherited = default.as_deref().and_then(|default| acl::inherit(default, perm));
        let (mut perm, access) = match (inherited, kind) {
            (Some(inherited), _) => (inherited.perm, inherited.access),
            (None, FileKind::Symlink) => (perm, None),
            // Without a default ACL the umask counts.
            (None, _) => (perm & !caller.umask, None),
        };
        if kind == FileKind::Directory && setgid {
            perm |= libc::S_ISGID;
        }
        let default = default.filter(|_| kind == FileKind::Directory);
        Ok(Legacy { uid, gid: if setgid { parent.gid } else { gid }, perm, kind, access, default })
    }

    fn bequeath(&self, upper: &Upper, at: At<'_>, legacy: &Legacy, rdev: Rdev) -> Result<()> {
        let inode = fs::stat(at).op("stat the new object")?;
        let Legacy { uid, gid, perm, kind, access, default } = legacy;
        self.set_owner(
            upper,
            at,
            LayerStat { uid: *uid, gid: *gid, perm: *perm, kind: *kind, rdev },
            &inode,
        )?;
        for (name, value) in [(acl::ACCESS, access), (acl::DEFAULT, default)] {
            if let Some(value) = value {
                xattr::set(at, name, value, SetMode::Any).op("inherit ACL").in_layer(upper.layer.id)?;
            }
        }
        Ok(())
    }

    /// The default ACL of a directory, where ACLs are kept.
    fn default_acl(&self, upper: &Upper, target: &UpperDir<'_>) -> Result<Option<Vec<u8>>> {
        if self.options.acl == Acl::Off {
            return Ok(None);
        }
        use nix::errno::Errno;
        match xattr::get(At::Fd(target.fd.as_fd()), acl::DEFAULT) {
            Ok(value) => Ok(Some(value)),
            Err(Errno::ENODATA | Errno::ENOTSUP | Errno::EPERM) => Ok(None),
            Err(errno) => Err(Error::new("read default ACL", errno).in_layer(upper.layer.id)),
        }
    }

    /// May opaque marks be written as attributes here? Where not, they are files, which a listing must not show.
    pub(super) fn opaque_is_xattr(&self, upper: &Upper) -> bool {
        matches!(upper.opaque_form, OpaqueForm::Xattr(_))
    }
}
