//! What an image's config says, and which instruction made which layer.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::platform::Platform;

/// What an image's config says of the image and of the containers made from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// What it is made for.
    pub platform: Platform,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Who made it.
    pub author: Option<String>,
    /// `NAME=VALUE`, in order.
    pub env: Vec<String>,
    /// What is run, before `cmd`.
    pub entrypoint: Vec<String>,
    /// What is run, or the arguments of `entrypoint`.
    pub cmd: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The user a container runs as: `NAME`, `UID`, `NAME:GROUP`, ...
    pub user: Option<String>,
    /// The directory a container starts in.
    pub working_dir: Option<String>,
    /// `80/tcp`, ...
    pub exposed_ports: Vec<String>,
    /// Paths that are volumes.
    pub volumes: Vec<String>,
    /// The signal that stops a container.
    pub stop_signal: Option<String>,
}

/// One instruction of those an image was made by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// When it was done.
    pub created: Option<Timestamp>,
    /// The instruction, as the tool recorded it; `None` for a layer that no instruction accounts for.
    pub created_by: Option<String>,
    /// Who did it.
    pub author: Option<String>,
    /// What the tool noted.
    pub comment: Option<String>,
    /// The layer it made, an index into [`super::Image::layers`]; `None`: an instruction without a layer.
    pub layer: Option<usize>,
}

/// Whether the history of an image accounts for its layers. It is for people: nothing depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryFit {
    /// One instruction for each layer.
    Exact,
    /// The topmost layers, that many, have no instruction.
    Short(usize),
    /// The last instructions, that many, should have made layers that are not there.
    Long(usize),
}
