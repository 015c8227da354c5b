//! A path of a SOURCE, found.

use super::Opened;
use crate::cli::explain::absent;
use crate::cli::{Failure, terminal};
use crate::error::{Error, ErrorContext, Kind, LayerRef, Result as LayerResult};
use crate::overlay::{Entry, FileKind, NodeId, Outcome};
use crate::path::RelPath;
use crate::resolve::Depth;

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
    /// There is nothing, and why; it is no directory and a slash comes after it; what the layers say.
    pub fn resolve(&self, path: &[u8], at_end: AtEnd) -> Result<Resolved, Failure> {
        let mut asked = path.to_vec();
        if at_end == AtEnd::Follow {
            // That is how a trace is told to follow it.
            asked.push(b'/');
        }
        let trace = self.overlay.trace(&asked).map_err(|error| self.failure(&error))?;
        let shown = terminal::escaped(path);
        if let Outcome::Absent(reason) = trace.outcome {
            let problem = format!("'{shown}' in '{}' {}", self.name, absent(self, reason));
            return Err(Failure::trouble(problem)
                .hint(format!("lamina explain {} '{shown}' shows what each layer has there", self.name)));
        }
        let entry = self.walk(&trace.path).map_err(|error| self.failure(&error))?;
        if path.ends_with(b"/") && entry.attr.kind != FileKind::Directory {
            return Err(Failure::trouble(format!("'{shown}' in '{}' is not a directory", self.name)));
        }
        Ok(Resolved { path: trace.path, entry })
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
