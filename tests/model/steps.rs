//! Each operation on both sides.

use std::collections::BTreeMap;

use lamina::error::Error;
use lamina::overlay::*;
use lamina::path::Name;
use nix::errno::Errno;

use super::ops::{KILL, Op, Opening, Spot};
use super::run::{At, Check, Handle, Runner, context, ensure, name, show, show_at};
use super::tree::{Body, CAPABILITY, Id, Node, Refused, SGID, SUID, Who};

fn caller(who: Who) -> Caller {
    Caller { uid: who.uid, gid: who.gid, umask: who.umask }
}

/// Both refused, or neither did.
fn agree<T, U>(expected: Result<T, Refused>, got: Result<U, Error>) -> Check<Option<(T, U)>> {
    match (expected, got) {
        (Ok(expected), Ok(got)) => Ok(Some((expected, got))),
        (Err(errnos), Err(error)) if errnos.contains(&error.errno()) => Ok(None),
        (Ok(_), Err(error)) => Err(format!("failed: {error} ({})", error.errno())),
        (Err(errnos), Ok(_)) => Err(format!("succeeded, but should have been {errnos:?}")),
        (Err(errnos), Err(error)) => {
            Err(format!("failed with {error} ({}), but should have been {errnos:?}", error.errno()))
        }
    }
}

impl Runner {
    /// Does one operation on both sides.
    pub fn step(&mut self, op: &Op) -> Check {
        self.do_op(op)?;
        // What the kernel would be told is taken, as the adapter takes it.
        self.overlay().take_invalidations();
        let held: Vec<Id> = self.handles.iter().map(|handle| handle.id).collect();
        self.model.collect(held);
        self.inos.retain(|id, _| self.model.is_live(*id));
        Ok(())
    }

