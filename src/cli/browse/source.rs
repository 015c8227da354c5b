//! What is shown, looked up: the answers to the questions of the interface.

use std::collections::{BTreeSet, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use super::ask::{Listing, PIECE, Piece, Place};
use super::detail::{Against, Change, Detail, Known, Shadow, Shown};
use crate::cli::explain::{self, Contents};
use crate::cli::opened::{self, AtEnd, Opened, Selection};
use crate::cli::{Failure, terminal};
use crate::error::{Error, ErrorContext, Result as LayerResult};
use crate::overlay::{
    Access, Attr, FileKind, NodeId, OpenMode, Outcome, Overlay, Part, Reason, Truncate, Trusted,
};
use crate::path::{Name, NameBuf, RelPath};

/// How many stacks are kept open.
const MOST_OPEN: usize = 4;

/// A source, of which stacks are opened as they are looked at.
pub struct Sources {
    known: opened::Known,
    /// By the number of the topmost layer; the one used last is the last.
    open: Mutex<Vec<(usize, Arc<Opened>)>>,
}

/// A stack, and what it is compared with.
pub struct View {
    with: Arc<Opened>,
    without: Option<Arc<Opened>>,
    against: Against,
}

impl Sources {
    /// Of a source that has been found.
    pub fn new(known: opened::Known) -> Self {
        Sources { known, open: Mutex::default() }
    }

    /// Opens what is to be shown.
    ///
    /// # Errors
    /// A layer cannot be opened any more.
    pub fn view(&self, shown: Shown) -> Result<View, Failure> {
        let without = shown.compared_with().map(|layer| self.up_to(layer)).transpose()?;
        Ok(View { with: self.up_to(shown.layer)?, without, against: shown.against })
    }

    fn up_to(&self, layer: usize) -> Result<Arc<Opened>, Failure> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match open.iter().position(|(number, _)| *number == layer) {
            Some(index) => open.remove(index).1,
            None => {
                let selection = NonZeroUsize::new(layer).map_or(Selection::All, Selection::UpTo);
                Arc::new(self.known.open(selection)?)
            }
        };
        if open.len() >= MOST_OPEN {
            open.remove(0);
        }
        open.push((layer, Arc::clone(&opened)));
        Ok(opened)
    }
}

/// A node that is held.
struct Held<'o> {
    overlay: &'o Overlay,
    node: NodeId,
    attr: Attr,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.overlay.forget(self.node, 1);
    }
}

impl<'o> Held<'o> {
    fn root(overlay: &'o Overlay) -> LayerResult<Self> {
        Ok(Held { overlay, node: NodeId::ROOT, attr: overlay.getattr(NodeId::ROOT)? })
    }

