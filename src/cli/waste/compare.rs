//! Which files were written again with the same content.

use std::collections::HashMap;

use crate::cli::explain::{Content, content, is_file};
use crate::cli::opened::Opened;
use crate::overlay::Said;
use crate::waste::{Extent, How, LayerNumber, Row};

/// Are a file and the one that has overwritten it the same but for their attributes?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Compared {
    Same,
    Different,
}

/// What was compared: by the path, and the layer that has overwritten it.
#[derive(Debug, Default)]
pub struct Contents(HashMap<(Box<[u8]>, LayerNumber), Compared>);

impl Contents {
    /// Reads the files of these rows, as far as their sizes are the same. What cannot be read is not compared.
    pub fn of(opened: &Opened, rows: &[Row]) -> Self {
        let key = |row: &Row| (row.path.clone(), row.by);
        Contents(rows.iter().filter_map(|row| Some((key(row), compare(opened, row)?))).collect())
    }

    /// What is known of a row.
    pub fn get(&self, row: &Row) -> Option<Compared> {
        // The common case is that nothing was compared: then no key is made.
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&(row.path.clone(), row.by)).copied()
    }
}

fn compare(opened: &Opened, row: &Row) -> Option<Compared> {
    if row.how != How::Overwritten || row.extent != Extent::File {
        return None;
    }
    let trace = opened.overlay.trace(&row.path).map_err(|error| log::debug!("{error}")).ok()?;
    // Where a symlink has taken the place of a directory above, the path leads elsewhere now.
    if trace.path.as_bytes() != row.path.strip_prefix(b"/")? {
        return None;
    }
    let in_layer = |number: LayerNumber| {
        let is_it = |said: &&Said<'_>| opened.number(said.depth).is_ok_and(|n| n == usize::from(number.0));
        trace.layers.iter().find(is_it).filter(|said| is_file(said))
    };
    let (below, above) = (in_layer(row.lowest)?, in_layer(row.by)?);
    if below.stat()?.size != above.stat()?.size {
        return Some(Compared::Different);
    }
    match (content(below), content(above)) {
        (Content::Is(below), Content::Is(above)) if below == above => Some(Compared::Same),
        (Content::Is(_), Content::Is(_)) => Some(Compared::Different),
        _ => None,
    }
}
