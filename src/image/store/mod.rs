//! The layer store: what was verified and decompressed once is not verified and decompressed again.
//!
//! Nothing in it is needed: all of it can be made again from the images. So whatever is not as it was left is not
//! repaired but made anew, and nothing is trusted without a record that says what the file was.

mod check;
mod contents;
mod garbage;
mod known;
mod layout;
mod lock;
mod plan;
mod prepare;
mod problem;
mod progress;
mod record;
mod remove;
mod staging;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use check::Verdict;
pub use contents::{StoredLayer, Use};
pub use garbage::{Collected, Garbage, Why};
pub use lock::Lease;
pub use problem::StoreProblem;
pub(in crate::image) use progress::Running;
pub use progress::{Progress, Silent, Task, Work};
pub use remove::Removed;

use self::layout::Layout;
use super::error::ImageError;
use crate::config::LowerSpec;
use crate::digest::Digest;
use crate::sys::identity;

/// The directory of this user's stores by default, below `$XDG_DATA_HOME`.
const NAME: &str = "lamina";

/// A directory with the tars and indexes of layers.
#[derive(Debug, Clone)]
pub struct Store {
    layout: Layout,
}

/// What [`Store::prepare`] may do. `Prepare::default()` suits every honest image that we have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepare {
    /// How much the layers that have to be decompressed may take together, bytes.
    pub max_unpacked: u64,
    /// Whether a layer that unpacks to much more than it is stored as is taken for a bomb.
    pub bombs: Bombs,
    /// How many entries a layer may have.
    pub max_entries: u64,
}

/// What is thought of a small layer that unpacks to a large one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bombs {
    /// Beyond 1 GiB and 200 times its stored size, a layer is refused.
    Suspected,
    /// It is what a layer may be: somebody has said how much is too much.
    Trusted,
}

impl Default for Prepare {
    fn default() -> Self {
        // The largest images in use (CUDA, machine learning, whole desktops) have 20 to 40 GB.
        Prepare { max_unpacked: 64 << 30, bombs: Bombs::Suspected, max_entries: 8 << 20 }
    }
}

impl Prepare {
    /// As somebody who knows the image said: `--max-unpacked`.
    pub fn with_max_unpacked(bytes: u64) -> Self {
        Prepare { max_unpacked: bytes, bombs: Bombs::Trusted, ..Prepare::default() }
    }

    /// How large the tar of a layer may be, for the size of its blob.
    fn most_of_layer(&self, stored: u64) -> u64 {
        match self.bombs {
            Bombs::Suspected => stored.saturating_mul(200).max(1 << 30),
            Bombs::Trusted => u64::MAX,
        }
    }
}

/// A layer that can be mounted.
#[derive(Debug, Clone)]
pub struct PreparedLayer {
    /// What is mounted.
    pub lower: LowerSpec,
    /// The sha256 of its tar.
    pub diff_id: Digest,
    /// Keeps the layer in the store: to be held by whoever serves it, as long as they do. `None` for directories, which
    /// are not in the store.
    pub lease: Option<Arc<Lease>>,
}

impl Store {
    /// Where the store is unless something else is said: `/var/lib/lamina` for root, `$XDG_DATA_HOME/lamina` or
    /// `~/.local/share/lamina` for others.
    ///
    /// # Errors
    /// None of these variables is set.
    pub fn default_dir() -> Result<PathBuf, ImageError> {
        // Root of a user namespace is an ordinary user to the machine's directories.
        let root = identity::effective().0 == 0 && identity::in_first_user_namespace();
        default_dir(root, |name| std::env::var_os(name).map(PathBuf::from))
            .ok_or_else(|| StoreProblem::NoPlace.into())
    }

    /// Opens a store, or makes one in a directory that is empty or does not exist. What killed processes left in it is
    /// removed.
    ///
    /// # Errors
    /// The directory is something else, cannot be written to, or others may write to it.
    pub fn open(dir: &Path) -> Result<Store, ImageError> {
        let layout = Layout::create(dir)?;
        for file in staging::abandoned(&layout)? {
            if let Err(problem) = file.remove() {
                // It is in nobody's way.
                log::debug!("{problem}");
            }
        }
        Ok(Store { layout })
    }

    /// Opens a store that exists; `None` where there is none.
    pub fn open_existing(dir: &Path) -> Result<Option<Store>, ImageError> {
        Ok(Layout::open(dir)?.map(|layout| Store { layout }))
    }

    /// Its directory, absolute.
    pub fn dir(&self) -> &Path {
        self.layout.dir()
    }
}

fn default_dir(root: bool, variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // Relative paths are to be ignored: XDG base directory specification.
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    match root {
        true => Some(PathBuf::from("/var/lib").join(NAME)),
        false => absolute("XDG_DATA_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
            .map(|base| base.join(NAME)),
    }
}

impl From<StoreProblem> for ImageError {
    fn from(problem: StoreProblem) -> Self {
        ImageError::new(problem.into())
    }
}

#[cfg(test)]
mod tests;
