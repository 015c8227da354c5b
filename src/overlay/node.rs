//! Nodes: what the kernel knows of, and how each is reached.
//!
//! # Locks
//! In this order, each only while those before it in the list may be held:
//! 1. `Overlay::renames`: one directory rename between two directories at a time, so that "is it below?" stays true.
//! 2. `DirNode::copying`, `LeafNode::copying`: one copy-up of a node at a time; the only lock held over a data copy.
//!    A directory's is taken after its parent's.
//! 3. `DirNode::state`: the names of a directory. An ancestor's before a descendant's; of two unrelated ones either
//!    (1 sees to it that nobody takes two the other way round).
//! 4. `LeafNode::state`: where a file is. One at a time, but for a rename, which takes two in the order of
//!    their ids.
//! 5. `Overlay::moving`: for writing while a directory's name on disk and its place differ; for reading while one is
//!    opened by its path. Only `place` is taken under it.
//! 6. `DirNode::place`, `DirNode::parts`, the table, the index of hard links, descriptor cells: held for a few instructions, nothing is
//!    taken under them.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use smallvec::SmallVec;

use super::descriptors::Cell;
use super::listing::Names;
use super::part_index::{InVain, PartIndex};
use super::types::{FileKind, NodeId};
use crate::layer::{EntryId, FoundDir, OciMarks};
use crate::path::{Name, NameBuf, RelPath};
use crate::resolve::Depth;

/// A name in a directory.
#[derive(Debug, Clone)]
pub(super) struct NodePlace {
    pub(super) dir: Arc<Node>,
    pub(super) name: NameBuf,
}

impl NodePlace {
    pub(super) fn is(&self, dir: &Node, name: &[u8]) -> bool {
        std::ptr::eq(&*self.dir, dir) && self.name.as_bytes() == name
    }
}

/// The names of a file: nearly always one.
pub(super) type Places = SmallVec<[NodePlace; 1]>;

/// Something the kernel knows of, or that has children it knows of.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    /// Lookups the kernel has not forgotten, children that are nodes, open files, and requests that have just found
    /// it. At zero the node goes.
    pub(super) refs: AtomicU64,
    /// It left the table, and its parents know.
    pub(super) gone: AtomicBool,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    /// There are few, and they are large.
    Dir(Box<DirNode>),
    Leaf(LeafNode),
}

impl Node {
    pub(super) fn as_dir(&self) -> Option<&DirNode> {
        match &self.body {
            Body::Dir(dir) => Some(dir),
            Body::Leaf(_) => None,
        }
    }

    pub(super) fn as_leaf(&self) -> Option<&LeafNode> {
        match &self.body {
            Body::Leaf(leaf) => Some(leaf),
            Body::Dir(_) => None,
        }
    }

    /// One more user.
    pub(super) fn hold(&self) {
        self.refs.fetch_add(1, Ordering::AcqRel);
    }

    /// `count` users less. Was it the last?
    pub(super) fn let_go(&self, count: u64) -> bool {
        let before = self
            .refs
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |refs| Some(refs.saturating_sub(count)));
        before.unwrap_or_default() <= count
    }

    pub(super) fn is_unused(&self) -> bool {
        self.refs.load(Ordering::Acquire) == 0
    }

    /// Where it is: none for the root and for what has lost its names.
    pub(super) fn places(&self) -> Places {
        match &self.body {
            Body::Dir(dir) => dir.place().into_iter().collect(),
            Body::Leaf(leaf) => leaf.read().places.clone(),
        }
    }

    /// It is not known at a place any more. Was it? To be called under the lock of the directory there.
    pub(super) fn leave(&self, left: &NodePlace) -> bool {
        let is = |place: &NodePlace| place.is(&left.dir, left.name.as_bytes());
        match &self.body {
            Body::Dir(dir) => {
                let was = dir.place().is_some_and(|place| is(&place));
                if was {
                    dir.set_place(None);
                }
                was
            }
            Body::Leaf(leaf) => {
                let places = &mut leaf.write().places;
                let before = places.len();
                places.retain(|place| !is(place));
                places.len() < before
            }
        }
    }
}

