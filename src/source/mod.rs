//! One word of the command line → layers of a stack, and the checks before anything is touched.

pub mod container_store;
pub mod facts;
pub mod images;
mod layer_list;
pub mod preflight;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

pub use layer_list::{LayerList, LayerListError, unescape};

use crate::config::{LowerSpec, StackSpec, UpperSpec};
use crate::image::{ImageRef, ReferenceError};

/// The prefix of a list of layers.
const OVERLAY: &[u8] = b"overlay:";

/// A SOURCE, as one word of the command line names it. A word with a slash before its first colon, as `./oci:x`, is a
/// path, whatever it begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory: one layer; or, where images are understood, a path at which one may be.
    Path(PathBuf),
    /// `overlay:TOP:...:BASE`: several layers.
    Overlay(LayerList),
    /// An image by its transport.
    Image(ImageRef),
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
    /// An image that is not named as images are.
    #[error(transparent)]
    Image(#[from] ReferenceError),
}

impl SourceError {
    /// What a person can do.
    pub fn hint(&self) -> String {
        match self {
            SourceError::Empty => "give a directory, an image, or overlay:TOP:...:BASE".to_owned(),
            SourceError::List { .. } => {
                "write overlay:TOP:...:BASE; in a path, write \\: for a colon and \\\\ for a backslash; data-only \
                 layers come last, each after a double colon"
                    .to_owned()
            }
            SourceError::Image(error) => error.hint(),
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
        Ok(match ImageRef::parse(word)? {
            ImageRef::Path(path) => Source::Path(path),
            image => Source::Image(image),
        })
    }
}

/// Several sources, stacked top first, with an upper perhaps. `layers` gives the layers of an image, top first, and `None`
/// for a path at which there is no image: then it is a layer itself.
///
/// # Errors
/// Those of `layers`.
pub fn stack<E>(
    sources: impl IntoIterator<Item = Source>,
    upper: Option<UpperSpec>,
    mut layers: impl FnMut(&ImageRef) -> Result<Option<Vec<LowerSpec>>, E>,
) -> Result<StackSpec, E> {
    let mut spec = StackSpec { lowers: Vec::new(), data_only: Vec::new(), upper };
    for source in sources {
        match source {
            Source::Path(path) => {
                let found = layers(&ImageRef::Path(path.clone()))?;
                spec.lowers.extend(found.unwrap_or_else(|| vec![path.into()]));
            }
            Source::Image(image) => spec.lowers.extend(layers(&image)?.unwrap_or_default()),
            Source::Overlay(list) => {
                spec.lowers.extend(list.lowers.into_iter().map(LowerSpec::from));
                spec.data_only.extend(list.data_only);
            }
        }
    }
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn parse(word: &str) -> Result<Source, SourceError> {
        Source::parse(OsStr::new(word))
    }

    #[test]
    fn a_word_is_a_path_a_list_or_an_image() {
        let path = |path: &str| Ok(Source::Path(PathBuf::from(path)));
        assert_eq!(parse("/layers/base"), path("/layers/base"));
        assert_eq!(parse("./oci:x"), path("./oci:x"));
        assert_eq!(parse("./overlay:x"), path("./overlay:x"));
        assert_eq!(parse("a:b"), path("a:b"));
        assert!(matches!(parse("overlay:a:b"), Ok(Source::Overlay(list)) if list.lowers.len() == 2));
        for image in
            ["oci:dir", "oci-archive:x.tar", "docker-archive:x.tar", "dir:d", "containers-storage:alpine"]
        {
            assert!(matches!(parse(image), Ok(Source::Image(_))), "{image}");
        }
        assert!(matches!(parse("docker://alpine"), Err(SourceError::Image(_))));
        assert_eq!(parse(""), Err(SourceError::Empty));
        assert!(parse("overlay:").unwrap_err().to_string().starts_with("source 'overlay:'"));
    }

    #[test]
    fn sources_stack_up_top_first() {
        let sources = ["top", "overlay:a:b::d", "oci:image", "file", "base"].map(|word| parse(word).unwrap());
        let directory = |path: &str| LowerSpec::from(PathBuf::from(path));
        let spec = stack::<Infallible>(sources, None, |image| {
            Ok(match image {
                ImageRef::OciLayout { .. } => Some(vec![directory("i2"), directory("i1")]),
                ImageRef::Path(path) if path.as_os_str() == "file" => Some(vec![directory("f1")]),
                _ => None,
            })
        });
        let spec = spec.unwrap();
        assert_eq!(spec.lowers, ["top", "a", "b", "i2", "i1", "f1", "base"].map(directory));
        assert_eq!(spec.data_only, [PathBuf::from("d")]);
    }
}
