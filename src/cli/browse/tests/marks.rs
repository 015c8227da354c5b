//! Marks where a directory's own layer does not say what has become of what is in it.

use std::fs;
use std::os::fd::AsFd;

use super::Driver;
use crate::image::testing::Tree;
use crate::sys::fs::At;
use crate::sys::xattr::{self, SetMode};

fn tar(entries: &[(&str, &str)]) -> String {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_ustar();
        let is_dir = name.ends_with('/');
        header.set_entry_type(if is_dir { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_mode(if is_dir { 0o755 } else { 0o644 });
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    String::from_utf8(tar.into_inner().unwrap()).unwrap()
}

#[test]
fn a_layer_need_not_have_an_entry_for_the_directory_in_which_it_changes_something() {
    let base = tar(&[("etc/", ""), ("etc/gone", "12"), ("etc/kept", "1"), ("etc/other", "1")]);
    let top = tar(&[("etc/.wh.gone", ""), ("etc/new", "123"), ("etc/other", "1234")]);
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    Tree::single("latest", &[&base, &top]).write_dir(&dir.path().join("image"));
    let (store, image) = (at("store"), format!("oci:{}", at("image")));
    let mut driver = Driver::open(dir, &["--store", &store, &image], 80, 30);
    driver.go("/etc/gone");
    let marked =
        ["D  2      2 B     gone  deleted in layer 2", "A  2      3 B     new", "CS 2      4 B     other"];
    let all = driver.names();
    assert_eq!(all[1], "c  1      8 B ▾ etc/");
    assert!(marked.iter().all(|row| all.iter().any(|shown| shown == row)), "{all:?}");
    driver.keys("c");
    let changed =
        ["D  2      2 B /etc/gone  deleted in layer 2", "A  2      3 B /etc/new", "CS 2      4 B /etc/other"];
    assert_eq!(driver.names(), changed);
}

#[test]
fn what_an_overlay_has_moved_there_is_another() {
    let dir = tempfile::tempdir().unwrap();
    for layer in ["base/a/sub", "base/b/sub", "middle", "top/b"] {
        fs::create_dir_all(dir.path().join(layer)).unwrap();
    }
    for (path, content) in [("a/sub/f", "one"), ("b/sub/f", "another"), ("b/sub/gone", "")] {
        fs::write(dir.path().join("base").join(path), content).unwrap();
    }
    let moved = fs::File::open(dir.path().join("top/b")).unwrap();
    xattr::set(At::Fd(moved.as_fd()), b"user.overlay.redirect", b"/a", SetMode::Any).unwrap();
    let mut driver = Driver::of(dir, 80, 30);
    driver.go("/b/sub/f");
    assert_eq!(
        driver.names(),
        [
            "c  3      6 B ▾ /",
            "   1      3 B ▸ a/",
            "c  3      3 B ▾ b/",
            "c  1      3 B   ▾ sub/",
            "C  1      3 B       f",
            "D  3      0 B       gone  deleted in layer 3",
        ]
    );
}
