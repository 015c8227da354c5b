//! From a name to a node: asking the layers, and keeping one node for each object.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, Weak};

use smallvec::smallvec;

use super::descriptors::Cell;
use super::node::{
    AttributesAt, Body, DirNode, DirState, InodeKey, LeafData, LeafNode, LeafState, LowerFile, LowerPart,
    Node, NodePlace, Source, UpperPart,
};
use super::object::{DirIn, Object};
use super::part_index::PartIndex;
use super::stack::AnyLayer;
use super::types::{Attr, Entry, FileKind, NodeId};
use super::{Overlay, lock};
use crate::error::{Error, Kind, LayerRef, Result};
use crate::layer::{Found, Layer, OciMarks};
use crate::marker::{InodeMark, Marker, OriginMark, Redirect};
use crate::path::{Name, NameBuf};
use crate::resolve::{
    Ask, Data, Depth, DirPart, LeafPart, MergedDir, Origin, Redirects, Resolution, Resolver, Step,
};
use crate::sys::fs::{self, At, Stat};
use crate::sys::handle::FileHandle;

/// Corrupt names that are remembered, so that each is logged once.
const COMPLAINTS: usize = 1000;

impl Overlay {
    /// Looks `name` up in `parent`; `None` where it does not exist. An answer raises the node's lookup count by one.
    ///
    /// # Errors
    /// A corrupt marker at that name, or failing system calls, with path and layer.
    pub fn lookup(&self, parent: NodeId, name: Name<'_>) -> Result<Option<Entry>> {
        let node = self.node(parent)?;
        let dir = directory(&node)?;
        let mut state = dir.lock();
        let found = self.child(&node, dir, &mut state, name)?;
        Ok(found.map(|(child, attr)| Entry { node: child.id, attr }))
    }

    /// The node of a name, made if there is none yet, and its attributes. Its count is raised by one: whoever does not
    /// hand that to the kernel gives it back with [`Overlay::release_node`], once no lock is held.
    pub(super) fn child(
        &self,
        node: &Arc<Node>,
        dir: &DirNode,
        state: &mut DirState,
        name: Name<'_>,
    ) -> Result<Option<(Arc<Node>, Attr)>> {
        if let Some(child) = state.children.get(name.as_bytes()) {
            if self.options.trusts_listings || state.removed || self.is_still(node, dir, name, child)? {
                let attr = self.attr(child)?;
                child.hold();
                return Ok(Some((Arc::clone(child), attr)));
            }
            let child = Arc::clone(child);
            self.lose(node, state, name, &child);
        }
        if state.removed || self.listed_absent(state, name) {
            return Ok(None);
        }
        self.list_parts_if_worth_it(dir);
        let found = self
            .resolve(node, dir, name, 0)
            .and_then(|resolution| self.intern(node, dir, state, name, resolution));
        if let Err(error) = &found {
            self.complain(node, dir, name, error);
        }
        found
    }

    /// Is there something at a name? Makes no node.
    pub(super) fn exists(
        &self,
        node: &Arc<Node>,
        dir: &DirNode,
        state: &DirState,
        name: Name<'_>,
    ) -> Result<bool> {
        if state.children.contains_key(name.as_bytes()) {
            return Ok(true);
        }
        if state.removed || self.listed_absent(state, name) {
            return Ok(false);
        }
        Ok(!matches!(self.resolve(node, dir, name, 0)?, Resolution::Absent(_)))
    }

    /// Logs a corrupt marker, once for each name: whoever lists the directory asks for it again and again.
    fn complain(&self, node: &Arc<Node>, dir: &DirNode, name: Name<'_>, error: &Error) {
        if !matches!(error.kind(), Kind::Corrupt(_)) {
            return;
        }
        let path = self.path_of(node, dir).join(name);
        let mut complained = lock(&self.complained);
        if complained.len() < COMPLAINTS && !complained.contains(&path) {
            log::warn!("{path} cannot be used: {error}");
            complained.insert(path);
        }
    }

