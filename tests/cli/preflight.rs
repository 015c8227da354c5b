//! A stack that cannot be mounted: exit code 1, what and where and what to do, and nothing is touched.

use std::fs;
use std::os::unix::fs::symlink;

use crate::run::{Place, lamina, outcome};

#[test]
fn layers_that_are_none() {
    let place = Place::new();
    place
        .run(&["mount", "none", "base", "mnt"])
        .fails_with(1, &["layer 'none' cannot be used: No such file"]);
    place.run(&["mount", "overlay:top:no\\:ne", "mnt"]).fails_with(1, &["layer 'no:ne' cannot be used"]);
    place
        .run(&["mount", "base/file", "mnt"])
        .fails_with(1, &["image 'base/file': it is not an image", "an image is an OCI layout"]);
    place.run(&["mount", "/dev/null", "mnt"]).fails_with(1, &["layer '/dev/null' is not a directory"]);
    place
        .run(&["mount", "overlay:top::base/file", "mnt"])
        .fails_with(1, &["data-only layer 'base/file' is not"]);
    for image in
        ["oci:dir", "oci-archive:a.tar", "docker-archive:a.tar", "dir:a", "containers-storage:alpine"]
    {
        place.run(&["mount", image, "mnt"]).fails_with(1, &[image, "image '"]);
    }
    place
        .run(&["mount", "./oci:dir", "mnt"])
        .fails_with(1, &["layer './oci:dir' cannot be used: No such file"]);
    place.is_untouched();
}

#[test]
fn uppers_that_are_none() {
    let place = Place::new();
    let mount = |upper: &str, work: &str| {
        place.run(&["mount", "top", "base", "mnt", "--upper", upper, "--work", work])
    };
    mount("none", "work").fails_with(1, &["upper directory 'none' cannot be used", "mkdir"]);
    mount("upper", "none").fails_with(1, &["work directory 'none' cannot be used", "mkdir"]);
    mount("base/file", "work").fails_with(1, &["upper directory 'base/file' is not a directory"]);
    mount("/proc/self", "/proc/self").fails_with(1, &["not writable"]);
    place
        .run(&["mount", "top", "mnt", "--upper", "none"])
        .fails_with(1, &["upper directory 'none' cannot be used"]);
    place.is_untouched();
}

#[test]
fn directories_that_overlap() {
    let place = Place::new();
    fs::create_dir(place.path("base/sub")).unwrap();
    fs::create_dir(place.path("upper/sub")).unwrap();
    symlink("base", place.path("link")).unwrap();
    let mount = |args: &[&str]| place.run(&[&["mount"], args].concat());
    mount(&["base", "link", "mnt"]).fails_with(1, &["layer 'base' and layer 'link' are the same directory"]);
    mount(&["base", "base/sub", "mnt"]).fails_with(1, &["layer 'base/sub' lies inside layer 'base'"]);
    mount(&["base", "mnt", "--upper", "base", "--work", "work"]).fails_with(1, &["are the same directory"]);
    mount(&["base", "mnt", "--upper", "base/sub", "--work", "work"])
        .fails_with(1, &["upper directory 'base/sub' lies inside layer 'base'"]);
    mount(&["base", "mnt", "--upper", "upper", "--work", "upper/sub"])
        .fails_with(1, &["work directory 'upper/sub' lies inside upper directory 'upper'"]);
    mount(&["base", "mnt", "--upper", "upper/sub", "--work", "upper"])
        .fails_with(1, &["upper directory 'upper/sub' lies inside work directory 'upper'"]);
    mount(&["upper/sub", "mnt", "--upper", "upper", "--work", "work"])
        .fails_with(1, &["layer 'upper/sub' lies inside upper directory 'upper'"]);
    mount(&["base", "base/sub"]).fails_with(1, &["mount point 'base/sub' lies inside layer 'base'"]);
    mount(&["base", "upper", "--upper", "upper", "--work", "work", "-o", "nonempty"])
        .fails_with(1, &["mount point 'upper' would cover the upper directory 'upper'"]);
}