    fn child(&self, name: Name<'_>) -> LayerResult<Option<Held<'o>>> {
        let found = self.overlay.lookup(self.node, name)?;
        Ok(found.map(|entry| Held { overlay: self.overlay, node: entry.node, attr: entry.attr }))
    }

    /// From the root down, without symlinks.
    fn at(overlay: &'o Overlay, path: &RelPath) -> LayerResult<Option<Self>> {
        let mut here = Held::root(overlay)?;
        for name in path.names() {
            match here.child(name).at(path.as_bytes())? {
                Some(below) => here = below,
                None => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    fn is_dir(&self) -> bool {
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

    fn is_same_dir(&self, other: &Held<'_>) -> bool {
        let of = |attr: &Attr| (attr.perm, attr.uid, attr.gid);
        of(&self.attr) == of(&other.attr) && self.xattrs() == other.xattrs()
    }
}

/// A directory, now and before.
pub struct Dir<'v> {
    view: &'v View,
    path: RelPath,
    now: Option<Held<'v>>,
    before: Option<Held<'v>>,
}

impl View {
    /// A directory; `None`: there is none, and was none.
    ///
    /// # Errors
    /// Those of lookups.
    pub fn dir(&self, path: &RelPath) -> LayerResult<Option<Dir<'_>>> {
        let held = Held::at(&self.with.overlay, path)?;
        let now = held.filter(Held::is_dir);
        let before = match &self.without {
            Some(without) => Held::at(&without.overlay, path)?.filter(Held::is_dir),
            None => None,
        };
        let is_there = now.is_some() || before.is_some();
        Ok(is_there.then(|| Dir { view: self, path: path.clone(), now, before }))
    }

    /// What is known of the root.
    pub fn root(&self) -> Known {
        let looked = || -> LayerResult<Detail> {
            let now = Held::root(&self.with.overlay)?;
            let before = self.without.as_ref().map(|without| Held::root(&without.overlay)).transpose()?;
            self.detail(&RelPath::root(), Some(&now), before.as_ref())
        };
        looked().map_err(|error| self.told(&error))
    }

    fn told(&self, error: &Error) -> String {
        self.with.failure(error).message
    }

    /// The names in a directory.
    pub fn list(&self, path: &RelPath) -> Listing {
        let listed = self.dir(path).and_then(|dir| dir.map(|dir| dir.names()).transpose());
        match listed {
            Ok(Some(names)) => Listing::Names(names),
            Ok(None) => Listing::NoDirectory,
            Err(error) => Listing::Failed(self.told(&error)),
        }
    }

    /// What is known of some names in a directory.
    pub fn look(&self, path: &RelPath, names: Vec<NameBuf>) -> Vec<(NameBuf, Known)> {
        match self.dir(path) {
            Ok(Some(dir)) => names
                .into_iter()
                .map(|name| {
                    let known = dir.look(name.as_name());
                    (name, known)
                })
                .collect(),
            Ok(None) => names.into_iter().map(|name| (name, Err("it is gone".to_owned()))).collect(),
            Err(error) => {
                let told = self.told(&error);
                names.into_iter().map(|name| (name, Err(told.clone()))).collect()
            }
        }
    }

    fn detail(
        &self,
        path: &RelPath,
        now: Option<&Held<'_>>,
        before: Option<&Held<'_>>,
    ) -> LayerResult<Detail> {
        let is_dir = [now, before].into_iter().flatten().any(Held::is_dir);
        let Some(there) = now else { return self.gone(path, before, is_dir) };
        let layer = self.with.layer_of(there.node).at(path.as_bytes())?;
        let top_before =
            self.without.as_ref().and_then(|without| without.layers.first()).map(|top| top.number);
        let is_newer = top_before.is_some_and(|top| layer > top);
        let change = match before {
            _ if self.without.is_none() => Change::Same,
            None => Change::Added,
            Some(before) if there.is_dir() && before.is_dir() => match is_newer {
                false => Change::Same,
                true if there.is_same_dir(before) => Change::Within,
                true => Change::Changed,
            },
            Some(_) if is_newer => Change::Changed,
            Some(_) => Change::Same,
        };
        let target = match there.attr.kind {
            FileKind::Symlink => Some(there.overlay.readlink(there.node).at(path.as_bytes())?),
            _ => None,
        };
        // What is below may be corrupt, and the name is none the worse.
        let hides = self.with.overlay.trace(path.as_bytes()).is_ok_and(|trace| {
            trace.layers.iter().any(|said| said.part == Part::Hidden && said.stat().is_some())
        });
        let shadow = if hides { Shadow::Hides } else { Shadow::HidesNothing };
        Ok(Detail { attr: Some(there.attr), target, layer: Some(layer), change, shadow, is_dir })
    }

    /// What is deleted, and by whom.
    fn gone(&self, path: &RelPath, before: Option<&Held<'_>>, is_dir: bool) -> LayerResult<Detail> {
        let by = match self.with.overlay.trace(path.as_bytes())?.outcome {
            Outcome::Absent(
                Reason::Deleted(depth) | Reason::HiddenByOpaque(depth) | Reason::ParentNotADirectory(depth),
            ) => Some(self.with.number(depth)?),
            Outcome::Absent(Reason::NeverExisted) | Outcome::There { .. } => None,
        };
        let target = match before {
            Some(held) if held.attr.kind == FileKind::Symlink => Some(held.overlay.readlink(held.node)?),
            _ => None,
        };
        let attr = before.map(|held| held.attr);
        Ok(Detail { attr, target, layer: by, change: Change::Deleted, shadow: Shadow::HidesNothing, is_dir })
    }

    /// The text of `lamina explain`.
    pub fn explain(&self, path: &RelPath, width: usize, contents: Contents) -> Result<String, String> {
        let asked = [b"/", path.as_bytes()].concat();
        explain::plain_text(&self.with, &asked, width, contents).map_err(|error| self.told(&error))
    }

    /// Where a path leads. One that is not there may still be shown as deleted.
    pub fn locate(&self, path: &[u8]) -> Result<Place, String> {
        let trace = self.with.overlay.trace(path).map_err(|error| self.told(&error))?;
        let absent = match trace.outcome {
            Outcome::There { .. } => None,
            Outcome::Absent(reason) => {
                let shown = terminal::shown_bytes(path);
                Some(format!("{shown} {}", explain::absent(&self.with, &trace, reason)))
            }
        };
        Ok(Place { path: trace.path, absent })
    }

    /// A piece of a file; of a deleted one, as it was.
    pub fn read(&self, path: &RelPath, start: u64) -> Result<Piece, String> {
        let read = |opened: &Opened| read_piece(opened, path, start).map_err(|failure| failure.message);
        let is_gone = Held::at(&self.with.overlay, path).is_ok_and(|held| held.is_none());
        match &self.without {
            Some(without) if is_gone => read(without),
            _ => read(&self.with),
        }
    }
}

fn read_piece(opened: &Opened, path: &RelPath, start: u64) -> Result<Piece, Failure> {
    let asked = [b"/", path.as_bytes()].concat();
    let found = opened.resolve(&asked, AtEnd::Follow)?;
    let held = Held { overlay: &opened.overlay, node: found.entry.node, attr: found.entry.attr };
    if held.attr.kind != FileKind::Regular {
        return Err(Failure::trouble(format!("{found} is no file", found = found.path)));
    }
    let failure = |error: Error| opened.failure(&error);
    let mode = OpenMode { access: Access::Read, truncate: Truncate::Keep };
    let handle = held.overlay.open(held.node, mode).at(found.path.as_bytes()).map_err(failure)?.handle;
    let mut bytes = vec![0; PIECE];
    let read = held.overlay.read(handle, start, &mut bytes).at(found.path.as_bytes());
    held.overlay.release(handle);
    bytes.truncate(read.map_err(failure)?);
    Ok(Piece { size: held.attr.size, bytes })
}

impl<'v> Dir<'v> {
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

    /// A directory in it, now or before.
    ///
    /// # Errors
    /// Those of lookups.
    pub fn enter(&self, name: Name<'_>) -> LayerResult<Option<Self>> {
        let below = |dir: &Option<Held<'v>>| dir.as_ref().map(|dir| dir.child(name)).transpose();
        let now = below(&self.now)?.flatten().filter(Held::is_dir);
        let before = below(&self.before)?.flatten().filter(Held::is_dir);
        let is_there = now.is_some() || before.is_some();
        Ok(is_there.then(|| Dir { view: self.view, path: self.path.join(name), now, before }))
    }

    /// A directory that is in it now.
    ///
    /// # Errors
    /// Those of lookups.
    pub fn enter_now(&self, name: Name<'_>) -> LayerResult<Option<Self>> {
        let now = self.now.as_ref().map(|dir| dir.child(name)).transpose()?.flatten().filter(Held::is_dir);
        let path = || self.path.join(name);
        Ok(now.map(|now| Dir { view: self.view, path: path(), now: Some(now), before: None }))
    }

    /// The size of a regular file in it, unless one of its names was in `linked` already.
    pub fn size(&self, name: Name<'_>, linked: &mut HashSet<u64>) -> u64 {
        let found = self.now.as_ref().and_then(|now| now.child(name).ok().flatten());
        let attr = found.map(|held| held.attr).filter(|attr| attr.kind == FileKind::Regular);
        attr.filter(|attr| attr.nlink < 2 || linked.insert(attr.ino)).map_or(0, |attr| attr.size)
    }

    /// Has no layer that is new anything in it? Then the names are the same.
    pub fn is_untouched(&self) -> bool {
        let top = self.view.without.as_ref().and_then(|without| without.layers.first());
        let layer = self.now.as_ref().and_then(|now| self.view.with.layer_of(now.node).ok());
        matches!((layer, top), (Some(layer), Some(top)) if layer <= top.number)
    }

    /// What is known of a name in it.
    pub fn look(&self, name: Name<'_>) -> Known {
        let path = self.path.join(name);
        let looked = || -> LayerResult<Detail> {
            let now = self.now.as_ref().map(|dir| dir.child(name)).transpose().at(path.as_bytes())?.flatten();
            let before =
                self.before.as_ref().map(|dir| dir.child(name)).transpose().at(path.as_bytes())?.flatten();
            self.view.detail(&path, now.as_ref(), before.as_ref())
        };
        looked().map_err(|error| self.view.told(&error))
    }
}