    /// Does a complete listing say that there is no such name?
    pub(super) fn listed_absent(&self, state: &DirState, name: Name<'_>) -> bool {
        self.options.trusts_listings && state.names.as_ref().is_some_and(|names| !names.contains(name))
    }

    /// What a name is, asking the directory's parts from number `first` on.
    pub(super) fn resolve(
        &self,
        node: &Arc<Node>,
        dir: &DirNode,
        name: Name<'_>,
        first: usize,
    ) -> Result<Resolution> {
        let uppers = usize::from(dir.upper.get().is_some());
        let index = dir.known_parts().index.clone();
        let collected;
        let parts = match &index {
            Some(index) => index.depths(uppers),
            None => {
                collected = self.part_depths(dir);
                &collected
            }
        };
        let mut resolver = Resolver::new(parts, first, name, self.stack.depths(), self.options.redirects);
        loop {
            match resolver.step().map_err(|e| e.at(self.path_of(node, dir).join(name).as_bytes()))? {
                Step::Done(resolution) => return Ok(resolution),
                Step::Ask(Ask::InPart { part, name }) => {
                    // The upper is always asked: it changes.
                    let lower = part.checked_sub(uppers);
                    let next = match (&index, lower) {
                        (Some(index), Some(lower)) => {
                            index.next(name.as_name(), lower).map_or(parts.len(), |next| next + uppers)
                        }
                        _ => part,
                    };
                    if next > part {
                        resolver.none_before(next);
                        continue;
                    }
                    let found = match lower {
                        None => self.look_in_upper(node, dir, name.as_name())?,
                        Some(lower) => self.look_in_lower(dir, lower, name.as_name(), index.as_deref())?,
                    };
                    resolver.answer(found);
                }
                Step::Ask(Ask::AtPath { depth, path }) => {
                    let layer = self.stack.layer(depth);
                    resolver.answer_walked(DirIn::walk(layer, &path, self.options.redirects)?);
                }
            }
        }
    }

    /// Does anything below the upper show through at `name`, once the upper says nothing of it?
    pub(super) fn shows_below(&self, node: &Arc<Node>, dir: &DirNode, name: Name<'_>) -> Result<bool> {
        if dir.lowers.is_empty() {
            return Ok(false);
        }
        let first = usize::from(dir.upper.get().is_some());
        Ok(!matches!(self.resolve(node, dir, name, first)?, Resolution::Absent(_)))
    }

    /// What a lower part of a directory says of a name.
    fn look_in_lower(
        &self,
        dir: &DirNode,
        part: usize,
        name: Name<'_>,
        index: Option<&PartIndex>,
    ) -> Result<Found> {
        let Some(lower) = dir.lowers.get(part) else { return Ok(Found::Absent) };
        let Some(layer) = self.lower_dir_now(lower)? else { return Ok(Found::Absent) };
        self.count_questions(1);
        if index.is_some_and(|index| !index.may_be_marked(part)) {
            return layer.look(None, name);
        }
        let found = layer.look_alone(name)?;
        if matches!(found, Found::Absent) {
            let of_marks = u32::from(layer.deletes_by_names());
            self.count_questions(of_marks);
            dir.known_parts().in_vain.add(1 + of_marks);
        }
        Ok(found)
    }

    fn count_questions(&self, more: u32) {
        self.questions.fetch_add(u64::from(more), Ordering::Relaxed);
    }

    fn look_in_upper(&self, node: &Node, dir: &DirNode, name: Name<'_>) -> Result<Found> {
        let (Some(part), Some(upper)) = (dir.upper.get(), self.stack.upper()) else {
            return Ok(Found::Absent);
        };
        let fd = self.upper_fd(node, dir, part)?;
        let oci = self.upper_oci(part, &upper.layer, &fd)?;
        self.count_questions(1);
        upper.layer.look(fd.as_fd(), oci.as_ref(), name)
    }

