#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

mod damage;
mod images;
mod remembering;
mod sharing;
mod tidying;

use std::path::{Path, PathBuf};

#[test]
fn the_default_place_is_the_systems_or_the_users() {
    let place = |root, variables: &[(&str, &str)]| {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value))
        };
        super::default_dir(root, variable)
    };
    let (data, home) = (("XDG_DATA_HOME", "/data"), ("HOME", "/home/a"));
    for (root, variables, expected) in [
        (true, &[data, home][..], Some("/var/lib/lamina")),
        (false, &[data, home], Some("/data/lamina")),
        (false, &[home], Some("/home/a/.local/share/lamina")),
        (false, &[("XDG_DATA_HOME", "relative"), home], Some("/home/a/.local/share/lamina")),
        (false, &[], None),
    ] {
        assert_eq!(place(root, variables).as_deref(), expected.map(Path::new), "{root} {variables:?}");
    }
}
