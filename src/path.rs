//! Names and relative paths, as bytes: a file name on Linux is not text.

use std::borrow::Borrow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// The longest name a directory entry may have, in bytes (`NAME_MAX`).
pub const NAME_MAX: usize = 255;

/// Why some bytes are not a [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// No bytes at all.
    #[error("the name is empty")]
    Empty,
    /// More than [`NAME_MAX`] bytes.
    #[error("the name is longer than 255 bytes")]
    TooLong,
    /// A slash or a NUL byte, which no directory entry can hold.
    #[error("the name holds a slash or a NUL byte")]
    Separator,
    /// `.` or `..`, which are not entries of their own.
    #[error("the name is . or ..")]
    Dots,
}

/// One component of a path: 1 to 255 bytes, no `/`, no NUL, not `.` or `..`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Checks `bytes` and takes them as a name.
    pub fn new(bytes: &'a [u8]) -> Result<Self, InvalidName> {
        match bytes {
            [] => Err(InvalidName::Empty),
            b"." | b".." => Err(InvalidName::Dots),
            _ if bytes.len() > NAME_MAX => Err(InvalidName::TooLong),
            _ if bytes.iter().any(|b| matches!(b, b'/' | 0)) => Err(InvalidName::Separator),
            _ => Ok(Name(bytes)),
        }
    }

    /// The bytes of the name.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The name as the standard library's paths take it.
    pub fn as_os_str(self) -> &'a OsStr {
        OsStr::from_bytes(self.0)
    }

    /// A copy that owns its bytes.
    pub fn to_owned(self) -> NameBuf {
        NameBuf(self.0.into())
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

/// A [`Name`] that owns its bytes; copies share them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameBuf(Arc<[u8]>);

impl NameBuf {
    /// Checks `bytes` and takes them as a name.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Result<Self, InvalidName> {
        let bytes = bytes.into();
        Name::new(&bytes)?;
        Ok(NameBuf(bytes))
    }

    /// The name, borrowed.
    pub fn as_name(&self) -> Name<'_> {
        Name(&self.0)
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Lets maps with owned names be asked with borrowed bytes.
impl Borrow<[u8]> for NameBuf {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_name().fmt(f)
    }
}

impl fmt::Display for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_name(), f)
    }
}

/// A path below some root: zero or more names joined by single slashes, without a leading or trailing one. Empty is
/// the root itself.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Vec<u8>);

impl RelPath {
    /// The root itself.
    pub const fn root() -> Self {
        RelPath(Vec::new())
    }

    /// Takes `bytes` as a path below the root. Leading, trailing and doubled slashes are dropped; every component
    /// must be a [`Name`], so `.` and `..` are refused.
    pub fn new(bytes: &[u8]) -> Result<Self, InvalidName> {
        let mut path = RelPath::root();
        for part in bytes.split(|b| *b == b'/').filter(|part| !part.is_empty()) {
            path.push(Name::new(part)?);
        }
        Ok(path)
    }

    /// The names from the root down.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = Name<'_>> {
        self.0.split(|b| *b == b'/').filter(|part| !part.is_empty()).map(Name)
    }

    /// Goes down by one name.
    pub fn push(&mut self, name: Name<'_>) {
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name.as_bytes());
    }

    /// This path with one more name.
    pub fn join(&self, name: Name<'_>) -> Self {
        let mut path = self.clone();
        path.push(name);
        path
    }

    /// The path without its last name, and that name; `None` at the root.
    pub fn split_last(&self) -> Option<(RelPath, Name<'_>)> {
        let last = self.names().next_back()?;
        let cut = self.0.len() - last.0.len();
        Some((RelPath(self.0[..cut.saturating_sub(1)].to_vec()), last))
    }

    /// Is this the root itself?
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, without a leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"/{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_component_of_at_most_255_bytes() {
        assert_eq!(Name::new(b""), Err(InvalidName::Empty));
        assert_eq!(Name::new(b"."), Err(InvalidName::Dots));
        assert_eq!(Name::new(b".."), Err(InvalidName::Dots));
        assert_eq!(Name::new(b"a/b"), Err(InvalidName::Separator));
        assert_eq!(Name::new(b"a\0"), Err(InvalidName::Separator));
        assert_eq!(Name::new(&[b'x'; 256]), Err(InvalidName::TooLong));
        assert!(Name::new(&[b'x'; 255]).is_ok());
        assert_eq!(Name::new(b"\xff...").map(Name::as_bytes), Ok(&b"\xff..."[..]));
    }

    #[test]
    fn a_path_is_normal_and_splits_at_its_last_name() {
        let path = RelPath::new(b"//usr/lib//x/").unwrap();
        assert_eq!(path.as_bytes(), b"usr/lib/x");
        let (parent, last) = path.split_last().unwrap();
        assert_eq!((parent.as_bytes(), last.as_bytes()), (&b"usr/lib"[..], &b"x"[..]));
        assert_eq!(RelPath::new(b"a").unwrap().split_last().unwrap().0, RelPath::root());
        assert!(RelPath::root().split_last().is_none());
        assert_eq!(RelPath::new(b"a/../b"), Err(InvalidName::Dots));
    }
}
