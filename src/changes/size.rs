//! How large the files of layers are.

use std::collections::HashSet;

use crate::config::LowerSpec;
use crate::error::{ErrorContext, Result};
use crate::layer::{Found, Layer};
use crate::overlay::{AnyLayer, DirIn, InLayer, Layers};
use crate::path::RelPath;

/// The bytes of each layer's files, the base first: hard links of one count once, holes count.
///
/// # Errors
/// A layer that cannot be read; names layer and path.
pub fn unpacked(base_first: &[LowerSpec]) -> Result<Vec<u64>> {
    if base_first.is_empty() {
        return Ok(Vec::new());
    }
    let layers = Layers::open(base_first)?;
    layers.base_first().map(|depth| of_layer(layers.get(depth)?)).collect()
}

pub(super) fn of_layer(layer: AnyLayer<'_>) -> Result<u64> {
    match layer {
        AnyLayer::Tar(tar) => Ok(tar.index().summary().unpacked_bytes),
        AnyLayer::Directory(directory) => of_directory(directory).in_layer(directory.id),
    }
}

fn of_directory(layer: &Layer) -> Result<u64> {
    let mut bytes = 0_u64;
    let mut linked = HashSet::new();
    let mut waiting = vec![(RelPath::root(), layer.look_root()?.xwhiteouts)];
    while let Some((path, xwhiteouts)) = waiting.pop() {
        let dir = DirIn::open(AnyLayer::Directory(layer), &InLayer::Path(path.clone()))?;
        let oci = dir.oci_marks()?;
        let mut names = Vec::new();
        dir.list(xwhiteouts, |listed| {
            if !listed.whiteout {
                names.push(listed.name.to_owned());
            }
        })?;
        for name in names {
            match dir.look(oci.as_deref(), name.as_name()).map_err(|error| error.below(path.as_bytes()))? {
                Found::Absent | Found::Whiteout => {}
                Found::Leaf(leaf) => {
                    let stat = &leaf.stat;
                    let counts = stat.is_regular()
                        // Its data is in a layer below.
                        && leaf.metacopy.is_none()
                        && (stat.nlink < 2 || linked.insert((stat.dev, stat.ino)));
                    bytes = bytes.saturating_add(if counts { stat.size } else { 0 });
                }
                Found::Dir(found) => waiting.push((path.join(name.as_name()), found.xwhiteouts)),
            }
        }
    }
    Ok(bytes)
}
