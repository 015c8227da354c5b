//! Directories that a layer has no entry for: the layers below give their attributes.

use crate::error::Result;
use crate::layer::{Attributes, EntryId, Found};
use crate::path::RelPath;
use crate::tarball::TarLayer;

/// The directory in `below` (the base first) whose attributes the one at `path` has, in a layer above all of them.
/// `None` where there is none: a layer that has something else at that place, or that hides the place, ends the search.
pub(super) fn attributes_below<'a>(
    below: &'a [TarLayer],
    path: &RelPath,
) -> Result<Option<(&'a TarLayer, EntryId)>> {
    'layers: for layer in below.iter().rev() {
        let mut found = layer.look_root()?;
        let mut dir = EntryId::ROOT;
        // Of the directories above the place; that itself may hide what is in it, and not what it is.
        let mut hidden = false;
        for name in path.names() {
            hidden |= found.opaque;
            match layer.look(dir, name)? {
                Found::Dir(inner) => {
                    let Some(entry) = inner.entry else { return Ok(None) };
                    (found, dir) = (inner, entry);
                }
                Found::Absent if hidden => return Ok(None),
                Found::Absent => continue 'layers,
                Found::Whiteout | Found::Leaf(_) => return Ok(None),
            }
        }
        match found.attributes {
            Attributes::Own => return Ok(Some((layer, dir))),
            Attributes::Below if hidden => return Ok(None),
            Attributes::Below => {}
        }
    }
    Ok(None)
}
