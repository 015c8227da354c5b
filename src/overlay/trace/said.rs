//! What one layer has at a path.

use super::super::object::{DirIn, Object};
use crate::error::{Error, Result};
use crate::layer::{Attributes, Found, OciMarks};
use crate::path::{Name, RelPath};
use crate::resolve::Depth;
use crate::sys::fs::Stat;

/// Was a layer's answer part of the result?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The result was made of it, or ended by it.
    Counts,
    /// What is there is hidden by what is above it.
    Hidden,
}

/// What one layer has at the path.
#[derive(Debug)]
pub struct Said<'s> {
    /// The layer.
    pub depth: Depth,
    /// Where the path is in this layer: elsewhere, below a redirect.
    pub path: RelPath,
    /// What is there.
    pub found: Found,
    /// Whether it counts.
    pub part: Part,
    /// Why it cannot be told what is there. What is hidden may be corrupt, and the union is none the worse.
    pub problem: Option<Error>,
    pub(super) object: Option<Object<'s>>,
    pub(super) dir: Option<DirIn<'s>>,
}

impl Said<'_> {
    pub(super) fn nothing(depth: Depth, path: RelPath) -> Self {
        Said { depth, path, found: Found::Absent, part: Part::Hidden, problem: None, object: None, dir: None }
    }

    /// The attributes of what is there.
    pub fn stat(&self) -> Option<&Stat> {
        match &self.found {
            Found::Leaf(leaf) => Some(&leaf.stat),
            Found::Dir(dir) => Some(&dir.stat),
            Found::Absent | Found::Whiteout => None,
        }
    }

    /// The attributes that the layer gives it: none of a directory that a tar has no entry for, only for what is in it.
    pub fn own_stat(&self) -> Option<&Stat> {
        match &self.found {
            Found::Dir(dir) if dir.attributes == Attributes::Below => None,
            _ => self.stat(),
        }
    }

    /// Is there something that is hidden by what is above it?
    pub fn is_shadowed(&self) -> bool {
        self.part == Part::Hidden && self.stat().is_some()
    }

    /// The extended attributes that users see, sorted by name.
    ///
    /// # Errors
    /// What the layer's file system answers.
    pub fn xattrs(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let Some(object) = &self.object else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for name in object.xattr_names()? {
            let value = object.xattr(&name)?;
            all.push((name, value));
        }
        all.sort();
        Ok(all)
    }

    /// Where a symlink leads.
    ///
    /// # Errors
    /// What the layer's file system answers.
    pub fn target(&self) -> Result<Option<Vec<u8>>> {
        let is_link = self.stat().is_some_and(|stat| stat.mode & libc::S_IFMT == libc::S_IFLNK);
        self.object.as_ref().filter(|_| is_link).map(Object::readlink).transpose()
    }

    /// Hands the content of a regular file to `each`, piece by piece. A metadata-only copy has none of its own.
    ///
    /// # Errors
    /// What the layer's file system answers.
    pub fn read(&self, mut each: impl FnMut(&[u8])) -> Result<()> {
        const PIECE: usize = 256 << 10;
        let regular =
            matches!(&self.found, Found::Leaf(leaf) if leaf.stat.is_regular() && leaf.metacopy.is_none());
        let Some(object) = self.object.as_ref().filter(|_| regular) else { return Ok(()) };
        let file = object.open()?;
        let mut buffer = vec![0; PIECE];
        let mut offset = 0;
        loop {
            let len = file.read_at(&mut buffer, offset)?;
            each(buffer.get(..len).unwrap_or_default());
            if len < PIECE {
                return Ok(());
            }
            offset += len as u64;
        }
    }
}

/// A directory on the way, in one layer.
#[derive(Debug)]
pub(super) struct Position<'s> {
    pub(super) dir: DirIn<'s>,
    pub(super) path: RelPath,
    pub(super) oci: Option<Box<OciMarks>>,
    pub(super) part: Part,
}

pub(super) fn look<'s>(
    position: &Position<'s>,
    depth: Depth,
    name: Name<'_>,
    part: Part,
) -> Result<Said<'s>> {
    let path = position.path.join(name);
    let found =
        position.dir.look(position.oci.as_deref(), name).map_err(|error| error.at(path.as_bytes()))?;
    let object = match &found {
        Found::Leaf(leaf) => position.dir.object(name, leaf.entry),
        Found::Dir(dir) => position.dir.object(name, dir.entry),
        Found::Absent | Found::Whiteout => None,
    };
    let dir = match &found {
        Found::Dir(found) => Some(position.dir.enter(name, found)?),
        Found::Leaf(_) | Found::Absent | Found::Whiteout => None,
    };
    Ok(Said { depth, path, found, part, problem: None, object, dir })
}

/// What a layer has that was not asked, or why that cannot be told.
pub(super) fn or_why_not(looked: Result<Said<'_>>, depth: Depth, path: RelPath) -> Said<'_> {
    looked.unwrap_or_else(|problem| Said { problem: Some(problem), ..Said::nothing(depth, path) })
}

pub(super) fn is_there(said: &Said<'_>) -> bool {
    matches!(said.found, Found::Leaf(_) | Found::Dir(_))
}
