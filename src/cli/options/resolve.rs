//! What nobody said, decided: from the options, the command line's form and the privilege to a behaviour.

use super::{Options, Switch, Unhonoured, Why};
use std::time::Duration;

use crate::config::{
    Acl, Behaviour, Durability, IdRange, Index, Io, Namespace, RedirectDir, Squash, StackSpec, StatOverride,
    Whiteouts, Xattrs, Xino,
};
use crate::fuse::{Label, PermissionChecks};
use crate::source::container_store::NextUser;
use crate::source::facts::{Owners, Privilege, Selinux};

/// Which command line was used: their defaults differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `lamina mount`.
    Command,
    /// That of mount(8) and of fuse-overlayfs.
    Compatible,
}

/// Who may use a mount (`allow_other`, `allow_root`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only who mounted it.
    Owner,
    /// And root.
    OwnerAndRoot,
    /// Everyone whom the files' permissions allow.
    Everyone,
}

/// What the kernel is told about the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // each is the option of its name
pub struct MountFlags {
    pub access: Access,
    pub suid: Switch,
    pub dev: Switch,
    pub exec: Switch,
    pub atime: Switch,
    pub dir_atime: Switch,
    pub sync: Switch,
    pub dir_sync: Switch,
}

/// The union's behaviour.
///
/// `redirect_dir` unset is `on`, but `follow` on the compatible command line where markers go to `user.`: the kernel's
/// overlay refuses layers with such redirects (EPERM), and what this command line makes is shared with it. See also
/// [`readable_by_the_next`].
pub fn behaviour(options: &Options, form: Form, privilege: Privilege) -> Behaviour {
    let default = Behaviour::default();
    let in_user_namespace = options.namespace == Some(Namespace::User) || privilege != Privilege::Full;
    let redirect_dir = match form {
        Form::Compatible if in_user_namespace => RedirectDir::Follow,
        Form::Compatible | Form::Command => default.redirect_dir,
    };
    Behaviour {
        read_only: options.read_only == Some(Switch::On),
        redirect_dir: options.redirect_dir.unwrap_or(redirect_dir),
        index: options.index.unwrap_or(default.index),
        xino: options.xino.unwrap_or(default.xino),
        namespace: options.namespace,
        whiteouts: options.whiteouts.unwrap_or(default.whiteouts),
        durability: options.durability.unwrap_or(default.durability),
        acl: options.acl.unwrap_or(default.acl),
        xattrs: options.xattrs.unwrap_or(default.xattrs),
        uid_map: options.uid_map.clone(),
        gid_map: options.gid_map.clone(),
        squash: squash(options),
        stat_override: options.stat_override.unwrap_or(default.stat_override),
        static_nlink: options.static_nlink == Some(Switch::On),
        ino32: options.ino32 == Some(Switch::On),
        timeout: options.timeout.unwrap_or(default.timeout),
        io: options.io.unwrap_or(default.io),
    }
}

/// Does the caller want the kernel's permission checks, though the mount is of an image and the caller's own (`--enforce`)?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Enforce {
    Always,
    WhereUsual,
}

/// Who checks permissions. An ordinary user's mount of an image is open to its user throughout: the archive is the user's
/// to read anyway. As soon as others may use it, the kernel checks; also where root is the only other, for the kernel has no
/// `allow_root` and lets everybody see what it has in its caches.
pub fn permission_checks(
    stack: &StackSpec,
    owners: Owners,
    flags: &MountFlags,
    privilege: Privilege,
    enforce: Enforce,
) -> PermissionChecks {
    // In a namespace with few ids there are no others.
    let open_to_others = flags.access != Access::Owner && privilege != Privilege::Namespace;
    if enforce == Enforce::WhereUsual && stack.has_tar() && owners == Owners::Few && !open_to_others {
        PermissionChecks::Nobody
    } else {
        PermissionChecks::Kernel
    }
}

