//! A path of a SOURCE, found.

use nix::errno::Errno;

use super::Opened;
use crate::cli::explain::absent;
use crate::cli::shell::quoted;
use crate::cli::{Failure, terminal};
use crate::error::{Error, ErrorContext, Kind, LayerRef, Result as LayerResult};
use crate::overlay::{Entry, FileKind, NodeId, Outcome, Reason, Said, Trace};
use crate::path::RelPath;
use crate::resolve::Depth;

/// How many symlinks at the end of a path are followed, one after the other.
const MAX_SYMLINKS: usize = 40;

/// Is a symlink at the end of a path followed? One that a slash comes after always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum AtEnd {
    Follow,
    Stay,
}

/// Something in a source.
#[derive(Debug)]
pub struct Resolved {
    /// Where it is: without symlinks on the way.
    pub path: RelPath,
    /// What it is. Its node is held.
    pub entry: Entry,
}

impl Opened {
    /// Finds a path, from the root of the source. Symlinks on the way lead to places in the source.
    ///
    /// # Errors
    /// There is nothing, and why: also where it is no directory and a slash comes after it. What the layers say.
    pub fn resolve(&self, path: &[u8], at_end: AtEnd) -> Result<Resolved, Failure> {
        let mut asked = path.to_vec();
        for _ in 0..=MAX_SYMLINKS {
            let trace = self.overlay.trace(&asked).map_err(|error| self.failure(&error))?;
            match (trace.outcome, at_end) {
                (Outcome::Absent(reason), _) => return Err(self.nothing(path, &trace, reason)),
                (Outcome::There { kind: FileKind::Symlink, depth, .. }, AtEnd::Follow) => {
                    let said = trace.layers.iter().find(|said| said.depth == depth);
                    let target = said.map(Said::target).transpose().map_err(|error| self.failure(&error))?;
                    let parent = trace.path.split_last().map(|(parent, _)| parent).unwrap_or_default();
                    let target = target.flatten().unwrap_or_default();
                    asked = match target.starts_with(b"/") {
                        true => target,
                        false => [parent.as_bytes(), b"/", &target].concat(),
                    };
                }
                (Outcome::There { .. }, _) => {
                    let entry = self.walk(&trace.path).map_err(|error| self.failure(&error))?;
                    return Ok(Resolved { path: trace.path, entry });
                }
            }
        }
        Err(self.failure(&Error::new("follow symlinks", Errno::ELOOP).at(path)))
    }

    fn nothing(&self, path: &[u8], trace: &Trace<'_>, reason: Reason) -> Failure {
        let shown = terminal::shown_bytes(path);
        Failure::trouble(format!("'{shown}' in '{}' {}", self.name, absent(self, trace, reason))).hint(
            format!("lamina explain {} {} shows what each layer has there", self.pasted(), quoted(path)),
        )
    }

    /// From the root down by names.
    fn walk(&self, path: &RelPath) -> LayerResult<Entry> {
        let mut here = Entry { node: NodeId::ROOT, attr: self.overlay.getattr(NodeId::ROOT)? };
        for name in path.names() {
            let found = self.overlay.lookup(here.node, name).at(path.as_bytes())?;
            let found = found.ok_or_else(|| Error::new("look up", Kind::NotFound).at(path.as_bytes()));
            self.overlay.forget(here.node, 1);
            here = found?;
        }
        Ok(here)
    }

    /// The number of the layer that supplies a node.
    pub fn layer_of(&self, node: NodeId) -> LayerResult<usize> {
        self.number(self.overlay.layer_of(node)?)
    }

    /// The number of the layer at a depth.
    pub fn number(&self, depth: Depth) -> LayerResult<usize> {
        let layer = self.layers.get(usize::from(depth.0));
        layer.map(|layer| layer.number).ok_or_else(|| Error::new("find the layer", Kind::Stale))
    }

    /// What went wrong in the source's layers.
    pub fn failure(&self, error: &Error) -> Failure {
        let digest = match error.layer() {
            Some(LayerRef::Lower(number)) => {
                let layer = self.layers.iter().find(|layer| layer.number == usize::from(number));
                let digest = layer.and_then(|layer| layer.digest.or(layer.diff_id));
                digest.map(|digest| format!(" (layer {number} is sha256:{})", digest.short()))
            }
            _ => None,
        };
        Failure::trouble(format!("'{}': {error}{}", self.name, digest.unwrap_or_default()))
    }
}