/// A directory.
#[derive(Debug)]
pub(super) struct DirNode {
    /// Where it is; `None` for the root, and once it is removed. Changed only under the state lock of the directory
    /// (or directories) it is in.
    place: Mutex<Option<NodePlace>>,
    /// Its part in the upper. Set once: at birth, or by copy-up, which then holds the state lock: whoever holds that
    /// sees the same parts throughout.
    pub(super) upper: OnceLock<UpperPart>,
    /// Its parts below, top first; they never change.
    pub(super) lowers: Box<[LowerPart]>,
    /// Where its attributes are, while it has no part in the upper.
    pub(super) attributes: AttributesAt,
    /// Where the lowers are in the union of the lowers: what a redirect to them has to say.
    pub(super) lower_path: RelPath,
    /// `st_ino`.
    pub(super) ino: u64,
    /// One copy-up at a time.
    pub(super) copying: Mutex<()>,
    /// Which lower parts have which names, as far as is known.
    parts: Mutex<KnownParts>,
    state: Mutex<DirState>,
}

/// What is known of the names in a directory's lower parts. It is learnt, and forgotten, under the directory's state lock.
#[derive(Debug, Default)]
pub(super) struct KnownParts {
    pub(super) index: Option<Arc<PartIndex>>,
    pub(super) in_vain: InVain,
}

/// A directory's part in the upper.
#[derive(Debug)]
pub(super) struct UpperPart {
    pub(super) fd: Cell,
    /// Its inode number there: what is opened again by its path must be the same directory.
    pub(super) ino: u64,
    /// Empty files in it with the whiteout attribute are whiteouts.
    pub(super) xwhiteouts: bool,
    /// It is marked as holding copies.
    pub(super) impure: AtomicBool,
    /// The names deleted by `.wh.` files in it, once looked.
    pub(super) oci: Mutex<Option<OciMarks>>,
}

/// A directory's part in one lower layer.
#[derive(Debug)]
pub(super) struct LowerPart {
    pub(super) depth: Depth,
    /// Where it is in that layer.
    pub(super) path: RelPath,
    /// Empty files in it with the whiteout attribute are whiteouts.
    pub(super) xwhiteouts: bool,
    pub(super) reached: Reached,
}

/// How a directory of a lower layer is reached.
#[derive(Debug)]
pub(super) enum Reached {
    /// By a descriptor, opened by its path when it is needed.
    Descriptor(Cell),
    /// By its entry in the index of a tar.
    Entry(EntryId),
}

/// Where a directory's attributes are, unless it has a part in the upper.
#[derive(Debug)]
pub(super) enum AttributesAt {
    /// In the lower part with this number.
    Part(usize),
    /// In a directory whose content is hidden.
    Hidden(Box<LowerPart>),
}

/// What a directory's state lock guards.
#[derive(Debug, Default)]
pub(super) struct DirState {
    /// The nodes of its names.
    pub(super) children: HashMap<NameBuf, Arc<Node>>,
    /// The merged listing, once somebody has listed it.
    pub(super) names: Option<Names>,
    /// It was removed: nothing can be made in it any more.
    pub(super) removed: bool,
}

impl DirState {
    /// A name, shared with the listing where that has it: a directory of many names has each once.
    pub(super) fn shared(&self, name: Name<'_>) -> NameBuf {
        let listed = self.names.as_ref().and_then(|names| names.get(name));
        listed.cloned().unwrap_or_else(|| name.to_owned())
    }

    /// It has no node any more. The room for the others is given back, when it was for many more.
    pub(super) fn forget_child(&mut self, name: &[u8]) {
        self.children.remove(name);
        if self.children.capacity() > 64 && self.children.len() < self.children.capacity() / 8 {
            self.children.shrink_to(2 * self.children.len());
        }
    }
}

impl DirNode {
    /// What has its attributes, unless it has a part in the upper.
    pub(super) fn attributes_part(&self) -> Option<&LowerPart> {
        match &self.attributes {
            AttributesAt::Part(number) => self.lowers.get(*number),
            AttributesAt::Hidden(part) => Some(part),
        }
    }

