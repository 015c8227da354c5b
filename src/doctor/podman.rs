//! podman and buildah.

use std::path::PathBuf;

use super::confinement;
use super::{Finding, Level, Use, is_ordinary};
use crate::source::facts::find_program;

/// What is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// podman, or else buildah.
    pub program: Option<PathBuf>,
}

impl Facts {
    /// Looks for them.
    pub fn look_up() -> Self {
        Facts { program: find_program("podman").or_else(|| find_program("buildah")) }
    }
}

/// Is there one?
pub fn judge(facts: &Facts, around: &confinement::Facts) -> Finding {
    match &facts.program {
        Some(path) if is_ordinary(around.privilege) => {
            Finding::ok("podman", format!("{}; it mounts in a user namespace of its own", path.display()))
        }
        Some(path) => Finding::ok("podman", path.display().to_string()),
        None => Finding::new("podman", Level::Missing, "neither podman nor buildah is installed")
            .remedy("install the package podman; docs/compatibility.md has the line of storage.conf")
            .means(&[Use::Podman], Level::Missing, "neither podman nor buildah is installed"),
    }
}
