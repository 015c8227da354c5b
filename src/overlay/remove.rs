//! Removing: what was only in the upper is gone, what shows below is hidden by a whiteout.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::Overlay;
use super::copy_up::UpperDir;
use super::listing::Listed;
use super::lock;
use super::lookup::directory;
use super::node::{DirNode, DirState, LeafNode, Node, Source};
use super::types::{Invalidation, Place};
use crate::config::Index;
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::layer::WhiteoutForm;
use crate::path::Name;
use crate::sys::fs::{self, At, RenameFlag};

/// What the upper has at a name that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InUpper {
    Nothing,
    File,
    Directory,
}

/// How a name leaves the union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// The upper's file is unlinked.
    Unlink,
    /// A whiteout is made where the upper has nothing.
    MakeWhiteout,
    /// A whiteout takes the place of the upper's file, in one step.
    ReplaceByWhiteout,
    /// The upper's directory is taken away, and cleared out of sight.
    TakeAway,
    /// A whiteout takes the place of the upper's directory, in one step.
    ExchangeForWhiteout,
}

/// Decides how a name leaves the union.
pub(super) fn plan(in_upper: InUpper, shows_below: bool) -> Option<Removal> {
    Some(match (in_upper, shows_below) {
        (InUpper::Nothing, true) => Removal::MakeWhiteout,
        (InUpper::File, true) => Removal::ReplaceByWhiteout,
        (InUpper::File, false) => Removal::Unlink,
        (InUpper::Directory, true) => Removal::ExchangeForWhiteout,
        (InUpper::Directory, false) => Removal::TakeAway,
        (InUpper::Nothing, false) => return None,
    })
}

impl Overlay {
    /// Removes a name of anything but a directory.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::IsADirectory`], and what the upper's file system answers.
    pub fn unlink(&self, at: Place<'_>) -> Result<()> {
        let parent = self.node(at.dir)?;
        let dir = directory(&parent)?;
        let target = self.upper_dir(&parent)?;
        if self.options.index == Index::On {
            let found = self.child(&parent, dir, &mut dir.lock(), at.name)?;
            if let Some((child, _)) = found {
                let copied = self.index_up(&child);
                self.release_node(&child, 1);
                copied?;
            }
        }
        let mut names = dir.lock();
        let Some((child, _)) = self.child(&parent, dir, &mut names, at.name)? else {
            return Err(Error::new("unlink", Kind::NotFound).at(at.name.as_bytes()));
        };
        let result = match child.as_leaf() {
            None => Err(Error::new("unlink", Kind::IsADirectory).at(at.name.as_bytes())),
            Some(file) => self.unlink_locked(&target, (&parent, dir), &mut names, (&child, file), at.name),
        };
        drop(names);
        self.release_node(&child, 1);
        result
    }

    fn unlink_locked(
        &self,
        target: &UpperDir<'_>,
        (parent, dir): (&Arc<Node>, &DirNode),
        names: &mut DirState,
        (child, file): (&Arc<Node>, &LeafNode),
        name: Name<'_>,
    ) -> Result<()> {
        let mut state = file.write();
        let names_before = match &state.source {
            Source::Indexed(_) => {
                let (held, _) = self.held(&state)?;
                Some(self.union_nlink(&target.upper.layer, held.at())?)
            }
            _ => None,
        };
        // The last name known here: from now on the file is what this descriptor is.
        let kept = match state.source {
            Source::Upper if state.places.len() == 1 => {
                let (held, _) = self.held(&state)?;
                Some(Arc::new(held.open(libc::O_PATH).op("keep the unlinked file").at(name.as_bytes())?))
            }
            _ => None,
        };
        self.remove_name(target, (parent, dir), name)?;
        if let Some(kept) = kept {
            state.source = Source::Nameless(kept);
        }
        self.forget_place(names, parent, &mut state, name);
        if let Some(before) = names_before {
            self.name_gone(target.upper, &mut state, before);
        }
        if !state.places.is_empty() {
            self.invalidate(Invalidation::Attr(child.id));
        }
        Ok(())
    }

