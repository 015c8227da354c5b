//! The steps of a path.

use crate::error::{Error, Kind, Result};
use crate::path::NameBuf;

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Component {
    Name(NameBuf),
    /// `..`
    Up,
}

/// The steps of a path, the last first.
pub(super) fn components(path: &[u8]) -> Result<Vec<Component>> {
    let parts = path.rsplit(|byte| *byte == b'/').filter(|part| !matches!(*part, [] | b"."));
    let component = |part: &[u8]| match part {
        b".." => Ok(Component::Up),
        // What is left is a name, or too long for one.
        name => NameBuf::new(name)
            .map(Component::Name)
            .map_err(|_| Error::new("read the path", Kind::NameTooLong).at(path)),
    };
    parts.map(component).collect()
}
