//! Copy-up: before something is changed it is brought into the upper, whole, by one rename.
//!
//! 1. The parent first, so that there is a place ([`UpperDir`] is the proof).
//! 2. A copy in the work directory: data (holes stay holes), owner, attributes, mode, times, and the mark of its
//!    origin. Only `copying` is locked here, so nobody waits but those who want the same copy.
//! 3. It is published under the locks of its directory and itself. What was renamed meanwhile is published where it
//!    is now; what was unlinked becomes a nameless file of the upper.
//! 4. The parent gets its times back: nobody has changed it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Overlay;
use super::descriptors::Cell;
use super::listing::Names;
use super::lookup::{directory, leaf};
use super::node::{DirNode, LeafData, LeafNode, LeafState, Node, NodePlace, Source, UpperPart};
use super::object::Object;
use super::ownership::LayerStat;
use super::types::{FileKind, Invalidation};
use crate::config::Index;
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::layer::{CopyRules, Staged, Upper, copy_xattrs};
use crate::marker::{InodeMark, Marker, ORIGIN_UNKNOWN, Origin, OriginFlags, YES};
use crate::sys::file;
use crate::sys::fs::{self, At, RenameFlag, Stat, Time};
use crate::sys::xattr::{self, SetMode};

/// Is the data copied, or about to be thrown away?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Keep,
    Drop,
}

/// A directory that is in the upper, with all above it: what creating, removing and renaming demand.
#[derive(Debug)]
pub(super) struct UpperDir<'a> {
    pub(super) upper: &'a Upper,
    pub(super) fd: Arc<OwnedFd>,
}

