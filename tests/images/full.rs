//! A store on a file system that is full, or cannot be written to.

use std::fs;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::images::{Compression, Entry};
use crate::needs;
use crate::place::{Format, Place, image_of, tar_of};

/// A small file system of its own for the store.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn at(path: &'a Path) -> Self {
        fs::create_dir(path).unwrap();
        mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some("size=3m,mode=0700")).unwrap();
        Small(path)
    }

    fn make_read_only(&self) {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, self.0, None::<&str>, flags, None::<&str>).unwrap();
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        // Only this test's tmpfs; if it is busy, the failure is another's to report.
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

fn image(place: &Place, name: &str, size: usize) -> std::path::PathBuf {
    let tar = tar_of([Entry::file("zeroes", vec![0; size])]);
    place.write(name, Format::OciDir, &Format::OciDir.files(&[&image_of([tar], Compression::Gzip)]))
}

#[test]
fn a_full_store_is_told_and_left_empty() {
    needs!(Root);
    let place = Place::new();
    let path = place.store();
    let _small = Small::at(&path);
    let (large, small) = (image(&place, "large", 8 << 20), image(&place, "small", 1 << 20));
    let words = ["layer 1 (sha256:", "No space left on device", "--store DIR"];
    place.refuses("a layer that does not fit", &[&large], &words);
    // What was half made is gone, so that there is room for what fits.
    assert_eq!(place.mount(&[&small]).stat("zeroes").len(), 1 << 20);
}

#[test]
fn a_store_that_cannot_be_written_to_serves_what_it_has() {
    needs!(Root);
    let place = Place::new();
    let path = place.store();
    let store = Small::at(&path);
    let (known, other) = (image(&place, "known", 1 << 20), image(&place, "other", 1 << 10));
    drop(place.mount(&[&known]));
    store.make_read_only();
    assert_eq!(place.mount(&[&known]).stat("zeroes").len(), 1 << 20);
    place.refuses("a layer that is not there", &[&other], &["Read-only file system", "--store DIR"]);
}
