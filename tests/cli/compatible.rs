//! The command line of mount(8), fuse-overlayfs and podman, as far as it goes without a mount.

use std::os::unix::fs::symlink;

use crate::run::{Place, command, outcome};

#[test]
fn its_help_and_its_usage_errors() {
    let place = Place::new();
    let help = place.run(&["-o", "ro", "--help"]);
    help.succeeds();
    assert!(help.out.contains("lowerdir=TOP:...:BASE"), "{}", help.out);
    place.run(&["-o", "lowerdir=top"]).fails_with(2, &["the mount point is missing", "usage:"]);
    place.run(&["-o", "ro", "mnt"]).fails_with(2, &["there are no layers"]);
    place
        .run(&["-o", "lowerdir=top", "mnt", "--upper", "upper"])
        .fails_with(2, &["unknown flag '--upper'", "-o upperdir=DIR"]);
    place.run(&["-o"]).fails_with(2, &["-o needs a value"]);
    place.run(&["-o", "lowerdir=top,index=maybe", "mnt"]).fails_with(2, &["option 'index=maybe'"]);
}

#[test]
fn options_without_effect_are_warnings() {
    let place = Place::new();
    let options = "lowerdir=none,metacopy=on,nfs_export=on,frobnicate,nodev,rw,x-what";
    let failed = place.run(&["-o", options, "mnt"]);
    failed.fails_with(
        1,
        &[
            "warning: option 'nfs_export=on' is not supported",
            "warning: unknown option 'frobnicate'; it is ignored",
            "layer 'none' cannot be used",
        ],
    );
    assert_eq!(failed.err.matches("warning").count(), 2, "{}", failed.err);
}

#[test]
fn it_is_decided_by_the_name_of_a_link() {
    let place = Place::new();
    for (name, code) in [("fuse-overlayfs", 2), ("mount.fuse.lamina", 1), ("mount.lamina", 1)] {
        let link = place.path(name);
        symlink(env!("CARGO_BIN_EXE_lamina"), &link).unwrap();
        let version = outcome(command(&link).arg("--version"));
        version.succeeds();
        assert!(version.out.starts_with("lamina "), "{version:?}");
        // "list" is a word like any other here: the mount point, or for mount(8) the layers.
        let words: &[&str] = if code == 2 { &["list"] } else { &["list", "mnt"] };
        outcome(command(&link).args(words).current_dir(place.root())).fails_with(
            code,
            &[if code == 2 { "there are no layers" } else { "layer 'list' cannot be used" }],
        );
    }
}

#[test]
fn mount_with_fake_checks_and_mounts_nothing() {
    let place = Place::new();
    let link = place.path("mount.lamina");
    symlink(env!("CARGO_BIN_EXE_lamina"), &link).unwrap();
    let fake = |options: &str| {
        outcome(command(&link).args(["name", "mnt", "-f", "-o", options]).current_dir(place.root()))
    };
    fake("rw,lowerdir=top:none").fails_with(1, &["layer 'none' cannot be used"]);
    fake("rw,lowerdir=top:base,upperdir=upper").succeeds();
    std::fs::remove_file(&link).unwrap();
    place.is_untouched();
}
