//! Directories, and what has a name in them, now and before.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::View;
use super::held::Held;
use crate::cli::browse::detail::{Against, Known, Shadow};
use crate::error::{ErrorContext, Result as LayerResult};
use crate::overlay::{FileKind, TracedDir};
use crate::path::{Name, NameBuf, RelPath};

/// A directory, now and before.
pub struct Dir<'v> {
    view: &'v View,
    path: RelPath,
    now: Option<Held<'v>>,
    before: Option<Held<'v>>,
    traced: RefCell<Traced<'v>>,
}

/// What is asked whether names hide something.
enum Traced<'v> {
    NotYet,
    NoDirectory,
    Dir(TracedDir<'v>),
}

impl<'v> Dir<'v> {
    pub(super) fn new(
        view: &'v View,
        path: RelPath,
        now: Option<Held<'v>>,
        before: Option<Held<'v>>,
    ) -> Self {
        Dir { view, path, now, before, traced: RefCell::new(Traced::NotYet) }
    }

    /// Gives up the descriptors that telling what is hidden has taken; there is one for each layer.
    pub fn let_go(&self) {
        self.traced.replace(Traced::NotYet);
    }

    fn shadow(&self, name: Name<'_>) -> Shadow {
        let mut traced = self.traced.borrow_mut();
        if matches!(*traced, Traced::NotYet) {
            *traced = self.view.traced(&self.path).map_or(Traced::NoDirectory, Traced::Dir);
        }
        match &*traced {
            // What is below may be corrupt, and the name is none the worse.
            Traced::Dir(dir) if dir.shadows(name).unwrap_or(false) => Shadow::Hides,
            Traced::Dir(_) | Traced::NoDirectory | Traced::NotYet => Shadow::HidesNothing,
        }
    }

    /// All names: those that are there, those that were, and, against the base, those that were deleted in between.
    ///
    /// # Errors
    /// What the layers answer.
    pub fn names(&self) -> LayerResult<Vec<NameBuf>> {
        let mut names = match &self.now {
            Some(now) => now.overlay.names(now.node).at(self.path.as_bytes())?,
            None => Vec::new(),
        };
        let mut more: BTreeSet<NameBuf> = BTreeSet::new();
        if let Some(before) = self.before.as_ref().filter(|_| !self.is_untouched()) {
            more.extend(before.overlay.names(before.node).at(self.path.as_bytes())?);
        }
        if let (Some(now), Against::Base) = (&self.now, self.view.against) {
            more.extend(now.overlay.deleted(now.node).at(self.path.as_bytes())?.into_keys());
        }
        if !more.is_empty() {
            more.extend(names);
            names = more.into_iter().collect();
        }
        Ok(names)
    }

    /// Where it is.
    pub fn path(&self) -> &RelPath {
        &self.path
    }

    /// What has a name in it.
    ///
    /// # Errors
    /// Those of lookups.
    pub fn child(&self, name: Name<'_>) -> LayerResult<Child<'v>> {
        let child = |dir: &Option<Held<'v>>| dir.as_ref().map(|dir| dir.child(name)).transpose();
        let path = self.path.join(name);
        let now = child(&self.now).at(path.as_bytes())?.flatten();
        let before = child(&self.before).at(path.as_bytes())?.flatten();
        Ok(Child { view: self.view, path, now, before })
    }

    /// What has a name in it now.
    ///
    /// # Errors
    /// Those of lookups.
    pub fn child_now(&self, name: Name<'_>) -> LayerResult<Child<'v>> {
        let now = self.now.as_ref().map(|dir| dir.child(name)).transpose()?.flatten();
        Ok(Child { view: self.view, path: self.path.join(name), now, before: None })
    }

    /// Is it the same as before, with all in it? Its layer does not say so: that is the one that its attributes come from, and a
    /// layer above may have names in it, or an overlay may have put another directory in its place.
    pub fn is_untouched(&self) -> bool {
        let both = self.now.as_ref().zip(self.before.as_ref());
        both.is_some_and(|(now, before)| now.has_same_parts(before, self.view.shared).unwrap_or(false))
    }

    /// What is known of something in it.
    pub fn known(&self, child: &Child<'_>) -> Known {
        let shadow = match (&child.now, child.path.split_last()) {
            (Some(_), Some((_, name))) => self.shadow(name),
            _ => Shadow::HidesNothing,
        };
        let detail = self.view.detail(&child.path, child.now.as_ref(), child.before.as_ref(), shadow);
        detail.map_err(|error| self.view.told(&error))
    }

    /// What is known of a name in it.
    pub fn look(&self, name: Name<'_>) -> Known {
        self.known(&self.child(name).map_err(|error| self.view.told(&error))?)
    }
}

/// What has a name in a directory, now and before.
pub struct Child<'v> {
    view: &'v View,
    path: RelPath,
    now: Option<Held<'v>>,
    before: Option<Held<'v>>,
}

impl<'v> Child<'v> {
    /// The size of a regular file; of one that is gone, as it was.
    pub fn file_size(&self) -> Option<u64> {
        let held = self.now.as_ref().or(self.before.as_ref());
        held.filter(|held| held.attr.kind == FileKind::Regular).map(|held| held.attr.size)
    }

    /// The inode number of a file that has other names.
    pub fn linked(&self) -> Option<u64> {
        self.now.as_ref().filter(|held| held.attr.nlink > 1).map(|held| held.attr.ino)
    }

    /// It, if it is a directory, or was one.
    pub fn into_dir(self) -> Option<Dir<'v>> {
        let now = self.now.filter(Held::is_dir);
        let before = self.before.filter(Held::is_dir);
        let is_there = now.is_some() || before.is_some();
        is_there.then(|| Dir::new(self.view, self.path, now, before))
    }
}
