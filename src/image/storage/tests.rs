use std::process::Command;

use super::*;

/// A store that buildah makes; `None`, said aloud, where there is no buildah.
fn store(driver: &str) -> Option<tempfile::TempDir> {
    let dir = tempfile::tempdir().unwrap();
    let build = dir.path().join("build");
    fs::create_dir(&build).unwrap();
    fs::write(build.join("a"), "a").unwrap();
    fs::write(build.join("Dockerfile"), "FROM scratch\nCOPY a /a\nENV X=y\nCOPY a /b\n").unwrap();
    let buildah = Command::new("buildah")
        .arg("--root")
        .arg(dir.path().join("root"))
        .arg("--runroot")
        .arg(dir.path().join("run"))
        .args(["--storage-driver", driver, "bud", "--layers", "--isolation", "chroot", "-q"])
        .args(["-t", "localhost/app:1.0"])
        .arg(&build)
        .output();
    match buildah {
        Ok(output) if output.status.success() => Some(dir),
        Ok(output) => panic!("buildah: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: buildah is not installed");
            None
        }
        Err(error) => panic!("buildah: {error}"),
    }
}

#[test]
fn an_image_that_buildah_holds_is_used_in_place() {
    // What buildah keeps belongs to root; it needs that, or a user namespace.
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: buildah is run by root only");
        return;
    }
    let Some(dir) = store("overlay") else { return };
    let root = dir.path().join("root");
    let open = |wanted: &str, select: &Select| super::open(Some(&root), wanted, "name", select);
    let any = Select::default();
    let image = open("app:1.0", &any).unwrap();
    assert_eq!(image.tags, ["localhost/app:1.0"]);
    assert!(image.config.env.contains(&"X=y".to_owned()), "{:?}", image.config.env);
    let content = |layer: &ImageLayer, name: &str| match &layer.source {
        LayerSource::Directory(dir) => fs::read_to_string(dir.join(name)).ok(),
        LayerSource::Blob(_) => None,
    };
    let [base, top] = image.layers.as_slice() else { panic!("{:?}", image.layers) };
    assert_eq!(content(base, "a").as_deref(), Some("a"));
    assert_eq!(content(top, "b").as_deref(), Some("a"));
    let layers: Vec<_> = image.history.iter().map(|step| step.layer).collect();
    assert_eq!(layers.iter().filter_map(|layer| *layer).collect::<Vec<_>>(), [0, 1], "{layers:?}");

    let tagged = Select { tag: Some("1.0".to_owned()), ..Select::default() };
    assert_eq!(open("localhost/app", &tagged).unwrap().config_digest, image.config_digest);
    let id = image.config_digest.hex();
    assert_eq!(open(&id[..12], &any).unwrap().config_digest, image.config_digest);
    let foreign = Select { platform: Some("linux/s390x".parse().unwrap()), ..Select::default() };
    assert!(open("app:1.0", &foreign).unwrap_err().to_string().contains("is for linux/s390x"));
    let error = open("nginx", &any).unwrap_err().to_string();
    assert!(error.starts_with("no image in the store is named 'nginx':\n  TAG"), "{error}");

    fs::remove_dir_all(match &top.source {
        LayerSource::Directory(dir) => dir,
        LayerSource::Blob(blob) => &blob.path,
    })
    .unwrap();
    let error = open("app:1.0", &any).unwrap_err();
    assert_eq!(error.layer().map(|layer| layer.number), Some(2), "{error}");
}

#[test]
fn other_drivers_and_other_directories_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let open = || super::open(Some(dir.path()), "x", "x", &Select::default()).unwrap_err().to_string();
    assert!(open().starts_with("there are no images of podman's in '"), "{}", open());
    fs::create_dir(dir.path().join("vfs-images")).unwrap();
    assert!(open().ends_with("' is kept by the driver vfs, expected overlay"), "{}", open());
}

#[test]
fn an_id_that_leads_elsewhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for part in ["overlay-images", "overlay-layers"] {
        fs::create_dir(dir.path().join(part)).unwrap();
    }
    fs::write(
        dir.path().join("overlay-images/images.json"),
        r#"[{"id":"../../etc","names":["localhost/x:latest"]}]"#,
    )
    .unwrap();
    fs::write(dir.path().join("overlay-layers/layers.json"), "[]").unwrap();
    let error = super::open(Some(dir.path()), "x", "x", &Select::default()).unwrap_err();
    assert_eq!(error.to_string(), "'../../etc' is not an id");
    fs::write(dir.path().join("overlay-images/images.json"), "{").unwrap();
    let error = super::open(Some(dir.path()), "x", "x", &Select::default()).unwrap_err();
    assert!(error.to_string().contains("images.json cannot be understood"), "{error}");
}
