//! How a person names an image: a path, or a word with the transport that skopeo and podman use.
//!
//! Source: containers-transports(5), and what the library behind skopeo and podman does: after `oci:`, `oci-archive:` and
//! `docker-archive:` the path ends at the first colon.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// An image as the caller named it. Nothing is looked up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageRef {
    /// A path without a transport: what it is, its content says.
    Path(PathBuf),
    /// `oci:DIR[:TAG]`.
    OciLayout {
        /// The layout's directory.
        dir: PathBuf,
        /// Which image of it.
        tag: Option<String>,
    },
    /// `oci-archive:FILE[:TAG]`.
    OciArchive {
        /// The archive.
        file: PathBuf,
        /// Which image of it.
        tag: Option<String>,
    },
    /// `docker-archive:FILE[:REF]`.
    DockerArchive {
        /// The archive.
        file: PathBuf,
        /// Which image of it; may hold colons.
        reference: Option<String>,
    },
    /// `dir:DIR`: what `skopeo copy` writes there.
    SkopeoDirectory {
        /// The directory; may hold colons.
        dir: PathBuf,
    },
    /// `containers-storage:NAME`: an image that podman holds.
    ContainersStorage {
        /// Where it is kept; `None` is where podman keeps this user's.
        root: Option<PathBuf>,
        /// Its name or id.
        name: String,
    },
}

/// Why a word does not name an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The word is empty.
    #[error("the name of an image is an empty word")]
    Empty,
    /// Nothing after the transport.
    #[error("image '{}': there is no {missing} after the transport", .word.escape_ascii())]
    Incomplete {
        /// The whole word.
        word: Vec<u8>,
        /// What should be there.
        missing: &'static str,
    },
    /// A tag or name that is not text.
    #[error("image '{}': the {part} is not UTF-8", .word.escape_ascii())]
    NotText {
        /// The whole word.
        word: Vec<u8>,
        /// Which part.
        part: &'static str,
    },
    /// A store's place, `[...]`, that is not understood.
    #[error("image '{}': the place of the store in brackets is not understood", .word.escape_ascii())]
    Store {
        /// The whole word.
        word: Vec<u8>,
    },
    /// Another transport of skopeo and podman.
    #[error("image '{}': the transport {transport} is not supported", .word.escape_ascii())]
    Transport {
        /// The whole word.
        word: Vec<u8>,
        /// With its colon.
        transport: &'static str,
    },
}

/// How the transports are written.
const FORMS: &str =
    "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF], dir:DIR or containers-storage:NAME";
/// Transports that skopeo knows and that need a registry or a daemon.
const OTHERS: [&str; 5] = ["docker://", "docker-daemon:", "ostree:", "sif:", "tarball:"];

impl ReferenceError {
    /// What a person can do.
    pub fn hint(&self) -> String {
        match self {
            ReferenceError::Empty | ReferenceError::Incomplete { .. } | ReferenceError::NotText { .. } => {
                format!("write a path, {FORMS}")
            }
            ReferenceError::Store { .. } => {
                "write containers-storage:[overlay@/PATH/OF/THE/STORE]NAME".to_owned()
            }
            ReferenceError::Transport { word, transport } => format!(
                "copy it first: skopeo copy {} oci:DIR:TAG; for a path with that name write ./{transport}...",
                word.escape_ascii()
            ),
        }
    }
}

