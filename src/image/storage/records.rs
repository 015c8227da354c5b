//! What a store says of its images and layers: `images.json` and `layers.json`, and which image a name means.
//!
//! Source: the files that podman 5 and buildah write; the library behind both for the names of its data files.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::digest::Digest;
use crate::image::choose::{Candidate, Listing, Nature};
use crate::image::error::Problem;
use crate::image::names::{Likeness, likeness};

/// An image of a store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ImageRecord {
    /// Its id, 64 digits.
    pub id: String,
    /// The digest of its manifest, or of the list that led to that.
    pub digest: Option<String>,
    /// Its names, in full.
    pub names: Option<Vec<String>>,
    /// Its topmost layer; an image without layers has none.
    pub layer: Option<String>,
}

/// A layer of a store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LayerRecord {
    /// Its id.
    pub id: String,
    /// The layer below it.
    pub parent: Option<String>,
    /// The sha256 of its uncompressed tar.
    pub diff_digest: Option<String>,
    /// The size of that, bytes.
    pub diff_size: Option<i64>,
    /// The sha256 of its tar as it was pulled.
    pub compressed_diff_digest: Option<String>,
}

/// Reads one of the two.
pub fn parse<T: for<'de> Deserialize<'de>>(bytes: &[u8], what: &str) -> Result<Vec<T>, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::Json { what: what.to_owned(), problem: error.to_string() })
}

impl ImageRecord {
    fn names(&self) -> &[String] {
        self.names.as_deref().unwrap_or_default()
    }

    fn candidate(&self) -> Option<Candidate> {
        let digest = Digest::from_hex(&self.id).ok()?;
        Some(Candidate { names: self.names().to_vec(), platform: None, digest, nature: Nature::Image })
    }

    fn likeness(&self, wanted: &str) -> Option<Likeness> {
        let like = self.names().iter().filter_map(|name| likeness(wanted, name)).min()?;
        // A tag alone is no name in a store of many images.
        Some(like).filter(|like| *like != Likeness::Tag)
    }
}

/// Which image a name means: an id, a name (short or in full), a digest after `@`, or the beginning of an id.
pub fn choose<'a>(images: &'a [ImageRecord], wanted: &str) -> Result<&'a ImageRecord, Problem> {
    if let Some(image) = images.iter().find(|image| image.id == wanted) {
        return Ok(image);
    }
    let found: Vec<&ImageRecord> = match wanted.split_once('@') {
        Some((_, id)) if Digest::from_hex(id).is_ok() => {
            images.iter().filter(|image| image.id == id).collect()
        }
        Some((_, digest)) => images.iter().filter(|image| image.digest.as_deref() == Some(digest)).collect(),
        None => {
            let like: Vec<_> =
                images.iter().filter_map(|image| Some((image.likeness(wanted)?, image))).collect();
            match like.iter().map(|(likeness, _)| *likeness).min() {
                Some(best) => like.into_iter().filter(|(l, _)| *l == best).map(|(_, image)| image).collect(),
                None => images.iter().filter(|image| image.id.starts_with(wanted)).collect(),
            }
        }
    };
    let listing = |images: &[&ImageRecord]| Listing::new(images.iter().filter_map(|image| image.candidate()));
    match found.as_slice() {
        [image] => Ok(image),
        [] => {
            let named: Vec<_> = images.iter().filter(|image| !image.names().is_empty()).collect();
            let problem = format!("no image in the store is named '{}'", wanted.escape_debug());
            Err(Problem::Name { problem, there: listing(&named) })
        }
        several => {
            let problem = format!("'{}' may mean {} images", wanted.escape_debug(), several.len());
            Err(Problem::Name { problem, there: listing(several) })
        }
    }
}

/// The layers from the base up to `top`.
pub fn chain<'a>(layers: &'a [LayerRecord], top: Option<&str>) -> Result<Vec<&'a LayerRecord>, Problem> {
    let by_id: HashMap<&str, &LayerRecord> = layers.iter().map(|layer| (layer.id.as_str(), layer)).collect();
    let mut seen = HashSet::new();
    let mut chain = Vec::new();
    let mut next = top.filter(|id| !id.is_empty());
    while let Some(id) = next {
        let layer = by_id.get(id).ok_or_else(|| Problem::Missing {
            what: "the record of a layer".to_owned(),
            name: id.escape_debug().to_string(),
        })?;
        if !seen.insert(id) {
            return Err(Problem::Malformed(format!("the layer '{}' is below itself", id.escape_debug())));
        }
        chain.push(*layer);
        next = layer.parent.as_deref().filter(|id| !id.is_empty());
    }
    chain.reverse();
    Ok(chain)
}

