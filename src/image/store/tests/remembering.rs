//! What is read, and what is not read again.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use std::slice::from_ref;

use super::images::*;
use crate::config::LowerSpec;
use crate::image::store::{PreparedLayer, Store, Task};
use crate::stamp::FileStamp;

fn tar_of(layer: &PreparedLayer) -> (Vec<u8>, u64) {
    let LowerSpec::Tar(spec) = &layer.lower else { panic!("{layer:?}") };
    assert_eq!(FileStamp::from(&fs::metadata(&spec.file).unwrap()), spec.stamp);
    let whole = fs::read(&spec.file).unwrap();
    let (from, to) = (spec.offset as usize, (spec.offset + spec.len) as usize);
    (whole[from..to].to_vec(), spec.offset)
}

#[test]
fn layers_are_unpacked_once_and_then_only_looked_up() {
    let place = Place::new();
    let tars = [tar(&[("a", 700_000)]), tar(&[("b", 10)]), tar(&[("c", 300_000), ("d", 0)])];
    let layers = [Layer::gzip(&tars[0]), Layer::new(zstd(&tars[1]), &tars[1]), Layer::plain(&tars[2])];
    let image = place.image("image", &layers);
    let store = place.store();
    let (first, counted) = prepare(&store, &image);
    let first = first.unwrap();
    assert_eq!(counted.tasks, [(1, Task::Unpack), (2, Task::Unpack), (3, Task::Index)]);
    let sizes = layers.iter().map(|layer| layer.blob.len() as u64);
    assert!(counted.bytes.values().copied().eq(sizes), "{counted:?}");
    for ((layer, tar), prepared) in layers.iter().zip(&tars).zip(&first) {
        assert_eq!(prepared.diff_id, layer.diff_id);
        assert_eq!(tar_of(prepared).0, *tar);
    }
    // Two tars, three indexes, three records of layers and three of blobs; the third tar stays where it is.
    let hex: Vec<String> = layers.iter().map(|layer| layer.diff_id.hex()).collect();
    let files = place.files();
    assert_eq!(files.len(), 11, "{files:?}");
    assert!(!files.contains(&format!("layers/sha256/{}.tar", hex[2])), "{files:?}");

    for _ in 0..2 {
        let again = place.store();
        let (second, counted) = prepare(&again, &place.open("image").unwrap());
        assert_eq!(counted, Counted::default());
        let lowers = |layers: &[PreparedLayer]| -> Vec<LowerSpec> {
            layers.iter().map(|layer| layer.lower.clone()).collect()
        };
        assert_eq!(lowers(&second.unwrap()), lowers(&first));
    }
    assert_eq!(place.files(), files);
}

#[test]
fn summaries_are_of_images_for_which_nothing_has_to_be_done() {
    let place = Place::new();
    let tars = [tar(&[("a", 700)]), tar(&[("b", 10), ("c", 5)])];
    let layers = [Layer::gzip(&tars[0]), Layer::plain(&tars[1])];
    let (one, two) = (place.image("one", &layers[..1]), place.image("two", &layers));
    let store = place.store();
    let sizes = |image| {
        let summaries = store.summaries(image)?;
        Some(summaries.iter().map(|summary| summary.unpacked_bytes).collect::<Vec<_>>())
    };
    assert_eq!(sizes(&two), None);
    assert!(place.files().is_empty());
    prepare(&store, &two).0.unwrap();
    let files = place.files();
    assert_eq!(sizes(&two), Some(vec![700, 15]));
    assert_eq!(sizes(&one), None, "its layer is known, but its file is another, which was not verified");
    assert_eq!(place.files(), files);
    fs::write(place.path("store/layers/sha256").join(format!("{}.tar", layers[0].diff_id.hex())), "")
        .unwrap();
    assert_eq!(sizes(&two), None);
}

