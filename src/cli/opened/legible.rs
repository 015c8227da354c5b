//! May this process read the markers of a live mount? It would take a tree without them for the mount's.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::cli::{Failure, terminal};
use crate::control::MountInfo;
use crate::sys::identity;

/// What an owner is shown as who has no number in this user namespace (`/proc/sys/kernel/overflowuid`, its default).
const NOBODY_HERE: u32 = 65534;

/// Whether `trusted.` attributes can be read: by root of the first user namespace alone (xattr(7); others are not told of them).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// They can.
    Privileged,
    /// An ordinary user, who sees owners as they are.
    Ordinary,
    /// In a user namespace, where owners from outside it have no number.
    Namespace,
}

impl Reader {
    /// What this process is.
    pub fn this_process() -> Self {
        match (identity::effective().0, identity::in_first_user_namespace()) {
            (0, true) => Reader::Privileged,
            (_, true) => Reader::Ordinary,
            (_, false) => Reader::Namespace,
        }
    }

    /// Can it read the markers of a mount that a daemon of this user serves?
    pub fn can_read(self, daemon: Option<u32>, info: &MountInfo) -> bool {
        let has_markers = info.upper.is_some() || info.layers.iter().any(|layer| layer.image.is_none());
        let may_be_trusted = !info.options.iter().any(|option| option == "userxattr")
            && match self {
                Reader::Privileged => false,
                Reader::Ordinary => daemon == Some(0),
                Reader::Namespace => daemon == Some(NOBODY_HERE),
            };
        !(has_markers && may_be_trusted)
    }
}

/// Refuses a mount whose markers this process cannot read. `owner` is who made the mount, as the user namespace numbers him in
/// which it was made.
pub fn refuse(path: &Path, owner: Option<u32>, info: &MountInfo) -> Result<(), Failure> {
    // /proc shows owners as this user namespace numbers them. In a pid namespace of one's own the daemon may be missing there.
    let daemon = fs::metadata(format!("/proc/{}", info.pid)).map(|daemon| daemon.uid()).ok().or(owner);
    if Reader::this_process().can_read(daemon, info) {
        return Ok(());
    }
    Err(Failure::trouble(format!(
        "the mount '{}' is root's, and its markers (trusted.overlay. attributes) are closed to you",
        terminal::shown(path)
    ))
    .hint("look into it as root; a mount with -o userxattr can be looked into by everyone who may use it"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::{StackSpec, UpperSpec};

    fn mount(upper: bool, directories: bool, options: &[&str]) -> MountInfo {
        let upper = upper.then(|| UpperSpec { upper: "/u".into(), work: "/w".into() });
        let lowers = if directories { vec![PathBuf::from("/l").into()] } else { Vec::new() };
        let stack = StackSpec { lowers, data_only: Vec::new(), upper };
        let options = options.iter().map(|&option| option.to_owned()).collect();
        MountInfo::of_this_process(&stack, Path::new("/m"), options)
    }

    #[test]
    fn trusted_markers_of_others_are_closed() {
        use Reader::{Namespace, Ordinary, Privileged};
        let directories = mount(true, true, &[]);
        for (reader, owner, expected) in [
            (Privileged, 0, true),
            (Privileged, 1000, true),
            (Ordinary, 0, false),
            (Ordinary, 1000, true),
            (Namespace, 0, true),
            (Namespace, NOBODY_HERE, false),
        ] {
            assert_eq!(reader.can_read(Some(owner), &directories), expected, "{reader:?} {owner}");
        }
        assert!(Ordinary.can_read(Some(0), &mount(true, true, &["userxattr"])));
        assert!(!Ordinary.can_read(Some(0), &mount(false, true, &[])), "directories may have them");
        assert!(!Ordinary.can_read(Some(0), &mount(true, false, &[])), "the upper has them");
        assert!(Ordinary.can_read(Some(0), &mount(false, false, &[])), "tars have .wh. names");
    }
}