impl ImageRef {
    /// Reads one word. Nothing is looked up yet. A word with a slash before its first colon, as `./oci:x`, is a path, whatever
    /// it begins with.
    ///
    /// # Errors
    /// A transport that is not supported, or with something missing or malformed after it.
    pub fn parse(word: &OsStr) -> Result<Self, ReferenceError> {
        let bytes = word.as_bytes();
        let owned = || bytes.to_vec();
        if bytes.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if let Some(rest) = bytes.strip_prefix(b"oci:") {
            let (dir, tag) = split(rest, bytes, "directory")?;
            return Ok(ImageRef::OciLayout { dir, tag });
        }
        if let Some(rest) = bytes.strip_prefix(b"oci-archive:") {
            let (file, tag) = split(rest, bytes, "file")?;
            return Ok(ImageRef::OciArchive { file, tag });
        }
        if let Some(rest) = bytes.strip_prefix(b"docker-archive:") {
            let (file, reference) = split(rest, bytes, "file")?;
            return Ok(ImageRef::DockerArchive { file, reference });
        }
        if let Some(rest) = bytes.strip_prefix(b"dir:") {
            if rest.is_empty() {
                return Err(ReferenceError::Incomplete { word: owned(), missing: "directory" });
            }
            return Ok(ImageRef::SkopeoDirectory { dir: PathBuf::from(OsStr::from_bytes(rest)) });
        }
        if let Some(rest) = bytes.strip_prefix(b"containers-storage:") {
            let (root, name) = match rest.strip_prefix(b"[") {
                None => (None, rest),
                Some(rest) => {
                    let end = rest.iter().position(|byte| *byte == b']');
                    let parts = end.and_then(|end| Some((rest.get(..end)?, rest.get(end + 1..)?)));
                    let (place, name) = parts.ok_or_else(|| ReferenceError::Store { word: owned() })?;
                    (Some(store_root(place).ok_or_else(|| ReferenceError::Store { word: owned() })?), name)
                }
            };
            if name.is_empty() {
                return Err(ReferenceError::Incomplete { word: owned(), missing: "name" });
            }
            let name = text(name, bytes, "name")?;
            return Ok(ImageRef::ContainersStorage { root, name });
        }
        match OTHERS.iter().find(|transport| bytes.starts_with(transport.as_bytes())) {
            Some(transport) => Err(ReferenceError::Transport { word: owned(), transport }),
            None => Ok(ImageRef::Path(PathBuf::from(word))),
        }
    }

    /// The tag or name within the word.
    pub fn tag(&self) -> Option<&str> {
        match self {
            ImageRef::Path(_) | ImageRef::SkopeoDirectory { .. } | ImageRef::ContainersStorage { .. } => None,
            ImageRef::OciLayout { tag, .. } | ImageRef::OciArchive { tag, .. } => tag.as_deref(),
            ImageRef::DockerArchive { reference, .. } => reference.as_deref(),
        }
    }

    /// The same from any directory.
    ///
    /// # Errors
    /// The current directory is not known; with the path that needs it.
    pub fn absolute(&self) -> Result<ImageRef, (PathBuf, io::Error)> {
        let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|error| (path.clone(), error));
        Ok(match self {
            ImageRef::Path(path) => ImageRef::Path(absolute(path)?),
            ImageRef::OciLayout { dir, tag } => ImageRef::OciLayout { dir: absolute(dir)?, tag: tag.clone() },
            ImageRef::OciArchive { file, tag } => {
                ImageRef::OciArchive { file: absolute(file)?, tag: tag.clone() }
            }
            ImageRef::DockerArchive { file, reference } => {
                ImageRef::DockerArchive { file: absolute(file)?, reference: reference.clone() }
            }
            ImageRef::SkopeoDirectory { dir } => ImageRef::SkopeoDirectory { dir: absolute(dir)? },
            ImageRef::ContainersStorage { root, name } => ImageRef::ContainersStorage {
                root: root.as_ref().map(absolute).transpose()?,
                name: name.clone(),
            },
        })
    }

    /// The word that names it.
    pub fn to_word(&self) -> OsString {
        let join = |transport: &str, path: &PathBuf, tag: &Option<String>| {
            let mut word = transport.as_bytes().to_vec();
            word.extend_from_slice(path.as_os_str().as_bytes());
            if let Some(part) = tag {
                word.push(b':');
                word.extend_from_slice(part.as_bytes());
            }
            OsString::from_vec(word)
        };
        match self {
            ImageRef::Path(path) => path.clone().into_os_string(),
            ImageRef::OciLayout { dir, tag } => join("oci:", dir, tag),
            ImageRef::OciArchive { file, tag } => join("oci-archive:", file, tag),
            ImageRef::DockerArchive { file, reference } => join("docker-archive:", file, reference),
            ImageRef::SkopeoDirectory { dir } => join("dir:", dir, &None),
            ImageRef::ContainersStorage { root, name } => {
                let mut word = OsString::from("containers-storage:");
                if let Some(root) = root {
                    word.push("[overlay@");
                    word.push(root);
                    word.push("]");
                }
                word.push(name);
                word
            }
        }
    }
}

