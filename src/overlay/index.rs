//! `index=on`: all names of a hard link stay one file, also across a copy-up.
//!
//! The copy lies in the work directory's `index/`, named by its origin; a name that was changed is a further link of
//! it. A name of the lower that was not touched finds the copy by the same origin. How many names the file has in the
//! union is the inode's own count and a correction that is noted on it ([`Marker::Nlink`]).

use std::os::fd::AsFd;
use std::sync::Arc;

use nix::errno::Errno;

use super::Overlay;
use super::copy_up::settle;
use super::lookup::directory;
use super::node::{InodeKey, LeafNode, LeafState, Node, NodePlace, Source};
use super::object::Object;
use super::types::Invalidation;
use crate::config::Index;
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::layer::{self, Layer, Staged, Upper};
use crate::marker::{Marker, Nlink, NlinkBase, Origin, OriginFlags, OriginMark};
use crate::path::NameBuf;
use crate::sys::fs::{self, At, RenameFlag, Stat};

impl Overlay {
    /// Under what the other names of a hard link find it; `None` where each name is a file of its own.
    pub(super) fn link_key(
        &self,
        in_upper: bool,
        object: &Object<'_>,
        stat: &Stat,
    ) -> Result<Option<InodeKey>> {
        if stat.is_dir() {
            return Ok(None);
        }
        if stat.nlink < 2 {
            // The last of several names: the file may still be known by one that is gone.
            let key = InodeKey::Upper { ino: stat.ino };
            return Ok((in_upper && self.is_known_link(&key)).then_some(key));
        }
        if self.options.index == Index::Off {
            return Ok(in_upper.then_some(InodeKey::Upper { ino: stat.ino }));
        }
        // The upper of a read-only union is one of its lowers.
        if !in_upper && object.layer().id() != LayerRef::Upper {
            return Ok(index_name(object).map(InodeKey::Indexed));
        }
        if let Object::Held(held, layer) = object
            && let Some(name) = self.noted_index_name(layer, held.at())?
            && self.index_stat(&name)?.is_some_and(|entry| entry.ino == stat.ino)
        {
            return Ok(Some(InodeKey::Indexed(name)));
        }
        Ok(Some(InodeKey::Upper { ino: stat.ino }))
    }

    /// Where a file with this key is, if it has an index entry.
    pub(super) fn indexed_source(&self, key: Option<&InodeKey>) -> Result<Option<Source>> {
        match key {
            Some(InodeKey::Indexed(name)) if self.index_stat(name)?.is_some() => {
                Ok(Some(Source::Indexed(name.clone())))
            }
            _ => Ok(None),
        }
    }

    /// The name that a copy's own mark gives.
    fn noted_index_name(&self, layer: &Layer, at: At<'_>) -> Result<Option<NameBuf>> {
        let Some(value) = layer.marker(at, Marker::Origin)? else { return Ok(None) };
        Ok(match OriginMark::decode(&value) {
            Ok(OriginMark::Known(origin)) => origin.index_name(),
            _ => None,
        })
    }

    /// Does a name of a layer below stand for a file of the upper?
    pub(super) fn is_indexed(&self) -> Result<bool> {
        let index = self.stack.index_fd().filter(|_| self.options.index == Index::On);
        index.map_or(Ok(false), |index| Ok(!layer::is_empty(index.as_fd()).in_layer(LayerRef::Upper)?))
    }

