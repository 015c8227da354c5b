//! The layer store: what it holds, who shares it, and what happens when something comes between.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::images::{Compression, Entry};
use crate::place::{Format, Place, image_of, tar_of};
use crate::support::guard::{is_mounted, wait_for};

/// Bytes that do not compress, the same for the same seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(len)
    .collect()
}

fn layer(seed: u64) -> Vec<u8> {
    tar_of([Entry::file(format!("file-{seed}"), noise(seed, 4 << 20))])
}

/// How many bytes a mount reads by system calls until it stands. It runs in the foreground, so that all is one process.
fn bytes_read(place: &Place, image: &Path) -> u64 {
    let point = place.path("mnt");
    let mut command = place.command("mount", &["-f".as_ref(), image.as_os_str(), point.as_os_str()]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the mount", || {
        assert!(child.try_wait().unwrap().is_none(), "the mount failed");
        is_mounted(&point).then_some(())
    });
    // It stands before it serves, and is to be let serve before it is unmounted.
    assert_eq!(fs::read_dir(&point).unwrap().count(), 1);
    let io = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    let read = line.parse().unwrap();
    crate::support::guard::finish(&point, None).unwrap();
    assert!(child.wait().unwrap().success());
    read
}

#[test]
fn the_second_time_nothing_is_hashed_again() {
    for format in [Format::OciDir, Format::OciArchive, Format::ALL[3]] {
        for compression in Compression::ALL {
            let place = Place::new();
            let image = place.write("image", format, &format.files(&[&image_of([layer(1)], compression)]));
            let (first, second) = (bytes_read(&place, &image), bytes_read(&place, &image));
            let what = format!("{format:?}, {compression}: {first} bytes, then {second}");
            assert!(first >= 4 << 20, "{what}: the first time all is read");
            assert!(second < 1 << 20, "{what}");
        }
    }
}

#[test]
fn a_file_that_has_changed_is_hashed_again() {
    let place = Place::new();
    let image = place.archive("image.tar", &image_of([layer(1)], Compression::None));
    drop(place.mount(&[&image]));
    let before = fs::metadata(&image).unwrap();
    // One byte of the layer is another; size and time of change are made to be what they were.
    let mut bytes = fs::read(&image).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&image, &bytes).unwrap();
    let file = File::options().write(true).open(&image).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    drop(file);
    let after = fs::metadata(&image).unwrap();
    assert_eq!(
        (before.len(), before.mtime_nsec(), before.ino()),
        (after.len(), after.mtime_nsec(), after.ino())
    );
    place.run("mount", &[&image, &place.path("mnt")]).refuses("changed", &["layer 1", "image.tar"]);
    assert!(!is_mounted(&place.path("mnt")));
    // And back again, which is another change of the file, but the right content.
    bytes[at] ^= 1;
    fs::write(&image, &bytes).unwrap();
    assert_eq!(place.mount(&[&image]).stat("file-1").len(), 4 << 20);
}

#[test]
fn a_plain_layer_is_served_where_it_lies() {
    let place = Place::new();
    let image = place.archive("image.tar", &image_of([layer(1)], Compression::None));
    drop(place.mount(&[&image]));
    assert!(stored_bytes(&place) < 1 << 20, "no copy of the layer: {:?}", place.stored());
    let blocks = |path: &Path| fs::metadata(path).unwrap().len();
    assert!(blocks(&image) > 4 << 20);
}

fn stored_bytes(place: &Place) -> u64 {
    place.stored().iter().map(|name| fs::metadata(place.store().join(name)).unwrap().len()).sum()
}

#[test]
fn layers_that_two_images_share_are_stored_once() {
    let place = Place::new();
    let write = |name: &str, layers: [u64; 2]| {
        let image = image_of(layers.map(layer), Compression::Gzip);
        place.write(name, Format::OciDir, &Format::OciDir.files(&[&image]))
    };
    let (one, two) = (write("one", [1, 2]), write("two", [1, 3]));
    drop(place.mount(&[&one]));
    let after_one = stored_bytes(&place);
    drop(place.mount(&[&two]));
    let (grown, layer) = (stored_bytes(&place) - after_one, 4 << 20);
    assert!(
        (layer..layer + (1 << 20)).contains(&grown),
        "one layer more, not two: {grown} bytes, {:?}",
        place.stored()
    );
    // The same tar compressed in another way is the same layer.
    let zstd = image_of([1, 2].map(self::layer), Compression::Zstd);
    let zstd = place.write("zstd", Format::OciDir, &Format::OciDir.files(&[&zstd]));
    let before = stored_bytes(&place);
    drop(place.mount(&[&zstd]));
    assert!(stored_bytes(&place) - before < 1 << 20, "{:?}", place.stored());
}

