//! `remount`: mount(8) hands it to the mount's helper, though the kernel does it by itself.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::Failure;
use super::options::{self, Form, Options, Switch, Unhonoured, Why};
use crate::control::mounts::{self, State};
use crate::control::{LayerInfo, MountInfo, PathText, table};
use crate::source::facts::Privilege;

/// What /proc/mounts says of every FUSE mount, and mount(8) therefore sends along.
const OF_THE_KERNEL: [&str; 8] =
    ["user_id", "group_id", "rootmode", "fd", "max_read", "blksize", "default_permissions", "allow_other"];

/// Changes the flags of a mount that stands: `ro`, `nosuid`, `nodev`, `noexec` and the like. Layers and everything
/// else about it stay as they are. mount(8) sends the flags that the mount has along with those to change.
pub fn run(mountpoint: &Path, options: &Options) -> Result<(), Failure> {
    let live = live(mountpoint);
    for one in without_effect(options, live.as_ref()) {
        eprintln!("lamina: warning: {one}; it is ignored");
    }
    if let (Some(Switch::Off), Some(info)) = (options.read_only, &live) {
        may_be_writable(mountpoint, info)?;
    }
    mount(None::<&str>, mountpoint, None::<&str>, MsFlags::MS_REMOUNT | flags(options), None::<&str>).map_err(
        |errno| {
            Failure::trouble(format!("'{}' cannot be remounted: {}", mountpoint.display(), errno.desc()))
                .hint("it must be a mount point, and changing its flags takes root")
        },
    )
}

/// What the mount says of itself; nothing where it is not ours or does not answer.
fn live(mountpoint: &Path) -> Option<MountInfo> {
    let real = fs::canonicalize(mountpoint).ok()?;
    let mounts = table::read().ok()?;
    let mount = table::at(&mounts, &real).filter(|mount| mounts::is_fuse(&mount.fs_type))?;
    match mounts::ask(mount) {
        State::Live(info) => Some(*info),
        State::Dead | State::Closed | State::Silent(_) | State::Foreign => None,
    }
}

/// The kernel would call such a mount writable, and every write would fail.
fn may_be_writable(mountpoint: &Path, info: &MountInfo) -> Result<(), Failure> {
    let refusal = |why| {
        let message = format!("'{}' cannot become writable: {why}", mountpoint.display());
        Err(Failure::trouble(message)
            .hint("unmount it, and mount it anew with an upper directory (upperdir=) and without ro"))
    };
    match &info.upper {
        None => refusal("it has no upper directory"),
        Some(_) if info.options.iter().any(|option| option == "ro") => refusal("it was mounted read-only"),
        Some(_) => Ok(()),
    }
}

/// What was asked and a remount cannot change, unless it is so already: a line of /etc/fstab is sent whole.
fn without_effect(options: &Options, live: Option<&MountInfo>) -> Vec<Unhonoured> {
    let of_the_kernel = |one: &&Unhonoured| {
        let name = one.option.split('=').next().unwrap_or_default();
        matches!(one.why, Why::Unknown | Why::Unsupported(_)) && OF_THE_KERNEL.contains(&name)
    };
    let mut all: Vec<Unhonoured> =
        options.unhonoured.iter().filter(|one| !of_the_kernel(one)).cloned().collect();
    let differing = live.map_or_else(Vec::new, |info| differing(options, info));
    let why = Why::Void("a remount changes flags only, and the mount has it otherwise");
    all.extend(differing.into_iter().map(|option| Unhonoured { option: option.to_owned(), why }));
    all
}

/// The options that say something else than the mount does.
fn differing(options: &Options, info: &MountInfo) -> Vec<&'static str> {
    let mut current = Options::default();
    // What a later version says of itself and this one does not understand differs from nothing.
    if current.parse(info.options.join(",").as_bytes()).is_err() {
        return Vec::new();
    }
    let live = options::behaviour(&current, Form::Command, Privilege::Full);
    let all_layers_told = info.layers_left_out == 0;
    let table = [
        ("lowerdir", all_layers_told && !options.lowers.is_empty() && others(&options.lowers, &info.layers)),
        ("upperdir", options.upper.as_ref().is_some_and(|path| !is_at(path, info.upper.as_ref()))),
        ("workdir", options.work.as_ref().is_some_and(|path| !is_at(path, info.work.as_ref()))),
        ("redirect_dir", differs(options.redirect_dir, live.redirect_dir)),
        ("index", differs(options.index, live.index)),
        ("xino", differs(options.xino, live.xino)),
        ("userxattr", options.namespace.is_some() && options.namespace != live.namespace),
        ("whiteouts", differs(options.whiteouts, live.whiteouts)),
        ("volatile or fsync", differs(options.durability, live.durability)),
        ("noacl", differs(options.acl, live.acl)),
        ("noxattrs", differs(options.xattrs, live.xattrs)),
        ("uidmapping", !options.uid_map.is_empty() && options.uid_map != live.uid_map),
        ("gidmapping", !options.gid_map.is_empty() && options.gid_map != live.gid_map),
        ("xattr_permissions", differs(options.stat_override, live.stat_override)),
        ("context", !options.labels.is_empty() && options.labels != current.labels),
        ("timeout", differs(options.timeout, live.timeout)),
        ("io", differs(options.io, live.io)),
    ];
    table.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