#[test]
fn nobody_else_reads_the_store() {
    let place = Place::new();
    let tar = tar(&[("secret", 10)]);
    let image = place.image("image", &[Layer::gzip(&tar)]);
    prepare(&place.store(), &image).0.unwrap();
    let mode = |name: &str| fs::metadata(place.path("store").join(name)).unwrap().mode() & 0o7777;
    for dir in ["", "layers", "layers/sha256", "index/sha256", "seen", "tmp", "locks"] {
        assert_eq!(mode(dir), 0o700, "{dir}");
    }
    for file in place.files() {
        assert_eq!(mode(&file), 0o600, "{file}");
    }
}

#[test]
fn a_layer_of_two_images_is_stored_once() {
    let place = Place::new();
    let (shared, own) = (tar(&[("shared", 1000)]), tar(&[("own", 1000)]));
    let one = place.image("one", &[Layer::gzip(&shared)]);
    let two = place.image("two", &[Layer::new(zstd(&shared), &shared), Layer::gzip(&own)]);
    let three = place.image("three", &[Layer::plain(&shared)]);
    let store = place.store();
    prepare(&store, &one).0.unwrap();
    // Each blob is verified, but only what is new is unpacked.
    let (layers, counted) = prepare(&store, &two);
    assert_eq!(counted.tasks, [(1, Task::Check), (2, Task::Unpack)]);
    assert_eq!(tar_of(&layers.unwrap()[0]).0, shared);
    let (layers, counted) = prepare(&store, &three);
    assert_eq!(counted.tasks, [(1, Task::Check)]);
    assert_eq!(tar_of(&layers.unwrap()[0]).0, shared);
    let tars = place.files().into_iter().filter(|file| file.ends_with(".tar")).count();
    assert_eq!(tars, 2);
}

#[test]
fn an_image_with_the_same_layer_twice_is_fine() {
    let place = Place::new();
    let (tar, other) = (tar(&[("x", 1000)]), tar(&[("y", 1000)]));
    let image = place.image("image", &[Layer::gzip(&tar), Layer::gzip(&other), Layer::gzip(&tar)]);
    let (layers, counted) = prepare(&place.store(), &image);
    let layers = layers.unwrap();
    assert_eq!(layers[0].lower, layers[2].lower);
    let unpacked = counted.tasks.iter().filter(|(_, task)| *task == Task::Unpack).count();
    assert_eq!((unpacked, counted.tasks.len()), (2, 2));
}

#[test]
fn a_file_that_changed_is_verified_again() {
    let place = Place::new();
    let tar = tar(&[("x", 5000)]);
    for layer in [Layer::plain(&tar), Layer::gzip(&tar)] {
        let name = layer.digest.hex();
        let image = place.image(&name, from_ref(&layer));
        let store = place.store();
        prepare(&store, &image).0.unwrap();
        // The same bytes in another file: read again, and fine.
        let blob = place.blob(&name, &layer);
        fs::copy(&blob, place.path("copy")).unwrap();
        fs::rename(place.path("copy"), &blob).unwrap();
        let (layers, counted) = prepare(&store, &place.open(&name).unwrap());
        layers.unwrap();
        assert_eq!(counted.tasks, [(1, Task::Check)]);
        // Other bytes under the same name, as long and as old as before.
        let modified = fs::metadata(&blob).unwrap().modified().unwrap();
        let mut bytes = fs::read(&blob).unwrap();
        bytes[700] ^= 1;
        fs::write(&blob, bytes).unwrap();
        fs::File::open(&blob).unwrap().set_modified(modified).unwrap();
        let error = prepare(&store, &place.open(&name).unwrap()).0.unwrap_err();
        assert!(error.to_string().contains("sha256 of the blob: expected sha256:"), "{error}");
    }
}

