//! Renaming: a plan, then its execution, then the nodes.
//!
//! What makes it hard:
//! 1. What moves must be in the upper first, and copying takes locks: so nodes are found, copied up, and found again
//!    under both directories' locks. If others were faster, from the start.
//! 2. A directory with parts below takes them along by a redirect; where none can be written the rename is EXDEV, and
//!    mv(1) copies. A directory without parts below becomes opaque, or it would merge with what is below its new name.
//! 3. Something that shows below the old name must be hidden in the same step: RENAME_WHITEOUT, or an exchange with a
//!    whiteout that is at the new name already.
//! 4. An empty directory that is replaced may hold whiteouts in the upper; it is exchanged for a clean one first.

mod marks;
mod plan;

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, RwLockWriteGuard};

use self::marks::{Cleaned, at_target};
use self::plan::{Move, Moving, check_types, plan};
use super::copy_up::{Content, UpperDir};
use super::listing::Listed;
use super::lookup::directory;
use super::node::{Body, DirNode, DirState, InodeKey, LeafState, Node, NodePlace, Source};
use super::remove::{forget_name, note_name, note_oci};
use super::types::{Invalidation, Place, RenameMode};
use super::{Overlay, lock};
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::layer::{Upper, WhiteoutForm};
use crate::path::Name;
use crate::sys::fs::{self, RenameFlag};

/// How often a rename starts over while others change its names.
const TRIES: usize = 64;

/// One end of a rename.
struct End<'a> {
    node: Arc<Node>,
    name: Name<'a>,
}

impl End<'_> {
    fn dir(&self) -> Result<&DirNode> {
        directory(&self.node)
    }
}

/// The locked names of both ends, which may be one directory.
struct Locked<'a> {
    from: MutexGuard<'a, DirState>,
    to: Option<MutexGuard<'a, DirState>>,
}

impl Locked<'_> {
    fn to(&mut self) -> &mut DirState {
        match &mut self.to {
            Some(to) => to,
            None => &mut self.from,
        }
    }
}

impl Overlay {
    /// Moves a name, or exchanges two.
    ///
    /// # Errors
    /// [`Kind::CrossDevice`] for a directory with parts below where redirects cannot be written;
    /// [`Kind::NotFound`], [`Kind::Exists`], [`Kind::NotEmpty`] and the like as rename(2) has them.
    pub fn rename(&self, from: Place<'_>, to: Place<'_>, mode: RenameMode) -> Result<()> {
        let context = |error: Error| error.at([from.name.as_bytes(), b" to ", to.name.as_bytes()].concat());
        for _ in 0..TRIES {
            let from = End { node: self.node(from.dir)?, name: from.name };
            let to = End { node: self.node(to.dir)?, name: to.name };
            let source = self.find(&from)?;
            let target = self.find(&to);
            let done = match &target {
                Ok(target) => self.try_rename(&from, &to, source.as_ref(), target.as_ref(), mode),
                Err(error) => Err(error.clone()),
            };
            for node in [source, target.ok().flatten()].into_iter().flatten() {
                self.release_node(&node, 1);
            }
            if let Some(done) = done.map_err(context).transpose() {
                return done;
            }
        }
        Err(context(Error::new("rename", nix::errno::Errno::EBUSY)))
    }

    fn find(&self, end: &End<'_>) -> Result<Option<Arc<Node>>> {
        let dir = end.dir()?;
        let found = self.child(&end.node, dir, &mut dir.lock(), end.name)?;
        Ok(found.map(|(node, _)| node))
    }

