//! `--bind A:B[:ro]`: a file or directory of the machine, shown in the sandbox.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use crate::source::unescape;

/// What may be done through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Access {
    ReadWrite,
    ReadOnly,
}

/// As the caller wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// On the machine.
    pub source: PathBuf,
    /// In the sandbox: absolute, without `..`, not the root.
    pub target: PathBuf,
    /// What may be done.
    pub access: Access,
}

/// Why it is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum BindError {
    #[error("it must be A:B or A:B:ro; a colon in a path is written \\:")]
    Form,
    #[error("what comes third must be ro or rw")]
    Access,
    #[error("where it is shown must be an absolute path without .., and not /")]
    Target,
}

impl Bind {
    /// Reads `A:B`, `A:B:ro` or `A:B:rw`.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(word: &OsStr) -> Result<Self, BindError> {
        let parts = parts(word.as_bytes())?;
        let (source, target, access) = match parts.as_slice() {
            [source, target] => (source, target, Access::ReadWrite),
            [source, target, access] => match access.as_os_str().as_bytes() {
                b"ro" => (source, target, Access::ReadOnly),
                b"rw" => (source, target, Access::ReadWrite),
                _ => return Err(BindError::Access),
            },
            _ => return Err(BindError::Form),
        };
        let names = normal(target).ok_or(BindError::Target)?;
        if source.as_os_str().is_empty() {
            return Err(BindError::Form);
        }
        if !target.is_absolute() || names.as_os_str().is_empty() {
            return Err(BindError::Target);
        }
        Ok(Bind { source: source.clone(), target: Path::new("/").join(names), access })
    }
}

fn parts(word: &[u8]) -> Result<Vec<PathBuf>, BindError> {
    let mut parts = vec![Vec::new()];
    let mut escaped = false;
    for byte in word {
        match (byte, escaped) {
            (b':', false) => parts.push(Vec::new()),
            _ => parts.iter_mut().last().into_iter().for_each(|part| part.push(*byte)),
        }
        escaped = *byte == b'\\' && !escaped;
    }
    let plain = |part: Vec<u8>| unescape(&part).map(|part| PathBuf::from(OsString::from_vec(part)));
    parts.into_iter().map(plain).collect::<Result<_, _>>().map_err(|_| BindError::Form)
}

/// The names of a path, from the root; `None` with a `..` in it, which is not the same with symlinks and without.
pub fn normal(path: &Path) -> Option<PathBuf> {
    let mut names = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_says_what_is_shown_where() {
        let bind = |source: &str, target: &str, access| {
            Ok(Bind { source: source.into(), target: target.into(), access })
        };
        for (word, expected) in [
            ("a:/b", bind("a", "/b", Access::ReadWrite)),
            ("/a/c:/b/d/", bind("/a/c", "/b/d", Access::ReadWrite)),
            ("/a:/b:ro", bind("/a", "/b", Access::ReadOnly)),
            ("/a:/b:rw", bind("/a", "/b", Access::ReadWrite)),
            (r"a\:x:/b\:y:ro", bind("a:x", "/b:y", Access::ReadOnly)),
            (r"a\\:/b", bind(r"a\", "/b", Access::ReadWrite)),
            ("a", Err(BindError::Form)),
            (":/b", Err(BindError::Form)),
            ("a:/b:ro:x", Err(BindError::Form)),
            (r"a:/b\", Err(BindError::Form)),
            ("a:/b:z", Err(BindError::Access)),
            ("a:b", Err(BindError::Target)),
            ("a:/", Err(BindError::Target)),
            ("a:/x/../etc", Err(BindError::Target)),
        ] {
            assert_eq!(Bind::parse(OsStr::new(word)), expected, "{word}");
        }
    }
}