/// The word; bytes that are not text are replaced.
impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_word().display().fmt(f)
    }
}

/// A path up to the first colon, and what follows that. An empty tag is none, as for skopeo.
fn split(
    rest: &[u8],
    word: &[u8],
    missing: &'static str,
) -> Result<(PathBuf, Option<String>), ReferenceError> {
    let colon = rest.iter().position(|byte| *byte == b':').unwrap_or(rest.len());
    let (path, tag) = rest.split_at_checked(colon).unwrap_or((rest, b""));
    if path.is_empty() {
        return Err(ReferenceError::Incomplete { word: word.to_vec(), missing });
    }
    let tag = match tag {
        [] | [b':'] => None,
        [_, tag @ ..] => Some(text(tag, word, "tag")?),
    };
    Ok((PathBuf::from(OsStr::from_bytes(path)), tag))
}

/// `[DRIVER@]ROOT[+RUNROOT][:OPTIONS]`: the root, of a driver whose stores can be read.
fn store_root(place: &[u8]) -> Option<PathBuf> {
    let root = match place.iter().position(|byte| *byte == b'@') {
        Some(at) if matches!(place.get(..at)?, b"overlay" | b"overlay2") => place.get(at + 1..)?,
        Some(_) => return None,
        None => place,
    };
    let end = root.iter().position(|byte| matches!(byte, b'+' | b':')).unwrap_or(root.len());
    let root = root.get(..end).filter(|root| root.starts_with(b"/"))?;
    Some(PathBuf::from(OsStr::from_bytes(root)))
}

