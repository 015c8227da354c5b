//! The walk over an upper that plans for each object, and hands the plan on.

use std::os::fd::AsFd;

use super::Target;
use super::plan::{self, Blocked, In, Step};
use crate::check::facts::{Facts, Kind, NameSays};
use crate::check::look;
use crate::error::{ErrorContext, LayerRef, OpContext, Result};
use crate::layer;
use crate::marker::{Marker, OCI_OPAQUE, OpaqueMark};
use crate::path::RelPath;
use crate::sys::fs::{self, At};

/// An object that a plan is for.
pub(super) struct Object<'o> {
    /// From the root of the upper; of an entry of the index, from that of the work directory.
    pub path: &'o RelPath,
    /// The directory it is in and its name there, or itself.
    pub at: At<'o>,
    /// Was it there before?
    pub visit: Visit,
}

/// A directory is seen again with what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visit {
    /// For the first time.
    First {
        /// Has it content elsewhere in the layers below?
        goes_on_elsewhere: bool,
        /// Will something be done when it is seen again?
        unfinished: bool,
    },
    /// Again.
    Again,
}

/// Who takes plans.
pub(super) trait Sink {
    /// A plan for an object. It is done, or not, before the next one is made.
    fn object(&mut self, object: &Object<'_>, steps: std::result::Result<Vec<Step>, Blocked>) -> Result<()>;
}

/// Walks the upper, then the index of hard links.
pub(super) fn walk(target: &Target, sink: &mut dyn Sink) -> Result<()> {
    let mut walk = Walk { target, sink };
    walk.upper().in_layer(LayerRef::Upper)?;
    walk.index()
}

struct Walk<'a> {
    target: &'a Target,
    sink: &'a mut dyn Sink,
}

impl Walk<'_> {
    fn upper(&mut self) -> Result<()> {
        let root = At::Fd(self.target.upper.root());
        let path = RelPath::root();
        let facts = look::facts(root, &fs::stat(root).op("stat")?)?;
        self.hand_on(&path, root, &facts, plan::object(&facts, None, In::Merged, self.target.to))?;
        // A list and no recursion: a tree may be deeper than a stack.
        let mut open = vec![path];
        while let Some(path) = open.pop() {
            let mut inner = self.directory(&path).map_err(|error| error.at(path.as_bytes()))?;
            open.append(&mut inner);
        }
        Ok(())
    }

    /// Everything in a directory; hands out the directories in it.
    fn directory(&mut self, path: &RelPath) -> Result<Vec<RelPath>> {
        let to = self.target.to;
        let fd = self.target.upper.open_dir(path)?;
        let at = At::Fd(fd.as_fd());
        // What is known of it now, after what was done to it in its own directory.
        let facts = look::facts(at, &fs::stat(at).op("stat")?)?;
        let names = look::names(fd.as_fd())?;
        let says = look::Names::new(fd.as_fd(), &names);
        let by_name = !path.is_root() && says.says(OCI_OPAQUE)? == Some(NameSays::Opaque);
        if by_name {
            self.again(path, at, plan::opaque_by_name(&facts, to))?;
        }
        let is_opaque = by_name || (!path.is_root() && facts.opaque() == Some(OpaqueMark::Opaque));
        let parent = if is_opaque { In::Opaque } else { In::Merged };
        let mut inner = Vec::new();
        for name in &names {
            let (name, path) = (name.as_name(), path.join(name.as_name()));
            let child_at = At::Name(fd.as_fd(), name);
            let child = || {
                let mut facts = look::facts(child_at, &fs::stat(child_at).op("stat")?)?;
                facts.name = says.says(name.as_bytes())?.unwrap_or(NameSays::Ordinary);
                Ok(facts)
            };
            let facts: Facts = child().at(path.as_bytes())?;
            self.hand_on(&path, child_at, &facts, plan::object(&facts, Some(name), parent, to))?;
            if facts.kind == Kind::Directory && facts.name == NameSays::Ordinary {
                inner.push(path);
            }
        }
        self.again(path, at, plan::directory_done(&facts, to))?;
        inner.reverse();
        Ok(inner)
    }

    fn index(&mut self) -> Result<()> {
        let Some(index) = layer::index_of_work(self.target.work_root.as_fd())? else { return Ok(()) };
        let mut names = Vec::new();
        for name in look::names(index.as_fd())? {
            names.push((layer::path_in_index(name.as_name())?, name));
        }
        for (path, name) in &names {
            self.index_entry(path, At::Name(index.as_fd(), name.as_name())).at(path.as_bytes())?;
        }
        self.index_entry(&layer::path_of_index()?, At::Fd(index.as_fd()))
    }

    fn index_entry(&mut self, path: &RelPath, at: At<'_>) -> Result<()> {
        let facts = look::facts(at, &fs::stat(at).op("look into the index")?)?;
        self.hand_on(path, at, &facts, plan::index_entry(&facts, self.target.to))
    }

    fn again(&mut self, path: &RelPath, at: At<'_>, steps: Vec<Step>) -> Result<()> {
        self.sink.object(&Object { path, at, visit: Visit::Again }, Ok(steps)).at(path.as_bytes())
    }

    fn hand_on(
        &mut self,
        path: &RelPath,
        at: At<'_>,
        facts: &Facts,
        steps: std::result::Result<Vec<Step>, Blocked>,
    ) -> Result<()> {
        let goes_on_elsewhere = facts.marker(Marker::Metacopy).is_some()
            || facts.kind == Kind::Directory && facts.redirect().is_some();
        let unfinished =
            facts.kind == Kind::Directory && !plan::directory_done(facts, self.target.to).is_empty();
        let visit = Visit::First { goes_on_elsewhere, unfinished };
        self.sink.object(&Object { path, at, visit }, steps).at(path.as_bytes())
    }
}