/// What a container's upper gets on the compatible command line must be there for the mount program that storage.conf names
/// tomorrow, too: fuse-overlayfs knows no redirects, and shows such a directory empty. As with it, renaming a merged directory
/// is EXDEV then, unless something else was asked for.
pub fn readable_by_the_next(
    behaviour: Behaviour,
    options: &Options,
    form: Form,
    next: impl FnOnce() -> NextUser,
) -> Behaviour {
    match (form, options.redirect_dir, behaviour.redirect_dir) {
        (Form::Compatible, None, RedirectDir::On) if next() == NextUser::AnyMountProgram => {
            Behaviour { redirect_dir: RedirectDir::Follow, ..behaviour }
        }
        _ => behaviour,
    }
}

/// Over an image, whose owners this process may not give to files, the upper has them recorded; unless something else was
/// asked for.
pub fn record_owners(
    behaviour: Behaviour,
    options: &Options,
    stack: &StackSpec,
    owners: Owners,
) -> Behaviour {
    let recorded = stack.has_tar() && stack.upper.is_some() && owners == Owners::Few;
    match options.stat_override {
        None if recorded => Behaviour { stat_override: StatOverride::Containers, ..behaviour },
        _ => behaviour,
    }
}

/// `squash_to_uid` and `squash_to_gid` win over `squash_to_root`, each for its half.
fn squash(options: &Options) -> Squash {
    let root = options.squash_root.map(|_| 0);
    match (options.squash_uid.or(root), options.squash_gid.or(root)) {
        (None, None) => Squash::None,
        (uid, gid) => Squash::To { uid, gid },
    }
}

/// The mount's flags. Who may call mount(2) gets the kernel overlay's defaults: open to all whom permissions allow, set-user-id
/// programs and devices work. An ordinary user's mount is the user's own, and without either, whatever was asked.
pub fn mount_flags(options: &Options, privilege: Privilege) -> MountFlags {
    let (access, suid, dev) = match privilege {
        Privilege::Full | Privilege::Namespace => {
            (Access::Everyone, options.suid.unwrap_or(Switch::On), options.dev.unwrap_or(Switch::On))
        }
        Privilege::None => (Access::Owner, Switch::Off, Switch::Off),
    };
    MountFlags {
        access: options.access.unwrap_or(access),
        suid,
        dev,
        exec: options.exec.unwrap_or(Switch::On),
        atime: options.atime.unwrap_or(Switch::On),
        dir_atime: options.dir_atime.unwrap_or(Switch::On),
        sync: options.sync.unwrap_or(Switch::Off),
        dir_sync: options.dir_sync.unwrap_or(Switch::Off),
    }
}

/// The labels that the kernel takes. Without SELinux it does not know the options, and refuses the mount; with it, it
/// refuses them in a user namespace, and fusermount3 refuses them altogether.
pub fn labels(options: &Options, privilege: Privilege, selinux: Selinux) -> &[Label] {
    match no_labels(privilege, selinux) {
        None => &options.labels,
        Some(_) => &[],
    }
}

/// Why the kernel would not take any.
fn no_labels(privilege: Privilege, selinux: Selinux) -> Option<Why> {
    match (selinux, privilege) {
        (Selinux::Off, _) => Some(Why::Void("SELinux is not in use on this machine")),
        (Selinux::On, Privilege::Namespace | Privilege::None) => {
            Some(Why::Void("only root outside of a user namespace may say what SELinux makes of a mount"))
        }
        (Selinux::On, Privilege::Full) => None,
    }
}

impl Options {
    /// What was asked and has no effect in this stack, mounted with this privilege.
    pub fn without_effect(
        &self,
        stack: &StackSpec,
        privilege: Privilege,
        selinux: Selinux,
    ) -> Vec<Unhonoured> {
        let mut all = self.unhonoured.clone();
        if let Some(why) = no_labels(privilege, selinux) {
            all.extend(self.labels.iter().map(|label| Unhonoured { option: label.to_string(), why }));
        }
        for (given, option) in [(self.suid, "suid"), (self.dev, "dev")] {
            if given == Some(Switch::On) && privilege == Privilege::None {
                let why = Why::Void("a mount of an ordinary user is always nosuid and nodev");
                all.push(Unhonoured { option: option.to_owned(), why });
            }
        }
        if self.io == Some(Io::Cached) {
            let told = [
                (self.timeout == Some(Duration::ZERO), "with timeout=0 the layers are asked at each opening"),
                (self.access == Some(Access::OwnerAndRoot), "with allow_root each opening is asked for"),
            ];
            let void = told.into_iter().find(|(applies, _)| *applies);
            all.extend(
                void.map(|(_, why)| Unhonoured { option: "io=cached".to_owned(), why: Why::Void(why) }),
            );
        }
        let copies_up = stack.upper.is_some() && self.read_only != Some(Switch::On);
        if self.metacopy == Some(Switch::On) && copies_up {
            let why = Why::Unsupported("metacopy files are read, but a copy-up always copies the data");
            all.push(Unhonoured { option: "metacopy=on".to_owned(), why });
        }
        all
    }
}

