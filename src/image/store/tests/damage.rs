//! Blobs that are not what the image promises: an error that says so, and nothing in the store.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::AtomicBool;

use std::slice::from_ref;

use super::images::*;
use crate::digest::Digest;
use crate::image::store::{Prepare, Silent, Task};

const OTHER: Digest = Digest::from_bytes([7; 32]);

fn refused(layers: &[Layer], options: &Prepare) -> String {
    let place = Place::new();
    let store = place.store();
    place.write("image", layers);
    let error = match place.open("image") {
        Ok(image) => store.prepare(&image, options, &Silent).unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(place.files(), Vec::<String>::new());
    let text = error.to_string().replace(&place.path("image").display().to_string(), "IMAGE");
    format!("{text}\n{}", error.hint().unwrap_or_default())
}

#[test]
fn damage_is_named() {
    let tar = tar(&[("a", 300_000), ("b", 2000)]);
    let (gz, zst) = (gzip(&tar), zstd(&tar));
    let flipped = |data: &[u8], at: usize| {
        let mut data = data.to_vec();
        data[at] ^= 1;
        data
    };
    let layer = |blob: &[u8]| Layer::new(blob.to_vec(), &tar);
    let blob_mismatch =
        |found: &[u8]| format!("sha256 of the blob: expected {OTHER}, found {}", sha256(found));
    let diff_mismatch = format!("diff_id (sha256 of the tar): expected {OTHER}, found {}", sha256(&tar));
    for (what, bad, said) in [
        ("digest of a tar", Layer { digest: OTHER, ..layer(&tar) }, blob_mismatch(&tar)),
        ("digest of gzip", Layer { digest: OTHER, ..layer(&gz) }, blob_mismatch(&gz)),
        // A damaged blob is told as that, not by what the damage made of its content.
        (
            "damaged gzip",
            Layer { digest: OTHER, ..layer(&flipped(&gz, 70)) },
            blob_mismatch(&flipped(&gz, 70)),
        ),
        ("diff_id of a tar", Layer { diff_id: OTHER, ..layer(&tar) }, diff_mismatch.clone()),
        ("diff_id of gzip", Layer { diff_id: OTHER, ..layer(&gz) }, diff_mismatch.clone()),
        ("diff_id of zstd", Layer { diff_id: OTHER, ..layer(&zst) }, diff_mismatch),
        ("truncated gzip", layer(&gz[..gz.len() - 100]), "the gzip stream is truncated".to_owned()),
        ("truncated zstd", layer(&zst[..zst.len() - 100]), "the zstd stream is truncated".to_owned()),
        ("bad sum of gzip", layer(&flipped(&gz, gz.len() - 7)), "the gzip stream is damaged: ".to_owned()),
        (
            "after gzip",
            layer(&[&gz[..], b"garbage that is no member"].concat()),
            "the gzip stream is damaged: ".to_owned(),
        ),
        (
            "zeros after gzip",
            layer(&[&gz[..], &[0; 512]].concat()),
            "the gzip stream is damaged: ".to_owned(),
        ),
        (
            "after zstd",
            layer(&[&zst[..], b"garbage that is no frame"].concat()),
            "the zstd stream is ".to_owned(),
        ),
        ("xz", layer(b"\xfd7zXZ\0\0\0\0\0\0\0"), "it is compressed with xz".to_owned()),
    ] {
        let good = Layer::gzip(&super::images::tar(&[("other", 10)]));
        let error = refused(&[good, bad.clone()], &Prepare::default());
        let name = format!("layer 2 (sha256:{}) of 'oci:IMAGE': {said}", bad.digest.short());
        assert!(error.starts_with(&name), "{what}: {error}\nexpected {name}");
    }
    let short = Layer { size: gz.len() as u64 + 1, ..layer(&gz) };
    assert!(refused(&[short], &Prepare::default()).contains("size"));
}

#[test]
fn a_bomb_is_stopped() {
    let zeros = vec![0; 3 << 20];
    let bomb = Layer::gzip(&zeros);
    let small = Prepare { max_unpacked: 2 << 20, ..Prepare::default() };
    let error = refused(from_ref(&bomb), &small);
    assert!(error.contains("the layers unpack to more than the 2097152 bytes"), "{error}");
    assert!(error.contains("--max-unpacked"), "{error}");
    // All layers together: each alone would do.
    let half = |name| Layer::gzip(&tar(&[(name, 1_200_000)]));
    assert!(refused(&[half("a"), half("b")], &small).contains("the layers unpack to more"));
    let most = Prepare::default().most_of_layer(100);
    assert_eq!((most, Prepare::with_max_unpacked(5).most_of_layer(100)), (1 << 30, u64::MAX));
    assert_eq!(Prepare::default().most_of_layer(1 << 30), 200 << 30);
}

#[test]
fn a_hostile_tar_is_refused_with_its_entry() {
    let mut header = tar::Header::new_ustar();
    let name = b"usr/../x";
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_size(0);
    header.set_cksum();
    let tar = [header.as_bytes(), &[0; 1024][..]].concat();
    for layer in [Layer::plain(&tar), Layer::gzip(&tar)] {
        let error = refused(&[layer], &Prepare::default());
        assert!(error.contains("of 'oci:IMAGE': entry 'usr/../x': "), "{error}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_told_as_that() {
    let place = Place::new();
    let tar = tar(&[("x", 100_000)]);
    for layer in [Layer::plain(&tar), Layer::gzip(&tar)] {
        let name = layer.digest.hex();
        let image = place.image(&name, from_ref(&layer));
        let mut file = File::options().append(true).open(place.blob(&name, &layer)).unwrap();
        file.write_all(b"more").unwrap();
        let error = prepare(&place.store(), &image).0.unwrap_err();
        assert!(error.to_string().contains("changed while it was read"), "{error}");
        file.set_len(10).unwrap();
        let error = prepare(&place.store(), &image).0.unwrap_err();
        assert!(error.to_string().contains("changed while it was read"), "{error}");
    }
    assert!(place.files().is_empty());
}

#[test]
fn work_that_became_pointless_stops() {
    use crate::image::LayerSource;
    use crate::image::verify::{Aim, Content, Fault, Promise, Watch, verify};
    let place = Place::new();
    let layer = Layer::plain(&tar(&[("x", 100)]));
    let image = place.image("image", from_ref(&layer));
    let LayerSource::Blob(blob) = &image.layers[0].source else { panic!() };
    let promise = Promise { stored: layer.size, digest: Some(layer.digest), diff_id: layer.diff_id };
    let stop = AtomicBool::new(true);
    for aim in [Aim::Hash(Content::Tar), Aim::Scan { entries: 9 }] {
        let stopped = verify(blob, &promise, aim, &Watch { advance: &|_| {}, stop: &stop });
        assert!(matches!(stopped, Err(Fault::Stopped)), "{stopped:?}");
    }
    assert_eq!(prepare(&place.store(), &image).1.tasks, [(1, Task::Index)]);
}