    pub fn do_op(&mut self, op: &Op) -> Check {
        match op {
            Op::Mkdir { who, at, perm } => {
                let perm = self.powers.perm(*perm, true);
                let make = |run: &Self, dir, name: &[u8]| {
                    run.overlay().mkdir(&caller(*who), Place { dir, name: Name::new(name).unwrap() }, perm)
                };
                self.make("mkdir", *who, at, Body::Dir(BTreeMap::new()), perm, make)
            }
            Op::Mkfifo { who, at, perm } => self.mknod(*who, at, Body::Fifo, SpecialKind::Fifo, *perm),
            Op::Mkfile { who, at, perm } => {
                self.mknod(*who, at, Body::File(Vec::new()), SpecialKind::Regular, *perm)
            }
            Op::Symlink { who, at, target } => {
                let make = |run: &Self, dir, name: &[u8]| {
                    run.overlay().symlink(
                        &caller(*who),
                        Place { dir, name: Name::new(name).unwrap() },
                        target,
                    )
                };
                self.make("symlink", *who, at, Body::Symlink(target.clone()), 0o777, make)
            }
            Op::Create { who, at, perm, access, opening, existing } => {
                self.create(*who, at, *perm, *access, *opening, *existing)
            }
            Op::Link { of, at } => {
                let Some((path, id)) = self.pick_where(of, |node| !node.is_dir()) else { return Ok(()) };
                let Some(at) = self.spot(at) else { return Ok(()) };
                self.say(format!("link {} {}", show(&path), show_at(&at)));
                let node = self.walk(&path)?;
                self.link(id, node, &at)
            }
            Op::LinkHeld { of, at } => {
                let Some(handle) = self.pick_handle(of, |handle| handle.nameless) else { return Ok(()) };
                let Some(at) = self.spot(at) else { return Ok(()) };
                self.say(format!("link {handle:?} {}", show_at(&at)));
                self.link(handle.id, handle.node, &at)?;
                if self.has_name(handle.id) {
                    for held in self.handles.iter_mut().filter(|held| held.id == handle.id) {
                        held.nameless = false;
                    }
                }
                Ok(())
            }
            Op::Unlink { at } => {
                let Some(at) = self.spot(at) else { return Ok(()) };
                self.say(format!("unlink {}", show_at(&at)));
                let dir = self.place(&at)?;
                let got = self.overlay().unlink(Place { dir, name: name(&at.name) });
                agree(self.model.unlink(at.dir, &at.name), got).map(drop)
            }
            Op::Rmdir { at } => {
                let Some(at) = self.spot(at) else { return Ok(()) };
                self.say(format!("rmdir {}", show_at(&at)));
                let dir = self.place(&at)?;
                let got = self.overlay().rmdir(Place { dir, name: name(&at.name) });
                agree(self.model.rmdir(at.dir, &at.name), got).map(drop)
            }
            Op::Rename { from, to, mode } => self.rename(from, to, *mode),
            Op::Chmod { of, perm } => {
                // chmod(2) of a symlink is refused before it comes here.
                let wanted = |node: &Node| !matches!(node.body, Body::Symlink(_));
                let Some((path, id)) = self.pick_where(of, wanted) else { return Ok(()) };
                let perm = self.powers.perm(*perm, self.model.node(id).is_dir());
                self.say(format!("chmod {perm:o} {}", show(&path)));
                let node = self.walk(&path)?;
                self.copy_up(id);
                self.model.node_mut(id).perm = perm;
                self.setattr(id, node, None, &AttrChange { perm: Some(perm), ..AttrChange::NONE })
            }
            Op::Chown { of, uid, gid } => {
                let (path, id) = self.pick(of);
                self.say(format!("chown {uid:?}:{gid:?} {}", show(&path)));
                if uid.is_none() && gid.is_none() {
                    return Ok(());
                }
                let node = self.walk(&path)?;
                self.copy_up(id);
                // chown(2) takes suid and sgid away from everything but directories.
                let keeps = self.model.node(id).is_dir();
                if !keeps {
                    self.model.kill_priv(id);
                    self.model.kill_capability(id);
                }
                let object = self.model.node_mut(id);
                object.uid = uid.unwrap_or(object.uid);
                object.gid = gid.unwrap_or(object.gid);
                let kill_priv = if keeps { KillPriv::Keep } else { KILL };
                self.setattr(
                    id,
                    node,
                    None,
                    &AttrChange { uid: *uid, gid: *gid, kill_priv, ..AttrChange::NONE },
                )
            }
            Op::Truncate { of, size, kill } => {
                let wanted = |node: &Node| matches!(node.body, Body::File(_));
                let Some((path, id)) = self.pick_where(of, wanted) else { return Ok(()) };
                self.say(format!("truncate {size} {} ({kill:?})", show(&path)));
                let node = self.walk(&path)?;
                self.truncate(id, node, None, *size, *kill)
            }
            Op::SetTimes { of, atime, mtime } => {
                let (path, id) = self.pick(of);
                if atime.is_none() && mtime.is_none() {
                    return Ok(());
                }
                self.say(format!("utimens {atime:?} {mtime:?} {}", show(&path)));
                let node = self.walk(&path)?;
                self.copy_up(id);
                let object = self.model.node_mut(id);
                object.mtime = mtime.or(object.mtime);
                let change = AttrChange {
                    atime: atime.map(TimeChange::To),
                    mtime: mtime.map(TimeChange::To),
                    ..AttrChange::NONE
                };
                let attr = self.overlay().setattr(node, None, &change).map_err(context("setattr"))?;
                if let Some(atime) = atime {
                    ensure!(attr.atime == *atime, "has atime {:?}, should have {atime:?}", attr.atime);
                }
                self.check_attr(id, &attr)
            }
            Op::SetXattr { of, name, value, mode } => {
                let Some((path, id)) = self.pick_where(of, |node| may_have(node, name)) else {
                    return Ok(());
                };
                self.say(format!("setxattr {} {mode:?} {}", name.escape_ascii(), show(&path)));
                let node = self.walk(&path)?;
                let got = self.overlay().setxattr(node, name, value, *mode, AclSgid::Keep);
                match agree(self.model.set_xattr(id, name, value, *mode), got)? {
                    Some(_) => self.copy_up(id),
                    None => self.model.doubt(id),
                }
                Ok(())
            }
            Op::RemoveXattr { of, name } => {
                let Some((path, id)) = self.pick_where(of, |node| may_have(node, name)) else {
                    return Ok(());
                };
                self.say(format!("removexattr {} {}", name.escape_ascii(), show(&path)));
                let node = self.walk(&path)?;
                let got = self.overlay().removexattr(node, name);
                let missing = self.overlay().getxattr(node, name);
                ensure!(
                    missing.as_ref().is_err_and(|error| error.errno() == Errno::ENODATA),
                    "after removing, getxattr gave {missing:?}"
                );
                match agree(self.model.remove_xattr(id, name), got)? {
                    Some(_) => self.copy_up(id),
                    None => self.model.doubt(id),
                }
                Ok(())
            }
            Op::Open { of, access, opening } => {
                let wanted = |node: &Node| matches!(node.body, Body::File(_));
                let Some((path, id)) = self.pick_where(of, wanted) else { return Ok(()) };
                self.say(format!("open {} {access:?} {opening:?}", show(&path)));
                let node = self.walk(&path)?;
                let opened =
                    self.overlay().open(node, open_mode(*access, *opening)).map_err(context("open"))?;
                self.opened(id, *access, *opening);
                self.hold(id, node, opened, *access, false);
                Ok(())
            }
            Op::Tmpfile { who, dir, perm } => {
                let Some((path, dir_id)) = self.pick_where(dir, Node::is_dir) else { return Ok(()) };
                let perm = self.powers.perm(*perm, false);
                self.say(format!("tmpfile {perm:o} in {}", show(&path)));
                let dir = self.walk(&path)?;
                let access = Access::ReadWrite;
                let (entry, opened) =
                    self.overlay().tmpfile(&caller(*who), dir, perm, access).map_err(context("tmpfile"))?;
                let id = self.model.make_nameless(*who, dir_id, Body::File(Vec::new()), perm);
                self.note(id, &entry)?;
                self.hold(id, entry.node, opened, access, true);
                Ok(())
            }
            Op::Read { of, offset, len } => {
                let Some(handle) = self.pick_handle(of, Handle::reads) else { return Ok(()) };
                self.say(format!("read {len} at {offset} {handle:?}"));
                let (offset, mut buf) = (usize::from(*offset), vec![0xaa; usize::from(*len)]);
                let read =
                    self.overlay().read(handle.file(), offset as u64, &mut buf).map_err(context("read"))?;
                let data = self.model.data(handle.id);
                let wanted = &data[offset.min(data.len())..(offset + buf.len()).min(data.len())];
                ensure!(buf[..read] == *wanted, "read {read} bytes that are not the {} there", wanted.len());
                Ok(())
            }
            Op::Write { of, offset, data, kill } => {
                let Some(handle) = self.pick_handle(of, Handle::writes) else { return Ok(()) };
                self.say(format!("write {} at {offset} {handle:?} ({kill:?})", data.len()));
                let written =
                    self.overlay().write(handle.file(), u64::from(*offset), data, *kill, WriteCause::Caller);
                let written = written.map_err(context("write"))?;
                ensure!(written == data.len(), "wrote {written} of {} bytes", data.len());
                self.model.write(handle.id, usize::from(*offset), data);
                if *kill == KILL && !data.is_empty() {
                    self.model.kill_priv(handle.id);
                } else if data.is_empty() {
                    // Nothing written changes nothing; whether the bits go is not said anywhere.
                    self.settle_perm(handle)?;
                }
                Ok(())
            }
            Op::TruncateHeld { of, size } => {
                let Some(handle) = self.pick_handle(of, Handle::writes) else { return Ok(()) };
                self.say(format!("ftruncate {size} {handle:?}"));
                self.truncate(handle.id, handle.node, Some(handle.file()), *size, KILL)
            }
            Op::ChmodHeld { of, perm } => {
                let Some(handle) = self.pick_handle(of, |_| true) else { return Ok(()) };
                let perm = self.powers.perm(*perm, false);
                self.say(format!("fchmod {perm:o} {handle:?}"));
                self.copy_up(handle.id);
                self.model.node_mut(handle.id).perm = perm;
                let change = AttrChange { perm: Some(perm), ..AttrChange::NONE };
                self.setattr(handle.id, handle.node, Some(handle.file()), &change)
            }
            Op::Fallocate { of, mode, offset, len } => {
                let Some(handle) = self.pick_handle(of, Handle::writes) else { return Ok(()) };
                self.say(format!("fallocate {mode:?} {len} at {offset} {handle:?}"));
                let (offset, len) = (usize::from(*offset), usize::from(*len));
                self.overlay()
                    .fallocate(handle.file(), *mode, offset as u64, len as u64, KillPriv::Keep)
                    .map_err(context("fallocate"))?;
                self.model.fallocate(handle.id, *mode, offset, len);
                self.settle_perm(handle)
            }
            Op::Copy { from, from_offset, to, to_offset, len } => {
                let Some(source) = self.pick_handle(from, Handle::reads) else { return Ok(()) };
                let wanted = |handle: &Handle| handle.writes() && handle.id != source.id;
                let Some(target) = self.pick_handle(to, wanted) else { return Ok(()) };
                self.say(format!("copy {len} from {from_offset} {source:?} to {to_offset} {target:?}"));
                self.copy(
                    source,
                    usize::from(*from_offset),
                    target,
                    usize::from(*to_offset),
                    usize::from(*len),
                )
            }
            Op::Sync { of } => {
                let Some(handle) = self.pick_handle(of, |_| true) else { return Ok(()) };
                self.say(format!("fsync {handle:?}"));
                self.overlay().fsync(handle.file(), Sync::DataOnly).map_err(context("fdatasync"))?;
                self.overlay().fsync(handle.file(), Sync::All).map_err(context("fsync"))
            }
            Op::Release { of } => {
                let Some(handle) = self.pick_handle(of, |_| true) else { return Ok(()) };
                self.say(format!("release {handle:?}"));
                self.handles.retain(|held| held.handle != handle.handle);
                self.overlay().release(handle.handle);
                Ok(())
            }
            Op::List { dir, room, listing } => {
                let Some((path, id)) = self.pick_where(dir, Node::is_dir) else { return Ok(()) };
                self.say(format!("list {} by {room} ({listing:?})", show(&path)));
                let node = self.walk(&path)?;
                self.list(id, node, *room, *listing, |_, _| Ok(())).map(drop)
            }
            Op::Empty { dir, room } => {
                let Some((path, id)) = self.pick_where(dir, Node::is_dir) else { return Ok(()) };
                self.say(format!("empty {} by {room}", show(&path)));
                let node = self.walk(&path)?;
                self.empty(id, node, *room)
            }
            Op::Forget => {
                self.say("forget".to_owned());
                self.forget();
                Ok(())
            }
            Op::Reopen => {
                self.say("reopen".to_owned());
                self.reopen()
            }
            Op::Restack if self.model.rules.links_survive => Ok(()),
            Op::Restack => {
                self.say("restack".to_owned());
                self.restack()
            }
        }
    }

