//! What is written before something moves, so that it is right in either place: marks on what moves, and a clean
//! directory where it goes.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::End;
use super::plan::{AtTarget, Moving};
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::layer::Upper;
use crate::marker::{Marker, Redirect};
use crate::overlay::Overlay;
use crate::overlay::address::Held;
use crate::overlay::copy_up::UpperDir;
use crate::overlay::node::{DirNode, LeafState, Node};
use crate::overlay::object::Object;
use crate::overlay::remove::{InUpper, what_is};
use crate::path::Name;
use crate::sys::fs::{self, At, RenameFlag};

/// Was a directory exchanged for an empty one?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cleaned {
    Yes,
    No,
}

impl Overlay {
    /// Exchanges an empty directory of the upper that holds whiteouts for a clean one.
    pub(super) fn clean(&self, upper: &Upper, to_dir: &UpperDir<'_>, name: Name<'_>) -> Result<Cleaned> {
        let fd = to_dir.fd.as_fd();
        if what_is(fd, name)? != InUpper::Directory || raw_empty(fd, name)? {
            return Ok(Cleaned::No);
        }
        // If the rename fails after this, or nobody lives to do it, it is as it was but for its whiteouts.
        let from = Object::Held(Held::InDir(Arc::clone(&to_dir.fd), name.to_owned()), &upper.layer);
        let stat = from.stat()?;
        let staged = upper.stage_directory()?;
        self.copy_attributes(upper, &from, &stat, staged.at())?;
        upper.mark_opaque(staged.at())?;
        let published = staged.publish(fd, name, RenameFlag::Exchange)?;
        drop(published.displaced);
        if !self.opaque_is_xattr(upper) {
            // Its mark is a file, which would keep it from being replaced.
            drop(upper.take_away(fd, name, true)?);
        }
        Ok(Cleaned::Yes)
    }

    /// Marks what moves, before it moves: a redirect to its parts below, or opaque where it has none.
    pub(super) fn mark_moved(
        &self,
        upper: &Upper,
        node: &Node,
        state: Option<&LeafState>,
        from: &End<'_>,
        (to, to_dir): (&End<'_>, &UpperDir<'_>),
    ) -> Result<()> {
        let parent = to.dir()?;
        let has_origin = match (node.as_dir(), state) {
            (Some(dir), _) => {
                let part = dir.upper.get().ok_or_else(|| Error::new("rename", Kind::Stale))?;
                let fd = self.upper_fd(node, dir, part)?;
                upper.keep_literal(At::Fd(fd.as_fd()), to.name)?;
                if dir.lowers.is_empty() {
                    if !parent.lowers.is_empty() {
                        upper.mark_opaque(At::Fd(fd.as_fd()))?;
                    }
                } else {
                    let value =
                        redirect(dir, from, to)?.encode().map_err(|kind| Error::new("rename", kind))?;
                    if !upper.write_marker(At::Fd(fd.as_fd()), Marker::Redirect, &value)? {
                        return Err(Error::new("rename", Kind::CrossDevice("no redirect can be written")));
                    }
                }
                !dir.lowers.is_empty()
            }
            (None, Some(state)) => {
                let (held, layer) = self.held(state)?;
                upper.keep_literal(held.at(), to.name)?;
                layer.marker(held.at(), Marker::Origin)?.is_some()
            }
            (None, None) => false,
        };
        if let (true, Some(part)) = (has_origin, parent.upper.get()) {
            self.mark_impure(upper, part, &to_dir.fd)?;
        }
        Ok(())
    }
}

/// How the parts below a directory are found. It is written before the directory moves, and must say the same at its
/// old place: a rename may fail, or nobody may live to do it. So it is relative only within one parent.
fn redirect(dir: &DirNode, from: &End<'_>, to: &End<'_>) -> Result<Redirect> {
    let parent = to.dir()?;
    let Some((lower_parent, name)) = dir.lower_path.split_last() else {
        return Err(Error::new("rename", Kind::CrossDevice("it is the root of the layers below")));
    };
    let same = Arc::ptr_eq(&from.node, &to.node);
    if same && !parent.lowers.is_empty() && lower_parent == parent.lower_path {
        return Ok(Redirect::Sibling(name.to_owned()));
    }
    Ok(Redirect::Absolute(dir.lower_path.clone()))
}

/// What the upper has at the new name, given what the union has there: where that is nothing, it is a whiteout of one
/// form or another.
pub(super) fn at_target(dir: BorrowedFd<'_>, name: Name<'_>, in_union: Option<Moving>) -> Result<AtTarget> {
    match (fs::stat(At::Name(dir, name)), in_union) {
        (Ok(stat), _) if stat.is_dir() => Ok(AtTarget::EmptyDirectory),
        (Ok(_), None) => Ok(AtTarget::Whiteout),
        (Ok(_), Some(_)) => Ok(AtTarget::Leaf),
        (Err(nix::errno::Errno::ENOENT), _) => Ok(AtTarget::Nothing),
        (Err(errno), _) => {
            Err(Error::new("look into the upper", errno).at(name.as_bytes()).in_layer(LayerRef::Upper))
        }
    }
}

/// Has the upper's own directory no entries, not even whiteouts?
fn raw_empty(dir: BorrowedFd<'_>, name: Name<'_>) -> Result<bool> {
    let fd = fs::open_at(dir, name, libc::O_RDONLY | libc::O_DIRECTORY, 0)
        .op("open directory")
        .at(name.as_bytes())?;
    let mut empty = true;
    crate::sys::dirents::for_each::<Error>(&fd, |_| {
        empty = false;
        Ok(())
    })?;
    Ok(empty)
}
