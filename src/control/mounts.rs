//! Which mounts of ours there are, and how they are.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::table::{self, Mount};
use super::{FS_TYPE, MOUNT_XATTR, MountInfo, patience};
use crate::error::describe;

/// How long a mount may take to describe itself: a daemon that is stopped would keep `lamina list` waiting for ever.
const PATIENCE: Duration = Duration::from_secs(3);

/// How a mount answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It described itself.
    Live(Box<MountInfo>),
    /// Its daemon has ended ("Transport endpoint is not connected").
    Dead,
    /// It is another user's, and closed to us.
    Closed,
    /// It did not answer in time, or not in a way we understand.
    Silent(String),
    /// It is not one of ours.
    Foreign,
}

/// A mount of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What the kernel says of it.
    pub mount: Mount,
    /// What it says itself.
    pub state: State,
}

/// All our mounts in this mount namespace, in the order they were made. A mount that another one covers cannot be
/// asked and is left out.
pub fn list() -> io::Result<Vec<Listed>> {
    let mut seen: HashMap<PathBuf, Mount> = HashMap::new();
    for mount in table::read()? {
        seen.insert(mount.mountpoint.clone(), mount);
    }
    let mut mounts: Vec<Mount> = seen.into_values().filter(|mount| is_fuse(&mount.fs_type)).collect();
    mounts.sort_by_key(|mount| mount.id);
    let listed = mounts.into_iter().map(|mount| Listed { state: ask(&mount), mount });
    Ok(listed.filter(|listed| listed.state != State::Foreign).collect())
}

/// Could this type be ours? Through some helpers the subtype is lost.
pub fn is_fuse(fs_type: &str) -> bool {
    fs_type == FS_TYPE || fs_type == "fuse"
}

/// Asks a mount what it is.
pub fn ask(mount: &Mount) -> State {
    match patience::attribute(&mount.mountpoint, MOUNT_XATTR, PATIENCE) {
        Ok(answer) => state(answer, &mount.fs_type, &mount.mountpoint),
        Err(error) => State::Silent(describe(&error)),
    }
}

fn state(answer: io::Result<Vec<u8>>, fs_type: &str, path: &Path) -> State {
    let ours = fs_type == FS_TYPE;
    match answer.map_err(|error| (error.raw_os_error(), error)) {
        Ok(value) => match MountInfo::decode(&value) {
            Ok(info) => State::Live(Box::new(info)),
            Err(error) if ours => State::Silent(format!("its description is malformed: {error}")),
            Err(_) => State::Foreign,
        },
        // Any dead FUSE mount without a subtype may have been ours; only the subtype tells.
        Err(_) if !ours => State::Foreign,
        Err((Some(libc::ENOTCONN | libc::ECONNABORTED), _)) => State::Dead,
        Err((Some(libc::EACCES | libc::EPERM), _)) => State::Closed,
        Err((_, error)) => State::Silent(format!("{}: {}", path.display(), describe(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(errno: i32) -> io::Result<Vec<u8>> {
        Err(io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn answers_and_what_they_mean() {
        let path = Path::new("/m");
        let state = |answer, fs_type| state(answer, fs_type, path);
        let info = br#"{"version":"1","pid":1,"mountpoint":"/m","layers":[],"upper":null,"work":null,
                        "transport":"dev","options":[]}"#;
        assert!(matches!(state(Ok(info.to_vec()), FS_TYPE), State::Live(_)));
        assert!(matches!(state(Ok(info.to_vec()), "fuse"), State::Live(_)));
        assert!(matches!(state(Ok(b"{".to_vec()), FS_TYPE), State::Silent(_)));
        assert_eq!(state(Ok(b"{".to_vec()), "fuse"), State::Foreign);
        assert_eq!(state(failed(libc::ENOTCONN), FS_TYPE), State::Dead);
        assert_eq!(state(failed(libc::ENOTCONN), "fuse"), State::Foreign);
        assert_eq!(state(failed(libc::EACCES), FS_TYPE), State::Closed);
        assert_eq!(state(failed(libc::ENODATA), "fuse"), State::Foreign);
        assert!(matches!(state(failed(libc::EIO), FS_TYPE), State::Silent(_)));
    }
}
