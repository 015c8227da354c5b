//! Listing, checking and removing.

use std::fs;
use std::time::Duration;

use std::slice::from_ref;

use super::images::*;
use crate::digest::Digest;
use crate::image::store::{Garbage, Removed, Silent, Store, Task, Verdict, Why};

/// A store with a layer of an image that is kept and one of an image that is gone; both unpacked.
fn two(place: &Place) -> (Store, Digest, Digest) {
    let (kept, gone) = (Layer::gzip(&tar(&[("kept", 900)])), Layer::gzip(&tar(&[("gone", 900)])));
    let images = [place.image("kept", from_ref(&kept)), place.image("gone", from_ref(&gone))];
    let store = place.store();
    for image in &images {
        prepare(&store, image).0.unwrap();
    }
    fs::remove_dir_all(place.path("gone")).unwrap();
    (store, kept.diff_id, gone.diff_id)
}

fn layers(garbage: &Garbage) -> Vec<(Digest, Why)> {
    garbage.layers.iter().map(|(diff_id, _, why)| (*diff_id, *why)).collect()
}

#[test]
fn what_is_stored_is_listed_with_its_images() {
    let place = Place::new();
    let (store, kept, gone) = two(&place);
    let listed = store.layers().unwrap();
    assert_eq!(listed.len(), 2);
    for layer in &listed {
        let name = if layer.diff_id == kept { "kept" } else { "gone" };
        let [one] = layer.uses.as_slice() else { panic!("{layer:?}") };
        assert_eq!(one.image, format!("oci:{}", place.path(name).display()));
        assert_eq!(one.current, layer.diff_id == kept);
        assert!(layer.has_tar && !layer.in_use && layer.used.is_some(), "{layer:?}");
        // The root and a file.
        assert_eq!((layer.unpacked, layer.entries), (Some(2560), Some(2)));
        assert!(layer.stored > 2560);
    }
    assert_eq!(store.find(&kept.short()).unwrap(), [kept]);
    assert_eq!(store.find(&gone.to_string()).unwrap(), [gone]);
    assert_eq!(store.find("").unwrap().len(), 2);
}

#[test]
fn what_no_image_has_any_more_goes() {
    let place = Place::new();
    let (store, _, gone) = two(&place);
    let files = place.files();
    assert!(!files.iter().any(|file| file.starts_with("locks/")), "{files:?}");
    fs::write(place.path("store/tmp/1-0"), "left by a killed process").unwrap();
    fs::write(place.path("store/locks").join(gone.hex()), "").unwrap();
    let files = place.files();
    let garbage = store.garbage(None).unwrap();
    assert_eq!(layers(&garbage), [(gone, Why::NoImage)]);
    assert_eq!((garbage.records(), garbage.abandoned), (1, (1, 24)));
    assert_eq!(place.files(), files, "finding it removes nothing");
    let collected = store.collect(&garbage).unwrap();
    assert_eq!((collected.layers, collected.in_use), (1, 0));
    assert_eq!(place.files().len(), 4, "{:?}", place.files());
    let locks = fs::read_dir(place.path("store/locks")).unwrap().count();
    assert_eq!(locks, 0);
    assert!(store.garbage(None).unwrap().is_empty());
    // What stays serves as before.
    assert_eq!(prepare(&store, &place.open("kept").unwrap()).1, Counted::default());
}

#[test]
fn what_was_not_used_for_long_goes_when_asked() {
    let place = Place::new();
    let (store, kept, _) = two(&place);
    let day = Duration::from_secs(86_400);
    store.collect(&store.garbage(Some(day)).unwrap()).unwrap();
    let old = std::time::SystemTime::now() - day * 2;
    for file in place.files() {
        if file.starts_with("seen/") {
            fs::File::open(place.path("store").join(file)).unwrap().set_modified(old).unwrap();
        }
    }
    assert_eq!(layers(&store.garbage(Some(day * 3)).unwrap()), []);
    let garbage = store.garbage(Some(day)).unwrap();
    assert_eq!(layers(&garbage), [(kept, Why::Unused)]);
    // Somebody uses it before it is removed: it stays.
    let (held, counted) = prepare(&store, &place.open("kept").unwrap());
    assert_eq!(counted, Counted::default());
    let collected = store.collect(&garbage).unwrap();
    assert_eq!((collected.layers, collected.in_use), (0, 1));
    drop(held);
    assert_eq!(layers(&store.garbage(Some(day)).unwrap()), []);
}