    pub fn make(
        &mut self,
        what: &str,
        who: Who,
        at: &Spot,
        body: Body,
        perm: u32,
        make: impl FnOnce(&Self, NodeId, &[u8]) -> Result<Entry, Error>,
    ) -> Check {
        let Some(at) = self.spot(at) else { return Ok(()) };
        self.say(format!("{what} {} {perm:o} {who:?}", show_at(&at)));
        let dir = self.place(&at)?;
        let got = make(self, dir, &at.name);
        if let Some((id, entry)) = agree(self.model.make(who, at.dir, &at.name, body, perm), got)? {
            self.note(id, &entry)?;
        }
        Ok(())
    }

    pub fn mknod(&mut self, who: Who, at: &Spot, body: Body, kind: SpecialKind, perm: u32) -> Check {
        let perm = self.powers.perm(perm, false);
        let make = |run: &Self, dir, name: &[u8]| {
            run.overlay().mknod(&caller(who), Place { dir, name: Name::new(name).unwrap() }, kind, perm)
        };
        self.make("mknod", who, at, body, perm, make)
    }

    pub fn create(
        &mut self,
        who: Who,
        at: &Spot,
        perm: u32,
        access: Access,
        opening: Opening,
        existing: Existing,
    ) -> Check {
        let perm = self.powers.perm(perm, false);
        let Some(at) = self.spot(at) else { return Ok(()) };
        self.say(format!("create {} {perm:o} {who:?} {access:?} {opening:?} {existing:?}", show_at(&at)));
        let old = self.model.child(at.dir, &at.name);
        let refuses = existing == Existing::Refuse;
        if let Some(old) = old
            && !refuses
            && !matches!(self.model.node(old).body, Body::File(_))
        {
            // The kernel would not open it by this call.
            return Ok(());
        }
        let dir = self.place(&at)?;
        let place = Place { dir, name: name(&at.name) };
        let got = self.overlay().create(&caller(who), place, perm, open_mode(access, opening), existing);
        let expected = match old {
            Some(_) if refuses => Err(vec![Errno::EEXIST]),
            Some(old) => Ok(old),
            None => self.model.make(who, at.dir, &at.name, Body::File(Vec::new()), perm),
        };
        if let Some((id, (entry, opened))) = agree(expected, got)? {
            if old.is_some() {
                self.opened(id, access, opening);
            }
            self.note(id, &entry)?;
            self.hold(id, entry.node, opened, access, false);
        }
        Ok(())
    }

