//! What can be wrong with an image: which image, which layer, which entry of it, what was expected and what was found.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::choose::Listing;
use super::store::StoreProblem;
use crate::digest::{Digest, DigestError};
use crate::error::describe;
use crate::tarball::Text;

/// A layer of an image, as errors name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerName {
    /// Its number; 1 is the base.
    pub number: usize,
    /// The digest of its blob, or its diff_id where the format does not say that.
    pub digest: Option<Digest>,
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer {}", self.number)?;
        match &self.digest {
            Some(digest) => write!(f, " (sha256:{})", digest.short()),
            None => Ok(()),
        }
    }
}

/// An error with its whole context: `layer 2 (sha256:0123456789ab) of 'image.tar': entry 'usr/../x': the name has '..'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageError(Box<Context>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Context {
    image: Option<String>,
    layer: Option<LayerName>,
    entry: Option<Vec<u8>>,
    problem: Problem,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A file cannot be opened, read or written.
    #[error("{op} '{}': {problem}", .path.display())]
    Io {
        /// What was tried: `open`, `read`, ...
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// What kind of error it was.
        kind: io::ErrorKind,
        /// In the system's words.
        problem: String,
    },
    /// Something is not what a digest or size says.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// What was compared: `size of the manifest`, `diff_id`.
        what: String,
        /// What the image promises.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Something that the image names is not in it.
    #[error("{what} is missing: there is no '{name}' in it")]
    Missing {
        /// What it is for.
        what: String,
        /// The file's or member's name.
        name: String,
    },
    /// Text that is not the JSON it should be.
    #[error("{what} cannot be understood: {problem}")]
    Json {
        /// Which of the image's documents.
        what: String,
        /// What is wrong, and where.
        problem: String,
    },
    /// A document or layer of another type than its place demands.
    #[error("{what} has the media type '{}', expected {expected}", .found.escape_debug())]
    MediaType {
        /// Which document or layer.
        what: String,
        /// What could be understood.
        expected: &'static str,
        /// What it says it is.
        found: String,
    },
    /// A digest that cannot be checked, or is none.
    #[error("{what}: {problem}")]
    Digest {
        /// Whose digest.
        what: String,
        /// What is wrong with it.
        problem: DigestError,
    },
    /// Anything else that contradicts the format, in a whole sentence.
    #[error("{0}")]
    Malformed(String),
    /// A limit is exceeded.
    #[error("{what} is too large: {found}, the limit is {limit}")]
    TooLarge {
        /// What it is.
        what: String,
        /// How large, with its unit.
        found: String,
        /// How large it may be, with its unit.
        limit: String,
    },
    /// The whole file is compressed.
    #[error("it is compressed as a whole, with {program}")]
    CompressedArchive {
        /// The program that did it.
        program: &'static str,
        /// The program that writes the uncompressed content to its output.
        cat: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A file or directory that is no image.
    #[error("it is not an image: {0}")]
    NotAnImage(String),
    /// Several images would do.
    #[error("{} images in it would do:\n{}", .0.len(), .0)]
    Ambiguous(Listing),
    /// None of the images is the one asked for.
    #[error("no image in it {wanted}. There {}:\n{there}", if .there.len() == 1 { "is" } else { "are" })]
    NoSuchImage {
        /// What was asked for: `has the tag 'x'`.
        wanted: String,
        /// What there is.
        there: Listing,
    },
    /// A name in a store of many images that means none of them, or several.
    #[error("{problem}{}{there}", if .there.is_empty() { "" } else { ":\n" })]
    Name {
        /// Which.
        problem: String,
        /// Those it may mean; else what there is. Digests are ids.
        there: Listing,
    },
    /// There is no image at all.
    #[error("there is no image in it")]
    Empty,
    /// Something is understood and cannot be done.
    #[error("{problem}")]
    Unsupported {
        /// What it is.
        problem: String,
        /// What to do instead.
        hint: String,
    },
    /// The layer store, not the image.
    #[error(transparent)]
    Store(#[from] StoreProblem),
}

impl Problem {
    /// An error of the system.
    pub fn io(op: &'static str, path: impl Into<PathBuf>, error: &io::Error) -> Self {
        Problem::Io { op, path: path.into(), kind: error.kind(), problem: describe(error) }
    }

    /// Two values that should be the same.
    pub fn mismatch(what: impl Into<String>, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Problem::Mismatch { what: what.into(), expected: expected.to_string(), found: found.to_string() }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Problem::Io { kind: io::ErrorKind::NotFound, .. } => "check the path".to_owned(),
            Problem::Io { kind: io::ErrorKind::PermissionDenied, .. } => {
                "check the permissions of the file and of the directories above it".to_owned()
            }
            Problem::Io { .. } => return None,
            Problem::Mismatch { .. }
            | Problem::Json { .. }
            | Problem::Digest { problem: DigestError::Malformed(_), .. }
            | Problem::Malformed(_) => {
                "the image is damaged, or was made wrongly: save or copy it again".to_owned()
            }
            Problem::Missing { .. } => {
                "the image is incomplete: save or copy it again, with all its layers".to_owned()
            }
            Problem::MediaType { .. } => {
                "only images of OCI and docker can be read; skopeo copy converts older docker formats"
                    .to_owned()
            }
            Problem::Digest { problem: DigestError::Algorithm(_), .. } => {
                "copy the image with a tool that writes sha256 digests, for example skopeo copy".to_owned()
            }
            Problem::TooLarge { .. } => "no honest image is like that; save or copy it again".to_owned(),
            Problem::CompressedArchive { cat, path, .. } => {
                let name = uncompressed_name(path);
                format!("uncompress it first: {cat} {} > {}", shell_word(path), shell_word(&name))
            }
            Problem::NotAnImage(_) => {
                "an image is an OCI layout (a directory or a tar) or what docker save and podman save write"
                    .to_owned()
            }
            Problem::Ambiguous(listing) => listing.how_to_choose(),
            Problem::NoSuchImage { there, .. } => there.how_to_choose(),
            Problem::Name { .. } => "podman images lists names and ids".to_owned(),
            Problem::Empty => "copy or commit an image into it first".to_owned(),
            Problem::Unsupported { hint, .. } => hint.clone(),
            Problem::Store(problem) => problem.hint(),
        };
        Some(hint)
    }
}

