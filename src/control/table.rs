//! /proc/self/mountinfo, as proc_pid_mountinfo(5) describes it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount of this process's mount namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its id, unique while it lives.
    pub id: u64,
    /// Where it is, from this process's root.
    pub mountpoint: PathBuf,
    /// Its type, as `fuse.lamina`.
    pub fs_type: String,
    /// Its source.
    pub source: String,
    /// The options of its file system, as `upperdir=/u`, split at the first `=`; those without a value have an empty one.
    pub options: Vec<(String, OsString)>,
    /// Who mounted it, where a FUSE file system says so (`user_id=`).
    pub owner: Option<u32>,
}

/// All mounts, in the order they were made; of two at one place the later one is what is seen.
pub fn read() -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

/// All mounts of the mount namespace that a process lives in.
pub fn of(process: u32) -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read(format!("/proc/{process}/mountinfo"))?))
}

/// What is mounted at a path, on top.
pub fn at<'a>(mounts: &'a [Mount], mountpoint: &Path) -> Option<&'a Mount> {
    mounts.iter().rev().find(|mount| mount.mountpoint == mountpoint)
}

pub(super) fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|b| *b == b'\n').filter_map(line).collect()
}

/// A line that is not understood is passed over: the format may grow.
fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let mountpoint = PathBuf::from(OsString::from_vec(unescape(fields.nth(3)?)));
    // Optional fields end with a hyphen.
    fields.find(|field| *field == b"-")?;
    let mut text = || Some(String::from_utf8_lossy(&unescape(fields.next()?)).into_owned());
    let (fs_type, source) = (text()?, text()?);
    // Commas in a value are escaped, so that splitting comes first.
    let options: Vec<_> = fields.next()?.split(|b| *b == b',').map(option).collect();
    let owner = options.iter().find(|(name, _)| name == "user_id");
    let owner = owner.and_then(|(_, value)| value.to_str()?.parse().ok());
    Some(Mount { id, mountpoint, fs_type, source, options, owner })
}

fn option(text: &[u8]) -> (String, OsString) {
    let mut halves = text.splitn(2, |b| *b == b'=').map(unescape);
    let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    (String::from_utf8_lossy(&name).into_owned(), OsString::from_vec(value))
}

/// Space, tab, newline and backslash are written as `\` and three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
40 22 0:50 / /mnt/a\\040b rw,nosuid - fuse.lamina my\\054name rw,user_id=1000,group_id=1000\n\
41 22 0:51 / /mnt/a\\040b rw shared:2 master:3 - tmpfs tmpfs rw\n\
nonsense\n";

    #[test]
    fn lines_are_read_with_their_escapes() {
        let mounts = parse(TEXT);
        assert_eq!(mounts.len(), 3);
        assert_eq!(
            mounts[1],
            Mount {
                id: 40,
                mountpoint: "/mnt/a b".into(),
                fs_type: "fuse.lamina".into(),
                source: "my,name".into(),
                options: [("rw", ""), ("user_id", "1000"), ("group_id", "1000")]
                    .map(|(name, value)| (name.into(), value.into()))
                    .to_vec(),
                owner: Some(1000),
            }
        );
        assert_eq!(mounts[0].owner, None);
    }

    #[test]
    fn of_two_mounts_at_one_place_the_later_counts() {
        let mounts = parse(TEXT);
        assert_eq!(at(&mounts, Path::new("/mnt/a b")).map(|mount| mount.id), Some(41));
        assert_eq!(at(&mounts, Path::new("/mnt")), None);
    }

    #[test]
    fn this_machine_has_a_root_mount() {
        assert!(at(&read().unwrap(), Path::new("/")).is_some());
    }
}
