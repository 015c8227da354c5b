//! A wrong command line: exit code 2, and nothing is touched.

use crate::run::{Place, run};

#[test]
fn unknown_commands_and_flags() {
    run(&["mont"]).fails_with(2, &["mont"]);
    run(&["mount", "--frobnicate", "a", "b"]).fails_with(2, &["--frobnicate"]);
    run(&["list", "extra"]).fails_with(2, &["extra"]);
    run(&["umount"]).fails_with(2, &["MOUNTPOINT"]);
    run(&["--log-level", "loud", "list"]).fails_with(2, &["loud", "debug"]);
}

#[test]
fn a_source_and_a_mount_point_are_needed() {
    run(&["mount"]).fails_with(2, &["SOURCE", "MOUNTPOINT"]);
    run(&["mount", "only-one"])
        .fails_with(2, &["the mount point is missing", "lamina mount [OPTIONS] SOURCE... MOUNTPOINT"]);
}

#[test]
fn options_that_cannot_be_honoured_are_errors_of_lamina_mount() {
    let place = Place::new();
    for (option, words) in [
        ("frobnicate", &["unknown option 'frobnicate'"][..]),
        ("nfs_export=on", &["'nfs_export=on' is not supported"]),
        ("verity=require", &["'verity=require' is not supported"]),
        ("ro,writeback=1,foo", &["'writeback=1' is not supported", "unknown option 'foo'"]),
        ("index=maybe", &["option 'index=maybe'", "on, off"]),
        ("volatile=1", &["option 'volatile' takes no value"]),
        ("index", &["option 'index' needs a value"]),
        ("fsname=", &["option 'fsname='", "give a name"]),
        ("timeout=soon", &["option 'timeout=soon'", "seconds"]),
        ("lowerdir=/a", &["option 'lowerdir' does not belong", "SOURCE"]),
        ("upperdir=/a", &["option 'upperdir' does not belong", "--upper"]),
        ("remount,ro", &["option 'remount' does not belong", "mount -o remount"]),
        ("allow_other,allow_root", &["'allow_other' has no effect"]),
        ("workdir=/a", &["option 'workdir' does not belong", "--work"]),
    ] {
        place.run(&["mount", "top", "base", "mnt", "-o", option]).fails_with(2, words);
    }
    place
        .run(&["mount", "top", "mnt", "--upper", "upper", "--work", "work", "-o", "metacopy=on"])
        .fails_with(2, &["'metacopy=on' is not supported", "lamina mount --help"]);
    place.is_untouched();
}

#[test]
fn a_word_that_names_no_image_is_a_wrong_command_line_for_every_command() {
    let place = Place::new();
    for (word, words) in [
        ("docker://debian", &["docker:// is not supported", "skopeo copy"][..]),
        ("oci:", &["no directory after the transport", "oci:DIR[:TAG]"]),
        ("containers-storage:[vfs@/s]app", &["the place of the store", "[overlay@"]),
    ] {
        place.run(&["mount", word, "mnt"]).fails_with(2, words);
        place.run(&["inspect", word]).fails_with(2, words);
        place.run(&["commit", "top", "oci:out:x", "--base", word]).fails_with(2, words);
    }
    place.is_untouched();
}

#[test]
fn what_chooses_an_image_needs_one() {
    let place = Place::new();
    for (option, value) in [("--tag", "v1"), ("--platform", "linux/arm64")] {
        place
            .run(&["mount", "top", "base", "mnt", option, value])
            .fails_with(2, &[&format!("{option} chooses an image"), "name the image"]);
    }
    place.is_untouched();
}

#[test]
fn an_age_is_a_number_of_days() {
    run(&["store", "gc", "--older-than", "soon"]).fails_with(2, &["'soon'", "a whole number of days"]);
}

#[test]
fn a_work_directory_without_an_upper() {
    let place = Place::new();
    place.run(&["mount", "top", "mnt", "--work", "work"]).fails_with(2, &["--upper"]);
    // What is useless on the compatible command line is only warned of.
    place.run(&["-o", "lowerdir=none,workdir=work", "mnt"]).fails_with(
        1,
        &[
            "warning: option 'workdir=work' has no effect: there is no upperdir",
            "layer 'none' cannot be used",
        ],
    );
}

#[test]
fn malformed_lists_of_layers() {
    let place = Place::new();
    place.run(&["mount", "overlay:", "mnt"]).fails_with(2, &["source 'overlay:'", "empty", "TOP:...:BASE"]);
    place
        .run(&["mount", "overlay:a::b:c", "mnt"])
        .fails_with(2, &["ordinary layer follows a data-only layer"]);
    place.run(&["mount", "", "mnt"]).fails_with(2, &["empty"]);
}
