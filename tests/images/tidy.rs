//! `lamina store`: what it shows, and what it removes while something is mounted and afterwards.

use crate::images::{Compression, Entry};
use crate::place::{Format, Place, image_of, tar_of};

#[test]
fn what_is_mounted_stays_and_what_no_image_has_goes() {
    let place = Place::new();
    let image = image_of([tar_of([Entry::file("file", vec![7; 100_000])])], Compression::Gzip);
    let path = place.write("image", Format::OciDir, &Format::OciDir.files(&[&image]));
    assert!(place.run("store", &["ls"]).succeeds().err.contains("no layers are stored"));
    place.run("store", &["gc"]).refuses("no store yet", &["there is no layer store", "--store DIR"]);

    let mounted = place.mount(&[&path]);
    let list = |place: &Place| {
        let out = place.run("store", &["ls", "--json"]).succeeds().out;
        serde_json::from_str::<serde_json::Value>(&out).unwrap()
    };
    let listed = list(&place);
    let layer = &listed[0];
    assert_eq!(
        (&layer["in_use"], &layer["has_tar"], &layer["images"][0]["current"]),
        (&true.into(), &true.into(), &true.into())
    );
    assert!(place.run("store", &["ls"]).succeeds().out.contains(" now "));
    let id = layer["diff_id"].as_str().unwrap()["sha256:".len()..][..12].to_owned();
    place.run("store", &["rm", id.as_str()]).refuses("a mounted layer", &["in use, and not removed", &id]);
    std::fs::remove_dir_all(&path).unwrap();
    let nothing = place.run("store", &["gc"]).succeeds();
    assert!(nothing.err.contains("nothing in"), "{nothing:?}");
    assert_eq!(mounted.stat("file").len(), 100_000);
    drop(mounted);

    let stored = place.stored();
    let shown = place.run("store", &["gc", "--dry-run"]).succeeds().out;
    assert!(shown.contains(&id) && shown.contains("no image has it any more"), "{shown}");
    assert_eq!(place.stored(), stored);
    place.run("store", &["gc"]).succeeds();
    assert!(place.stored().is_empty(), "{:?}", place.stored());
    assert_eq!(list(&place), serde_json::json!([]));
}

#[test]
fn a_layer_is_named_by_the_beginning_of_its_diff_id() {
    let place = Place::new();
    let image = image_of([tar_of([Entry::file("file", "x")])], Compression::Gzip);
    let path = place.write("image", Format::OciDir, &Format::OciDir.files(&[&image]));
    drop(place.mount(&[&path]));
    let verified = place.run("store", &["verify"]).succeeds().out;
    let id = verified.strip_suffix("  good\n").unwrap();
    assert_eq!(place.run("store", &["rm", "../x"]).code, 2);
    place
        .run("store", &["rm", "ffffffffffffffff"])
        .refuses("no such layer", &["no layer in", "lamina store ls"]);
    let removed = place.run("store", &["rm", id]).succeeds().out;
    assert!(removed.starts_with(&format!("{id}  removed, ")), "{removed}");
    assert!(place.stored().is_empty(), "{:?}", place.stored());
}