    pub(super) fn new(
        place: Option<NodePlace>,
        upper: Option<UpperPart>,
        lowers: Box<[LowerPart]>,
        attributes: AttributesAt,
        lower_path: RelPath,
        ino: u64,
    ) -> Self {
        let upper = upper.map_or_else(OnceLock::new, OnceLock::from);
        DirNode {
            place: Mutex::new(place),
            upper,
            lowers,
            attributes,
            lower_path,
            ino,
            copying: Mutex::default(),
            parts: Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// Held for a few instructions.
    pub(super) fn known_parts(&self) -> MutexGuard<'_, KnownParts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is it merged from several parts?
    pub(super) fn is_merged(&self) -> bool {
        self.lowers.len() + usize::from(self.upper.get().is_some()) > 1
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, DirState> {
        // A panic in another request is answered there; what it guarded is changed only by completed steps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_copying(&self) -> MutexGuard<'_, ()> {
        self.copying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn place(&self) -> Option<NodePlace> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_place(&self, place: Option<NodePlace>) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }
}

impl UpperPart {
    pub(super) fn new(fd: Cell, ino: u64, xwhiteouts: bool) -> Self {
        UpperPart { fd, ino, xwhiteouts, impure: AtomicBool::new(false), oci: Mutex::default() }
    }
}

impl LowerPart {
    /// What a layer has found at a path.
    pub(super) fn new(depth: Depth, path: RelPath, found: &FoundDir) -> Self {
        let reached = match found.entry {
            Some(entry) => Reached::Entry(entry),
            None => Reached::Descriptor(Cell::empty()),
        };
        LowerPart { depth, path, xwhiteouts: found.xwhiteouts, reached }
    }
}

/// Anything but a directory.
#[derive(Debug)]
pub(super) struct LeafNode {
    pub(super) kind: FileKind,
    /// Counts changes of where the data is: an open file of an older version is opened anew.
    pub(super) version: AtomicU32,
    /// One copy-up at a time.
    pub(super) copying: Mutex<()>,
    /// Its capabilities were removed, and no other change has come since.
    pub(super) capabilities_gone: AtomicBool,
    state: RwLock<LeafState>,
}

/// What a file's state lock guards.
#[derive(Debug)]
pub(super) struct LeafState {
    /// `st_ino`.
    pub(super) ino: u64,
    /// Its names that are known here; none once it is unlinked.
    pub(super) places: Places,
    /// Where its metadata is.
    pub(super) source: Source,
    /// Where its data is.
    pub(super) data: LeafData,
    /// Under what it is found by its other names. Few have any.
    pub(super) link_key: Option<Box<InodeKey>>,
}

/// Where a file is.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// In a lower layer: by this name in this part of this directory. Holds though the name be deleted above it.
    Lower(LowerFile),
    /// In the upper, under each of its places.
    Upper,
    /// In the index, whichever of its places are in the upper (`index=on`).
    Indexed(NameBuf),
    /// In the upper, without a name that is known here.
    Nameless(Arc<OwnedFd>),
}

/// Where a file's data is.
#[derive(Debug, Clone)]
pub(super) enum LeafData {
    /// With its metadata.
    Here,
    /// In a layer below.
    Below(Box<LowerFile>),
    /// In no layer.
    Missing,
}

/// A file in a lower layer.
#[derive(Debug, Clone)]
pub(super) enum LowerFile {
    /// By name in a part of a directory.
    InPart { dir: Arc<Node>, part: u16, name: NameBuf },
    /// By path from a layer's root, where a redirect led.
    AtPath { depth: Depth, path: Arc<RelPath> },
    /// By its entry in the index of a tar.
    Entry { depth: Depth, entry: EntryId },
}

impl LowerFile {
    /// The same, with a name that is kept in any case.
    pub(super) fn sharing(self, kept: &NameBuf) -> Self {
        match self {
            LowerFile::InPart { dir, part, name } if name == *kept => {
                LowerFile::InPart { dir, part, name: kept.clone() }
            }
            other => other,
        }
    }
}

impl LeafNode {
    pub(super) fn new(kind: FileKind, state: LeafState) -> Self {
        LeafNode {
            kind,
            version: AtomicU32::new(0),
            copying: Mutex::default(),
            capabilities_gone: AtomicBool::new(false),
            state: RwLock::new(state),
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, LeafState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, LeafState> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_copying(&self) -> MutexGuard<'_, ()> {
        self.copying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the names of a hard link have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum InodeKey {
    /// An inode of the upper.
    Upper { ino: u64 },
    /// An index entry, there already or to be made by a copy-up (`index=on`).
    Indexed(NameBuf),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A union may have millions of these: who makes one larger says here that it is worth it.
    #[test]
    fn what_there_are_many_of_is_small() {
        // With the two counts of its Arc and what malloc adds, a file that is known takes 176 bytes.
        assert!(size_of::<Node>() <= 152, "Node: {}", size_of::<Node>());
        assert!(size_of::<NodePlace>() <= 24, "NodePlace: {}", size_of::<NodePlace>());
        assert!(size_of::<Places>() <= 32, "Places: {}", size_of::<Places>());
        assert!(size_of::<LowerFile>() <= 32, "LowerFile: {}", size_of::<LowerFile>());
        assert!(size_of::<DirNode>() <= 360, "DirNode: {}", size_of::<DirNode>());
        assert!(size_of::<LowerPart>() <= 48, "LowerPart: {}", size_of::<LowerPart>());
    }
}
