//! The command line that mount(8) and podman use, where it behaves unlike `lamina mount`; and remounts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::needs;
use crate::support::guard::{Layers, binary, is_mounted, names};
use crate::support::{Errno, Mount, Setup, Who, errno};

/// A mount by `lamina -o ...`, which goes with its test.
struct Compatible {
    point: PathBuf,
    // Removed after the mount.
    _layers: Layers,
}

impl Compatible {
    #[track_caller]
    fn mount(text: &str, options: &str) -> Self {
        let layers = Setup::text(text).build();
        let (upper, work) = (layers.upper(""), layers.work().to_owned());
        Self::over(layers, &upper, &work, options)
    }

    /// With an upper of the test's own.
    #[track_caller]
    fn over(layers: Layers, upper: &Path, work: &Path, options: &str) -> Self {
        let point = layers.dir().join("mnt");
        let all = format!(
            "lowerdir={},upperdir={},workdir={},{options}",
            layers.lower(1, "").display(),
            upper.display(),
            work.display()
        );
        let output = run(Command::new(binary()).args(["-o", all.trim_end_matches(',')]).arg(&point));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Compatible { point, _layers: layers }
    }
}

impl Drop for Compatible {
    fn drop(&mut self) {
        let output = run(Command::new(binary()).arg("umount").arg(&self.point));
        if !output.status.success() {
            crate::support::say(&String::from_utf8_lossy(&output.stderr));
        }
    }
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

const LOWER: &str = "layer 1\nfile d/one \"1\"\ndir e\n";

#[test]
fn in_the_user_namespace_a_merged_directory_does_not_move_unless_asked_to() {
    needs!(Lamina);
    let userxattr = if Who::current() == Who::Root { "userxattr" } else { "" };
    let m = Compatible::mount(LOWER, userxattr);
    assert_eq!(errno(fs::rename(m.point.join("d"), m.point.join("moved"))), Errno::EXDEV);
    assert_eq!(names(&m.point.join("d")), ["one"]);
    drop(m);
    let m = Compatible::mount(LOWER, &format!("redirect_dir=on,{userxattr}"));
    fs::rename(m.point.join("d"), m.point.join("moved")).unwrap();
    assert_eq!(names(&m.point.join("moved")), ["one"]);
}

#[test]
fn in_the_trusted_namespace_it_moves() {
    needs!(Lamina, Root);
    let m = Compatible::mount(LOWER, "");
    fs::rename(m.point.join("d"), m.point.join("e/moved")).unwrap();
    assert_eq!(names(&m.point.join("e/moved")), ["one"]);
}

/// What podman may mount with fuse-overlayfs next.
#[test]
fn in_a_store_of_containers_it_does_not_move_unless_asked_to() {
    needs!(Lamina, Root);
    for (options, expected) in [("", Err(Errno::EXDEV)), ("redirect_dir=on", Ok(()))] {
        let layers = Setup::text(LOWER).build();
        let overlay = layers.dir().join("overlay");
        let (upper, work) = (overlay.join("container/diff"), overlay.join("container/work"));
        for dir in [&upper, &work, &overlay.join("l")] {
            fs::create_dir_all(dir).unwrap();
        }
        fs::write(overlay.join("container/link"), "SHORT").unwrap();
        std::os::unix::fs::symlink("../container/diff", overlay.join("l/SHORT")).unwrap();
        let m = Compatible::over(layers, &upper, &work, options);
        let moved = fs::rename(m.point.join("d"), m.point.join("moved"));
        assert_eq!(
            moved.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap())),
            expected,
            "{options}"
        );
        // mv(1) copies, then.
        if expected.is_err() {
            assert!(
                run(Command::new("mv").arg(m.point.join("d")).arg(m.point.join("moved"))).status.success()
            );
        }
        assert_eq!(names(&m.point.join("moved")), ["one"], "{options}");
        assert!(!m.point.join("d").exists(), "{options}");
    }
}

#[test]
fn a_mount_that_stands_becomes_read_only_and_back() {
    needs!(Root);
    let m = Mount::of("layer 1\nfile f \"x\"\n");
    // By mount(8) itself, past its helpers.
    let by_mount = |options: &str| {
        let output = run(Command::new("mount").args(["-i", "-o", options]).arg(m.root()));
        assert!(output.status.success(), "{options}: {}", String::from_utf8_lossy(&output.stderr));
    };
    by_mount("remount,ro");
    assert_eq!(errno(fs::write(m.at("f"), "y")), Errno::EROFS);
    assert_eq!(errno(fs::create_dir(m.at("d"))), Errno::EROFS);
    assert_eq!(m.text("f"), "x");
    by_mount("remount,rw");
    fs::write(m.at("f"), "y").unwrap();
    assert_eq!(m.text("f"), "y");
}

#[test]
fn the_helper_of_mount_8_remounts() {
    needs!(Lamina, Root);
    let m = Mount::of("layer 1\nfile f \"x\"\n");
    let helper = m.dir().join("mount.fuse.lamina");
    std::os::unix::fs::symlink(binary(), &helper).unwrap();
    let remount = |options: &str| {
        let output = run(Command::new(&helper).arg("lamina").arg(m.root()).args(["-o", options]));
        assert!(output.status.success(), "{options}: {}", String::from_utf8_lossy(&output.stderr));
    };
    remount("remount,ro");
    assert_eq!(errno(fs::write(m.at("f"), "y")), Errno::EROFS);
    remount("remount,rw");
    fs::write(m.at("f"), "y").unwrap();
    assert!(is_mounted(&m.root()));
}
