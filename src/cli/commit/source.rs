//! What is committed: a directory, or the upper of a mount.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::super::Failure;
use super::super::shell::quoted;
use crate::config::{StatOverride, Whiteouts};
use crate::control::mounts::{self, State};
use crate::control::{LayerInfo, MountInfo, table};
use crate::error::describe;
use crate::image::store::Store;
use crate::image::{self, Image, ImageRef, Select};
use crate::marker::override_xattrs_read;
use crate::path::Name;
use crate::sys::fs::{At, syncfs};
use crate::sys::xattr;

/// An upper directory, and how it is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Upper {
    /// The directory.
    pub upper: PathBuf,
    /// What `.wh.` names mean in it.
    pub whiteouts: Whiteouts,
    /// Where owners and modes are recorded in it.
    pub stat_override: StatOverride,
    /// What it lies over.
    pub under: Under,
    /// The store that the layers below are served from, if one of them lies in one.
    pub store: Option<PathBuf>,
}

/// What an upper lies over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Under {
    /// Nobody says.
    Unknown,
    /// The layers of one image.
    Image {
        /// As it was named when it was mounted.
        name: String,
        /// Its layers, base first.
        diff_ids: Vec<String>,
    },
    /// Layers that are not those of one image.
    Layers,
}

/// Says what a path is. A mount is synced: what was written to it before is in its upper afterwards.
pub(super) fn find(path: &Path) -> Result<Upper, Failure> {
    let cannot = |error: &std::io::Error| {
        Failure::trouble(format!("source '{}': {}", path.display(), describe(error)))
    };
    // Of a mount whose daemon has died not even the attributes can be had.
    let whole = fs::canonicalize(path).or_else(|error| match error.raw_os_error() {
        Some(libc::ENOTCONN) => std::path::absolute(path),
        _ => Err(error),
    });
    let whole = whole.map_err(|error| cannot(&error).hint("give an upper directory, or a mount point"))?;
    let mounts = table::read()
        .map_err(|error| Failure::trouble(format!("/proc/self/mountinfo cannot be read: {error}")))?;
    let shown = path.display();
    match table::at(&mounts, &whole) {
        Some(mount) if mounts::is_fuse(&mount.fs_type) => match mounts::ask(mount) {
            State::Live(info) => {
                let root = File::open(&whole).map_err(|error| cannot(&error))?;
                syncfs(root.as_fd()).map_err(|errno| cannot(&errno.into()))?;
                of_mount(path, &info)
            }
            State::Dead => Err(Failure::trouble(format!("the daemon of the mount '{shown}' has ended"))
                .hint("unmount it with lamina umount, and commit its upper directory with --base IMAGE")),
            State::Closed => {
                Err(Failure::trouble(format!("the mount '{shown}' is another user's, and closed to you"))
                    .hint("only who mounted it can commit it"))
            }
            State::Silent(problem) => {
                Err(Failure::trouble(format!("the mount '{shown}' does not say what it is: {problem}"))
                    .hint("commit its upper directory with --base IMAGE"))
            }
            State::Foreign => Err(not_ours(path)),
        },
        Some(mount) if mount.fs_type == "overlay" => Err(not_ours(path)),
        _ if whole.is_dir() => Ok(Upper {
            whiteouts: Whiteouts::Auto,
            stat_override: recorded(&whole).map_err(|error| cannot(&error))?,
            under: Under::Unknown,
            store: None,
            upper: whole,
        }),
        _ => Err(Failure::trouble(format!("source '{shown}' is not a directory"))
            .hint("give an upper directory, or a mount point")),
    }
}

/// Where owners are recorded in an upper. Its root need not say so, but what is in it does: a mount that records them records them
/// with everything it makes.
fn recorded(upper: &Path) -> std::io::Result<StatOverride> {
    let dir = File::open(upper)?;
    for entry in fs::read_dir(upper)? {
        let name = entry?.file_name();
        let Ok(name) = Name::new(name.as_bytes()) else { continue };
        for mode in [StatOverride::Containers, StatOverride::Privileged] {
            let names = override_xattrs_read(mode);
            if names.iter().any(|xattr| xattr::get(At::Name(dir.as_fd(), name), xattr.to_bytes()).is_ok()) {
                return Ok(mode);
            }
        }
    }
    Ok(StatOverride::Off)
}

fn not_ours(path: &Path) -> Failure {
    Failure::trouble(format!("'{}' is a mount, and not one of lamina", path.display()))
        .hint("commit its upper directory: mount(8) shows it as upperdir=")
}

fn of_mount(path: &Path, info: &MountInfo) -> Result<Upper, Failure> {
    let Some(upper) = &info.upper else {
        return Err(Failure::trouble(format!(
            "the mount '{}' has no upper: nothing in it is changed",
            path.display()
        ))
        .hint("lamina mount IMAGE MOUNTPOINT --upper DIR keeps changes"));
    };
    let has = |option: &str| info.options.iter().any(|there| there == option);
    Ok(Upper {
        upper: upper.into(),
        whiteouts: if has("whiteouts=kernel") || has("whiteouts=unionfs-fuse") {
            Whiteouts::Kernel
        } else {
            Whiteouts::Auto
        },
        stat_override: match (has("xattr_permissions=1"), has("xattr_permissions=2")) {
            (true, _) => StatOverride::Privileged,
            (_, true) => StatOverride::Containers,
            _ => StatOverride::Off,
        },
        under: under(info),
        store: info.layers.iter().find_map(|layer| Store::around(&PathBuf::from(&layer.path))),
    })
}