fn text(bytes: &[u8], word: &[u8], part: &'static str) -> Result<String, ReferenceError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ReferenceError::NotText { word: word.to_vec(), part })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(word: &str) -> Result<ImageRef, ReferenceError> {
        ImageRef::parse(OsStr::new(word))
    }

    #[test]
    fn a_reference_can_be_said_from_any_directory() {
        let here = std::env::current_dir().unwrap().display().to_string();
        for (word, expected) in [
            ("x.tar", "HERE/x.tar"),
            ("./a:b", "HERE/a:b"),
            ("oci:d:t", "oci:HERE/d:t"),
            ("oci-archive:f", "oci-archive:HERE/f"),
            ("docker-archive:/f:r:1", "docker-archive:/f:r:1"),
            ("dir:d", "dir:HERE/d"),
            // The root of a store is absolute already, as for skopeo.
            ("containers-storage:[overlay@/s]n", "containers-storage:[overlay@/s]n"),
            ("containers-storage:n", "containers-storage:n"),
        ] {
            let absolute = parse(word).unwrap().absolute().unwrap();
            assert_eq!(absolute.to_string(), expected.replace("HERE", &here), "{word}");
        }
    }

    #[test]
    fn a_word_is_a_transport_or_a_path() {
        let path = |path: &str| ImageRef::Path(path.into());
        let layout = |dir: &str, tag: Option<&str>| ImageRef::OciLayout {
            dir: dir.into(),
            tag: tag.map(str::to_owned),
        };
        let oci = |file: &str, tag: Option<&str>| ImageRef::OciArchive {
            file: file.into(),
            tag: tag.map(str::to_owned),
        };
        let docker = |file: &str, reference: Option<&str>| ImageRef::DockerArchive {
            file: file.into(),
            reference: reference.map(str::to_owned),
        };
        let storage = |root: Option<&str>, name: &str| ImageRef::ContainersStorage {
            root: root.map(PathBuf::from),
            name: name.to_owned(),
        };
        for (word, expected) in [
            ("image.tar", path("image.tar")),
            ("./oci:x", path("./oci:x")),
            ("/a/oci:x", path("/a/oci:x")),
            ("a:b", path("a:b")),
            ("ocix", path("ocix")),
            ("oci:dir", layout("dir", None)),
            ("oci:dir:", layout("dir", None)),
            ("oci:/a/dir:1.0", layout("/a/dir", Some("1.0"))),
            ("oci:dir:localhost/app:1.0", layout("dir", Some("localhost/app:1.0"))),
            ("oci:dir:@1", layout("dir", Some("@1"))),
            ("oci-archive:x.tar", oci("x.tar", None)),
            ("oci-archive:x.tar:1.0", oci("x.tar", Some("1.0"))),
            ("docker-archive:x.tar", docker("x.tar", None)),
            ("docker-archive:x.tar:localhost:5000/app:1.0", docker("x.tar", Some("localhost:5000/app:1.0"))),
            ("docker-archive:x.tar:@0", docker("x.tar", Some("@0"))),
            ("dir:d:1", ImageRef::SkopeoDirectory { dir: "d:1".into() }),
            ("./dir:d", path("./dir:d")),
            ("containers-storage:alpine:3", storage(None, "alpine:3")),
            ("containers-storage:[overlay@/s+/run/s]app", storage(Some("/s"), "app")),
            ("containers-storage:[/s]localhost/app:1", storage(Some("/s"), "localhost/app:1")),
            (
                "containers-storage:[overlay@/s+/r:overlay.mount_program=/bin/x]app",
                storage(Some("/s"), "app"),
            ),
        ] {
            assert_eq!(parse(word), Ok(expected.clone()), "{word}");
            // What is printed is read as the same again.
            assert_eq!(ImageRef::parse(&expected.to_word()), Ok(expected), "{word}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_write() {
        for (word, message) in [
            ("", "the name of an image is an empty word"),
            ("oci:", "image 'oci:': there is no directory after the transport"),
            ("oci::1.0", "image 'oci::1.0': there is no directory after the transport"),
            ("docker-archive:", "image 'docker-archive:': there is no file after the transport"),
            ("dir:", "image 'dir:': there is no directory after the transport"),
            ("containers-storage:", "image 'containers-storage:': there is no name after the transport"),
            (
                "containers-storage:[/s]",
                "image 'containers-storage:[/s]': there is no name after the transport",
            ),
            (
                "containers-storage:[/s",
                "image 'containers-storage:[/s': the place of the store in brackets is not understood",
            ),
            (
                "containers-storage:[overlay@s]x",
                "image 'containers-storage:[overlay@s]x': the place of the store in brackets is not understood",
            ),
            (
                "containers-storage:[vfs@/s]x",
                "image 'containers-storage:[vfs@/s]x': the place of the store in brackets is not understood",
            ),
            ("docker://alpine", "image 'docker://alpine': the transport docker:// is not supported"),
            (
                "docker-daemon:alpine:3",
                "image 'docker-daemon:alpine:3': the transport docker-daemon: is not supported",
            ),
        ] {
            assert_eq!(parse(word).unwrap_err().to_string(), message);
        }
        let error = ImageRef::parse(OsStr::from_bytes(b"oci:d:\xff")).unwrap_err();
        assert_eq!(error.to_string(), "image 'oci:d:\\xff': the tag is not UTF-8");
        let bytes = OsStr::from_bytes(b"oci:\xff");
        assert_eq!(ImageRef::parse(bytes).unwrap().to_word(), bytes);
    }
}