    /// What opening does to the file.
    pub fn opened(&mut self, id: Id, access: Access, opening: Opening) {
        if access.writes() || matches!(opening, Opening::Empty(_)) {
            self.copy_up(id);
        }
        if let Opening::Empty(kill) = opening {
            self.model.change_data(id).clear();
            if kill != KillPriv::Keep {
                self.model.kill_priv(id);
            }
        }
    }

    pub fn hold(&mut self, id: Id, node: NodeId, opened: Opened, access: Access, nameless: bool) {
        self.handles.push(Handle { id, node, handle: opened.handle, access, nameless });
    }

    pub fn link(&mut self, id: Id, node: NodeId, at: &At) -> Check {
        let dir = self.place(at)?;
        let got = self.overlay().link(node, Place { dir, name: name(&at.name) });
        if let Some((renumbered, entry)) = agree(self.model.link(id, at.dir, &at.name), got)? {
            self.renumber(id, renumbered);
            self.note(id, &entry)?;
        }
        Ok(())
    }

    pub fn rename(&mut self, from: &Spot, to: &Spot, mode: RenameMode) -> Check {
        let (Some(from), Some(to)) = (self.spot(from), self.spot(to)) else { return Ok(()) };
        let (source, target) = (self.model.child(from.dir, &from.name), self.model.child(to.dir, &to.name));
        let below = |object: Option<Id>, dir| object.is_some_and(|object| self.model.contains(object, dir));
        if source.is_some() && source == target || below(source, to.dir) || below(target, from.dir) {
            // The kernel answers these itself.
            return Ok(());
        }
        self.say(format!("rename {} {} {mode:?}", show_at(&from), show_at(&to)));
        let (from_dir, to_dir) = (self.place(&from)?, self.place(&to)?);
        for (dir, at) in [(from_dir, &from), (to_dir, &to)] {
            // The kernel knows both names before it asks.
            let entry = self.overlay().lookup(dir, name(&at.name)).map_err(context("lookup"))?;
            match (self.model.child(at.dir, &at.name), entry) {
                (Some(id), Some(entry)) => self.note(id, &entry)?,
                (None, None) => {}
                (_, entry) => return Err(format!("lookup of {} gave {entry:?}", show_at(at))),
            }
        }
        let got = self.overlay().rename(
            Place { dir: from_dir, name: name(&from.name) },
            Place { dir: to_dir, name: name(&to.name) },
            mode,
        );
        let expected = self.model.rename((from.dir, &from.name), (to.dir, &to.name), mode);
        if let Some((renumbered, ())) = agree(expected, got)? {
            for id in renumbered {
                self.renumber(id, true);
            }
        }
        Ok(())
    }

