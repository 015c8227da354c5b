//! What is shown, looked up: the answers to the questions of the interface.

mod dir;
mod held;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

pub use self::dir::Dir;
use self::held::Held;
use super::ask::{PIECE, Piece, Place};
use super::detail::{Against, Change, Detail, Known, Shadow, Shown};
use crate::cli::explain::{self, Contents};
use crate::cli::opened::{self, AtEnd, Opened, Selection};
use crate::cli::{Failure, terminal};
use crate::error::{Error, ErrorContext, Result as LayerResult};
use crate::overlay::{Access, FileKind, OpenMode, Outcome, Reason, SharedBase, TracedDir, Truncate};
use crate::path::RelPath;

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
    /// The layers of both.
    shared: SharedBase,
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
        let shared = SharedBase::lowest(without.as_ref().map_or(0, |without| without.layers.len()));
        Ok(View { with: self.up_to(shown.layer)?, without, shared, against: shown.against })
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

impl View {
    /// A directory as it is now, for asking what its names hide.
    fn traced(&self, path: &RelPath) -> Option<TracedDir<'_>> {
        // What is below may be corrupt, and the names are none the worse.
        self.with.overlay.trace_dir(path).ok().flatten()
    }

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
        Ok(is_there.then(|| Dir::new(self, path.clone(), now, before)))
    }

    /// What is known of the root.
    pub fn root(&self) -> Known {
        let looked = || -> LayerResult<Detail> {
            let now = Held::root(&self.with.overlay)?;
            let before = self.without.as_ref().map(|without| Held::root(&without.overlay)).transpose()?;
            self.detail(&RelPath::root(), Some(&now), before.as_ref(), Shadow::HidesNothing)
        };
        looked().map_err(|error| self.told(&error))
    }

    /// What went wrong, for people.
    pub fn told(&self, error: &Error) -> String {
        self.with.failure(error).message
    }

    fn detail(
        &self,
        path: &RelPath,
        now: Option<&Held<'_>>,
        before: Option<&Held<'_>>,
        shadow: Shadow,
    ) -> LayerResult<Detail> {
        let is_dir = [now, before].into_iter().flatten().any(Held::is_dir);
        let Some(there) = now else { return self.gone(path, before, is_dir) };
        let layer = self.with.layer_of(there.node).at(path.as_bytes())?;
        let change = match before {
            _ if self.without.is_none() => Change::Same,
            None => Change::Added,
            Some(before) => self.change(there, before, layer).at(path.as_bytes())?,
        };
        let target = match there.attr.kind {
            FileKind::Symlink => Some(there.overlay.readlink(there.node).at(path.as_bytes())?),
            _ => None,
        };
        Ok(Detail { attr: Some(there.attr), target, layer: Some(layer), change, shadow, is_dir })
    }

    /// What has become of what is there now, and was before. The rule is that of `changes`: an entry of a new layer is a change,
    /// and so is one of an old layer that shows in another place; of a directory, other attributes are.
    fn change(&self, there: &Held<'_>, before: &Held<'_>, layer: usize) -> LayerResult<Change> {
        Ok(match (there.is_dir(), before.is_dir()) {
            (true, true) if there.has_same_parts(before, self.shared)? => Change::Same,
            (true, true) if there.is_same_dir(before) => Change::Within,
            (false, false) => {
                let top_before = self.without.as_ref().and_then(|without| without.layers.first());
                let is_old = || top_before.is_some_and(|top| layer <= top.number);
                match there.is_same_leaf(before, self.shared)?.unwrap_or_else(is_old) {
                    true => Change::Same,
                    false => Change::Changed,
                }
            }
            _ => Change::Changed,
        })
    }

    /// What is deleted, and by whom.
    fn gone(&self, path: &RelPath, before: Option<&Held<'_>>, is_dir: bool) -> LayerResult<Detail> {
        let top = self.with.layers.first().map(|top| top.number);
        let traced = || self.with.overlay.trace(path.as_bytes()).map(|trace| trace.outcome);
        let by = match (before, self.against) {
            // What was there without the top layer, and is not there with it.
            (Some(_), Against::Below) => top,
            _ => self.by_whom(traced()?)?,
        };
        let target = match before {
            Some(held) if held.attr.kind == FileKind::Symlink => Some(held.overlay.readlink(held.node)?),
            _ => None,
        };
        let attr = before.map(|held| held.attr);
        Ok(Detail { attr, target, layer: by, change: Change::Deleted, shadow: Shadow::HidesNothing, is_dir })
    }

    /// The layer that deletes or hides what is not there.
    fn by_whom(&self, outcome: Outcome) -> LayerResult<Option<usize>> {
        match outcome {
            Outcome::Absent(
                Reason::Deleted(depth) | Reason::HiddenByOpaque(depth) | Reason::ParentNotADirectory(depth),
            ) => self.with.number(depth).map(Some),
            Outcome::Absent(Reason::NeverExisted) | Outcome::There { .. } => Ok(None),
        }
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