    /// Takes a name away from a file's places and its directory's names. The directory's count goes down, never to
    /// zero: the caller's request keeps the directory known.
    pub(super) fn forget_place(
        &self,
        names: &mut DirState,
        parent: &Arc<Node>,
        state: &mut super::node::LeafState,
        name: Name<'_>,
    ) {
        let before = state.places.len();
        state.places.retain(|place| !place.is(parent, name.as_bytes()));
        forget_name(names, name);
        if state.places.len() < before {
            parent.refs.fetch_sub(1, std::sync::atomic::Ordering::AcqRel);
        }
    }

    /// Makes a name leave the upper, or hides it there.
    pub(super) fn remove_name(
        &self,
        target: &UpperDir<'_>,
        (parent, dir): (&Arc<Node>, &DirNode),
        name: Name<'_>,
    ) -> Result<()> {
        let in_upper = what_is(target.fd.as_fd(), name)?;
        let shows_below = self.shows_below(parent, dir, name)?;
        let Some(removal) = plan(in_upper, shows_below) else { return Ok(()) };
        let upper = target.upper;
        let fd = target.fd.as_fd();
        let devices = upper.whiteout_form == WhiteoutForm::Device;
        match removal {
            Removal::Unlink => {
                fs::unlink(fd, name).op("unlink").at(name.as_bytes()).in_layer(LayerRef::Upper)?
            }
            Removal::MakeWhiteout => upper.write_whiteout(fd, name)?,
            Removal::ReplaceByWhiteout if devices => {
                upper.stage_whiteout()?.publish(fd, name, RenameFlag::Replace)?;
            }
            Removal::ExchangeForWhiteout if devices => {
                let published = upper.stage_whiteout()?.publish(fd, name, RenameFlag::Exchange)?;
                if let Some(mut displaced) = published.displaced {
                    displaced.now_directory(true);
                }
            }
            // A `.wh.` file first: while both are there, the object is still what the name is.
            Removal::ReplaceByWhiteout => {
                upper.write_whiteout(fd, name)?;
                fs::unlink(fd, name).op("unlink").at(name.as_bytes()).in_layer(LayerRef::Upper)?;
            }
            Removal::ExchangeForWhiteout => {
                upper.write_whiteout(fd, name)?;
                drop(upper.take_away(fd, name, true)?);
            }
            Removal::TakeAway => match fs::rmdir(fd, name) {
                Ok(()) => {}
                // Whiteouts are left in it.
                Err(nix::errno::Errno::ENOTEMPTY | nix::errno::Errno::EEXIST) => {
                    drop(upper.take_away(fd, name, true)?);
                }
                Err(errno) => {
                    return Err(Error::new("rmdir", errno).at(name.as_bytes()).in_layer(LayerRef::Upper));
                }
            },
        }
        if !devices && shows_below {
            note_oci(dir, name);
        }
        Ok(())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::NotADirectory`], [`Kind::NotEmpty`], and what the upper's file system answers.
    pub fn rmdir(&self, at: Place<'_>) -> Result<()> {
        let parent = self.node(at.dir)?;
        let dir = directory(&parent)?;
        self.stack.writable()?;
        let (child, checked) = {
            let mut names = dir.lock();
            let Some((child, _)) = self.child(&parent, dir, &mut names, at.name)? else {
                return Err(Error::new("rmdir", Kind::NotFound).at(at.name.as_bytes()));
            };
            // Before the parent is copied up for nothing; what counts is asked again when all is locked.
            let checked = match child.as_dir() {
                None => Err(Error::new("rmdir", Kind::NotADirectory).at(at.name.as_bytes())),
                Some(removed) => self.check_empty(&child, removed, &mut removed.lock(), at.name),
            };
            (child, checked)
        };
        let result = checked.and_then(|()| self.rmdir_checked(&parent, dir, &child, at.name));
        self.release_node(&child, 1);
        result
    }

    fn rmdir_checked(
        &self,
        parent: &Arc<Node>,
        dir: &DirNode,
        child: &Arc<Node>,
        name: Name<'_>,
    ) -> Result<()> {
        let removed = directory(child)?;
        let target = self.upper_dir(parent)?;
        let mut names = dir.lock();
        if !names.children.get(name.as_bytes()).is_some_and(|now| Arc::ptr_eq(now, child)) {
            return Err(Error::new("rmdir", Kind::NotFound).at(name.as_bytes()));
        }
        self.rmdir_locked(&target, (parent, dir), &mut names, (child, removed), name)
    }

    fn rmdir_locked(
        &self,
        target: &UpperDir<'_>,
        (parent, dir): (&Arc<Node>, &DirNode),
        names: &mut DirState,
        (child, removed): (&Arc<Node>, &DirNode),
        name: Name<'_>,
    ) -> Result<()> {
        let mut state = removed.lock();
        self.check_empty(child, removed, &mut state, name)?;
        self.keep_open(child, removed)?;
        self.remove_name(target, (parent, dir), name)?;
        state.removed = true;
        removed.set_place(None);
        forget_name(names, name);
        parent.refs.fetch_sub(1, std::sync::atomic::Ordering::AcqRel);
        Ok(())
    }

    /// # Errors
    /// [`Kind::NotEmpty`] where the merged directory has a name.
    pub(super) fn check_empty(
        &self,
        node: &Arc<Node>,
        dir: &DirNode,
        state: &mut DirState,
        name: Name<'_>,
    ) -> Result<()> {
        self.fresh_names(node, dir, state)?;
        match &state.names {
            Some(names) if !names.is_empty() => Err(Error::new("rmdir", Kind::NotEmpty).at(name.as_bytes())),
            _ => Ok(()),
        }
    }

    /// A directory is about to lose its name: what is open of it stays open.
    pub(super) fn keep_open(&self, node: &Node, dir: &DirNode) -> Result<()> {
        if let Some(part) = dir.upper.get() {
            part.fd.pin();
            self.upper_fd(node, dir, part)?;
        }
        Ok(())
    }
}

/// What the upper has at a name, whiteouts aside.
pub(super) fn what_is(dir: BorrowedFd<'_>, name: Name<'_>) -> Result<InUpper> {
    match fs::stat(At::Name(dir, name)) {
        Ok(stat) if stat.is_dir() => Ok(InUpper::Directory),
        Ok(_) => Ok(InUpper::File),
        Err(nix::errno::Errno::ENOENT) => Ok(InUpper::Nothing),
        Err(errno) => {
            Err(Error::new("look into the upper", errno).at(name.as_bytes()).in_layer(LayerRef::Upper))
        }
    }
}

/// A name is gone from a directory.
pub(super) fn forget_name(state: &mut DirState, name: Name<'_>) {
    state.forget_child(name.as_bytes());
    if let Some(names) = &mut state.names {
        names.remove(name);
    }
}

/// A name is there in a directory.
pub(super) fn note_name(state: &mut DirState, name: Name<'_>, child: &Arc<Node>) {
    let name = state.shared(name);
    state.children.insert(name.clone(), Arc::clone(child));
    if let Some(names) = &mut state.names {
        names.insert(name, Listed::Present(None));
    }
}

/// A `.wh.` file was written.
pub(super) fn note_oci(dir: &DirNode, name: Name<'_>) {
    if let Some(part) = dir.upper.get()
        && let Some(oci) = lock(&part.oci).as_mut()
    {
        oci.whiteouts.insert(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whiteout_is_written_only_where_something_shows_below() {
        for (in_upper, below, expected) in [
            (InUpper::Nothing, true, Some(Removal::MakeWhiteout)),
            (InUpper::Nothing, false, None),
            (InUpper::File, true, Some(Removal::ReplaceByWhiteout)),
            (InUpper::File, false, Some(Removal::Unlink)),
            (InUpper::Directory, true, Some(Removal::ExchangeForWhiteout)),
            (InUpper::Directory, false, Some(Removal::TakeAway)),
        ] {
            assert_eq!(plan(in_upper, below), expected, "{in_upper:?} {below}");
        }
    }
}
