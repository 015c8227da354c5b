//! One word of the command line → layers of a stack, and the checks before anything is touched.

pub mod facts;
mod layer_list;
pub mod preflight;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

pub use layer_list::{LayerList, LayerListError, unescape};

use crate::config::{LowerSpec, StackSpec, UpperSpec};

/// The prefix of a list of layers.
const OVERLAY: &[u8] = b"overlay:";
/// Prefixes of container images, as other container tools spell them.
const IMAGES: [&str; 4] = ["oci:", "oci-archive:", "docker-archive:", "containers-storage:"];

/// A SOURCE, as one word of the command line names it. A word with a slash before its first colon, as `./oci:x`, is a
/// path, whatever it begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory: one layer.
    Directory(PathBuf),
    /// `overlay:TOP:...:BASE`: several layers.
    Overlay(LayerList),
}

/// Why a word is not a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The word is empty.
    #[error("a source is an empty word")]
    Empty,
    /// The list after `overlay:` is malformed.
    #[error("source '{}': {problem}", .word.escape_ascii())]
    List {
        /// The whole word.
        word: Vec<u8>,
        /// What is wrong with it.
        problem: LayerListError,
    },
    /// An image, by its prefix.
    #[error("source '{}': images are not supported yet", .word.escape_ascii())]
    Image {
        /// The whole word.
        word: Vec<u8>,
        /// The prefix that says so.
        prefix: &'static str,
    },
}

impl SourceError {
    /// What a person can do.
    pub fn hint(&self) -> String {
        match self {
            SourceError::Empty => "give a directory, or overlay:TOP:...:BASE".to_owned(),
            SourceError::List { .. } => {
                "write overlay:TOP:...:BASE; in a path, write \\: for a colon and \\\\ for a backslash; data-only \
                 layers come last, each after a double colon"
                    .to_owned()
            }
            SourceError::Image { prefix, .. } => {
                format!("unpack the image into directories; for a directory with that name write ./{prefix}...")
            }
        }
    }
}

impl Source {
    /// Reads one word. Nothing is looked up yet.
    pub fn parse(word: &OsStr) -> Result<Self, SourceError> {
        let bytes = word.as_bytes();
        if bytes.is_empty() {
            return Err(SourceError::Empty);
        }
        if let Some(list) = bytes.strip_prefix(OVERLAY) {
            return LayerList::parse(list)
                .map(Source::Overlay)
                .map_err(|problem| SourceError::List { word: bytes.to_vec(), problem });
        }
        match IMAGES.iter().find(|prefix| bytes.starts_with(prefix.as_bytes())) {
            Some(prefix) => Err(SourceError::Image { word: bytes.to_vec(), prefix }),
            None => Ok(Source::Directory(PathBuf::from(word))),
        }
    }
}

/// Several sources, stacked top first, with an upper perhaps: what is to be mounted, as the caller wrote it.
pub fn stack(sources: impl IntoIterator<Item = Source>, upper: Option<UpperSpec>) -> StackSpec {
    let mut spec = StackSpec { lowers: Vec::new(), data_only: Vec::new(), upper };
    for source in sources {
        match source {
            Source::Directory(dir) => spec.lowers.push(dir.into()),
            Source::Overlay(list) => {
                spec.lowers.extend(list.lowers.into_iter().map(LowerSpec::from));
                spec.data_only.extend(list.data_only);
            }
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(word: &str) -> Result<Source, SourceError> {
        Source::parse(OsStr::new(word))
    }

    #[test]
    fn a_word_is_a_directory_a_list_or_an_image() {
        let dir = |path: &str| Ok(Source::Directory(PathBuf::from(path)));
        assert_eq!(parse("/layers/base"), dir("/layers/base"));
        assert_eq!(parse("./oci:x"), dir("./oci:x"));
        assert_eq!(parse("./overlay:x"), dir("./overlay:x"));
        assert_eq!(parse("a:b"), dir("a:b"));
        assert!(matches!(parse("overlay:a:b"), Ok(Source::Overlay(list)) if list.lowers.len() == 2));
        for image in ["oci:dir", "oci-archive:x.tar", "docker-archive:x.tar", "containers-storage:alpine"] {
            let error = parse(image).unwrap_err();
            assert!(matches!(error, SourceError::Image { .. }), "{image}");
            assert!(error.to_string().contains("not supported yet"), "{error}");
        }
        assert_eq!(parse(""), Err(SourceError::Empty));
        assert!(parse("overlay:").unwrap_err().to_string().starts_with("source 'overlay:'"));
    }

    #[test]
    fn sources_stack_up_top_first() {
        let sources = ["top", "overlay:a:b::d", "base"].map(|word| parse(word).unwrap());
        let spec = stack(sources, None);
        assert_eq!(spec.lowers, ["top", "a", "b", "base"].map(|path| PathBuf::from(path).into()));
        assert_eq!(spec.data_only, [PathBuf::from("d")]);
    }
}