#[test]
fn what_is_in_use_stays() {
    let place = Place::new();
    let (store, kept, _) = two(&place);
    let held = prepare(&store, &place.open("kept").unwrap()).0.unwrap();
    fs::remove_dir_all(place.path("kept")).unwrap();
    assert!(store.layers().unwrap().iter().any(|layer| layer.diff_id == kept && layer.in_use));
    assert!(!layers(&store.garbage(None).unwrap()).iter().any(|(diff_id, _)| *diff_id == kept));
    assert_eq!(store.remove(&kept).unwrap(), Removed::InUse);
    drop(held);
    assert!(matches!(store.remove(&kept).unwrap(), Removed::Freed(bytes) if bytes > 2560));
    assert_eq!(store.layers().unwrap().len(), 1);
}

#[test]
fn a_check_reads_everything_again() {
    let place = Place::new();
    let (plain, gzip) = (Layer::plain(&tar(&[("plain", 900)])), Layer::gzip(&tar(&[("gzip", 900)])));
    let image = place.image("image", &[plain.clone(), gzip.clone()]);
    let store = place.store();
    prepare(&store, &image).0.unwrap();
    let check = |layer: &Layer| store.check(&layer.diff_id, (1, 1), &Silent).unwrap();
    assert_eq!((check(&plain), check(&gzip)), (Verdict::Good, Verdict::Good));
    let count = Count::default();
    store.check(&plain.diff_id, (1, 1), &count).unwrap();
    assert_eq!(count.get().tasks, [(1, Task::Check)], "what it is told as");
    let file =
        |part: &str, layer: &Layer| place.path("store").join(part.replace("HEX", &layer.diff_id.hex()));
    let flip = |path: &std::path::Path| {
        let mut bytes = fs::read(path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    flip(&file("layers/sha256/HEX.tar", &gzip));
    assert!(matches!(check(&gzip), Verdict::Bad(problem) if problem.starts_with("diff_id")));
    flip(&file("index/sha256/HEX.idx", &plain));
    assert_eq!(check(&plain), Verdict::Bad("its index is not that of its tar".to_owned()));
    fs::remove_file(file("index/sha256/HEX.idx", &plain)).unwrap();
    assert_eq!(check(&plain), Verdict::Bad("its index is missing".to_owned()));
    fs::remove_dir_all(place.path("image")).unwrap();
    assert_eq!(check(&plain), Verdict::Unknown);
}

#[test]
fn a_hard_link_that_leads_nowhere_leaves_nothing() {
    let place = Place::new();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    header.set_mode(0o644);
    builder.append_link(&mut header, "link", "target").unwrap();
    let link = Layer::gzip(&builder.into_inner().unwrap());
    let (other, target) = (Layer::gzip(&tar(&[("other", 10)])), Layer::gzip(&tar(&[("target", 10)])));
    let bad = place.image("bad", &[other.clone(), link.clone()]);
    let error = prepare(&place.store(), &bad).0.unwrap_err().to_string();
    let expected = format!("layer 2 (sha256:{}) of '{}': entry 'link': ", link.digest.short(), bad.name);
    assert!(error.starts_with(&expected), "{error}");
    assert!(place.files().is_empty(), "{:?}", place.files());
    let good = place.image("good", &[target, link]);
    assert_eq!(prepare(&place.store(), &good).0.unwrap().len(), 2);
}
