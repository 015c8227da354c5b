//! Is a directory a layer in a store of podman's or buildah's?
//!
//! Source: stores that podman 4.3 and buildah 1.28 of Debian 12 made (containers/storage, driver overlay): a layer is
//! `overlay/ID/diff`; `overlay/ID/link` holds a short name, by which `overlay/l/` has a symbolic link to it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// Who may mount an upper next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextUser {
    /// Whatever program storage.conf names by then: it is a container's, in a store.
    AnyMountProgram,
    /// Who mounts it now, as far as anybody knows.
    TheSame,
}

impl NextUser {
    /// Of an upper. What cannot be read is no store.
    pub fn of(upper: &Path) -> Self {
        if is_in_a_store(upper) == Some(true) { NextUser::AnyMountProgram } else { NextUser::TheSame }
    }
}

fn is_in_a_store(upper: &Path) -> Option<bool> {
    let upper = fs::canonicalize(upper).ok()?;
    let layer = upper.parent()?;
    let short = fs::read(layer.join("link")).ok()?;
    let short = Path::new(OsStr::from_bytes(&short));
    let mut components = short.components();
    let (Some(Component::Normal(name)), None) = (components.next(), components.next()) else { return None };
    let linked = fs::canonicalize(layer.parent()?.join("l").join(name)).ok()?;
    Some(linked == upper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_layer_that_its_store_links_to_is_in_one() {
        let temp = tempfile::tempdir().unwrap();
        let overlay = temp.path().join("overlay");
        for dir in ["l", "one/diff/diff", "other/diff", "lone/diff"] {
            fs::create_dir_all(overlay.join(dir)).unwrap();
        }
        symlink("../one/diff", overlay.join("l/ONE")).unwrap();
        symlink("../nowhere", overlay.join("l/NOWHERE")).unwrap();
        let of = |path: &str| NextUser::of(&overlay.join(path));
        for (link, expected) in [
            ("ONE", NextUser::AnyMountProgram),
            ("NOWHERE", NextUser::TheSame),
            ("MISSING", NextUser::TheSame),
            ("../l/ONE", NextUser::TheSame),
            ("..", NextUser::TheSame),
            ("", NextUser::TheSame),
        ] {
            fs::write(overlay.join("one/link"), link).unwrap();
            assert_eq!(of("one/diff"), expected, "{link}");
        }
        fs::write(overlay.join("one/link"), "ONE").unwrap();
        fs::write(overlay.join("other/link"), "ONE").unwrap();
        for path in ["one/diff/diff", "other/diff", "lone/diff", "one", "l", "absent/diff"] {
            assert_eq!(of(path), NextUser::TheSame, "{path}");
        }
        assert_eq!(of("l/ONE"), NextUser::AnyMountProgram);
        assert_eq!(NextUser::of(Path::new("/")), NextUser::TheSame);
    }
}