#[test]
fn what_is_damaged_in_the_store_is_made_again() {
    let place = Place::new();
    let tar = tar(&[("x", 50_000)]);
    let layer = Layer::gzip(&tar);
    let image = place.image("image", from_ref(&layer));
    let store = place.store();
    let hex = layer.diff_id.hex();
    let in_store = |part: &str| place.path("store").join(part.replace("HEX", &hex));
    let tar_file = in_store("layers/sha256/HEX.tar");
    let (index, record) = (in_store("index/sha256/HEX.idx"), in_store("layers/sha256/HEX.json"));
    let remake = |what: &str, damage: &dyn Fn(), tasks: &[Task]| {
        prepare(&store, &image).0.unwrap();
        damage();
        let (layers, counted) = prepare(&store, &image);
        assert_eq!(tar_of(&layers.unwrap()[0]).0, tar, "{what}");
        let done: Vec<Task> = counted.tasks.iter().map(|(_, task)| *task).collect();
        assert_eq!(done, tasks, "{what}");
        assert_eq!(place.files().len(), 4, "{what}: {:?}", place.files());
    };
    let write = |path, content: &[u8]| fs::write(path, content).unwrap();
    remake("changed tar", &|| write(&tar_file, &[0; 4096]), &[Task::Index, Task::Unpack]);
    remake("missing tar", &|| fs::remove_file(&tar_file).unwrap(), &[Task::Unpack]);
    remake("other file with the tar", &|| write(&tar_file, &tar), &[Task::Index]);
    remake("index of another version", &|| write(&index, b"other"), &[Task::Index]);
    remake("missing index", &|| fs::remove_file(&index).unwrap(), &[Task::Index]);
    remake("no record of the layer", &|| fs::remove_file(&record).unwrap(), &[Task::Index]);
    remake("damaged record", &|| write(&record, b"{"), &[Task::Index]);
    let boot = || {
        let text = fs::read_to_string(&record).unwrap();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        assert!(text.contains(boot.trim()));
        write(&record, text.replace(boot.trim(), "another").as_bytes());
    };
    remake("the machine was started anew", &boot, &[Task::Index]);
    let seen = place.files().into_iter().find(|file| file.starts_with("seen/")).unwrap();
    remake(
        "no record of the blob",
        &|| fs::remove_file(place.path("store").join(&seen)).unwrap(),
        &[Task::Check],
    );
}

#[test]
fn what_is_old_enough_is_synced_and_survives_a_restart() {
    let place = Place::new();
    let layer = Layer::gzip(&tar(&[("x", 500)]));
    let image = place.image("image", from_ref(&layer));
    let store = place.store();
    prepare(&store, &image).0.unwrap();
    let record = place.path("store/layers/sha256").join(format!("{}.json", layer.diff_id.hex()));
    let text = fs::read_to_string(&record).unwrap();
    let (before, after) = text.split_once("\"since\":").unwrap();
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    fs::write(&record, format!("{before}\"since\":1000{rest}")).unwrap();
    assert_eq!(prepare(&store, &image).1, Counted::default());
    assert!(fs::read_to_string(&record).unwrap().contains("\"Synced\""));
    assert_eq!(prepare(&store, &image).1, Counted::default());
}

#[test]
fn only_a_directory_that_is_ours_becomes_a_store() {
    let place = Place::new();
    let other = place.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.tex"), "").unwrap();
    let error = Store::open(&other).unwrap_err();
    assert!(error.to_string().ends_with("is not a layer store: it holds 'thesis.tex'"), "{error}");
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);

    let open = place.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let error = Store::open(&open).unwrap_err();
    assert!(error.to_string().ends_with("is not safe: others may write to it (mode 0777)"), "{error}");

    drop(place.store());
    fs::write(place.path("store/lamina-store"), "2\n").unwrap();
    let error = Store::open(&place.path("store")).unwrap_err();
    assert!(error.to_string().ends_with("is of version '2', expected 1"), "{error}");
    assert!(error.hint().is_some());

    assert!(Store::open_existing(&place.path("none")).unwrap().is_none());
    assert!(!place.path("none").exists());
}

#[test]
fn a_killed_writer_leaves_nothing() {
    let place = Place::new();
    let store = place.store();
    // What a killed process leaves is a file that nobody has locked.
    fs::write(place.path("store/tmp/1-0"), "half a layer").unwrap();
    let ours = super::super::staging::Staging::new(&store.layout).unwrap();
    place.store();
    let left = place.files();
    assert_eq!(left, [format!("tmp/{}", left[0].strip_prefix("tmp/").unwrap())]);
    assert!(!left.contains(&"tmp/1-0".to_owned()));
    drop(ours);
    assert!(place.files().is_empty());
}