    /// `None`: somebody else changed the names meanwhile.
    fn try_rename(
        &self,
        from: &End<'_>,
        to: &End<'_>,
        source: Option<&Arc<Node>>,
        target: Option<&Arc<Node>>,
        mode: RenameMode,
    ) -> Result<Option<()>> {
        let upper = self.stack.writable()?;
        let source = source.ok_or_else(|| Error::new("rename", Kind::NotFound))?;
        match (mode, target) {
            (RenameMode::NoReplace, Some(_)) => return Err(Error::new("rename", Kind::Exists)),
            (RenameMode::Exchange, None) => return Err(Error::new("rename", Kind::NotFound)),
            (RenameMode::Replace, Some(target)) => {
                check_types(moving(source), Some(moving(target)))
                    .map_err(|kind| Error::new("rename", kind))?;
            }
            _ => {}
        }
        // Two names of one file: nothing happens (rename(2)).
        if target.is_some_and(|target| Arc::ptr_eq(source, target)) {
            return Ok(Some(()));
        }
        upper.check_new_name(to.name)?;
        self.check_movable(source)?;
        if let (RenameMode::Replace, Some(target)) = (mode, target) {
            // Before anything is copied up for nothing.
            if let Some(dir) = target.as_dir() {
                self.check_empty(target, dir, &mut dir.lock(), to.name)?;
            }
            self.index_up(target)?;
        }
        if let (RenameMode::Exchange, Some(target)) = (mode, target) {
            upper.check_new_name(from.name)?;
            self.check_movable(target)?;
        }
        let from_dir = self.upper_dir(&from.node)?;
        let to_dir = self.upper_dir(&to.node)?;
        self.bring_up(source)?;
        if let (RenameMode::Exchange, Some(target)) = (mode, target) {
            self.bring_up(target)?;
        }

        let same = Arc::ptr_eq(&from.node, &to.node);
        let _renames = (!same).then(|| lock(&self.renames));
        if self.is_below(&to.node, source) {
            return Err(Error::new("rename", Kind::Invalid("a directory cannot be moved into itself")));
        }
        if let Some(target) = target
            && self.is_below(&from.node, target)
        {
            return Err(if mode == RenameMode::Exchange {
                Error::new("rename", Kind::Invalid("a directory cannot be moved into itself"))
            } else {
                Error::new("rename", Kind::NotEmpty)
            });
        }
        let mut locked = self.lock_ends(from, to, same)?;
        let still = |state: &DirState, name: Name<'_>, node: Option<&Arc<Node>>| match (
            state.children.get(name.as_bytes()),
            node,
        ) {
            (Some(now), Some(node)) => Arc::ptr_eq(now, node),
            (now, node) => now.is_none() && node.is_none(),
        };
        if !still(&locked.from, from.name, Some(source)) || !still(locked.to(), to.name, target) {
            return Ok(None);
        }
        if locked.from.removed || locked.to().removed {
            return Err(Error::new("rename", Kind::NotFound));
        }
        match (mode, target) {
            (RenameMode::Exchange, Some(target)) => {
                self.exchange((from, &from_dir, source), (to, &to_dir, target), &mut locked)?;
            }
            _ => self.move_over((from, &from_dir, source), (to, &to_dir, target), &mut locked)?,
        }
        Ok(Some(()))
    }

    /// # Errors
    /// [`Kind::CrossDevice`] for what has parts below that cannot come along.
    fn check_movable(&self, node: &Node) -> Result<()> {
        match node.as_dir() {
            Some(dir) if !dir.lowers.is_empty() && !self.options.writes_redirects => Err(Error::new(
                "rename",
                Kind::CrossDevice(
                    "redirects are not written (redirect_dir), and it has parts in lower layers",
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Copies a name's file up before the name goes, where the copy has to count the names that are left.
    pub(super) fn index_up(&self, node: &Arc<Node>) -> Result<()> {
        let in_index = node
            .as_leaf()
            .is_some_and(|file| matches!(file.read().link_key.as_deref(), Some(InodeKey::Indexed(_))));
        if in_index { self.copy_up(node, Content::Keep) } else { Ok(()) }
    }

    fn bring_up(&self, node: &Arc<Node>) -> Result<()> {
        match &node.body {
            Body::Dir(_) => self.upper_dir(node).map(drop),
            Body::Leaf(_) => self.copy_up(node, Content::Keep),
        }
    }

    /// Is `node` the directory `above`, or somewhere below it?
    fn is_below(&self, node: &Arc<Node>, above: &Arc<Node>) -> bool {
        let mut here = Some(Arc::clone(node));
        while let Some(node) = here {
            if Arc::ptr_eq(&node, above) {
                return true;
            }
            here = node.as_dir().and_then(DirNode::place).map(|place| place.dir);
        }
        false
    }

    /// Locks the names of both ends, an ancestor before a descendant. `renames` is locked if there are two.
    fn lock_ends<'e>(&self, from: &'e End<'_>, to: &'e End<'_>, same: bool) -> Result<Locked<'e>> {
        let (from_dir, to_dir) = (from.dir()?, to.dir()?);
        if same {
            return Ok(Locked { from: from_dir.lock(), to: None });
        }
        if self.is_below(&from.node, &to.node) {
            let to = to_dir.lock();
            return Ok(Locked { from: from_dir.lock(), to: Some(to) });
        }
        let from = from_dir.lock();
        Ok(Locked { from, to: Some(to_dir.lock()) })
    }

    fn move_over(
        &self,
        (from, from_dir, source): (&End<'_>, &UpperDir<'_>, &Arc<Node>),
        (to, to_dir, target): (&End<'_>, &UpperDir<'_>, Option<&Arc<Node>>),
        locked: &mut Locked<'_>,
    ) -> Result<()> {
        let upper = from_dir.upper;
        let (from_names, to_names) = (from.dir()?, to.dir()?);
        let (mut source_leaf, target_leaf) = lock_leaves(source, target);
        if let Some(state) = &source_leaf {
            let place = NodePlace { dir: Arc::clone(&from.node), name: from.name.to_owned() };
            self.link_up_locked(upper, state, &place)?;
        }
        let mut target_leaf = match target_leaf {
            Some(state) => {
                let names = match &state.source {
                    Source::Indexed(_) => {
                        let (held, _) = self.held(&state)?;
                        self.union_nlink(&upper.layer, held.at())?
                    }
                    _ => 0,
                };
                let kept = self.keep_leaf(&state)?;
                Some((state, names, kept))
            }
            None => None,
        };
        let mut target_dir = match target.and_then(|node| Some((node, node.as_dir()?))) {
            Some((node, dir)) => {
                let mut state = dir.lock();
                self.check_empty(node, dir, &mut state, to.name)?;
                self.keep_open(node, dir)?;
                Some((dir, state))
            }
            None => None,
        };
        let hides = self.shows_below(&from.node, from_names, from.name)?;
        self.mark_moved(upper, source, source_leaf.as_deref(), from, (to, to_dir))?;
        let cleaned = match &target_dir {
            Some(_) => self.clean(upper, to_dir, to.name)?,
            None => Cleaned::No,
        };
        let mut dir_gone = |to_names: &mut DirState| {
            if let Some((dir, state)) = &mut target_dir {
                to_names.children.remove(to.name.as_bytes());
                state.removed = true;
                dir.set_place(None);
                to.node.refs.fetch_sub(1, Ordering::AcqRel);
            }
        };
        let at_target = at_target(to_dir.fd.as_fd(), to.name, target.map(|node| moving(node)))?;
        let step = plan(moving(source), at_target, hides);
        let moving = self.moves(source, None);
        if let Err(error) = self.step(upper, (from, from_dir), (to, to_dir), step) {
            if cleaned == Cleaned::Yes {
                // What is there now is another directory, to be looked up anew.
                dir_gone(locked.to());
                self.invalidate(Invalidation::Entry(to.node.id, to.name.to_owned()));
            }
            return Err(error);
        }

        // From here on nothing may fail: the names have changed.
        replace_place(source, source_leaf.as_deref_mut(), from, to);
        drop(moving);
        dir_gone(locked.to());
        if let Some((state, _, kept)) = &mut target_leaf {
            if let Some(kept) = kept.take() {
                state.source = Source::Nameless(kept);
            }
            self.forget_place(locked.to(), &to.node, state, to.name);
        }
        forget_name(&mut locked.from, from.name);
        note_name(locked.to(), to.name, source);
        self.recount(from, to);
        self.parent_changed(source, from, to);
        if hides && upper.whiteout_form == WhiteoutForm::OciFile {
            note_oci(from_names, from.name);
        }
        self.now_in_upper(to_dir, to_names, locked.to(), to.name);
        if let (Some((mut state, names, _)), Some(target)) = (target_leaf, target) {
            self.name_gone(upper, &mut state, names);
            self.invalidate(Invalidation::Attr(target.id));
        }
        Ok(())
    }

    /// To be held from before a directory moves until its place says so.
    fn moves(&self, source: &Node, target: Option<&Arc<Node>>) -> Option<RwLockWriteGuard<'_, ()>> {
        let directory = source.as_dir().or_else(|| target.and_then(|target| target.as_dir()));
        directory.map(|_| self.moving.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The descriptor by which a file stays reachable when its last known name goes.
    fn keep_leaf(&self, state: &LeafState) -> Result<Option<Arc<std::os::fd::OwnedFd>>> {
        match state.source {
            Source::Upper if state.places.len() == 1 => {
                let (held, _) = self.held(state)?;
                let kept = held.open(libc::O_PATH).op("keep the replaced file").in_layer(LayerRef::Upper)?;
                Ok(Some(Arc::new(kept)))
            }
            _ => Ok(None),
        }
    }

    fn step(
        &self,
        upper: &Upper,
        (from, from_dir): (&End<'_>, &UpperDir<'_>),
        (to, to_dir): (&End<'_>, &UpperDir<'_>),
        step: Move,
    ) -> Result<()> {
        let old = (from_dir.fd.as_fd(), from.name);
        let new = (to_dir.fd.as_fd(), to.name);
        let rename = |flag| upper.rename(old, new, flag).op("rename").in_layer(LayerRef::Upper);
        match step {
            Move::Plain => rename(RenameFlag::Replace),
            Move::LeaveWhiteout => upper.rename_leaving_whiteout(old, new),
            Move::SwapWhiteout => rename(RenameFlag::Exchange),
            Move::SwapAndRemove => {
                rename(RenameFlag::Exchange)?;
                if let Err(errno) = fs::unlink(old.0, old.1) {
                    // A whiteout of nothing: out of sight, and worth no failure of what has happened.
                    log::warn!("remove a whiteout after a rename: {}", errno.desc());
                }
                Ok(())
            }
        }
    }

    fn exchange(
        &self,
        (from, from_dir, source): (&End<'_>, &UpperDir<'_>, &Arc<Node>),
        (to, to_dir, target): (&End<'_>, &UpperDir<'_>, &Arc<Node>),
        locked: &mut Locked<'_>,
    ) -> Result<()> {
        let upper = from_dir.upper;
        let (mut source_leaf, mut target_leaf) = lock_leaves(source, Some(target));
        for (state, end) in [(&source_leaf, from), (&target_leaf, to)] {
            if let Some(state) = state {
                let place = NodePlace { dir: Arc::clone(&end.node), name: end.name.to_owned() };
                self.link_up_locked(upper, state, &place)?;
            }
        }
        self.mark_moved(upper, source, source_leaf.as_deref(), from, (to, to_dir))?;
        self.mark_moved(upper, target, target_leaf.as_deref(), to, (from, from_dir))?;
        let old = (from_dir.fd.as_fd(), from.name);
        let new = (to_dir.fd.as_fd(), to.name);
        let moving = self.moves(source, Some(target));
        upper.rename(old, new, RenameFlag::Exchange).op("exchange").in_layer(LayerRef::Upper)?;
        replace_place(source, source_leaf.as_deref_mut(), from, to);
        replace_place(target, target_leaf.as_deref_mut(), to, from);
        drop(moving);
        locked.from.children.insert(from.name.to_owned(), Arc::clone(target));
        locked.to().children.insert(to.name.to_owned(), Arc::clone(source));
        self.parent_changed(source, from, to);
        self.parent_changed(target, from, to);
        // What is listed may be of another type now.
        for (state, name) in [(&mut locked.from as &mut DirState, from.name)] {
            if let Some(names) = &mut state.names {
                names.insert(name.to_owned(), Listed::Present(None));
            }
        }
        Ok(())
    }

    /// A directory that moved to another parent lists another number for `..`.
    fn parent_changed(&self, node: &Node, from: &End<'_>, to: &End<'_>) {
        if node.as_dir().is_some() && !Arc::ptr_eq(&from.node, &to.node) {
            self.invalidate(Invalidation::Listing(node.id));
        }
    }

    /// A child has moved from one directory to another, and with it what it counts for.
    fn recount(&self, from: &End<'_>, to: &End<'_>) {
        if !Arc::ptr_eq(&from.node, &to.node) {
            to.node.hold();
            // Never to zero: the caller's request keeps the directory known.
            from.node.refs.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn moving(node: &Node) -> Moving {
    match node.body {
        Body::Dir(_) => Moving::Directory,
        Body::Leaf(_) => Moving::Leaf,
    }
}

/// Locks what is a file of two nodes, in the order of their ids: each may have names in several directories, and
/// then the directories' locks do not keep others from taking the same two.
fn lock_leaves<'n>(
    source: &'n Node,
    target: Option<&'n Arc<Node>>,
) -> (Option<RwLockWriteGuard<'n, LeafState>>, Option<RwLockWriteGuard<'n, LeafState>>) {
    let lock = |node: &'n Node| node.as_leaf().map(|file| file.write());
    match target {
        Some(target) if target.id < source.id => {
            let target = lock(target);
            (lock(source), target)
        }
        target => {
            let source = lock(source);
            (source, target.and_then(|target| lock(target)))
        }
    }
}

fn replace_place(node: &Node, state: Option<&mut LeafState>, from: &End<'_>, to: &End<'_>) {
    let new = NodePlace { dir: Arc::clone(&to.node), name: to.name.to_owned() };
    match (node.as_dir(), state) {
        (Some(dir), _) => dir.set_place(Some(new)),
        (None, Some(state)) => {
            for place in state.places.iter_mut().filter(|place| place.is(&from.node, from.name.as_bytes())) {
                *place = new.clone();
            }
        }
        (None, None) => {}
    }
}
