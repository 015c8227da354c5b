//! Why there is nothing at a path.

use super::Reason;
use super::said::{Said, is_there};
use crate::layer::Found;
use crate::path::RelPath;
use crate::resolve::{Depth, Why};

/// Why what is below a layer does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Opaque(Depth),
    Whiteout(Depth),
    Leaf(Depth),
}

/// What ends the search below the last part of a directory.
pub(super) fn cut_below(last: Depth, above: Option<&(Cut, RelPath)>, layers: &[Said<'_>]) -> Option<Cut> {
    let opaque = layers
        .iter()
        .find(|said| said.depth == last)
        .is_some_and(|said| matches!(&said.found, Found::Dir(found) if found.opaque));
    if opaque {
        return Some(Cut::Opaque(last));
    }
    // Where the search has ended above, what lower layers have here ends nothing any more.
    let end = above.map(|(Cut::Opaque(depth) | Cut::Whiteout(depth) | Cut::Leaf(depth), _)| *depth);
    let reached = |said: &&Said<'_>| said.depth > last && end.is_none_or(|end| said.depth <= end);
    layers.iter().filter(reached).find_map(|said| match &said.found {
        Found::Whiteout => Some(Cut::Whiteout(said.depth)),
        Found::Leaf(_) => Some(Cut::Leaf(said.depth)),
        Found::Absent | Found::Dir(_) => None,
    })
}

/// Why there is nothing at a path, given what ended the search above and what the layers have all the same; and where that
/// reason is.
pub(super) fn reason(
    why: Why,
    cut: Option<&(Cut, RelPath)>,
    path: &RelPath,
    layers: &[Said<'_>],
) -> (Reason, RelPath) {
    match (why, cut) {
        (Why::Deleted(depth), _) => (Reason::Deleted(depth), path.clone()),
        (Why::NeverExisted, Some((cut, at))) if layers.iter().any(is_there) => {
            let reason = match cut {
                Cut::Opaque(depth) => Reason::HiddenByOpaque(*depth),
                Cut::Whiteout(depth) => Reason::Deleted(*depth),
                Cut::Leaf(depth) => Reason::ParentNotADirectory(*depth),
            };
            (reason, at.clone())
        }
        (Why::NeverExisted, _) => (Reason::NeverExisted, path.clone()),
    }
}