impl Overlay {
    /// Copies a directory up, with those above it, unless they are there.
    pub(super) fn upper_dir(&self, node: &Arc<Node>) -> Result<UpperDir<'_>> {
        let upper = self.stack.writable()?;
        let dir = directory(node)?;
        if dir.upper.get().is_none() {
            let mut chain = vec![Arc::clone(node)];
            let mut above = dir.place();
            while let Some(place) = above {
                let parent = directory(&place.dir)?;
                if parent.upper.get().is_some() {
                    break;
                }
                above = parent.place();
                chain.push(place.dir);
            }
            for node in chain.iter().rev() {
                self.copy_up_dir(upper, node)?;
            }
        }
        let part = dir.upper.get().ok_or_else(|| Error::new("copy up directory", Kind::Stale))?;
        Ok(UpperDir { upper, fd: self.upper_fd(node, dir, part)? })
    }

    fn copy_up_dir(&self, upper: &Upper, node: &Arc<Node>) -> Result<()> {
        let dir = directory(node)?;
        let _copying = dir.lock_copying();
        while dir.upper.get().is_none() {
            let place = dir.place().ok_or_else(|| Error::new("copy up directory", Kind::NotFound))?;
            let parent = directory(&place.dir)?;
            let parent_part =
                parent.upper.get().ok_or_else(|| Error::new("copy up directory", Kind::Stale))?;
            let parent_fd = self.upper_fd(&place.dir, parent, parent_part)?;
            let state = parent.lock();
            if state.removed || !dir.place().is_some_and(|now| now.is(&place.dir, place.name.as_bytes())) {
                // Renamed or removed meanwhile: look again.
                continue;
            }
            self.copy_up_dir_to(upper, node, dir, &place, parent_part, &parent_fd)
                .map_err(|e| e.at(self.path_of(node, dir).as_bytes()))?;
        }
        Ok(())
    }

    fn copy_up_dir_to(
        &self,
        upper: &Upper,
        node: &Node,
        dir: &DirNode,
        place: &NodePlace,
        parent_part: &UpperPart,
        parent_fd: &OwnedFd,
    ) -> Result<()> {
        let from = self.dir_object(node, dir)?;
        let stat = from.stat()?;
        let staged = upper.stage_directory()?;
        self.copy_attributes(upper, &from, &stat, staged.at())?;
        let marked = self.write_origin(upper, &self.origin_of(dir, from)?, &staged)?;
        let inode = fs::stat(staged.at()).op("stat the copy")?.ino;
        let restored = self.remember_times(parent_fd)?;
        if marked {
            self.mark_impure(upper, parent_part, parent_fd)?;
        }
        staged.publish(parent_fd.as_fd(), place.name.as_name(), RenameFlag::NoReplace)?;
        restored.apply();
        {
            // Under its own lock: a lookup that is half way down its parts must not find one more.
            let mut names = dir.lock();
            // Nobody else sets it: `copying` is locked, and it was unset.
            let _ = dir.upper.set(UpperPart::new(Cell::empty(), inode, false));
            if names.names.as_mut().is_some_and(Names::now_merged) {
                self.invalidate(Invalidation::Listing(node.id));
            }
        }
        // Its link count and times are those of the copy now.
        self.invalidate(Invalidation::Attr(node.id));
        Ok(())
    }

    /// Copies a file up, unless it is in the upper already. With [`Content::Drop`] the copy is empty.
    pub(super) fn copy_up(&self, node: &Arc<Node>, content: Content) -> Result<()> {
        let upper = self.stack.writable()?;
        let file = leaf(node)?;
        if is_whole(&file.read()) {
            return Ok(());
        }
        let place = file.read().places.first().cloned();
        if let Some(place) = &place {
            self.upper_dir(&place.dir)?;
        }
        let _copying = file.lock_copying();
        let (source, data, kind) = {
            let state = file.read();
            if is_whole(&state) {
                return Ok(());
            }
            (state.source.clone(), state.data.clone(), file.kind)
        };
        let result = match source {
            Source::Lower(from) => {
                let meta = self.lower_object(&from)?;
                let data = match (&data, content) {
                    (LeafData::Below(file), _) => Some(self.lower_object(file)?),
                    (LeafData::Missing, Content::Keep) => Some(self.data_object(&file.read())?),
                    (LeafData::Missing, Content::Drop) | (LeafData::Here, _) => None,
                };
                self.copy_up_leaf(upper, node, file, kind, (&meta, data.as_ref()), content)
            }
            Source::Upper | Source::Indexed(_) | Source::Nameless(_) => {
                self.copy_up_data(upper, file, content)
            }
        };
        result.map_err(|e| match &place {
            Some(place) => e.at(self.path_of_place(place).as_bytes()),
            None => e,
        })
    }

    pub(super) fn path_of_place(&self, place: &NodePlace) -> crate::path::RelPath {
        match place.dir.as_dir() {
            Some(dir) => self.path_of(&place.dir, dir).join(place.name.as_name()),
            None => crate::path::RelPath::root(),
        }
    }

    fn copy_up_leaf(
        &self,
        upper: &Upper,
        node: &Arc<Node>,
        file: &LeafNode,
        kind: FileKind,
        (meta, data): (&Object<'_>, Option<&Object<'_>>),
        content: Content,
    ) -> Result<()> {
        let stat = meta.stat()?;
        let staged = self.stage_copy(upper, kind, &stat, meta, data.unwrap_or(meta), content)?;
        self.copy_attributes(upper, meta, &stat, staged.at())?;
        let inode = fs::stat(staged.at()).op("stat the copy")?;
        // A broken hard link is a file of its own from now on.
        let broken = stat.nlink > 1 && self.options.index == Index::Off;
        let marked = !broken && self.write_origin(upper, meta, &staged)?;
        if let Some(fd) = staged.file() {
            upper.sync_copy(fd)?;
        }
        if stat.nlink > 1 && self.options.index == Index::On {
            return self.publish_indexed(upper, node, file, meta, &stat, staged);
        }
        let number = broken.then(|| self.numbers.shown(inode.dev, inode.ino));
        self.publish(upper, node, file, staged, marked, number)
    }

    /// Makes the copy in the work directory, with its data.
    fn stage_copy<'u>(
        &self,
        upper: &'u Upper,
        kind: FileKind,
        stat: &Stat,
        meta: &Object<'_>,
        data: &Object<'_>,
        content: Content,
    ) -> Result<Staged<'u>> {
        match kind {
            FileKind::Regular => {
                let staged = upper.stage_file()?;
                if content == Content::Keep
                    && let Some(to) = staged.file()
                {
                    data.open()?.copy_to(to, stat.size)?;
                }
                Ok(staged)
            }
            FileKind::Symlink => upper.stage_symlink(&meta.readlink()?),
            FileKind::Directory => Err(Error::new("copy up", Kind::IsADirectory)),
            FileKind::CharDevice | FileKind::BlockDevice | FileKind::Fifo | FileKind::Socket => {
                self.stage_special(upper, kind, stat.rdev_major, stat.rdev_minor)
            }
        }
    }

    /// A device, fifo or socket, or the regular file that stands for it where types are recorded.
    pub(super) fn stage_special<'u>(
        &self,
        upper: &'u Upper,
        kind: FileKind,
        major: u32,
        minor: u32,
    ) -> Result<Staged<'u>> {
        if upper.layer.rules.stat_override != crate::config::StatOverride::Off
            && !matches!(kind, FileKind::Regular | FileKind::Directory | FileKind::Symlink)
        {
            return upper.stage_file();
        }
        upper.stage_special(kind.mode_bits(), major, minor)
    }

    /// Owner, attributes, mode and times, in the order in which none undoes another.
    pub(super) fn copy_attributes(
        &self,
        upper: &Upper,
        from: &Object<'_>,
        stat: &Stat,
        at: At<'_>,
    ) -> Result<()> {
        self.copy_chosen_attributes(upper, from, stat, at, |_| true)
    }

    /// As [`Self::copy_attributes`], with only those extended attributes that `chosen` lets through.
    pub(super) fn copy_chosen_attributes(
        &self,
        upper: &Upper,
        from: &Object<'_>,
        stat: &Stat,
        at: At<'_>,
        chosen: impl Fn(&[u8]) -> bool,
    ) -> Result<()> {
        let inode = fs::stat(at).op("stat the copy")?;
        let recorded = upper.layer.rules.stat_override != crate::config::StatOverride::Off;
        if !recorded && (inode.uid != stat.uid || inode.gid != stat.gid) {
            fs::chown(at, Some(stat.uid), Some(stat.gid)).op("chown the copy").in_layer(LayerRef::Upper)?;
        }
        let rules = CopyRules {
            target: upper.layer.xattr_rules(),
            acl: self.options.acl == crate::config::Acl::On,
            privileged: self.options.privileged,
        };
        let names = from.xattr_names()?.into_iter().filter(|name| chosen(name)).collect();
        copy_xattrs(names, |name| from.xattr(name), at, rules)?;
        let inode = fs::stat(at).op("stat the copy")?;
        self.set_owner(upper, at, LayerStat::of(stat), &inode)?;
        let time = |(sec, nsec)| Time::To(sec, nsec);
        fs::utimens(at, time(stat.atime), time(stat.mtime))
            .op("set the copy's times")
            .in_layer(LayerRef::Upper)
    }

    /// Notes what the copy is a copy of. `false` where this cannot be noted: its number changes at the next mount.
    fn write_origin(&self, upper: &Upper, from: &Object<'_>, staged: &Staged<'_>) -> Result<bool> {
        let uuid = from.layer().uuid();
        let origin = from
            .handle()
            .and_then(|handle| Origin::new(uuid, handle.kind, &handle.bytes, OriginFlags::NATIVE));
        let value = origin.map_or_else(|| ORIGIN_UNKNOWN.to_vec(), |origin| origin.encode());
        let marked = upper.write_marker(staged.at(), Marker::Origin, &value)?;
        if marked
            && !self.options.opens_handles
            && let Some(namespace) = upper.namespace()
        {
            let mark = InodeMark { uuid, ino: from.stat()?.ino };
            xattr::set(staged.at(), InodeMark::xattr(namespace).to_bytes(), &mark.encode(), SetMode::Any)
                .op("note the inode number")
                .in_layer(LayerRef::Upper)?;
        }
        Ok(marked)
    }

    /// What a directory counts as a copy of: its topmost part, whose number it shows, though that have no attributes of
    /// its own.
    fn origin_of<'s>(&'s self, dir: &DirNode, attributes: Object<'s>) -> Result<Object<'s>> {
        match dir.lowers.first() {
            Some(top) => Ok(self.lower_dir(top)?.into_object()),
            None => Ok(attributes),
        }
    }

    pub(super) fn mark_impure(&self, upper: &Upper, part: &UpperPart, fd: &OwnedFd) -> Result<()> {
        if !part.impure.load(Ordering::Relaxed) {
            upper.write_marker(At::Fd(fd.as_fd()), Marker::Impure, YES)?;
            part.impure.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Puts a copy where the file is now, or keeps it without a name. `number`: the inode number it shows from now
    /// on, if another.
    fn publish(
        &self,
        upper: &Upper,
        node: &Node,
        file: &LeafNode,
        mut staged: Staged<'_>,
        marked: bool,
        number: Option<u64>,
    ) -> Result<()> {
        loop {
            let Some(place) = file.read().places.first().cloned() else {
                let mut state = file.write();
                if !state.places.is_empty() {
                    continue;
                }
                state.source = Source::Nameless(Arc::new(nameless(staged)?));
                settle(file, &mut state, number);
                return Ok(());
            };
            let target = self.upper_dir(&place.dir)?;
            let parent = directory(&place.dir)?;
            let _names = parent.lock();
            let mut state = file.write();
            if !state.places.first().is_some_and(|now| now.is(&place.dir, place.name.as_bytes())) {
                continue;
            }
            let restored = self.remember_times(&target.fd)?;
            if let (true, Some(part)) = (marked, parent.upper.get()) {
                self.mark_impure(upper, part, &target.fd)?;
            }
            staged.now_directory(false);
            staged.publish(target.fd.as_fd(), place.name.as_name(), RenameFlag::NoReplace)?;
            restored.apply();
            state.source = Source::Upper;
            if number.is_some() {
                self.invalidate(Invalidation::Listing(place.dir.id));
            }
            settle(file, &mut state, number);
            self.invalidate(Invalidation::Attr(node.id));
            self.invalidate(Invalidation::Attr(place.dir.id));
            return Ok(());
        }
    }

    /// Brings the data of a metadata-only copy into the upper. The mark that says "the data is below" goes last, so
    /// until then nothing has changed.
    fn copy_up_data(&self, upper: &Upper, file: &LeafNode, content: Content) -> Result<()> {
        let (meta, from, stat) = {
            let state = file.read();
            let (meta, layer) = self.held(&state)?;
            let stat = layer.stat(meta.at())?;
            let from = match content {
                Content::Keep => Some(self.data_object(&state)?.open()?),
                Content::Drop => None,
            };
            (meta.open(libc::O_RDWR).op("open metadata-only copy")?, from, stat)
        };
        match from {
            Some(from) => from.copy_to(meta.as_fd(), stat.size)?,
            // Empty before the mark goes, or a crash would leave zeros.
            None => file::truncate(meta.as_fd(), 0).op("empty the copy").in_layer(LayerRef::Upper)?,
        }
        let time = |(sec, nsec)| Time::To(sec, nsec);
        fs::utimens(At::Fd(meta.as_fd()), time(stat.atime), time(stat.mtime)).op("set the copy's times")?;
        upper.sync_copy(meta.as_fd())?;
        let mut state = file.write();
        let (held, _) = self.held(&state)?;
        upper.remove_marker(held.at(), Marker::Metacopy)?;
        settle(file, &mut state, None);
        Ok(())
    }

    /// What a directory's times are, to be put back after a copy-up into it.
    pub(super) fn remember_times<'f>(&self, fd: &'f OwnedFd) -> Result<ParentTimes<'f>> {
        let stat = fs::stat(At::Fd(fd.as_fd())).op("stat the parent").in_layer(LayerRef::Upper)?;
        Ok(ParentTimes { fd, atime: stat.atime, mtime: stat.mtime })
    }
}

