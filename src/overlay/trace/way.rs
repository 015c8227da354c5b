//! The directories that a trace has come through.

use std::collections::VecDeque;

use super::super::Overlay;
use super::walk::{Here, enter};
use crate::error::{Error, Kind, Result};
use crate::path::RelPath;

/// How many directories are held in any case, and how many at most.
const LEAST_HELD: usize = 4;
const MOST_HELD: usize = 64;
/// Descriptors for those that are held, as far as [`LEAST_HELD`] allows.
const DESCRIPTORS: usize = 128;

/// From the root down to where a trace is. A directory holds a descriptor for each layer that is one, and a tree may be deeper than
/// there are descriptors: only the lowest are held, and who goes up further walks there again, by their names.
#[derive(Debug)]
pub(super) struct Way<'s> {
    overlay: &'s Overlay,
    /// The lowest, never none; the last is where the trace is.
    held: VecDeque<Here<'s>>,
    most: usize,
}

impl<'s> Way<'s> {
    /// The root.
    pub(super) fn new(overlay: &'s Overlay) -> Result<Self> {
        let directories = overlay.stack.layers().filter(|layer| layer.directory().is_some()).count();
        let most = DESCRIPTORS.checked_div(directories).unwrap_or(MOST_HELD).clamp(LEAST_HELD, MOST_HELD);
        Ok(Way { overlay, held: VecDeque::from([overlay.root_of_all()?]), most })
    }

    /// Where the trace is.
    pub(super) fn here(&self) -> Result<&Here<'s>> {
        self.held.back().ok_or_else(|| Error::new("explain", Kind::Stale))
    }

    /// Goes into a directory.
    pub(super) fn down(&mut self, below: Here<'s>) {
        if self.held.len() >= self.most {
            self.held.pop_front();
        }
        self.held.push_back(below);
    }

    /// Goes to the directory above. The root is its own.
    ///
    /// # Errors
    /// What was walked through before cannot be any more.
    pub(super) fn up(&mut self) -> Result<()> {
        if self.held.len() > 1 {
            self.held.pop_back();
            return Ok(());
        }
        match self.here()?.path.split_last() {
            Some((parent, _)) => self.walk(&parent),
            None => Ok(()),
        }
    }

    /// Goes to the root.
    ///
    /// # Errors
    /// Those of the root's layers.
    pub(super) fn back_to_root(&mut self) -> Result<()> {
        self.walk(&RelPath::root())
    }

    fn walk(&mut self, path: &RelPath) -> Result<()> {
        self.held.clear();
        self.held.push_back(self.overlay.root_of_all()?);
        for name in path.names() {
            let here = self.here()?;
            let (resolution, layers) = self.overlay.look_everywhere(here, name)?;
            let below = enter(here, here.path.join(name), &resolution, layers)?;
            self.down(below);
        }
        Ok(())
    }

    /// Where the trace has come to.
    pub(super) fn end(mut self) -> Result<Here<'s>> {
        self.held.pop_back().ok_or_else(|| Error::new("explain", Kind::Stale))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{Behaviour, StackSpec};
    use crate::path::Name;

    #[test]
    fn few_directories_are_held_however_deep_the_way_is() {
        const DEPTH: usize = 200;
        let temp = tempfile::tempdir().unwrap();
        let mut spec = StackSpec { lowers: Vec::new(), data_only: Vec::new(), upper: None };
        for (layer, depth) in [("top", DEPTH / 2), ("base", DEPTH)] {
            let root = temp.path().join(layer);
            fs::create_dir_all(root.join("d/".repeat(depth))).unwrap();
            spec.lowers.push(root.into());
        }
        let overlay = Overlay::open_stack(&spec, &Behaviour::default()).unwrap();
        let mut way = Way::new(&overlay).unwrap();
        for _ in 0..DEPTH {
            let here = way.here().unwrap();
            let name = Name::new(b"d").unwrap();
            let (resolution, layers) = overlay.look_everywhere(here, name).unwrap();
            let below = enter(here, here.path.join(name), &resolution, layers).unwrap();
            way.down(below);
            assert!(way.held.len() <= MOST_HELD);
        }
        for depth in (0..DEPTH).rev() {
            way.up().unwrap();
            let here = way.here().unwrap();
            assert_eq!(here.path.names().count(), depth);
            assert_eq!(
                here.layers.iter().filter(|said| said.stat().is_some()).count(),
                if depth > DEPTH / 2 { 1 } else { 2 }
            );
            assert!(way.held.len() <= MOST_HELD);
        }
        way.up().unwrap();
        assert!(way.end().unwrap().path.is_root());
    }
}
