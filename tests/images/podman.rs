//! An image that podman holds: its layers are directories already.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::images::{Compression, Entry};
use crate::place::{Place, image_of, outcome, tar_of};
use crate::rows::{assert_rows, rows};
use crate::support::{everything_required, say};

const HELD: &str = "containers-storage:localhost/held:one";

/// A store of podman's own with one image in it.
struct Podman {
    place: Place,
    archive: PathBuf,
    configuration: PathBuf,
}

impl Podman {
    /// Has skopeo store an image of these layers; `None`, said aloud, where it cannot.
    fn holding(test: &str, layers: impl IntoIterator<Item = Vec<u8>>) -> Option<Podman> {
        let skipped = |reason: &str| {
            assert!(!everything_required(), "{reason}");
            say(&format!("SKIPPED podman::{test}: {reason}"));
            None
        };
        if Command::new("skopeo").arg("--version").output().is_err() {
            return skipped("skopeo is not installed");
        }
        let place = Place::new();
        let archive = place.archive("image.tar", &image_of(layers, Compression::None));
        let configuration = place.path("storage.conf");
        let at = |name: &str| place.path(name).display().to_string();
        let text = format!(
            "[storage]\ndriver = \"overlay\"\nrunroot = \"{}\"\ngraphroot = \"{}\"\n",
            at("run"),
            at("graph")
        );
        fs::write(&configuration, text).unwrap();
        let copied = Command::new("skopeo")
            .args(["copy", "--insecure-policy", &format!("docker-archive:{}", archive.display()), HELD])
            .env("CONTAINERS_STORAGE_CONF", &configuration)
            .output()
            .unwrap();
        match copied.status.success() {
            true => Some(Podman { place, archive, configuration }),
            // The kernel's overlay, which skopeo unpacks with, may be missing here.
            false => skipped(&String::from_utf8_lossy(&copied.stderr)),
        }
    }

    /// The program, which finds the store by its configuration.
    fn command(&self, command: &str, args: &[&str]) -> Command {
        let mut lamina = self.place.command(command, args);
        lamina.env("CONTAINERS_STORAGE_CONF", &self.configuration);
        lamina
    }
}

fn three_layers() -> [Vec<u8>; 3] {
    [
        tar_of([
            Entry::dir("dir").mode(0o711),
            Entry::file("dir/one", "1"),
            Entry::file("dir/two", "2").owner(3, 4).mode(0o4755).xattr("user.note", "kept"),
            Entry::dir("again").mode(0o700),
            Entry::file("again/old", "old"),
            Entry::dir("sub"),
            Entry::file("sub/file", "12345"),
            Entry::hardlink("sub/link", "sub/file"),
            Entry::symlink("link", "dir/one"),
        ]),
        tar_of([
            Entry::dir("dir").mode(0o711),
            Entry::whiteout("dir/one"),
            Entry::file("dir/three", "33"),
            Entry::dir("again").mode(0o750),
            Entry::opaque("again"),
            Entry::file("again/new", ""),
        ]),
        tar_of([Entry::whiteout("sub"), Entry::fifo("pipe")]),
    ]
}

#[test]
fn an_image_that_podman_holds_is_used_in_place() {
    crate::needs!(Root);
    let test = "an_image_that_podman_holds_is_used_in_place";
    let Some(podman) = Podman::holding(test, three_layers()) else { return };
    let place = &podman.place;
    let mounted = place.mount_with(&[HELD], &[("CONTAINERS_STORAGE_CONF", &podman.configuration)]);
    assert_eq!(mounted.names("dir"), ["three", "two"]);
    assert_eq!(mounted.names("again"), ["new"]);
    assert_eq!(mounted.text("dir/two"), "2");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&mounted.stat("dir/two")), 3);
    assert!(place.stored().is_empty(), "nothing is copied: {:?}", place.stored());
}

#[test]
fn its_layers_are_counted_as_those_of_an_archive() {
    crate::needs!(Root);
    let test = "its_layers_are_counted_as_those_of_an_archive";
    let Some(podman) = Podman::holding(test, three_layers()) else { return };
    let counts = |image: &str| -> Vec<Value> {
        let said = outcome(&mut podman.command("layers", &[image, "--json"])).succeeds();
        let rows: Value = serde_json::from_str(&said.out).unwrap();
        let fields = ["number", "diff_id", "unpacked_bytes", "added", "changed", "deleted"];
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| Value::from(fields.map(|field| row[field].clone()).to_vec())).collect()
    };
    let held = counts(HELD);
    assert!(!podman.place.store().exists(), "its layers need no store");
    assert_eq!(held, counts(podman.archive.to_str().unwrap()));
    let numbers: Vec<[u64; 4]> =
        held.iter().map(|row| [2, 3, 4, 5].map(|at| row[at].as_u64().unwrap())).collect();
    assert_eq!(numbers, [[10, 9, 0, 0], [2, 2, 1, 2], [0, 1, 0, 3]]);
}

#[test]
fn its_layers_are_unpacked_as_copies() {
    crate::needs!(Root);
    let test = "its_layers_are_unpacked_as_copies";
    let Some(podman) = Podman::holding(test, three_layers()) else { return };
    let place = &podman.place;
    let variables = [("CONTAINERS_STORAGE_CONF", podman.configuration.as_path())];
    let mounted = place.mount_with(&[HELD], &variables);
    let expected = rows(&mounted.at(""));
    drop(mounted);
    let said = outcome(&mut podman.command("unpack", &[HELD, "out"])).succeeds();
    assert!(!place.store().exists(), "its layers need no store");
    let lowerdir = said.out.trim_end();
    let layers: Vec<&str> = lowerdir.strip_prefix("lowerdir=").unwrap().split(':').collect();
    assert_eq!(layers.len(), 3, "{lowerdir}");
    let out = place.path("out/layers").display().to_string();
    assert!(layers.iter().all(|layer| layer.starts_with(&out)), "{lowerdir}");

    let mut mount = place.lamina();
    mount.arg("mount").args(&layers);
    let mounted = place.start("mnt", mount).unwrap();
    assert_rows("the copies", &rows(&mounted.at("")), &expected);
    drop(mounted);

    let point = place.path("kernel");
    fs::create_dir(&point).unwrap();
    let run = Command::new("mount")
        .args(["-t", "overlay", "overlay", "-o", lowerdir])
        .arg(&point)
        .output()
        .unwrap();
    if run.status.success() {
        // What is mounted is unmounted with the place, whatever comes.
        assert_rows("the copies, by the kernel", &rows(&point), &expected);
    } else {
        say("the kernel's overlay cannot be mounted here: its view of the copies is not compared");
    }

    outcome(&mut podman.command("unpack", &[HELD, "flat", "--flat"])).succeeds();
    assert_rows("flat", &rows(&place.path("flat")), &expected);
}

#[test]
fn its_unpacked_size_is_found_out_by_layers() {
    crate::needs!(Root);
    let test = "its_unpacked_size_is_found_out_by_layers";
    let Some(podman) = Podman::holding(test, three_layers()) else { return };
    let said = outcome(&mut podman.command("inspect", &[HELD])).succeeds();
    assert!(said.out.ends_with(" not known yet; lamina layers finds it out\n"), "{}", said.out);
}
