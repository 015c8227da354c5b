use super::*;
use crate::config::{Behaviour, Io, LowerSpec, Squash, StackSpec, StatOverride, TarSpec, UpperSpec};
use crate::digest::Digest;
use crate::fuse::PermissionChecks;
use crate::source::container_store::NextUser;
use crate::source::facts::{Owners, Privilege, Selinux};
use crate::stamp::FileStamp;

fn parse(text: &str) -> Result<Options, OptionError> {
    let mut options = Options::default();
    options.parse(text.as_bytes())?;
    Ok(options)
}

fn paths(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(PathBuf::from).collect()
}

/// The options with one change to "nothing was said".
fn with(change: fn(&mut Options)) -> Options {
    let mut options = Options::default();
    change(&mut options);
    options
}

#[test]
fn options_that_mean_something() {
    let range = |inside, outside, len| IdRange { inside, outside, len };
    type Row = (&'static str, fn(&mut Options));
    let table: &[Row] = &[
        ("", |_| {}),
        ("lowerdir=/a:b", |o| o.lowers = paths(&["/a", "b"])),
        (r"lowerdir=/a\:1:b\,2", |o| o.lowers = paths(&["/a:1", "b,2"])),
        ("lowerdir=a::d1::d2", |o| (o.lowers, o.data_only) = (paths(&["a"]), paths(&["d1", "d2"]))),
        ("lowerdir=a,lowerdir=b", |o| o.lowers = paths(&["b"])),
        ("lowerdir+=a,lowerdir+=b:c", |o| o.lowers = paths(&["a", "b:c"])),
        ("lowerdir+=a,datadir+=d", |o| (o.lowers, o.data_only) = (paths(&["a"]), paths(&["d"]))),
        ("lowerdir=a,lowerdir+=b", |o| o.lowers = paths(&["a", "b"])),
        (r"upperdir=/u\,1,workdir=/w\:2", |o| (o.upper, o.work) = (Some("/u,1".into()), Some("/w:2".into()))),
        ("ro", |o| o.read_only = Some(Switch::On)),
        ("ro,rw", |o| o.read_only = Some(Switch::Off)),
        ("redirect_dir=on", |o| o.redirect_dir = Some(RedirectDir::On)),
        ("redirect_dir=follow", |o| o.redirect_dir = Some(RedirectDir::Follow)),
        ("redirect_dir=nofollow", |o| o.redirect_dir = Some(RedirectDir::NoFollow)),
        ("redirect_dir=off", |o| o.redirect_dir = Some(RedirectDir::Follow)),
        ("index=on", |o| o.index = Some(Index::On)),
        ("index=off", |o| o.index = Some(Index::Off)),
        ("xino=on", |o| o.xino = Some(Xino::On)),
        ("xino=auto", |o| o.xino = Some(Xino::Auto)),
        ("xino=off", |o| o.xino = Some(Xino::Off)),
        ("metacopy=on", |o| o.metacopy = Some(Switch::On)),
        ("metacopy=off", |o| o.metacopy = Some(Switch::Off)),
        ("userxattr", |o| o.namespace = Some(Namespace::User)),
        ("volatile", |o| o.durability = Some(Durability::Volatile)),
        ("fsync=0", |o| o.durability = Some(Durability::None)),
        ("fsync=1", |o| o.durability = Some(Durability::SyncCopyUp)),
        ("fsync=volatile", |o| o.durability = Some(Durability::Volatile)),
        ("volatile,fsync=auto", |o| o.durability = Some(Durability::SyncCopyUp)),
        ("fsync=0,volatile", |o| o.durability = Some(Durability::Volatile)),
        ("volatile,fsync=0", |o| o.durability = Some(Durability::Volatile)),
        ("noacl", |o| o.acl = Some(Acl::Off)),
        ("noxattrs=1", |o| o.xattrs = Some(Xattrs::Off)),
        ("noxattrs=0", |o| o.xattrs = Some(Xattrs::On)),
        ("upperdir=/proc/9/fd/3", |o| o.upper = Some("/proc/9/fd/3".into())),
        ("xattr_permissions=0", |o| o.stat_override = Some(StatOverride::Off)),
        ("xattr_permissions=1", |o| o.stat_override = Some(StatOverride::Privileged)),
        ("xattr_permissions=2", |o| o.stat_override = Some(StatOverride::Containers)),
        ("squash_to_root", |o| o.squash_root = Some(Switch::On)),
        ("squash_to_uid=5,squash_to_gid=6", |o| (o.squash_uid, o.squash_gid) = (Some(5), Some(6))),
        ("static_nlink", |o| o.static_nlink = Some(Switch::On)),
        ("ino32_t", |o| o.ino32 = Some(Switch::On)),
        ("whiteouts=kernel", |o| o.whiteouts = Some(Whiteouts::Kernel)),
        ("whiteouts=auto", |o| o.whiteouts = Some(Whiteouts::Auto)),
        ("io=auto", |o| o.io = Some(Io::Auto)),
        ("io=cached", |o| o.io = Some(Io::Cached)),
        ("io=open", |o| o.io = Some(Io::Open)),
        ("timeout=0", |o| o.timeout = Some(Duration::ZERO)),
        ("timeout=1.5", |o| o.timeout = Some(Duration::from_millis(1500))),
        ("allow_other", |o| o.access = Some(Access::Everyone)),
        ("allow_root", |o| o.access = Some(Access::OwnerAndRoot)),
        ("default_permissions", |o| o.permissions = Some(Switch::On)),
        ("suid,dev,exec,atime", |o| {
            (o.suid, o.dev, o.exec, o.atime) =
                (Some(Switch::On), Some(Switch::On), Some(Switch::On), Some(Switch::On));
        }),
        ("nosuid,nodev,noexec,noatime", |o| {
            (o.suid, o.dev, o.exec, o.atime) =
                (Some(Switch::Off), Some(Switch::Off), Some(Switch::Off), Some(Switch::Off));
        }),
        ("nodiratime", |o| o.dir_atime = Some(Switch::Off)),
        ("sync,dirsync", |o| (o.sync, o.dir_sync) = (Some(Switch::On), Some(Switch::On))),
        ("sync,async", |o| o.sync = Some(Switch::Off)),
        ("nonempty", |o| o.nonempty = Some(Switch::On)),
        ("debug", |o| o.debug = Some(Switch::On)),
        (r"fsname=my\,name", |o| o.source_name = Some("my,name".to_owned())),
        ("max_threads=3", |o| o.threads = Some(3)),
        ("threaded=0", |o| o.threads = Some(1)),
        ("max_threads=3,threaded=1", |o| o.threads = Some(3)),
        ("sync=0", |o| o.durability = Some(Durability::None)),
        ("sync=1,sync", |o| (o.durability, o.sync) = (Some(Durability::SyncCopyUp), Some(Switch::On))),
    ];
    for (text, change) in table {
        assert_eq!(parse(text), Ok(with(*change)), "{text}");
    }
    assert_eq!(parse("uidmapping=0:1000:1").unwrap().uid_map, [range(1000, 0, 1)]);
    assert_eq!(parse("gidmapping=0:100:1:1:200:9").unwrap().gid_map, [range(100, 0, 1), range(200, 1, 9)]);
    // As fuse-overlayfs(1) writes it.
    assert_eq!(parse("uidmapping=0:100:1,1:200:9,ro").unwrap().uid_map, [range(100, 0, 1), range(200, 1, 9)]);
    // As podman writes it, with --userns=keep-id.
    assert_eq!(parse("uidmapping=:0:1:9:9:0:1").unwrap().uid_map, [range(1, 0, 9), range(0, 9, 1)]);
}

#[test]
fn options_that_ask_for_nothing() {
    for text in [
        "relatime",
        "lazytime",
        "defaults",
        "_netdev",
        "nofail",
        "noauto",
        "user",
        "x-systemd.automount",
        "x-gvfs-name=a",
        "X-mount.mkdir",
        "comment=hello",
        "subtype=fuse-overlayfs",
        "clone_fd",
        "nfs_export=off",
        "uuid=auto",
        "uuid=null",
        "verity=off",
        "nooverride_creds",
        "writeback=0",
        "fast_ino=0",
        "fast_ino_check=0",
        "threaded=1",
        "plugins=",
        "splice_read,splice_write,splice_move,kernel_cache",
    ] {
        assert_eq!(parse(text), Ok(Options::default()), "{text}");
    }
}

#[test]
fn options_without_effect_are_named() {
    for (text, expected) in [
        ("frobnicate", "unknown option 'frobnicate'"),
        ("frob=1,ro", "unknown option 'frob=1'"),
        ("volatile=1", "option 'volatile' takes no value ('volatile=1')"),
        ("userxattr=", "option 'userxattr' takes no value ('userxattr=')"),
        ("nfs_export=on", "option 'nfs_export=on' is not supported"),
        ("fsync=strict", "option 'fsync=strict' is not supported: copies of files are synced"),
        ("uuid=on", "option 'uuid=on' is not supported"),
        ("uuid=off", "option 'uuid=off' is not supported"),
        ("verity=require", "option 'verity=require' is not supported"),
        ("override_creds", "option 'override_creds' is not supported"),
        ("writeback=1", "option 'writeback=1' is not supported"),
        ("fast_ino=1", "option 'fast_ino=1' is not supported"),
        ("plugins=/a.so", "option 'plugins=/a.so' is not supported"),
        ("auto_unmount", "option 'auto_unmount' is not supported"),
        ("max_idle_threads=2", "option 'max_idle_threads=2' is not supported"),
        ("max_write=65536", "option 'max_write=65536' is not supported"),
        ("entry_timeout=1", "option 'entry_timeout=1' is not supported: give timeout=SECONDS"),
        ("uid=5", "option 'uid=5' is not supported: give squash_to_uid=ID"),
        ("umask=022", "option 'umask=022' is not supported"),
        ("rootmode=40755", "option 'rootmode=40755' is not supported"),
        ("setuid=joe", "option 'setuid=joe' is not supported: mount as that user"),
        ("allow_other,allow_root", "option 'allow_other' has no effect: allow_root follows it"),
        ("allow_root,allow_other", "option 'allow_root' has no effect: allow_other follows it"),
    ] {
        let options = parse(text).unwrap();
        assert_eq!(options.unhonoured.len(), 1, "{text}");
        let shown = options.unhonoured[0].to_string();
        assert!(shown.starts_with(expected), "{text}: {shown}");
    }
}

#[test]
fn metacopy_has_an_effect_where_nothing_is_copied_up() {
    let stack = |upper: Option<UpperSpec>| StackSpec {
        lowers: vec![PathBuf::from("a").into()],
        data_only: Vec::new(),
        upper,
    };
    let upper = Some(UpperSpec { upper: "u".into(), work: "w".into() });
    let asked = parse("metacopy=on").unwrap();
    assert_eq!(asked.without_effect(&stack(None), Privilege::Full, Selinux::Off), []);
    assert_eq!(asked.without_effect(&stack(upper.clone()), Privilege::Full, Selinux::Off).len(), 1);
    assert_eq!(
        parse("metacopy=on,ro").unwrap().without_effect(&stack(upper), Privilege::Full, Selinux::Off),
        []
    );
}

#[test]
fn an_ordinary_user_gets_neither_suid_nor_dev() {
    let stack = StackSpec { lowers: vec![PathBuf::from("a").into()], data_only: Vec::new(), upper: None };
    for (text, privilege, expected) in [
        ("suid,dev", Privilege::None, &["suid", "dev"][..]),
        ("nosuid,dev", Privilege::None, &["dev"]),
        ("nosuid,nodev", Privilege::None, &[]),
        ("suid,dev", Privilege::Namespace, &[]),
        ("suid,dev", Privilege::Full, &[]),
    ] {
        let void = parse(text).unwrap().without_effect(&stack, privilege, Selinux::Off);
        let named: Vec<&str> = void.iter().map(|one| one.option.as_str()).collect();
        assert_eq!(named, expected, "{text} {privilege:?}");
    }
}

#[test]
fn labels_are_for_selinux_and_root() {
    let stack = StackSpec { lowers: vec![PathBuf::from("a").into()], data_only: Vec::new(), upper: None };
    let shown = |labels: &[crate::fuse::Label]| labels.iter().map(ToString::to_string).collect::<Vec<_>>();
    let text = r#"fscontext=u:r:f:s0,context="u:r:x:s0",context=u:r:t:s0:c1\,c2"#;
    let given = ["fscontext=\"u:r:f:s0\"", "context=\"u:r:t:s0:c1,c2\""];
    for (privilege, selinux, handed_on) in [
        (Privilege::Full, Selinux::On, true),
        (Privilege::Full, Selinux::Off, false),
        (Privilege::Namespace, Selinux::On, false),
        (Privilege::None, Selinux::On, false),
    ] {
        let options = parse(text).unwrap();
        assert_eq!(shown(&options.labels), given);
        let void = options.without_effect(&stack, privilege, selinux);
        let named: Vec<&str> = void.iter().map(|one| one.option.as_str()).collect();
        let (taken, without_effect) = if handed_on { (&given[..], &[][..]) } else { (&[][..], &given[..]) };
        assert_eq!(shown(labels(&options, privilege, selinux)), taken, "{privilege:?} {selinux:?}");
        assert_eq!(named, without_effect, "{privilege:?} {selinux:?}");
    }
}

#[test]
fn values_that_make_no_sense_are_errors() {
    for (text, expected) in [
        ("lowerdir=", "option 'lowerdir=': the list of layers is empty"),
        ("lowerdir=a::b:c", "option 'lowerdir=a::b:c': an ordinary layer follows a data-only layer"),
        ("datadir+=d", "option 'datadir+=d': a data-only layer needs an ordinary layer before it"),
        ("lowerdir=a::d,lowerdir+=b", "option 'lowerdir+=b': an ordinary layer follows a data-only layer"),
        ("upperdir=", "option 'upperdir=': give a directory"),
        ("workdir=a\\", "option 'workdir=a\\': a backslash at the end escapes nothing"),
        ("redirect_dir=maybe", "option 'redirect_dir=maybe': give one of on, follow, nofollow, off"),
        ("index=1", "option 'index=1': give one of on, off"),
        ("timeout=-1", "option 'timeout=-1': give seconds, 0 or more, with a fraction if you like"),
        ("timeout=nan", "option 'timeout=nan': give seconds, 0 or more, with a fraction if you like"),
        ("timeout=1e99", "option 'timeout=1e99': give seconds, 0 or more, with a fraction if you like"),
        ("squash_to_uid=x", "option 'squash_to_uid=x': give a user id, a number up to 4294967295"),
        ("fsname=", "option 'fsname=': give a name"),
        ("lowerdir", "option 'lowerdir' needs a value: lowerdir=..."),
        ("redirect_dir", "option 'redirect_dir' needs a value: redirect_dir=..."),
        ("max_threads=0", "option 'max_threads=0': give at least one thread"),
        ("fsync=yes", "option 'fsync=yes': give one of 1, 0, auto, strict, volatile"),
        ("context=\"\"", "option 'context=': give a security context, as user:role:type:level"),
        ("context", "option 'context' needs a value: context=..."),
        ("rootcontext=a\"b", "option 'rootcontext=a\"b': give a security context, as user:role:type:level"),
        ("context=\"a", "options 'context=\\\"a': a quoted value does not end"),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
    }
    for text in [
        "uidmapping=0:1",
        "uidmapping=",
        "uidmapping=0:0:0",
        "uidmapping=:",
        "uidmapping=::0:1:2",
        "uidmapping=0:1:2:",
        "uidmapping=4294967295:0:1",
        "gidmapping=a:b:c",
    ] {
        assert!(parse(text).unwrap_err().to_string().contains("ID:MAPPED:LEN"), "{text}");
    }
}

#[test]
fn files_are_not_opened_by_the_kernel_where_lamina_must_be_told() {
    let stack = StackSpec { lowers: vec![PathBuf::from("a").into()], data_only: Vec::new(), upper: None };
    for (text, void) in [
        ("io=cached", false),
        ("io=cached,timeout=0.5,allow_other", false),
        ("io=cached,timeout=0", true),
        ("io=cached,allow_root", true),
        ("io=open,timeout=0,allow_root", false),
        ("io=auto,timeout=0", false),
    ] {
        let found = parse(text).unwrap().without_effect(&stack, Privilege::Full, Selinux::Off);
        assert_eq!(found.iter().any(|one| one.option == "io=cached"), void, "{text}: {found:?}");
    }
    assert!(parse("io=passthrough").is_err());
}

#[test]
fn several_texts_add_up_and_later_wins() {
    let mut options = Options::default();
    options.parse(b"lowerdir=a,ro").unwrap();
    options.parse(b"rw,noatime").unwrap();
    assert_eq!(options.lowers, paths(&["a"]));
    assert_eq!(options.read_only, Some(Switch::Off));
    assert_eq!(options.atime, Some(Switch::Off));
}

#[test]
fn redirect_dir_unset_depends_on_form_and_namespace() {
    use Form::*;
    use Privilege::*;
    for (text, form, privilege, expected) in [
        ("", Command, Full, RedirectDir::On),
        ("", Command, None, RedirectDir::On),
        ("userxattr", Command, Full, RedirectDir::On),
        ("", Compatible, Full, RedirectDir::On),
        ("userxattr", Compatible, Full, RedirectDir::Follow),
        ("", Compatible, Namespace, RedirectDir::Follow),
        ("", Compatible, None, RedirectDir::Follow),
        ("redirect_dir=on", Compatible, None, RedirectDir::On),
        ("redirect_dir=nofollow", Command, Full, RedirectDir::NoFollow),
    ] {
        let behaviour = behaviour(&parse(text).unwrap(), form, privilege);
        assert_eq!(behaviour.redirect_dir, expected, "{text} {form:?} {privilege:?}");
    }
}

#[test]
fn a_containers_upper_gets_no_redirects_unless_asked_for() {
    use Form::*;
    use NextUser::*;
    for (text, form, next, expected) in [
        ("", Compatible, AnyMountProgram, RedirectDir::Follow),
        ("", Compatible, TheSame, RedirectDir::On),
        ("", Command, AnyMountProgram, RedirectDir::On),
        ("redirect_dir=on", Compatible, AnyMountProgram, RedirectDir::On),
        ("redirect_dir=nofollow", Compatible, AnyMountProgram, RedirectDir::NoFollow),
        ("userxattr", Compatible, TheSame, RedirectDir::Follow),
    ] {
        let options = parse(text).unwrap();
        let behaviour = behaviour(&options, form, Privilege::Full);
        let found = readable_by_the_next(behaviour, &options, form, || next).redirect_dir;
        assert_eq!(found, expected, "{text} {form:?} {next:?}");
    }
}

#[test]
fn nothing_said_is_the_default_behaviour() {
    assert_eq!(behaviour(&Options::default(), Form::Command, Privilege::Full), Behaviour::default());
    assert_eq!(summary(&Behaviour::default()), ["redirect_dir=on", "index=off", "xino=auto"]);
}

#[test]
fn squash_to_an_id_wins_over_root() {
    let squash = |text| behaviour(&parse(text).unwrap(), Form::Command, Privilege::Full).squash;
    assert_eq!(squash("squash_to_root"), Squash::To { uid: Some(0), gid: Some(0) });
    assert_eq!(squash("squash_to_uid=7,squash_to_root"), Squash::To { uid: Some(7), gid: Some(0) });
    assert_eq!(squash("squash_to_gid=8"), Squash::To { uid: None, gid: Some(8) });
    assert_eq!(squash("ro"), Squash::None);
}

#[test]
fn flags_as_root_are_the_kernels_and_as_a_user_ones_own() {
    let flags = |text, privilege| mount_flags(&parse(text).unwrap(), privilege);
    let root = flags("", Privilege::Full);
    assert_eq!((root.access, root.suid, root.dev), (Access::Everyone, Switch::On, Switch::On));
    let user = flags("", Privilege::None);
    assert_eq!((user.access, user.suid, user.dev), (Access::Owner, Switch::Off, Switch::Off));
    assert_eq!(flags("allow_other", Privilege::None).access, Access::Everyone);
    assert_eq!(flags("nodev", Privilege::Full).dev, Switch::Off);
}

#[test]
fn a_summary_can_be_parsed_again() {
    let text = "redirect_dir=follow,index=on,xino=off,ro,userxattr,whiteouts=kernel,volatile,noacl,noxattrs=1,\
                uidmapping=0:1000:1,gidmapping=0:1:2:5:6:7,squash_to_uid=3,xattr_permissions=2,static_nlink,ino32_t,\
                timeout=1.5,io=open";
    let behaviour = |text: &str| behaviour(&parse(text).unwrap(), Form::Command, Privilege::Full);
    assert_eq!(summary(&behaviour(text)).join(","), text);
    assert_eq!(behaviour(&summary(&behaviour(text)).join(",")), behaviour(text));
}

#[test]
fn the_flags_of_a_mount_are_told() {
    for (text, privilege, expected) in [
        ("", Privilege::Full, "allow_other"),
        ("", Privilege::None, "nosuid,nodev"),
        ("suid,dev", Privilege::None, "nosuid,nodev"),
        ("allow_root,noexec,noatime,sync", Privilege::Full, "allow_root,noexec,noatime,sync"),
        ("nodiratime,dirsync,nosuid", Privilege::Namespace, "allow_other,nosuid,nodiratime,dirsync"),
    ] {
        let flags = mount_flags(&parse(text).unwrap(), privilege);
        assert_eq!(summary_of_flags(&flags).join(","), expected, "{text} {privilege:?}");
    }
}

/// A layer of an image above a directory, with an upper.
fn image() -> StackSpec {
    let tar = TarSpec {
        file: "image.tar".into(),
        stamp: FileStamp { dev: 0, ino: 0, size: 0, mtime: (0, 0), ctime: (0, 0) },
        offset: 0,
        len: 0,
        index: "index".into(),
        diff_id: Digest::from_bytes([0; 32]),
        image: "image.tar".to_owned(),
    };
    StackSpec { lowers: vec![LowerSpec::Tar(tar), LowerSpec::Directory("d".into())], ..directory() }
}

fn directory() -> StackSpec {
    StackSpec {
        lowers: vec![LowerSpec::Directory("d".into())],
        data_only: Vec::new(),
        upper: Some(UpperSpec { upper: "u".into(), work: "w".into() }),
    }
}

#[test]
fn an_image_is_open_to_the_ordinary_user_whose_mount_it_is() {
    use Enforce::{Always, WhereUsual};
    use Owners::{Any, Few};
    use PermissionChecks::{Kernel, Nobody};
    for (stack, text, privilege, owners, enforce, expected) in [
        (image(), "", Privilege::None, Few, WhereUsual, Nobody),
        // The kernel has no allow_root: what it has in its caches it would show to everybody.
        (image(), "allow_root", Privilege::None, Few, WhereUsual, Kernel),
        (image(), "allow_other", Privilege::None, Few, WhereUsual, Kernel),
        (image(), "", Privilege::None, Few, Always, Kernel),
        (directory(), "", Privilege::None, Few, WhereUsual, Kernel),
        // In a user namespace of one's own there are no others; in one with ids for them there are.
        (image(), "", Privilege::Namespace, Few, WhereUsual, Nobody),
        (image(), "", Privilege::Namespace, Few, Always, Kernel),
        (image(), "", Privilege::Namespace, Any, WhereUsual, Kernel),
        (image(), "", Privilege::Full, Any, WhereUsual, Kernel),
    ] {
        let flags = mount_flags(&parse(text).unwrap(), privilege);
        let found = permission_checks(&stack, owners, &flags, privilege, enforce);
        assert_eq!(found, expected, "{:?} {text:?} {privilege:?} {owners:?} {enforce:?}", stack.lowers);
    }
}

#[test]
fn owners_that_cannot_be_set_are_recorded_over_an_image() {
    let read_only = StackSpec { upper: None, ..image() };
    for (stack, text, owners, expected) in [
        (image(), "", Owners::Few, StatOverride::Containers),
        (image(), "", Owners::Any, StatOverride::Off),
        (directory(), "", Owners::Few, StatOverride::Off),
        (read_only, "", Owners::Few, StatOverride::Off),
        (image(), "xattr_permissions=0", Owners::Few, StatOverride::Off),
    ] {
        let options = parse(text).unwrap();
        let behaviour = behaviour(&options, Form::Command, Privilege::None);
        let found = record_owners(behaviour, &options, &stack, owners).stat_override;
        assert_eq!(found, expected, "{text:?} {owners:?} {:?}", stack.lowers);
    }
}
