//! Nodes of a stack.

use crate::error::{ErrorContext, Result as LayerResult};
use crate::image::commit::is_portable;
use crate::overlay::{Attr, FileKind, NodeId, Overlay, SharedBase, Trusted};
use crate::path::{Name, RelPath};

/// A node that is held.
pub struct Held<'o> {
    /// Of which it is a node.
    pub overlay: &'o Overlay,
    /// The node.
    pub node: NodeId,
    /// Its attributes.
    pub attr: Attr,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.overlay.forget(self.node, 1);
    }
}

impl<'o> Held<'o> {
    /// The root.
    pub fn root(overlay: &'o Overlay) -> LayerResult<Self> {
        Ok(Held { overlay, node: NodeId::ROOT, attr: overlay.getattr(NodeId::ROOT)? })
    }

    /// What has a name in a directory.
    pub fn child(&self, name: Name<'_>) -> LayerResult<Option<Held<'o>>> {
        let found = self.overlay.lookup(self.node, name)?;
        Ok(found.map(|entry| Held { overlay: self.overlay, node: entry.node, attr: entry.attr }))
    }

    /// From the root down, without symlinks.
    pub fn at(overlay: &'o Overlay, path: &RelPath) -> LayerResult<Option<Self>> {
        let mut here = Held::root(overlay)?;
        for name in path.names() {
            match here.child(name).at(path.as_bytes())? {
                Some(below) => here = below,
                None => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    /// Is it a directory?
    pub fn is_dir(&self) -> bool {
        self.attr.kind == FileKind::Directory
    }

    /// The extended attributes that mean the same on another machine; those that cannot be read are left out.
    fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let names = self.overlay.listxattr(self.node, Trusted::Shown).unwrap_or_default();
        let names = names.split(|byte| *byte == 0).filter(|name| is_portable(name));
        let mut all: Vec<_> = names
            .filter_map(|name| Some((name.to_vec(), self.overlay.getxattr(self.node, name).ok()?)))
            .collect();
        all.sort();
        all
    }

    /// Is a directory merged from the same places as another one, in the layers that both unions have? Then all in it is the same.
    pub fn has_same_parts(&self, other: &Held<'_>, shared: SharedBase) -> LayerResult<bool> {
        let now = self.overlay.parts(self.node, shared)?;
        Ok(now.own == 0 && now == other.overlay.parts(other.node, shared)?)
    }

    /// Is it at the same place as another one, in a layer that both unions have? `None`: not all of it is in such layers. Neither
    /// is a directory.
    pub fn is_same_leaf(&self, other: &Held<'_>, shared: SharedBase) -> LayerResult<Option<bool>> {
        let now = self.overlay.leaf_place(self.node, shared)?;
        let before = other.overlay.leaf_place(other.node, shared)?;
        Ok(now.zip(before).map(|(now, before)| now == before))
    }

    /// Has another directory the same mode, owner and attributes?
    pub fn is_same_dir(&self, other: &Held<'_>) -> bool {
        let of = |attr: &Attr| (attr.perm, attr.uid, attr.gid);
        of(&self.attr) == of(&other.attr) && self.xattrs() == other.xattrs()
    }
}
