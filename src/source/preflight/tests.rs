use super::*;

fn dir(role: Role, path: &str, inode: u64) -> PathFact {
    let found = Found::Directory {
        real: path.into(),
        identity: Identity { device: 1, inode },
        mount: 1,
        writable: Writable::Yes,
    };
    PathFact { role, given: path.into(), found }
}

fn with_found(role: Role, path: &str, found: Found) -> PathFact {
    PathFact { role, given: path.into(), found }
}

/// A stack that is fine: two layers, an upper, a work directory, an empty mount point.
fn good() -> Facts {
    Facts {
        layers: vec![dir(Role::Layer, "/l/top", 11), dir(Role::Layer, "/l/base", 12)],
        upper: Some(dir(Role::Upper, "/u/upper", 13)),
        work: Some(dir(Role::Work, "/u/work", 14)),
        mountpoint: at("/mnt", 15, false),
        machine: Machine {
            fuse: Fuse::Usable,
            fusermount: Some("/usr/bin/fusermount3".into()),
            privilege: Privilege::Full,
        },
    }
}

fn at(path: &str, inode: u64, has_entries: bool) -> Mountpoint {
    let identity = Identity { device: 1, inode };
    Mountpoint::Directory { given: path.into(), real: path.into(), identity, has_entries }
}

fn verdict(change: impl FnOnce(&mut Facts)) -> String {
    let mut facts = good();
    change(&mut facts);
    match judge(&facts, Covering::Refused) {
        Ok(_) => "fine".to_owned(),
        Err(refusal) => {
            assert!(!refusal.hint().is_empty());
            refusal.to_string()
        }
    }
}

#[test]
fn a_good_stack_passes_with_its_real_paths() {
    let checked = judge(&good(), Covering::Refused).unwrap();
    assert_eq!(checked.layers, [PathBuf::from("/l/top"), PathBuf::from("/l/base")]);
    assert_eq!(checked.writable, Some((PathBuf::from("/u/upper"), PathBuf::from("/u/work"))));
    assert_eq!(checked.mountpoint, PathBuf::from("/mnt"));
}

