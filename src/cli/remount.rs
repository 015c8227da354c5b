//! `remount`: mount(8) hands it to the mount's helper, though the kernel does it by itself.

use std::path::Path;

use nix::mount::{MsFlags, mount};

use super::Failure;
use super::options::{Options, Switch};

/// Changes the flags of a mount that stands: `ro`, `nosuid`, `nodev`, `noexec` and the like. Layers and everything
/// else about it stay as they are. mount(8) sends the flags that the mount has along with those to change.
pub fn run(mountpoint: &Path, options: &Options) -> Result<(), Failure> {
    mount(None::<&str>, mountpoint, None::<&str>, MsFlags::MS_REMOUNT | flags(options), None::<&str>).map_err(
        |errno| {
            Failure::trouble(format!("remount {}: {}", mountpoint.display(), errno.desc()))
                .hint("it must be a mount point, and changing its flags takes root")
        },
    )
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
            let mut options = Options::default();
            options.parse(text.as_bytes()).unwrap();
            assert_eq!(options.remount, Some(Switch::On));
            assert_eq!(flags(&options), expected, "{text}");
        }
    }
}
