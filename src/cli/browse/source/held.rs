//! Nodes of a stack.

use crate::error::{ErrorContext, Result as LayerResult};
use crate::overlay::{Attr, FileKind, NodeId, Overlay, Trusted};
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

    /// The extended attributes; those that cannot be read are left out.
    fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let names = self.overlay.listxattr(self.node, Trusted::Shown).unwrap_or_default();
        let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let mut all: Vec<_> = names
            .filter_map(|name| Some((name.to_vec(), self.overlay.getxattr(self.node, name).ok()?)))
            .collect();
        all.sort();
        all
    }

    /// Has another directory the same mode, owner and attributes?
    pub fn is_same_dir(&self, other: &Held<'_>) -> bool {
        let of = |attr: &Attr| (attr.perm, attr.uid, attr.gid);
        of(&self.attr) == of(&other.attr) && self.xattrs() == other.xattrs()
    }
}
