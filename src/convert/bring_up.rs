//! What lies below is brought up into the upper, so that nothing has to say where it is.

use crate::error::{ErrorContext, Result};
use crate::overlay::{Attr, AttrChange, Entry, FileKind, NodeId, Overlay, TimeChange};
use crate::path::{NameBuf, RelPath};

/// Copies an object into the upper of a writable union, with all that the union shows below it. The tree stays as it is, but that
/// names of one file become files of their own where there is no index.
///
/// # Errors
/// There is nothing at the path; failing copies. What has been copied stays, and the union shows the same.
pub fn bring_up(overlay: &Overlay, path: &RelPath) -> Result<()> {
    let mut here = NodeId::ROOT;
    let mut held = Vec::new();
    let found = || -> Result<()> {
        for name in path.names() {
            let Some(entry) = overlay.lookup(here, name)? else { return Ok(()) };
            held.push(entry.node);
            here = entry.node;
        }
        whole(overlay, here, path)
    }();
    for node in held {
        overlay.forget(node, 1);
    }
    found.at(path.as_bytes())
}

fn whole(overlay: &Overlay, node: NodeId, path: &RelPath) -> Result<()> {
    let attr = overlay.getattr(node)?;
    touch(overlay, node, &attr).at(path.as_bytes())?;
    if attr.kind != FileKind::Directory {
        return Ok(());
    }
    // A list and no recursion: a tree may be deeper than a stack.
    let mut open = vec![Open { node, path: path.clone(), left: overlay.names(node)? }];
    let brought = walk(overlay, &mut open);
    // The first is the caller's.
    for dir in open.iter().skip(1) {
        overlay.forget(dir.node, 1);
    }
    brought
}

/// A directory whose names are being brought up.
struct Open {
    node: NodeId,
    path: RelPath,
    left: Vec<NameBuf>,
}

fn walk(overlay: &Overlay, open: &mut Vec<Open>) -> Result<()> {
    while let Some(dir) = open.last_mut() {
        let Some(name) = dir.left.pop() else {
            if open.len() > 1 {
                let done = open.pop().map(|done| done.node);
                done.into_iter().for_each(|node| overlay.forget(node, 1));
                continue;
            }
            return Ok(());
        };
        let path = dir.path.join(name.as_name());
        let Some(Entry { node, attr, .. }) = overlay.lookup(dir.node, name.as_name()).at(path.as_bytes())?
        else {
            continue;
        };
        let inner = touch(overlay, node, &attr).and_then(|()| match attr.kind {
            FileKind::Directory => overlay.names(node).map(Some),
            _ => Ok(None),
        });
        match inner {
            Ok(Some(left)) => open.push(Open { node, path, left }),
            other => {
                overlay.forget(node, 1);
                other.at(path.as_bytes())?;
            }
        }
    }
    Ok(())
}

/// To be given the time that it has, an object must be in the upper, and its data with it.
fn touch(overlay: &Overlay, node: NodeId, attr: &Attr) -> Result<()> {
    let same = AttrChange { mtime: Some(TimeChange::To(attr.mtime)), ..AttrChange::NONE };
    overlay.setattr(node, None, &same).map(drop)
}
