//! Which layer supplies an object, and which others have it: what a mount answers for `user.lamina.layer` and
//! `user.lamina.shadowed`.
//!
//! Nothing is kept for it: the path is traced when somebody asks.

use super::Overlay;
use super::stack::AnyLayer;
use super::trace::{Outcome, Trace};
use super::types::NodeId;
use crate::error::{Error, Kind, Result};
use crate::resolve::Depth;

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supplied {
    /// The layer that the attributes come from.
    By,
    /// The layers below that have something there, too, which is hidden; top first.
    Shadowed,
}

impl Supplied {
    /// What the attribute with this name asks.
    pub fn asked_by(name: &[u8]) -> Option<Self> {
        match name {
            b"user.lamina.layer" => Some(Supplied::By),
            b"user.lamina.shadowed" => Some(Supplied::Shadowed),
            _ => None,
        }
    }
}

impl Overlay {
    /// The layer or layers, as text: the number (1 is the base, the upper has the one above the topmost lower) and, of an
    /// image's layer, a space and its diff_id; several are separated by commas. Empty where there are none.
    ///
    /// # Errors
    /// [`Kind::NoAttribute`]: the object has no name any more. Those of [`Overlay::trace`].
    pub fn supplied(&self, node: NodeId, what: Supplied) -> Result<Vec<u8>> {
        let nameless = || Error::new("find the layer", Kind::NoAttribute);
        let node = self.node(node)?;
        let path = match node.places().first() {
            Some(place) => self.path_of_place(place),
            None if node.id == NodeId::ROOT => crate::path::RelPath::root(),
            None => return Err(nameless()),
        };
        let trace = self.trace(path.as_bytes())?;
        let Trace { outcome: Outcome::There { depth: by, .. }, layers, .. } = trace else {
            return Err(nameless());
        };
        let depths: Vec<Depth> = match what {
            Supplied::By => vec![by],
            Supplied::Shadowed => {
                layers.iter().filter(|said| said.is_shadowed()).map(|said| said.depth).collect()
            }
        };
        let told: Vec<String> = depths.into_iter().map(|depth| self.told(depth)).collect();
        Ok(told.join(",").into_bytes())
    }

    fn told(&self, depth: Depth) -> String {
        let number = self.stack.depths().ordinary.saturating_sub(depth.0);
        match self.stack.layer(depth) {
            AnyLayer::Directory(_) => number.to_string(),
            AnyLayer::Tar(tar) => format!("{number} {}", tar.spec.diff_id),
        }
    }
}
