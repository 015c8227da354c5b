//! Directories that the kernel's overlay writes to: it marks them as used inside the kernel, where no lock of ours meets
//! it.
//!
//! Source: the `upperdir=` and `workdir=` of overlay lines in /proc/self/mountinfo. Mounts of other mount namespaces
//! are not seen.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::table::Mount;

/// A directory, by `st_dev` and `st_ino`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Id {
    dev: u64,
    ino: u64,
}

/// The kernel overlay that has `dir` (absolute, without symbolic links) as its upper or work directory: its mount point.
pub fn user_of<'a>(mounts: &'a [Mount], dir: &Path) -> Option<&'a Path> {
    user_by(mounts, dir, |path| {
        // What cannot be looked up is nowhere that we could write.
        fs::metadata(path).ok().map(|metadata| Id { dev: metadata.dev(), ino: metadata.ino() })
    })
}

fn user_by<'a>(mounts: &'a [Mount], dir: &Path, id: impl Fn(&Path) -> Option<Id>) -> Option<&'a Path> {
    let wanted = id(dir)?;
    let is_used = |mount: &&Mount| {
        let used_as = |option: &'static str| {
            written_to(mount, option)
                .into_iter()
                .any(|path| path == dir || path.is_absolute() && id(&path) == Some(wanted))
        };
        used_as("upperdir") || used_as("workdir") || is_upper_by_name(mount, dir, wanted, &id)
    };
    mounts
        .iter()
        .filter(|mount| mount.fs_type == "overlay")
        .find(is_used)
        .map(|mount| mount.mountpoint.as_path())
}

/// A relative path is shown as it was given, and nobody knows from where. But the root of an overlay has the inode
/// number of its upper directory.
fn is_upper_by_name(mount: &Mount, dir: &Path, wanted: Id, id: impl Fn(&Path) -> Option<Id>) -> bool {
    let same_name = |path: &PathBuf| path.is_relative() && path.file_name() == dir.file_name();
    written_to(mount, "upperdir").iter().any(same_name)
        && id(&mount.mountpoint).is_some_and(|root| root.ino == wanted.ino)
}

/// The value of an option, as it stands and without the backslashes that mount(8) wants before commas.
fn written_to(mount: &Mount, option: &str) -> Vec<PathBuf> {
    let values = mount.options.iter().filter(|(name, _)| name == option).map(|(_, value)| value);
    values.flat_map(|value| [value.clone(), without_backslashes(value)]).map(PathBuf::from).collect()
}

fn without_backslashes(value: &OsStr) -> OsString {
    let mut plain = Vec::new();
    let mut bytes = value.as_bytes().iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => plain.extend(bytes.next()),
            byte => plain.push(*byte),
        }
    }
    OsString::from_vec(plain)
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;

    const TABLE: &[u8] = b"\
40 22 0:50 / /m1 rw - overlay overlay rw,lowerdir=/l,upperdir=/u1,workdir=/w1,uuid=on\n\
41 22 0:51 / /m2 rw - overlay none rw,lowerdir=l,upperdir=some/u2,workdir=w2\n\
42 22 0:52 / /m3 rw - overlay none rw,lowerdir=l,upperdir=/a\\134\\054b\\040c,workdir=/w3\n\
43 22 0:53 / /m4 rw - tmpfs none rw,upperdir=/u4\n";

    #[test]
    fn uppers_and_works_of_kernel_overlays_are_found() {
        let mounts = table::parse(TABLE);
        let id = |path: &Path| {
            let ino = match path.to_str()? {
                "/u1" | "/same/as/u1" => 1,
                "/w1" => 2,
                "/u2" | "/here/u2" | "/m2" => 3,
                "/a,b c" => 4,
                "/there/u2" | "/u4" => 5,
                "/l" => 6,
                _ => return None,
            };
            Some(Id { dev: 1, ino })
        };
        for (dir, expected) in [
            ("/u1", Some("/m1")),
            ("/same/as/u1", Some("/m1")),
            ("/w1", Some("/m1")),
            ("/here/u2", Some("/m2")),
            ("/there/u2", None),
            ("/a,b c", Some("/m3")),
            ("/u4", None),
            ("/l", None),
            ("/gone", None),
        ] {
            assert_eq!(user_by(&mounts, Path::new(dir), id), expected.map(Path::new), "{dir}");
        }
    }
}