    pub fn setattr(&mut self, id: Id, node: NodeId, handle: Option<FileRef>, change: &AttrChange) -> Check {
        let attr = self.overlay().setattr(node, handle, change).map_err(context("setattr"))?;
        self.check_attr(id, &attr)
    }

    pub fn truncate(
        &mut self,
        id: Id,
        node: NodeId,
        handle: Option<FileRef>,
        size: u16,
        kill_priv: KillPriv,
    ) -> Check {
        self.copy_up(id);
        self.model.change_data(id).resize(usize::from(size), 0);
        if kill_priv != KillPriv::Keep {
            self.model.kill_priv(id);
        }
        self.setattr(
            id,
            node,
            handle,
            &AttrChange { size: Some(u64::from(size)), kill_priv, ..AttrChange::NONE },
        )
    }

    /// Takes over the suid and sgid bits where the interface does not say whether they stay.
    pub fn settle_perm(&mut self, handle: Handle) -> Check {
        let attr = self.overlay().getattr(handle.node).map_err(context("getattr"))?;
        let object = self.model.node_mut(handle.id);
        let gone = object.perm & !attr.perm;
        if gone & !(SUID | SGID) == 0 {
            object.perm &= !gone;
        }
        self.check_attr(handle.id, &attr)
    }

    pub fn copy(&mut self, source: Handle, from: usize, target: Handle, to: usize, len: usize) -> Check {
        let data = self.model.data(source.id);
        let bytes = data[from.min(data.len())..(from + len).min(data.len())].to_vec();
        let mut done = 0;
        while done < bytes.len() {
            let copied = self.overlay().copy_file_range(
                FilePlace { file: source.file(), offset: (from + done) as u64 },
                FilePlace { file: target.file(), offset: (to + done) as u64 },
                (len - done) as u64,
                KillPriv::Keep,
            );
            let copied = copied.map_err(context("copy_file_range"))? as usize;
            ensure!(
                copied > 0 && copied <= bytes.len() - done,
                "copied {copied} bytes of {}",
                bytes.len() - done
            );
            done += copied;
        }
        if !bytes.is_empty() {
            self.model.write(target.id, to, &bytes);
            self.settle_perm(target)?;
        }
        Ok(())
    }

