//! Images that podman and buildah hold, used in place.

use std::path::Path;

use super::error::{ImageError, Problem};
use super::{Image, Select};

/// Opens an image of a store.
pub fn open(_root: Option<&Path>, _wanted: &str, _name: &str, _select: &Select) -> Result<Image, ImageError> {
    Err(Problem::Unsupported {
        problem: "images in a store of podman's cannot be read yet".to_owned(),
        hint: "save it first: podman save -o image.tar NAME".to_owned(),
    }
    .into())
}