impl ImageError {
    /// An error that does not name its image yet.
    pub fn new(problem: Problem) -> Self {
        ImageError(Box::new(Context { image: None, layer: None, entry: None, problem }))
    }

    /// Names the image as the caller did, unless a deeper call named one already.
    pub fn of_image(mut self, name: &str) -> Self {
        self.0.image.get_or_insert_with(|| name.to_owned());
        self
    }

    /// Names the layer (`number` counts from 1 at the base), unless a deeper call named one already.
    pub fn in_layer(mut self, number: usize, digest: Option<Digest>) -> Self {
        self.0.layer.get_or_insert(LayerName { number, digest });
        self
    }

    /// Names the entry of a layer's tar, unless a deeper call named one already.
    pub fn at_entry(mut self, entry: impl AsRef<[u8]>) -> Self {
        self.0.entry.get_or_insert_with(|| entry.as_ref().to_vec());
        self
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// The layer it concerns, where known.
    pub fn layer(&self) -> Option<LayerName> {
        self.0.layer
    }

    /// The entry of the layer it concerns, where known.
    pub fn entry(&self) -> Option<&[u8]> {
        self.0.entry.as_deref()
    }

    /// What a person can do, where there is anything.
    pub fn hint(&self) -> Option<String> {
        self.0.problem.hint()
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.layer, &self.0.image) {
            (Some(layer), Some(image)) => write!(f, "{layer} of '{}': ", image.escape_debug())?,
            (Some(layer), None) => write!(f, "{layer}: ")?,
            (None, Some(image)) => write!(f, "image '{}': ", image.escape_debug())?,
            (None, None) => {}
        }
        if let Some(entry) = &self.0.entry {
            write!(f, "entry '{}': ", Text(entry))?;
        }
        self.0.problem.fmt(f)
    }
}

impl std::error::Error for ImageError {}

impl From<Problem> for ImageError {
    fn from(problem: Problem) -> Self {
        ImageError::new(problem)
    }
}

/// `x.tar.gz` → `x.tar`, `x.tgz` → `x.tar`, anything else → `image.tar`; in the directory where the person is.
fn uncompressed_name(path: &Path) -> PathBuf {
    match (path.extension().and_then(|e| e.to_str()), path.file_stem()) {
        (Some("tgz" | "tbz" | "tbz2" | "txz" | "tzst"), Some(stem)) => {
            PathBuf::from(stem).with_extension("tar")
        }
        (Some("gz" | "bz2" | "xz" | "zst" | "zstd"), Some(stem)) => PathBuf::from(stem),
        _ => PathBuf::from("image.tar"),
    }
}

/// A path as a shell takes it.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+:@%=,".contains(c)) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_layer_image_and_entry() {
        let digest = Digest::from_hex(&"0123456789abcdef".repeat(4)).unwrap();
        let error = ImageError::new(Problem::Malformed("the name has '..'".to_owned()));
        assert_eq!(error.to_string(), "the name has '..'");
        let error =
            error.at_entry("usr/../x").in_layer(2, Some(digest)).of_image("image.tar").of_image("other");
        assert_eq!(
            error.to_string(),
            "layer 2 (sha256:0123456789ab) of 'image.tar': entry 'usr/../x': the name has '..'"
        );
        let long =
            ImageError::new(Problem::Malformed("the name is long".to_owned())).at_entry("a".repeat(5000));
        assert_eq!(
            long.to_string(),
            format!("entry '{}... (5000 bytes)': the name is long", "a".repeat(200))
        );
        let error = ImageError::new(Problem::mismatch("size of the manifest", "2 bytes", "3 bytes"));
        assert_eq!(
            error.of_image("oci:x").to_string(),
            "image 'oci:x': size of the manifest: expected 2 bytes, found 3 bytes"
        );
    }

    #[test]
    fn a_compressed_archive_is_told_with_what_to_type() {
        for (path, hint) in [
            ("a/x.tar.gz", "uncompress it first: zcat a/x.tar.gz > x.tar"),
            ("x y.tgz", "uncompress it first: zcat 'x y.tgz' > 'x y.tar'"),
            ("saved", "uncompress it first: zcat saved > image.tar"),
        ] {
            let problem = Problem::CompressedArchive { program: "gzip", cat: "zcat", path: path.into() };
            assert_eq!(ImageError::new(problem).hint().as_deref(), Some(hint));
        }
    }
}
