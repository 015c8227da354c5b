//! Mounts that refuse every change.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::AccessFlags;

use crate::support::{Errno, Mount, Setup, errno, sys};

fn refuses_every_change(m: &Mount) {
    let at = |path: &str| m.at(path);
    let rofs = |what: &str, error: Errno| assert_eq!(error, Errno::EROFS, "{what}");
    rofs("open for writing", errno(OpenOptions::new().write(true).open(at("file"))));
    rofs("O_TRUNC", errno(File::create(at("file"))));
    rofs("creating", errno(File::create_new(at("new"))));
    rofs("mkdir", errno(fs::create_dir(at("new"))));
    rofs("symlink", errno(symlink("t", at("new"))));
    rofs("link", errno(fs::hard_link(at("file"), at("new"))));
    rofs("mkfifo", errno(nix::unistd::mkfifo(&at("new"), Mode::S_IRWXU)));
    rofs("unlink", errno(fs::remove_file(at("file"))));
    rofs("rmdir", errno(fs::remove_dir(at("sticky"))));
    rofs("rename", errno(fs::rename(at("file"), at("new"))));
    rofs("chmod", errno(fs::set_permissions(at("file"), Permissions::from_mode(0o600))));
    rofs("chown", errno(std::os::unix::fs::chown(at("file"), Some(0), None)));
    rofs("truncate", errno(nix::unistd::truncate(&at("file"), 0)));
    let now = TimeSpec::UTIME_NOW;
    rofs(
        "utimens",
        errno(utimensat(nix::fcntl::AT_FDCWD, &at("file"), &now, &now, UtimensatFlags::FollowSymlink)),
    );
    rofs("setxattr", errno(sys::set_xattr(&at("file"), b"user.x", b"y", sys::SetXattr::Always)));
    rofs("removexattr", errno(sys::remove_xattr(&at("xattrs"), b"user.text")));
    rofs("access", errno(nix::unistd::access(&at("file"), AccessFlags::W_OK)));
}

fn reads(m: &Mount) {
    assert_eq!(m.text("file"), "content\n");
    assert_eq!(m.names("dir"), ["child"]);
    assert_eq!(fs::read_link(m.at("link")).unwrap().to_str(), Some("file"));
    assert!(fs::read(m.at("pattern")).unwrap() == fs::read(m.lower(1, "pattern")).unwrap());
    assert_eq!(m.text("added"), "2");
    assert!(m.absent("empty"));
}

/// `kinds` below a small second layer.
fn setup() -> Setup {
    let text = fs::read_to_string(crate::support::fixtures::folder().join("kinds.stack")).unwrap();
    Setup::text(&format!("{text}\nlayer 2\nfile added \"2\"\nwhiteout empty\n"))
}

#[test]
fn without_an_upper_nothing_changes() {
    let m = setup().read_only().mount();
    reads(&m);
    refuses_every_change(&m);
    reads(&m);
}

#[test]
fn the_option_ro_refuses_although_there_is_an_upper() {
    let m = setup().options("ro").mount();
    reads(&m);
    refuses_every_change(&m);
    assert_eq!(fs::read_dir(m.upper("")).unwrap().count(), 0);
}

#[test]
fn an_upper_that_was_written_is_shown() {
    let m = setup().mount();
    fs::write(m.at("file"), "changed").unwrap();
    fs::remove_file(m.at("old")).unwrap();
    let mut layers = m.unmount();
    layers.set_options("ro");
    let m = layers.mounted();
    assert_eq!(m.text("file"), "changed");
    assert!(m.absent("old"));
    assert_eq!(errno(fs::write(m.at("file"), "x")), Errno::EROFS);
}

#[test]
fn one_layer_alone_is_a_mount_too() {
    // The kernel's overlay wants two.
    crate::needs!(Lamina);
    let m = Setup::named("kinds").read_only().mount();
    assert_eq!(m.text("file"), "content\n");
    assert_eq!(errno(fs::write(m.at("file"), "x")), Errno::EROFS);
}
