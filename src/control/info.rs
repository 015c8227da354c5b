//! The description of a mount, which the mount itself gives.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{LowerSpec, StackSpec, TarSpec};

/// Values of extended attributes are shorter than this (`XATTR_SIZE_MAX`), in bytes.
const LONGEST: usize = 64 * 1024;

/// A path in JSON: a string, or, where the path is not UTF-8, `{"bytes": [47, 255]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)] // the names say it
pub enum PathText {
    Text(String),
    Bytes { bytes: Vec<u8> },
}

impl From<&Path> for PathText {
    fn from(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => PathText::Text(text.to_owned()),
            None => PathText::Bytes { bytes: path.as_os_str().as_bytes().to_vec() },
        }
    }
}

impl From<&PathText> for PathBuf {
    fn from(text: &PathText) -> Self {
        match text {
            PathText::Text(text) => PathBuf::from(text),
            PathText::Bytes { bytes } => PathBuf::from(OsString::from_vec(bytes.clone())),
        }
    }
}

/// A layer and its number: 1 is the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// Counted from 1 at the base.
    pub number: usize,
    /// Its directory, or the file that holds its tar.
    pub path: PathText,
    /// The image it belongs to, by a word that names it from any directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The sha256 of its tar, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<String>,
}

/// What a live mount is. The field names are a format: see `docs/cli.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountInfo {
    /// The version of lamina that serves it.
    pub version: String,
    /// The daemon, as its own pid namespace numbers it.
    pub pid: u32,
    /// Where it was mounted.
    pub mountpoint: PathText,
    /// The layers, top first.
    pub layers: Vec<LayerInfo>,
    /// The data-only layers, top first.
    #[serde(default)]
    pub data_layers: Vec<LayerInfo>,
    /// How many layers and data-only layers are left out because the description would be too long; 0 or all of them.
    #[serde(default)]
    pub layers_left_out: usize,
    /// The upper directory.
    pub upper: Option<PathText>,
    /// The work directory.
    pub work: Option<PathText>,
    /// How requests travel: `dev` (read and write on /dev/fuse).
    pub transport: String,
    /// The options in effect, as `-o` would take them.
    pub options: Vec<String>,
}

impl MountInfo {
    /// Describes a stack that this process serves.
    pub fn of_this_process(stack: &StackSpec, mountpoint: &Path, options: Vec<String>) -> Self {
        MountInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            mountpoint: mountpoint.into(),
            layers: numbered(stack.lowers.iter().map(described)),
            data_layers: numbered(stack.data_only.iter().map(|path| (path.as_path(), None))),
            layers_left_out: 0,
            upper: stack.upper.as_ref().map(|spec| spec.upper.as_path().into()),
            work: stack.upper.as_ref().map(|spec| spec.work.as_path().into()),
            transport: "dev".to_owned(),
            options,
        }
    }

    /// The description as the attribute's value; without its layers where it would be too long with them.
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let whole = serde_json::to_vec(self)?;
        if whole.len() <= LONGEST {
            return Ok(whole);
        }
        let layers_left_out = self.layers.len() + self.data_layers.len();
        serde_json::to_vec(&MountInfo {
            layers: Vec::new(),
            data_layers: Vec::new(),
            layers_left_out,
            ..self.clone()
        })
    }

    /// Reads a description; fields that are not known are passed over, so that a later version can say more.
    pub fn decode(value: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(value)
    }

    /// How many ordinary layers the mount has.
    pub fn layer_count(&self) -> usize {
        self.layers.len().max(self.layers_left_out)
    }
}

/// A layer's path, and what it is if it is a tar.
fn described(lower: &LowerSpec) -> (&Path, Option<&TarSpec>) {
    match lower {
        LowerSpec::Directory(path) => (path, None),
        LowerSpec::Tar(tar) => (&tar.file, Some(tar)),
    }
}

fn numbered<'a>(top_first: impl ExactSizeIterator<Item = (&'a Path, Option<&'a TarSpec>)>) -> Vec<LayerInfo> {
    let count = top_first.len();
    let numbered = top_first.enumerate();
    let layer = |(i, (path, tar)): (usize, (&Path, Option<&TarSpec>))| LayerInfo {
        number: count - i,
        path: path.into(),
        image: tar.map(|tar| tar.image.clone()),
        diff_id: tar.map(|tar| tar.diff_id.to_string()),
    };
    numbered.map(layer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UpperSpec;

    fn stack(lowers: Vec<PathBuf>) -> StackSpec {
        let upper = Some(UpperSpec { upper: "/u".into(), work: "/w".into() });
        let lowers = lowers.into_iter().map(LowerSpec::from).collect();
        StackSpec { lowers, data_only: vec!["/d".into()], upper }
    }

    #[test]
    fn a_description_survives_its_json_whatever_the_paths_are() {
        let odd = PathBuf::from(OsString::from_vec(b"/odd\xff".to_vec()));
        let spec = stack(vec!["/top".into(), odd.clone()]);
        let info = MountInfo::of_this_process(&spec, Path::new("/mnt"), vec!["ro".into()]);
        let json = info.encode().unwrap();
        assert_eq!(MountInfo::decode(&json).unwrap(), info);
        assert_eq!(info.layers[0].number, 2);
        assert_eq!(PathBuf::from(&info.layers[1].path), odd);
    }

    #[test]
    fn the_json_is_the_documented_one() {
        let mut info = MountInfo::of_this_process(&stack(vec!["/l".into()]), Path::new("/m"), vec![]);
        (info.pid, info.version) = (7, "0".to_owned());
        assert_eq!(
            String::from_utf8(info.encode().unwrap()).unwrap(),
            r#"{"version":"0","pid":7,"mountpoint":"/m","layers":[{"number":1,"path":"/l"}],"data_layers":[{"number":1,"path":"/d"}],"layers_left_out":0,"upper":"/u","work":"/w","transport":"dev","options":[]}"#
        );
    }

    #[test]
    fn too_many_layers_are_left_out_and_counted() {
        let lowers = (0..500).map(|i| PathBuf::from(format!("/{}/{i}", "x".repeat(200)))).collect();
        let info = MountInfo::of_this_process(&stack(lowers), Path::new("/m"), vec![]);
        let json = info.encode().unwrap();
        assert!(json.len() <= LONGEST);
        assert_eq!(MountInfo::decode(&json).unwrap().layers_left_out, 501);
    }

    #[test]
    fn a_later_version_may_say_more() {
        let json = br#"{"version":"9","pid":1,"mountpoint":"/m","layers":[],"upper":null,"work":null,
                        "transport":"uring","options":[],"new":{"a":1}}"#;
        assert_eq!(MountInfo::decode(json).unwrap().transport, "uring");
    }
}