#[test]
fn mount_points_that_are_none() {
    let place = Place::new();
    place.run(&["mount", "top", "none"]).fails_with(1, &["mount point 'none' cannot be used", "mkdir"]);
    place.run(&["mount", "top", "base/file"]).fails_with(1, &["mount point 'base/file' is not a directory"]);
    // The mount point was forgotten, and the last layer taken for it.
    place.run(&["mount", "top", "base"]).fails_with(1, &["mount point 'base' is not empty", "-o nonempty"]);
    place.is_untouched();
}

#[test]
fn upper_and_work_on_two_file_systems() {
    let place = Place::new();
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let work = elsewhere.path().to_str().unwrap();
    place
        .run(&["mount", "top", "mnt", "--upper", "upper", "--work", work])
        .fails_with(1, &["on different file systems", "--work", work]);
    place.is_untouched();
}

#[test]
fn a_failed_mount_leaves_no_work_directory_behind() {
    let place = Place::new();
    place.run(&["mount", "top", "none", "--upper", "upper"]).fails_with(1, &["mount point 'none'"]);
    place.is_untouched();
}

#[test]
fn more_descriptors_than_the_limit() {
    let place = Place::new();
    let mut limited = lamina();
    limited.args(["mount", "top", "base", "mnt"]).current_dir(place.root());
    // A shell lowers the limits, hard one and all, before it becomes the program.
    let mut shell = crate::run::command("sh");
    shell
        .args(["-c", "ulimit -n 60; exec \"$0\" \"$@\""])
        .arg(limited.get_program())
        .args(limited.get_args());
    outcome(shell.current_dir(place.root()))
        .fails_with(1, &["2 layers need", "the limit is 60", "ulimit -Hn"]);
    place.is_untouched();
}

#[test]
fn a_log_file_that_cannot_be_written() {
    let place = Place::new();
    place
        .run(&["mount", "top", "mnt", "--log-file", "none/log"])
        .fails_with(1, &["log file 'none/log' cannot be opened"]);
    place.is_untouched();
}

#[test]
fn a_log_filter_that_is_not_understood_is_a_warning() {
    let place = Place::new();
    let mut mount = lamina();
    mount.args(["mount", "none", "mnt"]).env("RUST_LOG", "x=y=z").current_dir(place.root());
    let failed = outcome(&mut mount);
    failed.fails_with(1, &["lamina: warning: RUST_LOG is not understood", "layer 'none' cannot be used"]);
    assert!(
        failed.err.lines().all(|line| line.starts_with("lamina: ") || line.starts_with("  ")),
        "{failed:?}"
    );
}

#[test]
fn unmounting_what_is_not_mounted() {
    let place = Place::new();
    place.run(&["umount", "mnt"]).fails_with(1, &["'mnt' is not a mount point", "lamina list"]);
    place
        .run(&["umount", "none"])
        .fails_with(1, &["'none' cannot be used: No such file or directory\n", "check"]);
    place.run(&["umount", "/proc"]).fails_with(1, &["'/proc' is a mount of type proc, not one of lamina's"]);
    place
        .run(&["umount", "mnt", "/proc"])
        .fails_with(1, &["'mnt' is not a mount point", "'/proc' is a mount"]);
}

#[test]
fn asking_what_is_not_mounted() {
    let place = Place::new();
    place.run(&["stats", "mnt"]).fails_with(1, &["'mnt' is not a mount point", "lamina list"]);
    place.run(&["stats", "none"]).fails_with(1, &["'none' cannot be used: No such file or directory\n"]);
    place.run(&["stats", "/proc"]).fails_with(1, &["'/proc' is a mount of type proc, not one of lamina's"]);
    place.run(&["stats", "--watch=0", "mnt"]).fails_with(2, &["0 is not in 1..=86400"]);
    place.run(&["stats", "--watch", "--json", "mnt"]).fails_with(2, &["cannot be used with"]);
}

#[test]
fn refreshing_what_is_not_mounted() {
    let place = Place::new();
    place.run(&["refresh", "mnt"]).fails_with(1, &["'mnt' is not a mount point", "lamina list"]);
    place
        .run(&["refresh", "none"])
        .fails_with(1, &["'none' cannot be used: No such file or directory\n", "check"]);
    place.run(&["refresh", "mnt", "/proc"]).fails_with(
        1,
        &["'mnt' is not a mount point", "'/proc' is a mount of type proc, not one of lamina's"],
    );
}