/// The file that holds an image's data of that key: the key, where it is plain, else `=` and its base64 (RFC 4648).
pub fn data_file(key: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if key.bytes().all(|byte| matches!(byte, b'.' | b'0'..=b'9' | b'a'..=b'z')) {
        return key.to_owned();
    }
    let mut name = String::from("=");
    for group in key.as_bytes().chunks(3) {
        let bits =
            (0..3).fold(0_usize, |bits, n| bits << 8 | usize::from(group.get(n).copied().unwrap_or(0)));
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            match DIGITS.get(value).filter(|_| digit <= group.len()) {
                Some(byte) => name.push(char::from(*byte)),
                None => name.push('='),
            }
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(number: u8, names: &[&str]) -> ImageRecord {
        ImageRecord {
            id: format!("{number:02x}").repeat(32),
            digest: Some(format!("sha256:{}", "ab".repeat(32))).filter(|_| number == 1),
            names: Some(names.iter().map(|name| (*name).to_owned()).collect()).filter(|_| !names.is_empty()),
            layer: None,
        }
    }

    #[test]
    fn a_name_means_what_podman_takes_it_for() {
        let images = [
            image(1, &["localhost/app:1.0", "localhost/other:2"]),
            image(2, &["docker.io/library/alpine:latest"]),
            image(3, &["quay.io/app:1.0"]),
            image(0x11, &[]),
            image(0x12, &["localhost/alpine:latest"]),
        ];
        let digest = format!("app@sha256:{}", "ab".repeat(32));
        for (wanted, number) in [
            ("localhost/app:1.0", 0),
            ("other:2", 0),
            ("alpine", 1),
            ("docker.io/library/alpine", 1),
            ("localhost/alpine", 4),
            ("quay.io/app:1.0", 2),
            ("1111", 3),
            ("12", 4),
            ("02", 1),
            (&"03".repeat(32), 2),
            (&digest, 0),
            (&format!("@{}", "03".repeat(32)), 2),
        ] {
            assert_eq!(choose(&images, wanted).map(|image| &image.id), Ok(&images[number].id), "{wanted}");
        }
        let error = choose(&images, "app:1.0").unwrap_err().to_string();
        assert!(error.starts_with("'app:1.0' may mean 2 images:\n"), "{error}");
        for wanted in ["nginx", "1.0", "alpine:3"] {
            let error = choose(&images, wanted).unwrap_err();
            let Problem::Name { problem, there } = error else { panic!("{error}") };
            assert_eq!(problem, format!("no image in the store is named '{wanted}'"));
            assert_eq!(there.len(), 4);
        }
    }

    #[test]
    fn layers_are_in_order_and_end() {
        let layer = |id: &str, parent: Option<&str>| LayerRecord {
            id: id.to_owned(),
            parent: parent.map(str::to_owned),
            diff_digest: None,
            diff_size: None,
            compressed_diff_digest: None,
        };
        let layers = [
            layer("c", Some("b")),
            layer("a", None),
            layer("b", Some("a")),
            layer("x", Some("y")),
            layer("y", Some("x")),
            layer("z", Some("no")),
        ];
        let ids = |top| {
            chain(&layers, top).map(|chain| chain.iter().map(|layer| layer.id.as_str()).collect::<Vec<_>>())
        };
        assert_eq!(ids(Some("c")), Ok(vec!["a", "b", "c"]));
        assert_eq!(ids(None), Ok(vec![]));
        assert_eq!(ids(Some("x")).unwrap_err().to_string(), "the layer 'x' is below itself");
        assert_eq!(
            ids(Some("z")).unwrap_err().to_string(),
            "the record of a layer is missing: there is no 'no' in it"
        );
    }

    #[test]
    fn data_files_are_named_as_podman_names_them() {
        for (key, file) in [
            ("manifest", "manifest"),
            ("a-b", "=YS1i"),
            ("M", "=TQ=="),
            ("Ma", "=TWE="),
            (
                "sha256:93170348ca9a3e0d706c191155f311569f548c42ed5dc4f9e03ca5877dd88ab2",
                "=c2hhMjU2OjkzMTcwMzQ4Y2E5YTNlMGQ3MDZjMTkxMTU1ZjMxMTU2OWY1NDhjNDJlZDVkYzRmOWUwM2NhNTg3N2RkODhhYjI=",
            ),
        ] {
            assert_eq!(data_file(key), file);
        }
    }
}