#[test]
fn two_at_once_share_one_work() {
    let place = Place::new();
    let image = image_of([1, 2, 3].map(layer), Compression::Gzip);
    let image = place.write("image", Format::OciDir, &Format::OciDir.files(&[&image]));
    let points = ["one", "two", "three", "four"];
    let mounts = std::thread::scope(|scope| {
        let threads = points.map(|point| scope.spawn(|| place.try_mount(point, &[&image])));
        threads.map(|thread| thread.join().unwrap().unwrap_or_else(|said| panic!("{said}")))
    });
    for mounted in &mounts {
        assert!(fs::read(mounted.at("file-2")).unwrap() == noise(2, 4 << 20));
    }
    drop(mounts);
    let together = place.stored();
    let alone = Place::new();
    drop(alone.mount(&[&image]));
    assert_eq!(together.len(), alone.stored().len(), "{together:?}");
}

/// Starts a mount in a process of its own.
fn begin(place: &Place, image: &Path) -> Child {
    let mut command =
        place.command("mount", &["-f".as_ref(), image.as_os_str(), place.path("mnt").as_os_str()]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn one_that_is_killed_leaves_nothing_to_trip_over() {
    let place = Place::new();
    // Zeroes are soon unpacked to much.
    let tar = tar_of([Entry::file("zeroes", vec![0; 256 << 20]), Entry::file("end", "end")]);
    let image = image_of([tar], Compression::Gzip);
    let image = place.write("image", Format::OciDir, &Format::OciDir.files(&[&image]));
    let mut child = begin(&place, &image);
    // As soon as anything is being unpacked, and long before it is whole.
    loop {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        assert!(!is_mounted(&place.path("mnt")), "it mounted before it could be killed");
        if stored_at_least(&place.store(), 1 << 20) {
            break;
        }
    }
    nix::sys::signal::kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGKILL).unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(!is_mounted(&place.path("mnt")));
    let mounted = place.mount(&[&image]);
    assert_eq!(mounted.text("end"), "end");
    assert_eq!(mounted.stat("zeroes").len(), 256 << 20);
    drop(mounted);
    place.run("store", &["verify"]).succeeds();
}

/// Has some file in the store this size? Files come and go while this looks.
fn stored_at_least(dir: &Path, size: u64) -> bool {
    fs::read_dir(dir).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        match path.symlink_metadata() {
            Ok(meta) if meta.is_dir() => stored_at_least(&path, size),
            Ok(meta) => meta.len() >= size,
            Err(_) => false,
        }
    })
}

#[test]
fn an_archive_that_is_replaced_while_mounted_is_served_on() {
    let place = Place::new();
    let image = place.archive("image.tar", &image_of([layer(1)], Compression::None));
    let mounted = place.mount(&[&image]);
    let mut file = File::open(mounted.at("file-1")).unwrap();
    // As tools replace a file: another one is renamed over it.
    place.archive("other.tar", &image_of([layer(2)], Compression::None));
    fs::rename(place.path("other.tar"), &image).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert!(bytes == noise(1, 4 << 20));
    drop(file);
    drop(mounted);
    assert_eq!(place.mount(&[&image]).names(""), ["file-2"]);
}

#[test]
fn a_store_that_cannot_be_written_is_named() {
    let place = Place::new();
    let image = place.archive("image.tar", &image_of([layer(1)], Compression::None));
    fs::write(place.store(), "a file where the store should be").unwrap();
    let outcome = place.run("mount", &[&image, &place.path("mnt")]);
    outcome.refuses("a file", &["store"]);
}

#[test]
fn a_stored_layer_that_was_damaged_is_noticed() {
    let place = Place::new();
    let image = image_of([layer(1)], Compression::Gzip);
    let image = place.write("image", Format::OciDir, &Format::OciDir.files(&[&image]));
    drop(place.mount(&[&image]));
    let largest: PathBuf = place
        .stored()
        .into_iter()
        .map(|name| place.store().join(name))
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::remove_file(&largest).unwrap();
    fs::write(&largest, &bytes).unwrap();
    let verdict = place.run("store", &["verify"]);
    assert_eq!(verdict.code, 1, "{verdict:?}");
    // Whatever is mounted is what the image says.
    match place.try_mount("mnt", &[&image]) {
        Ok(mounted) => assert!(fs::read(mounted.at("file-1")).unwrap() == noise(1, 4 << 20)),
        Err(said) => assert!(said.contains("layer 1"), "{said}"),
    }
}
