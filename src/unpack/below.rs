//! Directories that a layer has no entry for: the layers below give their attributes.

use crate::error::Result;
use crate::layer::{Attributes, Found};
use crate::overlay::{DirIn, Layers, Object};
use crate::path::RelPath;
use crate::resolve::Depth;

/// The directory below the layer `above` whose attributes the one at `path` has in that layer. `None` where there is none: a
/// layer that has something else at that place, or that hides the place, ends the search.
pub(super) fn attributes_below<'a>(
    layers: &'a Layers,
    above: Depth,
    path: &RelPath,
) -> Result<Option<Object<'a>>> {
    let below = above.0.saturating_add(1)..layers.depths().ordinary;
    'layers: for depth in below.map(Depth) {
        let layer = layers.get(depth)?;
        let mut found = layer.look_root()?;
        let mut dir = DirIn::root(layer)?;
        // Of the directories above the place; that itself may hide what is in it, and not what it is.
        let mut hidden = false;
        for name in path.names() {
            hidden |= found.opaque;
            let oci = dir.oci_marks()?;
            match dir.look(oci.as_deref(), name)? {
                Found::Dir(inner) => {
                    dir = dir.enter(name, &inner)?;
                    found = inner;
                }
                Found::Absent if hidden => return Ok(None),
                Found::Absent => continue 'layers,
                Found::Whiteout | Found::Leaf(_) => return Ok(None),
            }
        }
        match found.attributes {
            Attributes::Own => return Ok(Some(dir.into_object())),
            Attributes::Below if hidden => return Ok(None),
            Attributes::Below => {}
        }
    }
    Ok(None)
}
