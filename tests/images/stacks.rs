//! Images and directories in one stack.

use std::fs;
use std::process::Command;

use crate::images::{Compression, Entry};
use crate::place::{Format, Place, image_of, tar_of};
use crate::support::{everything_required, say};

#[test]
fn directories_above_and_below_images() {
    let place = Place::new();
    fs::create_dir_all(place.path("top/dir")).unwrap();
    fs::write(place.path("top/dir/file"), "of the top").unwrap();
    fs::write(place.path("top/dir/top"), "").unwrap();
    fs::create_dir_all(place.path("bottom/dir")).unwrap();
    fs::write(place.path("bottom/dir/file"), "of the bottom").unwrap();
    fs::write(place.path("bottom/dir/removed"), "of the bottom").unwrap();
    fs::write(place.path("bottom/dir/bottom"), "").unwrap();
    let image = |entries: Vec<Entry>, compression| image_of([tar_of(entries)], compression);
    let one = place.archive(
        "one.tar",
        &image(
            vec![
                Entry::dir("dir").mode(0o711),
                Entry::file("dir/file", "of one"),
                Entry::whiteout("dir/removed"),
            ],
            Compression::None,
        ),
    );
    let two_image = image(vec![Entry::dir("dir"), Entry::file("dir/two", "2")], Compression::Gzip);
    let two = place.write("two", Format::OciDir, &Format::OciDir.files(&[&two_image]));
    let mounted = place.mount(&[place.path("top"), one, two, place.path("bottom")]);
    assert_eq!(mounted.text("dir/file"), "of the top");
    assert_eq!(mounted.names("dir"), ["bottom", "file", "top", "two"]);
    drop(mounted);
    // Upside down, the directory's file wins, and nothing is below the whiteout.
    let mounted = place.mount(&[place.path("bottom"), place.path("one.tar")]);
    assert_eq!(mounted.names("dir"), ["bottom", "file", "removed"]);
    assert_eq!(mounted.text("dir/file"), "of the bottom");
}

#[test]
fn a_parent_without_an_entry_takes_its_attributes_from_a_directory_below() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let place = Place::new();
    fs::create_dir_all(place.path("bottom/tmp")).unwrap();
    fs::set_permissions(place.path("bottom/tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    let image = place.archive("i.tar", &image_of([tar_of([Entry::file("tmp/new", "")])], Compression::None));
    let mounted = place.mount(&[image, place.path("bottom")]);
    assert_eq!(mounted.stat("tmp").mode() & 0o7777, 0o1777);
}

#[test]
fn marks_of_overlays_in_a_directory_below_an_image_are_marks() {
    crate::needs!(Root);
    use crate::support::sys;
    let place = Place::new();
    fs::create_dir_all(place.path("top/dir")).unwrap();
    sys::set_xattr(&place.path("top/dir"), b"trusted.overlay.opaque", b"y", sys::SetXattr::Always).unwrap();
    fs::write(place.path("top/dir/only"), "").unwrap();
    let tar = tar_of([Entry::dir("dir"), Entry::file("dir/hidden", "")]);
    let image = place.archive("i.tar", &image_of([tar], Compression::None));
    let mounted = place.mount(&[place.path("top"), image]);
    assert_eq!(mounted.names("dir"), ["only"]);
}

#[test]
fn an_image_that_podman_holds_is_used_in_place() {
    crate::needs!(Root);
    if Command::new("skopeo").arg("--version").output().is_err() {
        assert!(!everything_required(), "skopeo is not installed");
        say("SKIPPED stacks::an_image_that_podman_holds_is_used_in_place: skopeo is not installed");
        return;
    }
    let place = Place::new();
    let base = tar_of([
        Entry::dir("dir").mode(0o711),
        Entry::file("dir/one", "1"),
        Entry::file("dir/two", "2").owner(3, 4),
    ]);
    let top = tar_of([Entry::whiteout("dir/one"), Entry::file("dir/three", "3")]);
    let archive = place.archive("image.tar", &image_of([base, top], Compression::None));
    let configuration = place.path("storage.conf");
    let at = |name: &str| place.path(name).display().to_string();
    fs::write(
        &configuration,
        format!(
            "[storage]\ndriver = \"overlay\"\nrunroot = \"{}\"\ngraphroot = \"{}\"\n",
            at("run"),
            at("graph")
        ),
    )
    .unwrap();
    let copied = Command::new("skopeo")
        .args(["copy", "--insecure-policy", &format!("docker-archive:{}", archive.display())])
        .arg("containers-storage:localhost/held:one")
        .env("CONTAINERS_STORAGE_CONF", &configuration)
        .output()
        .unwrap();
    if !copied.status.success() {
        // The kernel's overlay, which skopeo unpacks with, may be missing here.
        let reason = String::from_utf8_lossy(&copied.stderr);
        assert!(!everything_required(), "{reason}");
        say(&format!("SKIPPED stacks::an_image_that_podman_holds_is_used_in_place: {reason}"));
        return;
    }
    let mounted = place.mount_with(
        &["containers-storage:localhost/held:one"],
        &[("CONTAINERS_STORAGE_CONF", &configuration)],
    );
    assert_eq!(mounted.names("dir"), ["three", "two"]);
    assert_eq!(mounted.text("dir/two"), "2");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&mounted.stat("dir/two")), 3);
    assert!(place.stored().is_empty(), "nothing is copied: {:?}", place.stored());
}
