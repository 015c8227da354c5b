//! What the store remembers, so that nothing is read twice: JSON of one object each.
//!
//! A record that is missing, damaged or of another version costs time and nothing else: what it would say is found out
//! again.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::problem::StoreProblem;
use crate::digest::Digest;
use crate::stamp::FileStamp;

/// The version of all records.
pub const VERSION: u32 = 1;

/// No record is larger, bytes.
const LARGEST: u64 = 64 << 10;

/// What was verified of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// [`VERSION`].
    pub version: u32,
    /// How long the tar is, bytes.
    pub unpacked: u64,
    /// How many entries it has.
    pub entries: u64,
    /// What the file with the index is.
    pub index: Stamp,
    /// What the file with the tar is; `None` where the tar is served from where it was found.
    pub tar: Option<Stamp>,
    /// Since which start of the machine it is there, and whether it survives the next.
    pub kept: Kept,
}

/// Whether files survive a power failure. They are not synced when they are made: it would cost as much as all the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kept {
    /// They are on the disk.
    Synced,
    /// Perhaps: they are what they are said to be as long as the machine runs.
    InMemory {
        /// The number of this start of the machine.
        boot: String,
        /// When they were written, seconds since 1970.
        since: u64,
    },
}

/// What a blob was when it was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRecord {
    /// [`VERSION`].
    pub version: u32,
    /// The file, absolute, by the name it was found under.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// What the file was.
    pub stamp: Stamp,
    /// Where the blob begins in it, bytes.
    pub offset: u64,
    /// How long the blob is, bytes.
    pub len: u64,
    /// The sha256 of the blob.
    #[serde(with = "digest_text")]
    pub digest: Digest,
    /// The sha256 of its tar.
    #[serde(with = "digest_text")]
    pub diff_id: Digest,
    /// Whether it is not the tar itself.
    pub compressed: bool,
    /// The image it is a layer of, as the caller named it.
    pub image: String,
}

/// A [`FileStamp`] in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    dev: u64,
    ino: u64,
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl From<FileStamp> for Stamp {
    fn from(stamp: FileStamp) -> Self {
        let FileStamp { dev, ino, size, mtime, ctime } = stamp;
        Stamp { dev, ino, size, mtime, ctime }
    }
}

impl From<Stamp> for FileStamp {
    fn from(stamp: Stamp) -> Self {
        let Stamp { dev, ino, size, mtime, ctime } = stamp;
        FileStamp { dev, ino, size, mtime, ctime }
    }
}

/// A record with a version.
pub trait Record: Serialize + DeserializeOwned {
    /// What it says of itself.
    fn version(&self) -> u32;
}

impl Record for LayerRecord {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Record for SeenRecord {
    fn version(&self) -> u32 {
        self.version
    }
}

/// Reads a record; `None` where there is none that can be used.
pub fn read<R: Record>(path: &Path) -> Option<R> {
    let text = match File::open(path).and_then(|file| {
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text).map(|_| text)
    }) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                log::warn!("layer store: read '{}': {}", path.display(), crate::error::describe(&error));
            }
            return None;
        }
    };
    match serde_json::from_slice::<R>(&text) {
        Ok(record) if record.version() == VERSION => Some(record),
        Ok(_) => None,
        Err(error) => {
            log::debug!("record '{}' cannot be used: {error}", path.display());
            None
        }
    }
}

/// The text of a record.
pub fn encode(record: &impl Record, path: &Path) -> Result<Vec<u8>, StoreProblem> {
    serde_json::to_vec(record).map_err(|error| StoreProblem::io("write", path, &io::Error::other(error)))
}

/// Notes that a record was used now. Its time of change is when it was used last.
pub fn touch(path: &Path) {
    // A store that cannot be written to serves as well; it only forgets when.
    let _ = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
}

/// When a record was used last.
pub fn used(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

mod digest_text {
    use super::*;

    pub fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(digest)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A path as text where it is text, and as its bytes where not.
mod path_text {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => Either::Text(text.to_owned()),
            None => Either::Bytes(path.as_os_str().as_bytes().to_vec()),
        }
        .serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Ok(match Either::deserialize(from)? {
            Either::Text(text) => PathBuf::from(text),
            Either::Bytes(bytes) => PathBuf::from(OsString::from_vec(bytes)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(path: &[u8]) -> SeenRecord {
        let stamp = Stamp { dev: 1, ino: u64::MAX, size: 3, mtime: (-1, 2), ctime: (4, 999_999_999) };
        SeenRecord {
            version: VERSION,
            path: PathBuf::from(OsString::from_vec(path.to_vec())),
            stamp,
            offset: 512,
            len: 1024,
            digest: Digest::from_bytes([1; 32]),
            diff_id: Digest::from_bytes([2; 32]),
            compressed: true,
            image: "docker-archive:x.tar".to_owned(),
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        for name in [&b"/a/b"[..], b"/\xff/b"] {
            let record = seen(name);
            fs::write(&path, encode(&record, &path).unwrap()).unwrap();
            assert_eq!(read::<SeenRecord>(&path), Some(record));
        }
    }

    #[test]
    fn what_cannot_be_used_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        assert_eq!(read::<SeenRecord>(&path), None);
        let good = encode(&seen(b"/a"), &path).unwrap();
        let next = SeenRecord { version: VERSION + 1, ..seen(b"/a") };
        for bad in [&b""[..], b"{}", &good[..good.len() - 1], &[0; 300], &encode(&next, &path).unwrap()] {
            fs::write(&path, bad).unwrap();
            assert_eq!(read::<SeenRecord>(&path), None);
        }
    }
}