/// A behaviour as options, for people: always those that decide what lands on disk, and others where they are not as
/// usual.
pub fn summary(behaviour: &Behaviour) -> Vec<String> {
    let default = Behaviour::default();
    let redirect_dir = match behaviour.redirect_dir {
        RedirectDir::On => "on",
        RedirectDir::Follow => "follow",
        RedirectDir::NoFollow => "nofollow",
    };
    let index = match behaviour.index {
        Index::On => "on",
        Index::Off => "off",
    };
    let xino = match behaviour.xino {
        Xino::On => "on",
        Xino::Auto => "auto",
        Xino::Off => "off",
    };
    let mut all =
        vec![format!("redirect_dir={redirect_dir}"), format!("index={index}"), format!("xino={xino}")];
    let mut note = |applies: bool, text: &str| {
        if applies {
            all.push(text.to_owned());
        }
    };
    note(behaviour.read_only, "ro");
    note(behaviour.namespace == Some(Namespace::User), "userxattr");
    note(behaviour.whiteouts == Whiteouts::Kernel, "whiteouts=kernel");
    note(behaviour.whiteouts == Whiteouts::UnionfsFuse, "whiteouts=unionfs-fuse");
    note(behaviour.durability == Durability::None, "fsync=0");
    note(behaviour.durability == Durability::Volatile, "volatile");
    note(behaviour.acl == Acl::Off, "noacl");
    note(behaviour.xattrs == Xattrs::Off, "noxattrs=1");
    note(!behaviour.uid_map.is_empty(), &format!("uidmapping={}", ranges(&behaviour.uid_map)));
    note(!behaviour.gid_map.is_empty(), &format!("gidmapping={}", ranges(&behaviour.gid_map)));
    if let Squash::To { uid, gid } = behaviour.squash {
        note(uid.is_some(), &format!("squash_to_uid={}", uid.unwrap_or_default()));
        note(gid.is_some(), &format!("squash_to_gid={}", gid.unwrap_or_default()));
    }
    note(behaviour.stat_override == StatOverride::Privileged, "xattr_permissions=1");
    note(behaviour.stat_override == StatOverride::Containers, "xattr_permissions=2");
    note(behaviour.static_nlink, "static_nlink");
    note(behaviour.ino32, "ino32_t");
    note(behaviour.timeout != default.timeout, &format!("timeout={}", behaviour.timeout.as_secs_f64()));
    note(behaviour.io == Io::Cached, "io=cached");
    note(behaviour.io == Io::Open, "io=open");
    all
}

/// The flags that a mount has, as options, for people.
pub fn summary_of_flags(flags: &MountFlags) -> Vec<String> {
    let access = match flags.access {
        Access::Owner => None,
        Access::OwnerAndRoot => Some("allow_root"),
        Access::Everyone => Some("allow_other"),
    };
    let switches = [
        (flags.suid == Switch::Off, "nosuid"),
        (flags.dev == Switch::Off, "nodev"),
        (flags.exec == Switch::Off, "noexec"),
        (flags.atime == Switch::Off, "noatime"),
        (flags.dir_atime == Switch::Off, "nodiratime"),
        (flags.sync == Switch::On, "sync"),
        (flags.dir_sync == Switch::On, "dirsync"),
    ];
    let set = switches.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name);
    access.into_iter().chain(set).map(ToOwned::to_owned).collect()
}

fn ranges(map: &[IdRange]) -> String {
    let one = |range: &IdRange| format!("{}:{}:{}", range.outside, range.inside, range.len);
    map.iter().map(one).collect::<Vec<_>>().join(":")
}