/// A directory's times before something was copied into it.
#[derive(Debug)]
pub(super) struct ParentTimes<'f> {
    fd: &'f OwnedFd,
    atime: (i64, u32),
    mtime: (i64, u32),
}

impl ParentTimes<'_> {
    /// Puts them back. The copy is in place; a failure here costs the times only, and is logged.
    pub(super) fn apply(self) {
        let time = |(sec, nsec)| Time::To(sec, nsec);
        if let Err(errno) = fs::utimens(At::Fd(self.fd.as_fd()), time(self.atime), time(self.mtime)) {
            log::warn!("put back the times of a directory after a copy-up: {}", errno.desc());
        }
    }
}

/// The file is where its state says now: open files of before look again.
pub(super) fn settle(file: &LeafNode, state: &mut LeafState, number: Option<u64>) {
    state.data = LeafData::Here;
    if let Some(number) = number {
        state.ino = number;
    }
    file.version.fetch_add(1, Ordering::Release);
}

/// Is it in the upper, data and all?
fn is_whole(state: &LeafState) -> bool {
    !matches!(state.source, Source::Lower(_)) && matches!(state.data, LeafData::Here)
}

/// A staged object that will have no name: its descriptor is all that is left of it.
fn nameless(staged: Staged<'_>) -> Result<OwnedFd> {
    let path = match staged.at() {
        At::Name(dir, name) => fs::open_at(dir, name, libc::O_PATH, 0).op("keep the unlinked file")?,
        At::Fd(_) => return Err(Error::new("keep the unlinked file", Kind::Stale)),
    };
    drop(staged);
    Ok(path)
}
