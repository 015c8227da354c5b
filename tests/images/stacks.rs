//! Images and directories in one stack.

use std::fs;

use crate::images::{Compression, Entry};
use crate::place::{Format, Place, image_of, tar_of};

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
