//! How a mount reads its layers, as far as that says what is in them.

use std::fs;
use std::path::Path;

use crate::cli::Failure;
use crate::cli::options::Options;
use crate::cli::terminal::shown;
use crate::config::{Behaviour, Index};

/// A mount, as far as it says how its layers are read.
#[derive(Debug, PartialEq, Eq)]
pub struct AsMounted {
    /// Reads layers as the mount does. Nothing is taken over of how it shows owners and attributes: what is told of layers is what
    /// they have.
    pub behaviour: Behaviour,
    /// Whether it keeps hard links together by an index, which only a writable stack reads.
    pub index: Index,
}

/// What the options say, which are those that the mount's daemon tells.
///
/// # Errors
/// An option is not understood: the daemon is of another version.
pub fn understand(options: &[String]) -> Result<AsMounted, Failure> {
    let mut said = Options::default();
    for option in options {
        said.parse(option.as_bytes()).map_err(|error| {
            Failure::trouble(format!(
                "the mount tells how it reads its layers, which is not understood: {error}"
            ))
            .hint("its daemon may be another version of lamina: use that one")
        })?;
    }
    let default = Behaviour::default();
    let index = said.index.unwrap_or(default.index);
    let behaviour = Behaviour {
        read_only: true,
        redirect_dir: said.redirect_dir.unwrap_or(default.redirect_dir),
        whiteouts: said.whiteouts.unwrap_or(default.whiteouts),
        stat_override: said.stat_override.unwrap_or(default.stat_override),
        ..default
    };
    Ok(AsMounted { behaviour, index })
}

/// Says what an index has that is not looked into: a file that was changed by one of its names has changed by all of them, and the
/// others are still what they were in the layers below.
pub fn warn_of_index(mountpoint: &Path, work: &Path) {
    // An ordinary user may not look into root's: then there may be something.
    if fs::read_dir(work.join("index")).is_ok_and(|mut entries| entries.next().is_none()) {
        return;
    }
    log::warn!(
        "the mount '{}' has index=on: of a file with several names that was changed by one of them, the others are shown here as they \
         were before",
        shown(mountpoint)
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::summary;
    use crate::config::{IdRange, RedirectDir, StatOverride, Whiteouts};

    #[test]
    fn layers_are_read_as_the_mount_reads_them() {
        let default = || Behaviour { read_only: true, ..Behaviour::default() };
        let all = [
            default(),
            Behaviour { redirect_dir: RedirectDir::NoFollow, ..default() },
            Behaviour { redirect_dir: RedirectDir::Follow, ..default() },
            Behaviour { whiteouts: Whiteouts::Kernel, ..default() },
            Behaviour { whiteouts: Whiteouts::UnionfsFuse, ..default() },
            Behaviour { stat_override: StatOverride::Privileged, ..default() },
            Behaviour { stat_override: StatOverride::Containers, ..default() },
        ];
        for read in all {
            let index = Index::Off;
            assert_eq!(understand(&summary(&read)).unwrap(), AsMounted { behaviour: read, index });
        }
        let shown = Behaviour { uid_map: vec![IdRange { outside: 0, inside: 7, len: 1 }], ..default() };
        assert_eq!(understand(&summary(&shown)).unwrap().behaviour, default());
        let indexed = understand(&summary(&Behaviour { index: Index::On, ..default() })).unwrap();
        assert_eq!(indexed, AsMounted { behaviour: default(), index: Index::On });
        let flags = ["allow_other", "nosuid", "of another version"].map(str::to_owned);
        assert_eq!(understand(&flags).unwrap().behaviour, default());
    }
}
