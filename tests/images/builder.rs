//! The images that the tests build are what other tools understand by them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::images::{
    Compression, DockerStyle, Entry, Files, ImageBuilder, Layer, Sparse, TarBuilder, docker, oci, oci_nested,
};
use crate::place::{Place, image_of};
use crate::support::{everything_required, say};

fn tar_of_everything() -> Vec<u8> {
    let long = "n".repeat(120);
    TarBuilder::new()
        .add(Entry::dir("dir").mode(0o750).mtime(1_500_000_000, 987_654_321))
        .add(Entry::file("dir/file", "content").mode(0o640).mtime(-5, 250_000_000))
        .add(Entry::hardlink("dir/second", "dir/file"))
        .add(Entry::symlink("dir/link", "file"))
        .add(Entry::fifo("dir/fifo"))
        .add(Entry::file(format!("dir/{long}"), "long"))
        .add(Entry::file(format!("dir/gnu-{long}"), "long").gnu())
        .add_all([Sparse::Gnu, Sparse::Pax00, Sparse::Pax01, Sparse::Pax10].map(|form| {
            Entry::sparse(format!("dir/{form:?}"), form, 100_000, &[(4096, &[1; 512]), (65_536, b"two")])
        }))
        .add(Entry::sparse(
            "dir/many",
            Sparse::Gnu,
            1 << 20,
            &(0..60).map(|n| (n * 8192, &[7; 512][..])).collect::<Vec<_>>(),
        ))
        .finish()
}

#[test]
fn tar_unpacks_what_the_builder_packs() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join("dir").join(name);
    fs::write(dir.path().join("it.tar"), tar_of_everything()).unwrap();
    let output = Command::new("tar").args(["-xf", "it.tar"]).current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.lines().all(|line| line.contains("implausibly old time stamp")), "{said}");
    let directory = dir.path().join("dir").metadata().unwrap();
    assert_eq!((directory.mode() & 0o7777, directory.mtime_nsec()), (0o750, 987_654_321));
    let file = at("file").metadata().unwrap();
    assert_eq!((file.mtime(), file.mtime_nsec(), file.nlink()), (-5, 250_000_000, 2));
    let long = "n".repeat(120);
    for name in [long.clone(), format!("gnu-{long}")] {
        assert_eq!(fs::read(at(&name)).unwrap(), b"long", "{name}");
    }
    for form in ["Gnu", "Pax00", "Pax01", "Pax10"] {
        let mut expected = vec![0; 100_000];
        expected[4096..4608].fill(1);
        expected[65_536..65_539].copy_from_slice(b"two");
        assert!(fs::read(at(form)).unwrap() == expected, "{form}");
    }
    let many = fs::read(at("many")).unwrap();
    assert_eq!(many.len(), 1 << 20);
    assert!((0..60).all(|n| many[n * 8192..].starts_with(&[7; 512])));
}

fn skopeo_reads(what: &str, source: &str, dir: &Path) {
    let output = Command::new("skopeo")
        .args(["copy", "--insecure-policy", source])
        .arg(format!("oci:{}:copy", dir.join(what).display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{what}: {source}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_skopeo_writes_to_a_directory_is_mounted() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        assert!(!everything_required(), "skopeo is not installed");
        say("SKIPPED builder::what_skopeo_writes_to_a_directory_is_mounted: skopeo is not installed");
        return;
    }
    let place = Place::new();
    place.archive("image.tar", &image_of([tar_of_everything()], Compression::None));
    let output = Command::new("skopeo")
        .args(["copy", "--insecure-policy"])
        .arg(format!("docker-archive:{}", place.path("image.tar").display()))
        .arg(format!("dir:{}", place.path("written").display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for word in
        [place.path("written").display().to_string(), format!("dir:{}", place.path("written").display())]
    {
        assert_eq!(place.mount(&[word]).names(""), ["dir"]);
    }
    // The directory itself.
    assert_eq!(place.run("cat", &["overlay:written", "version"]).succeeds().out.lines().count(), 1);
}

#[test]
fn skopeo_reads_what_the_builder_builds() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        assert!(!everything_required(), "skopeo is not installed");
        say("SKIPPED builder::skopeo_reads_what_the_builder_builds: skopeo is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = |compression| {
        ImageBuilder::new()
            .layer(Layer::new(tar_of_everything()).compressed(compression).by("ADD rootfs /"))
            .step("ENV A=b")
            .layer(
                Layer::new(TarBuilder::new().add(Entry::whiteout("dir/file")).finish())
                    .compressed(compression),
            )
            .layer(Layer::new(tar_of_everything()).compressed(compression))
            .tag("example.org/test:one")
            .build()
    };
    let write = |name: &str, files: &Files| {
        let path = dir.path().join(name);
        files.to_archive(&path);
        path.display().to_string()
    };
    for compression in Compression::ALL {
        let image = image(compression);
        let layout = dir.path().join(format!("layout-{compression}"));
        oci(&[&image]).to_dir(&layout);
        skopeo_reads(
            &format!("{compression}-dir"),
            &format!("oci:{}:example.org/test:one", layout.display()),
            dir.path(),
        );
        let archive = write(&format!("{compression}.tar"), &oci(&[&image]));
        skopeo_reads(&format!("{compression}-archive"), &format!("oci-archive:{archive}"), dir.path());
    }
    let plain = image(Compression::None);
    for style in DockerStyle::ALL {
        let archive = write(&format!("{style:?}.tar"), &docker(&[&plain], style));
        skopeo_reads(&format!("{style:?}"), &format!("docker-archive:{archive}"), dir.path());
    }
    let other = ImageBuilder::new().platform("linux/riscv64").build();
    let nested = write("nested.tar", &oci_nested(&[&other, &plain], "all"));
    skopeo_reads("nested", &format!("oci-archive:{nested}:all"), dir.path());
}