/// What a mount lies over, by its own account.
fn under(info: &MountInfo) -> Under {
    let Some(name) = info.layers.first().and_then(|layer| layer.image.clone()) else { return Under::Layers };
    let of_it = |layer: &LayerInfo| layer.diff_id.clone().filter(|_| layer.image.as_ref() == Some(&name));
    let diff_ids: Option<Vec<String>> = info.layers.iter().rev().map(of_it).collect();
    match diff_ids {
        Some(diff_ids) if info.data_layers.is_empty() => Under::Image { name, diff_ids },
        _ => Under::Layers,
    }
}

/// Opens the image that a mount was made of, by the name it had then; its layers must be the mount's.
pub(super) fn reopen(name: &str, diff_ids: &[String], select: &Select) -> Result<Image, Failure> {
    let hint = "give the image that is mounted with --base IMAGE";
    let reference = ImageRef::parse(name.as_ref())
        .map_err(|error| Failure::trouble(format!("the mount's {error}")).hint(hint))?;
    let image = image::open(&reference, select).map_err(|error| {
        let failure = Failure::from(error);
        let more = failure.hint.as_deref().map_or(String::new(), |more| format!("{more}; or "));
        Failure { hint: Some(format!("{more}{hint}")), ..failure }
    })?;
    let there: Vec<String> = image.layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    if there == diff_ids {
        return Ok(image);
    }
    Err(Failure::trouble(format!(
        "the layers of '{name}' are not those that are mounted: it was made anew, or is one of several images there"
    ))
    .hint("say which with --platform or --tag, as when it was mounted; or give it with --base IMAGE"))
}

/// The mount's layers are no image's.
pub(super) fn no_base(path: &Path, upper: &Path) -> Failure {
    Failure::trouble(format!("the layers of the mount '{}' are not those of one image", path.display())).hint(
        format!(
            "give an image with --base IMAGE (one that podman holds: podman save it, and give what was saved); or commit the changes alone: lamina commit {} TARGET",
            quoted(upper.as_os_str().as_bytes())
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(layers: &[(Option<&str>, Option<&str>)]) -> MountInfo {
        let layers: Vec<_> = layers
            .iter()
            .map(|(image, diff_id)| serde_json::json!({"number": 1, "path": "/l", "image": image, "diff_id": diff_id}))
            .collect();
        let info = serde_json::json!({
            "version": "1", "pid": 1, "mountpoint": "/m", "layers": layers, "upper": "/u", "work": "/w",
            "transport": "dev", "options": ["whiteouts=kernel", "xattr_permissions=2"],
        });
        MountInfo::decode(info.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_mount_of_one_image_says_which() {
        let a = |diff_id| (Some("a"), Some(diff_id));
        assert_eq!(
            under(&info(&[a("2"), a("1")])),
            Under::Image { name: "a".to_owned(), diff_ids: vec!["1".to_owned(), "2".to_owned()] }
        );
        for layers in [
            &[][..],
            &[(None, None)],
            &[a("1"), (None, None)],
            &[(None, None), a("1")],
            &[a("1"), (Some("b"), Some("2"))],
            &[(Some("a"), None)],
        ] {
            assert_eq!(under(&info(layers)), Under::Layers, "{layers:?}");
        }
    }

    #[test]
    fn a_mount_says_how_its_upper_is_read() {
        let upper = of_mount(Path::new("/m"), &info(&[(None, None)])).unwrap();
        assert_eq!(
            upper,
            Upper {
                upper: "/u".into(),
                whiteouts: Whiteouts::Kernel,
                stat_override: StatOverride::Containers,
                under: Under::Layers,
                store: None,
            }
        );
        // A layer that lies in a store says which.
        let dir = tempfile::tempdir().unwrap();
        Store::open(dir.path()).unwrap();
        let mut stored = info(&[(None, None), (None, None)]);
        for (tar, store) in
            [("layers/sha256/x.tar", Some(dir.path())), ("x.tar", None), ("x/layers/sha256/x.tar", None)]
        {
            stored.layers[1].path = dir.path().join(tar).as_path().into();
            assert_eq!(of_mount(Path::new("/m"), &stored).unwrap().store.as_deref(), store, "{tar}");
        }
        let read_only = MountInfo { upper: None, ..info(&[]) };
        assert!(of_mount(Path::new("/m"), &read_only).unwrap_err().message.contains("has no upper"));
    }

    #[test]
    fn what_is_no_directory_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "").unwrap();
        assert!(find(&file).unwrap_err().message.ends_with("is not a directory"));
        assert!(find(&dir.path().join("none")).unwrap_err().message.contains("No such file"));
        assert_eq!(find(dir.path()).unwrap().under, Under::Unknown);
        assert_eq!(find(dir.path()).unwrap().stat_override, StatOverride::Off);
        let open = File::open(dir.path()).unwrap();
        let at = At::Name(open.as_fd(), Name::new(b"f").unwrap());
        let name = override_xattrs_read(StatOverride::Containers)[0].to_bytes();
        xattr::set(at, name, b"0:0:0644:file", xattr::SetMode::Any).unwrap();
        assert_eq!(find(dir.path()).unwrap().stat_override, StatOverride::Containers);
    }
}