    /// The names deleted by `.wh.` files in a directory of the upper; read when first asked for.
    pub(super) fn upper_oci<'p>(
        &self,
        part: &'p UpperPart,
        layer: &Layer,
        fd: &std::os::fd::OwnedFd,
    ) -> Result<MutexGuard<'p, Option<OciMarks>>> {
        let mut oci = lock(&part.oci);
        if oci.is_none() {
            *oci = Some(layer.oci_marks(fd.as_fd())?.map(|marks| *marks).unwrap_or_default());
        }
        Ok(oci)
    }

    /// Keeps a node for what was resolved: the one that is known already, or a new one.
    fn intern(
        &self,
        node: &Arc<Node>,
        dir: &DirNode,
        state: &mut DirState,
        name: Name<'_>,
        resolution: Resolution,
    ) -> Result<Option<(Arc<Node>, Attr)>> {
        match resolution {
            Resolution::Absent(_) => Ok(None),
            Resolution::Dir(merged) => {
                let Some(attributes) = merged.attributes() else { return Ok(None) };
                let name = state.shared(name);
                let child = self.new_dir(node, dir, &name, &merged);
                let attr = self.dir_attr_from(&child, &attributes.found.stat);
                Ok(Some((self.adopt(node, state, name, Body::Dir(Box::new(child))), attr)))
            }
            Resolution::Leaf { meta, data } => self.intern_leaf(node, dir, state, name, meta, data).map(Some),
        }
    }

    fn intern_leaf(
        &self,
        node: &Arc<Node>,
        dir: &DirNode,
        state: &mut DirState,
        name: Name<'_>,
        meta: LeafPart,
        data: Data,
    ) -> Result<(Arc<Node>, Attr)> {
        let in_upper = self.is_upper(meta.depth);
        let stat = meta.found.stat;
        let kind = FileKind::from_mode(stat.mode)
            .ok_or_else(|| Error::new("look up", Kind::Corrupt("no such file type".into())))?;
        let name = state.shared(name);
        let place = NodePlace { dir: Arc::clone(node), name: name.clone() };
        let mut found = LeafState {
            ino: 0,
            places: smallvec![place.clone()],
            source: lower_file(node, dir, &meta)
                .map_or(Source::Upper, |file| Source::Lower(file.sharing(&name))),
            data: match &data {
                Data::Here => LeafData::Here,
                Data::Below(part) => lower_file(node, dir, part)
                    .map_or(LeafData::Missing, |file| LeafData::Below(Box::new(file))),
                Data::Missing => LeafData::Missing,
            },
            link_key: None,
        };
        let object = self.object(&found)?;
        let key = self.link_key(in_upper, &object, &stat)?;
        found.ino = self.leaf_ino(in_upper, &object, &stat)?;
        let indexed = self.indexed_source(key.as_ref())?;
        let is_indexed = indexed.is_some();
        if let Some(source) = indexed {
            found.source = source;
        }
        found.link_key = key.clone().map(Box::new);
        let ino = found.ino;
        let attr = match &data {
            // The index entry has the attributes, and knows more of the link count than the inode.
            _ if is_indexed => self.leaf_attr(&found)?,
            Data::Here => self.attr_from(&stat, ino),
            Data::Below(part) => Attr { blocks: part.found.stat.blocks, ..self.attr_from(&stat, ino) },
            Data::Missing => Attr { blocks: 0, ..self.attr_from(&stat, ino) },
        };
        let body = Body::Leaf(LeafNode::new(kind, found));
        let Some(key) = key else { return Ok((self.adopt(node, state, name, body), attr)) };
        match self.adopt_link(key, node, state, name, body) {
            Link::New(child) => Ok((child, attr)),
            Link::Known(known) => {
                let shown =
                    self.another_name(&known, node, state, place, in_upper).and_then(|()| self.attr(&known));
                if shown.is_err() {
                    // Its name stays known, and with it the node, until it is looked up and forgotten again.
                    known.let_go(1);
                }
                Ok((known, shown?))
            }
        }
    }

    /// Keeps one node for all names of a hard link, however many are looked up at once.
    fn adopt_link(
        &self,
        key: InodeKey,
        node: &Arc<Node>,
        state: &mut DirState,
        name: NameBuf,
        body: Body,
    ) -> Link {
        let mut links = lock(&self.hard_links);
        if let Some(known) = live(&links, &key) {
            // Under the lock of the links: what is about to be freed looks at its count under it.
            known.hold();
            return Link::Known(known);
        }
        let child = self.adopt(node, state, name, body);
        links.insert(key, Arc::downgrade(&child));
        Link::New(child)
    }

    /// A name turned out to be one more of a file that is known.
    fn another_name(
        &self,
        known: &Arc<Node>,
        node: &Arc<Node>,
        state: &mut DirState,
        place: NodePlace,
        in_upper: bool,
    ) -> Result<()> {
        let name = place.name.clone();
        let mut file = leaf(known)?.write();
        if !file.places.iter().any(|known| known.is(node, name.as_bytes())) {
            file.places.push(place);
            node.hold();
        }
        if in_upper && matches!(file.source, Source::Nameless(_)) {
            file.source = Source::Upper;
        }
        state.children.insert(name, Arc::clone(known));
        Ok(())
    }

    /// Puts a new node into its directory and the table. Its count is one.
    pub(super) fn adopt(
        &self,
        node: &Arc<Node>,
        state: &mut DirState,
        name: NameBuf,
        body: Body,
    ) -> Arc<Node> {
        let child = self.new_node(body);
        node.hold();
        state.children.insert(name, Arc::clone(&child));
        child
    }

    /// A node without a place, known to whoever made it.
    pub(super) fn new_node(&self, body: Body) -> Arc<Node> {
        let id = self.nodes.fresh_id();
        let node = Arc::new(Node { id, refs: AtomicU64::new(1), gone: AtomicBool::new(false), body });
        self.nodes.insert(Arc::clone(&node));
        node
    }

    fn new_dir(&self, node: &Arc<Node>, dir: &DirNode, name: &NameBuf, merged: &MergedDir) -> DirNode {
        let mut upper = None;
        let mut lower_path = dir.lower_path.join(name.as_name());
        let mut lowers = Vec::new();
        let mut ino = None;
        for part in &merged.parts {
            let stat = &part.found.stat;
            if self.is_upper(part.depth) {
                upper = Some(UpperPart::new(Cell::empty(), stat.ino, part.found.xwhiteouts));
                match (&part.found.redirect, self.options.redirects) {
                    (Some(Redirect::Absolute(path)), Redirects::Follow) => lower_path = path.clone(),
                    (Some(Redirect::Sibling(name)), Redirects::Follow) => {
                        lower_path = dir.lower_path.join(name.as_name());
                    }
                    _ => {}
                }
                continue;
            }
            ino.get_or_insert(self.numbers.shown(stat.dev, stat.ino));
            lowers.push(lower_part(dir, part));
        }
        let attributes = match &merged.hidden {
            Some(part) => AttributesAt::Hidden(Box::new(lower_part(dir, part))),
            // The upper, where it has a part, has the attributes.
            None => AttributesAt::Part(merged.attributes.saturating_sub(usize::from(upper.is_some()))),
        };
        let own =
            merged.parts.first().map(|part| self.numbers.shown(part.found.stat.dev, part.found.stat.ino));
        let place = NodePlace { dir: Arc::clone(node), name: name.clone() };
        DirNode::new(
            Some(place),
            upper,
            lowers.into(),
            attributes,
            lower_path,
            ino.or(own).unwrap_or_default(),
        )
    }

    fn is_upper(&self, depth: Depth) -> bool {
        depth.0 == 0 && self.stack.upper().is_some()
    }

    pub(super) fn is_known_link(&self, key: &InodeKey) -> bool {
        live(&lock(&self.hard_links), key).is_some()
    }

    /// `st_ino` of anything but a directory: of what it was copied up from, where that is recorded.
    fn leaf_ino(&self, in_upper: bool, object: &Object<'_>, stat: &Stat) -> Result<u64> {
        let own = self.numbers.shown(stat.dev, stat.ino);
        match object {
            // The upper of a read-only mount counts as such, too.
            Object::Held(held, layer) if in_upper || layer.id == LayerRef::Upper => {
                Ok(self.origin_ino(layer, held.at())?.unwrap_or(own))
            }
            Object::Held(..) | Object::Entry(..) => Ok(own),
        }
    }

    /// The number of what an object of the upper was copied up from.
    fn origin_ino(&self, layer: &Layer, at: At<'_>) -> Result<Option<u64>> {
        let Some(value) = layer.marker(at, Marker::Origin)? else { return Ok(None) };
        let origin = match OriginMark::decode(&value) {
            Ok(OriginMark::Known(origin)) => Some(origin),
            Ok(_) => None,
            // A number is only a number: what cannot be read does not keep the file from being used.
            Err(_) => return Ok(None),
        };
        let lowers = || self.stack.lower_depths().map(|depth| self.stack.layer(depth));
        if let (Some(origin), true) = (origin, self.options.opens_handles) {
            let handle = FileHandle { kind: origin.handle_type(), bytes: origin.handle().to_vec() };
            for lower in lowers().filter_map(AnyLayer::directory).filter(|lower| lower.uuid == origin.uuid())
            {
                if let Some(fd) = lower.open_handle(&handle)
                    && let Ok(stat) = fs::stat(At::Fd(fd.as_fd()))
                    && stat.dev == lower.dev
                {
                    return Ok(Some(self.numbers.shown(stat.dev, stat.ino)));
                }
            }
            return Ok(None);
        }
        // What has no handle, as in a tar, or cannot be opened by one, is noted by its number.
        for namespace in layer.rules.markers.namespaces() {
            if let Ok(value) = crate::sys::xattr::get(at, InodeMark::xattr(*namespace).to_bytes())
                && let Ok(mark) = InodeMark::decode(&value)
                && let Some(lower) = lowers().find(|lower| lower.uuid() == mark.uuid)
            {
                return Ok(Some(self.numbers.shown(lower.dev(), mark.ino)));
            }
        }
        Ok(None)
    }
}