    pub fn empty(&mut self, id: Id, node: NodeId, room: usize) -> Check {
        self.list(id, node, room, Listing::Names, |run, seen| {
            for one in seen.iter().filter(|one| one.name != b"." && one.name != b"..") {
                let child = run.model.child(id, &one.name).ok_or("listed after it was removed")?;
                let place = Place { dir: node, name: name(&one.name) };
                if run.model.node(child).is_dir() {
                    let got = run.overlay().rmdir(place);
                    agree(run.model.rmdir(id, &one.name), got)?;
                } else {
                    let got = run.overlay().unlink(place);
                    agree(run.model.unlink(id, &one.name), got)?;
                }
            }
            Ok(())
        })?;
        Ok(())
    }
}

pub fn open_mode(access: Access, opening: Opening) -> OpenMode {
    let truncate = match opening {
        Opening::Keep => Truncate::Keep,
        Opening::Empty(kill) => Truncate::Empty(kill),
    };
    OpenMode { access, truncate }
}

/// `user.` attributes are for regular files and directories, capabilities for the former; the kernel refuses others before it asks.
fn may_have(node: &Node, name: &[u8]) -> bool {
    match node.body {
        Body::File(_) => true,
        Body::Dir(_) => name != CAPABILITY,
        _ => !name.starts_with(b"user.") && name != CAPABILITY,
    }
}
