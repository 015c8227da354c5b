//! How a mount reads its layers, as far as that says what is in them.

use crate::cli::Failure;
use crate::cli::options::Options;
use crate::config::Behaviour;

/// Reads layers as a mount with these options does, which are those that its daemon tells. Nothing is taken over of how it shows
/// owners and attributes: what is told of layers is what they have.
///
/// # Errors
/// An option is not understood: the daemon is of another version.
pub fn understand(options: &[String]) -> Result<Behaviour, Failure> {
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
    Ok(Behaviour {
        read_only: true,
        index: said.index.unwrap_or(default.index),
        redirect_dir: said.redirect_dir.unwrap_or(default.redirect_dir),
        whiteouts: said.whiteouts.unwrap_or(default.whiteouts),
        stat_override: said.stat_override.unwrap_or(default.stat_override),
        ..default
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::summary;
    use crate::config::{IdRange, Index, RedirectDir, StatOverride, Whiteouts};

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
            Behaviour { index: Index::On, ..default() },
        ];
        for read in all {
            assert_eq!(understand(&summary(&read)).unwrap(), read);
        }
        let shown = Behaviour { uid_map: vec![IdRange { outside: 0, inside: 7, len: 1 }], ..default() };
        assert_eq!(understand(&summary(&shown)).unwrap(), default());
        let flags = ["allow_other", "nosuid", "of another version"].map(str::to_owned);
        assert_eq!(understand(&flags).unwrap(), default());
    }
}