fn differs<T: PartialEq>(asked: Option<T>, live: T) -> bool {
    asked.is_some_and(|asked| asked != live)
}

fn others(asked: &[PathBuf], live: &[LayerInfo]) -> bool {
    asked.len() != live.len() || asked.iter().zip(live).any(|(path, layer)| !is_at(path, Some(&layer.path)))
}

fn is_at(path: &Path, live: Option<&PathText>) -> bool {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    live.is_some_and(|live| PathBuf::from(live) == real)
}

/// The kernel's flags for what was asked.
fn flags(options: &Options) -> MsFlags {
    let table = [
        (options.read_only, Switch::On, MsFlags::MS_RDONLY),
        (options.suid, Switch::Off, MsFlags::MS_NOSUID),
        (options.dev, Switch::Off, MsFlags::MS_NODEV),
        (options.exec, Switch::Off, MsFlags::MS_NOEXEC),
        (options.atime, Switch::Off, MsFlags::MS_NOATIME),
        (options.dir_atime, Switch::Off, MsFlags::MS_NODIRATIME),
        (options.sync, Switch::On, MsFlags::MS_SYNCHRONOUS),
        (options.dir_sync, Switch::On, MsFlags::MS_DIRSYNC),
    ];
    table
        .into_iter()
        .filter(|(given, setting, _)| *given == Some(*setting))
        .fold(MsFlags::empty(), |all, (_, _, flag)| all | flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Options {
        let mut options = Options::default();
        options.parse(text.as_bytes()).unwrap();
        options
    }

    #[test]
    fn what_mount_8_sends_becomes_flags() {
        for (text, expected) in [
            ("ro,relatime,remount,user_id=0,group_id=0,default_permissions,allow_other", MsFlags::MS_RDONLY),
            ("remount,rw,nosuid,nodev,noexec", MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC),
            ("remount,ro,rw,suid,dev,atime", MsFlags::empty()),
            ("remount,noatime,nodiratime,sync,dirsync", {
                MsFlags::MS_NOATIME | MsFlags::MS_NODIRATIME | MsFlags::MS_SYNCHRONOUS | MsFlags::MS_DIRSYNC
            }),
        ] {
            let options = parsed(text);
            assert_eq!(options.remount, Some(Switch::On));
            assert_eq!(flags(&options), expected, "{text}");
        }
    }

    fn info(upper: Option<&str>, options: &str) -> MountInfo {
        let json = serde_json::json!({
            "version": "1", "pid": 1, "mountpoint": "/m", "transport": "dev",
            "layers": [{"number": 2, "path": "/none/top"}, {"number": 1, "path": "/none/base"}],
            "upper": upper, "work": upper.map(|upper| format!("{upper}w")),
            "options": options.split(',').collect::<Vec<_>>(),
        });
        MountInfo::decode(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_a_remount_cannot_change_is_named() {
        let live = info(
            Some("/none/u"),
            "redirect_dir=on,index=off,xino=auto,volatile,noatime,context=\"u:r:t:s0:c1,c2\"",
        );
        for (text, expected) in [
            ("remount,rw,relatime,user_id=0,group_id=0,default_permissions,allow_other,max_read=9", &[][..]),
            ("remount,bogus", &["bogus"]),
            ("remount,nfs_export=on", &["nfs_export=on"]),
            (
                "remount,lowerdir=/none/top:/none/base,upperdir=/none/u,workdir=/none/uw,volatile,index=off",
                &[],
            ),
            ("remount,lowerdir=/none/b", &["lowerdir"]),
            ("remount,lowerdir=/none/base:/none/top", &["lowerdir"]),
            ("remount,upperdir=/x,workdir=/y", &["upperdir", "workdir"]),
            ("remount,context=\"u:r:t:s0:c1,c2\"", &[]),
            ("remount,context=\"u:r:t:s0:c1\"", &["context"]),
            ("remount,index=on,noacl,timeout=0", &["index", "noacl", "timeout"]),
        ] {
            let all = without_effect(&parsed(text), Some(&live));
            let named: Vec<&str> = all.iter().map(|one| one.option.as_str()).collect();
            assert_eq!(named, expected, "{text}");
        }
    }

    #[test]
    fn only_what_takes_writes_becomes_writable() {
        for (upper, options, expected) in [
            (Some("/u"), "xino=auto", None),
            (Some("/u"), "xino=auto,ro", Some("'/m' cannot become writable: it was mounted read-only")),
            (None, "xino=auto", Some("'/m' cannot become writable: it has no upper directory")),
        ] {
            let verdict = may_be_writable(Path::new("/m"), &info(upper, options));
            assert_eq!(verdict.err().map(|failure| failure.message).as_deref(), expected);
        }
    }
}
