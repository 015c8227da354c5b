//! What `skopeo copy ... dir:DIR` writes: an image's `manifest.json` and each blob beside it, by its digest.
//!
//! Source: containers-transports(5), "dir:path", and what skopeo writes: config and layers are named by the hexadecimal digits of
//! their digest, the manifests that a list names have `.manifest.json` after them, and a file `version` says what it is.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::documents::{Descriptor, manifest_media};
use super::error::{ImageError, Problem};
use super::files::{Files, digest_of, read};
use super::{Image, Select, layout};

/// The file with the manifest, or the list of manifests.
pub const MANIFEST: &str = "manifest.json";
/// The file that says what it is, and what its text begins with.
const VERSION: (&str, &str) = ("version", "Directory Transport Version: ");

/// Does a directory say that skopeo has written it?
pub fn is_one(dir: &Path) -> bool {
    version(dir).is_some() && dir.join(MANIFEST).symlink_metadata().is_ok()
}

/// The version that a directory says it has.
fn version(dir: &Path) -> Option<String> {
    const LONGEST: u64 = 64;
    let path = dir.join(VERSION.0);
    // A layer may have anything of that name: no pipe is waited for.
    if !path.symlink_metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text.strip_prefix(VERSION.1)?.trim_end().to_owned())
}

/// Opens the image of a directory; of several, one.
pub fn open(dir: &Path, name: &str, select: &Select) -> Result<Image, ImageError> {
    let metadata = fs::metadata(dir).map_err(|error| Problem::io("open", dir, &error))?;
    if !metadata.is_dir() {
        return Err(Problem::NotAnImage("it is not a directory".to_owned()).into());
    }
    if let Some(version) = version(dir).filter(|version| !version.starts_with("1.")) {
        return Err(Problem::Unsupported {
            problem: format!("it is a directory of version '{}', expected 1.1", version.escape_debug()),
            hint: "convert it with skopeo copy to oci:DIR:TAG".to_owned(),
        }
        .into());
    }
    let Some(blob) = Files::Directory(dir.to_owned()).find(MANIFEST)? else {
        return Err(Problem::NotAnImage(format!("it has no file '{MANIFEST}'")).into());
    };
    let document = read(&blob, MANIFEST)?;
    let entry = Descriptor {
        media_type: manifest_media(&document, MANIFEST)?,
        digest: digest_of(&document),
        size: blob.len,
        platform: None,
        ref_name: None,
        image_name: None,
        artifact: false,
    };
    let files = Files::Skopeo { dir: dir.to_owned(), manifest: entry.digest };
    layout::open_one_of(&files, vec![entry], name, select)
}

#[cfg(test)]
mod tests;
