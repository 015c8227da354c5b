//! A directory of which many names are asked.

use super::super::Overlay;
use super::said::Said;
use super::walk::{Here, enter};
use crate::error::Result;
use crate::path::{Name, RelPath};
use crate::resolve::Resolution;

/// A directory that a trace has come to. It holds a descriptor for each layer that is a directory.
#[derive(Debug)]
pub struct TracedDir<'s> {
    overlay: &'s Overlay,
    here: Here<'s>,
}

impl Overlay {
    /// Follows a path without symlinks to a directory, for asking of many names in that: the way is gone, and each layer's marks
    /// are read, once. `None`: there is no directory.
    ///
    /// # Errors
    /// As [`Overlay::trace`].
    pub fn trace_dir(&self, path: &RelPath) -> Result<Option<TracedDir<'_>>> {
        let mut here = self.root_of_all()?;
        for name in path.names() {
            let path = here.path.join(name);
            let (resolution, layers) = self.look_everywhere(&here, name)?;
            match &resolution {
                Resolution::Dir(_) => here = enter(&here, path, &resolution, layers)?,
                Resolution::Leaf { .. } | Resolution::Absent(_) => return Ok(None),
            }
        }
        Ok(Some(TracedDir { overlay: self, here }))
    }
}

impl TracedDir<'_> {
    /// Does what has this name hide something in a layer below?
    ///
    /// # Errors
    /// As [`Overlay::trace`].
    pub fn shadows(&self, name: Name<'_>) -> Result<bool> {
        let (_, layers) = self.overlay.look_everywhere(&self.here, name)?;
        Ok(layers.iter().any(Said::is_shadowed))
    }
}