/// A further name of a hard link, or the first that is known.
enum Link {
    New(Arc<Node>),
    Known(Arc<Node>),
}

fn live(links: &HashMap<InodeKey, Weak<Node>>, key: &InodeKey) -> Option<Arc<Node>> {
    links.get(key).and_then(Weak::upgrade).filter(|node| !node.gone.load(Ordering::Acquire))
}

/// A part that the resolver has found, kept.
fn lower_part(dir: &DirNode, part: &DirPart) -> LowerPart {
    let path = match &part.origin {
        Origin::Path(path) => path.clone(),
        Origin::Part { part, name } => {
            let index = part - usize::from(dir.upper.get().is_some());
            dir.lowers.get(index).map(|lower| lower.path.join(name.as_name())).unwrap_or_default()
        }
    };
    LowerPart::new(part.depth, path, &part.found)
}

/// Where a file is, if it is in a lower layer.
pub(super) fn lower_file(node: &Arc<Node>, dir: &DirNode, part: &LeafPart) -> Option<LowerFile> {
    if let Some(entry) = part.found.entry {
        return Some(LowerFile::Entry { depth: part.depth, entry });
    }
    match &part.origin {
        Origin::Path(path) => Some(LowerFile::AtPath { depth: part.depth, path: Arc::new(path.clone()) }),
        Origin::Part { part, name } => {
            let index = part.checked_sub(usize::from(dir.upper.get().is_some()))?;
            Some(LowerFile::InPart {
                dir: Arc::clone(node),
                part: u16::try_from(index).ok()?,
                name: name.clone(),
            })
        }
    }
}

/// The node as a directory.
pub(super) fn directory(node: &Node) -> Result<&DirNode> {
    node.as_dir().ok_or_else(|| Error::new("use as a directory", Kind::NotADirectory))
}

/// The node as anything but a directory.
pub(super) fn leaf(node: &Node) -> Result<&LeafNode> {
    node.as_leaf().ok_or_else(|| Error::new("use as a file", Kind::IsADirectory))
}