#[test]
fn verdicts() {
    type Change = fn(&mut Facts);
    let table: &[(&str, Change, &str)] = &[
        ("nothing changed", |_| {}, "fine"),
        ("no upper", |f| (f.upper, f.work) = (None, None), "fine"),
        (
            "layer missing",
            |f| f.layers[1] = with_found(Role::Layer, "/l/x", Found::Unreachable(Errno::ENOENT)),
            "layer '/l/x' cannot be used: No such file or directory",
        ),
        (
            "layer not reachable",
            |f| f.layers[0] = with_found(Role::Layer, "/l/x", Found::Unreachable(Errno::EACCES)),
            "layer '/l/x' cannot be used: Permission denied",
        ),
        (
            "layer is a fifo",
            |f| f.layers[0] = with_found(Role::Layer, "/l/x", Found::NotADirectory),
            "layer '/l/x' is not a directory",
        ),
        (
            "layer is a file",
            |f| f.layers[0] = with_found(Role::Layer, "/l/x.tar", Found::RegularFile),
            "layer '/l/x.tar' is a file, not a directory",
        ),
        (
            "data-only layer is a file",
            |f| f.layers.push(with_found(Role::DataLayer, "/l/d", Found::RegularFile)),
            "data-only layer '/l/d' is not a directory",
        ),
        (
            "upper missing",
            |f| f.upper = Some(with_found(Role::Upper, "/u/x", Found::Unreachable(Errno::ENOENT))),
            "upper directory '/u/x' cannot be used: No such file or directory",
        ),
        (
            "upper is a file",
            |f| f.upper = Some(with_found(Role::Upper, "/u/x", Found::RegularFile)),
            "upper directory '/u/x' is not a directory",
        ),
        (
            "work missing",
            |f| f.work = Some(with_found(Role::Work, "/u/x", Found::Unreachable(Errno::ENOENT))),
            "work directory '/u/x' cannot be used: No such file or directory",
        ),
        (
            "upper read-only",
            |f| {
                let Some(PathFact { found: Found::Directory { writable, .. }, .. }) = &mut f.upper else {
                    return;
                };
                *writable = Writable::No(Errno::EROFS);
            },
            "upper directory '/u/upper' is not writable: Read-only file system",
        ),
        (
            "layer twice",
            |f| f.layers.push(dir(Role::Layer, "/l/again", 12)),
            "layer '/l/base' and layer '/l/again' are the same directory",
        ),
        (
            "upper is a layer",
            |f| f.upper = Some(dir(Role::Upper, "/u/upper", 11)),
            "upper directory '/u/upper' and layer '/l/top' are the same directory",
        ),
        (
            "upper is work",
            |f| f.work = Some(dir(Role::Work, "/u/upper", 13)),
            "upper directory '/u/upper' and work directory '/u/upper' are the same directory",
        ),
        (
            "upper in a layer",
            |f| f.upper = Some(dir(Role::Upper, "/l/top/u", 13)),
            "upper directory '/l/top/u' lies inside layer '/l/top'",
        ),
        (
            "layer in the upper",
            |f| f.layers.push(dir(Role::Layer, "/u/upper/x", 21)),
            "layer '/u/upper/x' lies inside upper directory '/u/upper'",
        ),
        (
            "work in the upper",
            |f| f.work = Some(dir(Role::Work, "/u/upper/work", 14)),
            "work directory '/u/upper/work' lies inside upper directory '/u/upper'",
        ),
        (
            "upper in work",
            |f| f.upper = Some(dir(Role::Upper, "/u/work/upper", 13)),
            "upper directory '/u/work/upper' lies inside work directory '/u/work'",
        ),
        (
            "layer in a layer",
            |f| f.layers.push(dir(Role::Layer, "/l/base/x", 21)),
            "layer '/l/base/x' lies inside layer '/l/base'",
        ),
        ("a name that only begins alike", |f| f.layers.push(dir(Role::Layer, "/l/base2", 21)), "fine"),
        (
            "two file systems",
            |f| {
                let Some(PathFact { found: Found::Directory { identity, .. }, .. }) = &mut f.work else {
                    return;
                };
                identity.device = 2;
            },
            "upper directory '/u/upper' and work directory '/u/work' are on different file systems",
        ),
        (
            "two mounts",
            |f| {
                let Some(PathFact { found: Found::Directory { mount, .. }, .. }) = &mut f.work else {
                    return;
                };
                *mount = 2;
            },
            "upper directory '/u/upper' and work directory '/u/work' are on different mounts of one file system",
        ),
        (
            "mount point has entries",
            |f| f.mountpoint = at("/mnt", 15, true),
            "mount point '/mnt' is not empty",
        ),
        (
            "mount point missing",
            |f| f.mountpoint = Mountpoint::Unreachable { given: "/m".into(), errno: Errno::ENOENT },
            "mount point '/m' cannot be used: No such file or directory",
        ),
        (
            "mount point is a file",
            |f| f.mountpoint = Mountpoint::NotADirectory { given: "/m".into() },
            "mount point '/m' is not a directory",
        ),
        (
            "mount point is dead",
            |f| f.mountpoint = Mountpoint::Dead { given: "/m".into() },
            "mount point '/m' is a dead mount: its daemon has ended",
        ),
        (
            "mount point in a layer",
            |f| f.mountpoint = at("/l/top/m", 21, false),
            "mount point '/l/top/m' lies inside layer '/l/top'",
        ),
        (
            "mount point in work",
            |f| f.mountpoint = at("/u/work/m", 21, false),
            "mount point '/u/work/m' lies inside work directory '/u/work'",
        ),
        (
            "mount point is the upper",
            |f| f.mountpoint = at("/u/upper", 13, false),
            "mount point '/u/upper' would cover the upper directory '/u/upper'",
        ),
        (
            "mount point above the upper",
            |f| f.mountpoint = at("/u", 21, true),
            "mount point '/u' would cover the upper directory '/u/upper'",
        ),
        ("mount point is a layer", |f| f.mountpoint = at("/l/top", 11, false), "fine"),
        ("no /dev/fuse", |f| f.machine.fuse = Fuse::NoDevice, "there is no /dev/fuse"),
        ("no driver", |f| f.machine.fuse = Fuse::NoDriver, "the kernel has no FUSE driver"),
        (
            "/dev/fuse is another file",
            |f| f.machine.fuse = Fuse::AnotherFile,
            "/dev/fuse is not the FUSE device",
        ),
        (
            "/dev/fuse refused",
            |f| f.machine.fuse = Fuse::Refused(Errno::EPERM),
            "/dev/fuse cannot be opened: Operation not permitted",
        ),
        ("root without fusermount3", |f| f.machine.fusermount = None, "fine"),
        (
            "a user without fusermount3",
            |f| (f.machine.fusermount, f.machine.privilege) = (None, Privilege::None),
            "fusermount3 was not found, and without it only root can mount",
        ),
    ];
    for (what, change, expected) in table {
        assert_eq!(verdict(change), *expected, "{what}");
    }
}

#[test]
fn nonempty_allows_to_cover_a_layer_but_not_the_upper() {
    let mut facts = good();
    facts.mountpoint = at("/l", 21, true);
    assert!(matches!(judge(&facts, Covering::Refused), Err(Refusal::MountpointNotEmpty { .. })));
    assert!(judge(&facts, Covering::Allowed).is_ok());
    facts.mountpoint = at("/u", 21, true);
    assert!(matches!(judge(&facts, Covering::Allowed), Err(Refusal::MountpointCovers { .. })));
}

#[test]
fn descriptors() {
    assert!(enough_descriptors(3, 131, 131).is_ok());
    let refusal = enough_descriptors(3, 131, 130).unwrap_err();
    assert_eq!(refusal.to_string(), "3 layers need 131 file descriptors, and the limit is 130");
}