    fn index_stat(&self, name: &NameBuf) -> Result<Option<Stat>> {
        let Some(index) = self.stack.index_fd() else { return Ok(None) };
        match fs::stat(At::Name(index.as_fd(), name.as_name())) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Error::new("look into the index", errno).at(name.as_bytes())),
        }
    }

    /// Puts the copy of a hard link into the index and links it to the name that was changed.
    pub(super) fn publish_indexed(
        &self,
        upper: &Upper,
        node: &Node,
        file: &LeafNode,
        lower: &Object<'_>,
        stat: &Stat,
        staged: Staged<'_>,
    ) -> Result<()> {
        let (Some(index), Some(name)) = (upper.index(), index_name(lower)) else {
            return Err(Error::new("index a hard link", Kind::Unsupported("the lower has no file handles")));
        };
        // Alone in the index it has one link, and stands for all names of the lower file.
        write_nlink(upper, staged.at(), stat.nlink, 1)?;
        staged.publish(index, name.as_name(), RenameFlag::NoReplace)?;
        let mut state = file.write();
        state.source = Source::Indexed(name);
        settle(file, &mut state, None);
        drop(state);
        self.invalidate(Invalidation::Attr(node.id));
        let place = file.read().places.first().cloned();
        match place {
            Some(place) => self.link_up(upper, file, &place),
            None => Ok(()),
        }
    }

    /// Sees to it that a name of an indexed file is in the upper, too.
    fn link_up(&self, upper: &Upper, file: &LeafNode, place: &NodePlace) -> Result<()> {
        self.upper_dir(&place.dir)?;
        let parent = directory(&place.dir)?;
        let _names = parent.lock();
        let state = file.write();
        if state.places.iter().any(|now| now.is(&place.dir, place.name.as_bytes())) {
            self.link_up_locked(upper, &state, place)?;
        }
        Ok(())
    }

    /// [`Overlay::link_up`] with both locked. For every file that has no index entry there is nothing to do.
    pub(super) fn link_up_locked(&self, upper: &Upper, state: &LeafState, place: &NodePlace) -> Result<()> {
        let Source::Indexed(_) = &state.source else { return Ok(()) };
        let target = self.upper_dir(&place.dir)?;
        let (held, _) = self.held(state)?;
        let names = self.union_nlink(&upper.layer, held.at())?;
        let restored = self.remember_times(&target.fd)?;
        match fs::link(held.at(), target.fd.as_fd(), place.name.as_name()) {
            Ok(()) => {}
            Err(Errno::EEXIST) => return Ok(()),
            Err(errno) => return Err(Error::new("link", errno).at(place.name.as_bytes())),
        }
        restored.apply();
        self.invalidate(Invalidation::Attr(place.dir.id));
        let links = fs::stat(held.at()).op("stat the index entry")?.nlink;
        write_nlink(upper, held.at(), names, links)
    }

    /// How many names an indexed file has in the union.
    pub(super) fn union_nlink(&self, layer: &Layer, at: At<'_>) -> Result<u32> {
        let links = fs::stat(at).op("stat the index entry").in_layer(LayerRef::Upper)?.nlink;
        let Some(value) = layer.marker(at, Marker::Nlink)? else { return Ok(links.saturating_sub(1)) };
        match Nlink::decode(&value) {
            Ok(nlink) if nlink.base == NlinkBase::Upper => Ok(nlink.shown(links)),
            Ok(nlink) => {
                Ok(self.lower_nlink(layer, at)?.map_or(links.saturating_sub(1), |lower| nlink.shown(lower)))
            }
            Err(corrupt) => Err(Error::new("read link count", corrupt).in_layer(LayerRef::Upper)),
        }
    }

    /// The link count of what an indexed file was copied from.
    fn lower_nlink(&self, layer: &Layer, at: At<'_>) -> Result<Option<u32>> {
        let Some(value) = layer.marker(at, Marker::Origin)? else { return Ok(None) };
        let Ok(OriginMark::Known(origin)) = OriginMark::decode(&value) else { return Ok(None) };
        let handle =
            crate::sys::handle::FileHandle { kind: origin.handle_type(), bytes: origin.handle().to_vec() };
        Ok(self
            .stack
            .lower_depths()
            .filter_map(|depth| self.stack.layer(depth).directory())
            .filter(|layer| layer.uuid == origin.uuid())
            .find_map(|layer| layer.open_handle(&handle))
            .and_then(|fd| fs::stat(At::Fd(fd.as_fd())).ok())
            .map(|stat| stat.nlink))
    }

    /// One name of an indexed file is gone. With the last the index entry goes, and the file lives on while it is
    /// known. A failure does not bring the name back, and leaves a count that is too high: it is logged.
    pub(super) fn name_gone(&self, upper: &Upper, state: &mut LeafState, names_before: u32) {
        if let Err(error) = self.count_name_gone(upper, state, names_before) {
            log::warn!("after a name was removed: {error}");
        }
    }

    fn count_name_gone(&self, upper: &Upper, state: &mut LeafState, names_before: u32) -> Result<()> {
        let Source::Indexed(name) = state.source.clone() else { return Ok(()) };
        let (held, _) = self.held(state)?;
        let names = names_before.saturating_sub(1);
        if names > 0 {
            let links = fs::stat(held.at()).op("stat the index entry")?.nlink;
            return write_nlink(upper, held.at(), names, links);
        }
        let kept = held.open(libc::O_PATH).op("keep the unlinked file")?;
        if let Some(index) = upper.index() {
            match fs::unlink(index, name.as_name()) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(Error::new("remove from the index", errno).at(name.as_bytes())),
            }
        }
        state.source = Source::Nameless(Arc::new(kept));
        Ok(())
    }
}

/// The name of the index entry for a lower file, where its file system has handles.
fn index_name(lower: &Object<'_>) -> Option<NameBuf> {
    let handle = lower.handle()?;
    Origin::new(lower.layer().uuid(), handle.kind, &handle.bytes, OriginFlags::NATIVE)?.index_name()
}

/// Notes how many names the file has, given how many links its inode has.
fn write_nlink(upper: &Upper, at: At<'_>, names: u32, links: u32) -> Result<()> {
    let delta = i64::from(names) - i64::from(links);
    let delta = i32::try_from(delta).map_err(|_| Error::new("note link count", Errno::EMLINK))?;
    upper.write_marker(at, Marker::Nlink, &Nlink { base: NlinkBase::Upper, delta }.encode()).map(drop)
}
