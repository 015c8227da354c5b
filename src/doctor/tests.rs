//! Verdicts on machines that these tests do not run on.

use nix::errno::Errno;

use super::confinement::Facts as Around;
use super::helper::Program;
use super::kernel::{IoUring, Release};
use super::place::{Role, Tried as Features, Upper};
use super::trial::Tried;
use super::*;
use crate::config::IdRange;
use crate::sandbox::ids::{FewIds, IdPlan, Maps};
use crate::sandbox::probe::{self, Settings};
use crate::source::preflight::Fuse;

fn around(privilege: Privilege) -> Around {
    Around {
        uid: if privilege == Privilege::None { 1000 } else { 0 },
        privilege,
        first_namespace: true,
        seccomp: false,
        no_new_privs: false,
        apparmor: None,
        restricted: false,
        container: None,
    }
}

/// What a finding says to do, with the uses that it makes impossible and those that it limits.
fn told(finding: &Finding) -> (Level, Vec<Use>, Vec<Use>) {
    let of = |level| {
        finding.effects.iter().filter(|effect| effect.level == level).map(|effect| effect.on).collect()
    };
    (finding.level, of(Level::Missing), of(Level::Limited))
}

#[track_caller]
fn names(finding: &Finding, words: &[&str]) {
    let text = format!("{} {}", finding.found, finding.remedy.as_deref().unwrap_or_default());
    for word in words {
        assert!(text.contains(word), "{word} is missing in {text}");
    }
}

const ALL: [Use; 4] = Use::ALL;
const MOUNTS: [Use; 2] = [Use::Mount, Use::Image];

#[test]
fn a_kernel_is_judged_by_its_release() {
    for (text, version) in [
        ("6.18.5-arch1-1", Some((6, 18))),
        ("5.15.0-91-generic", Some((5, 15))),
        ("6.1", Some((6, 1))),
        ("6.12-rc3", Some((6, 12))),
        ("weird", None),
        ("", None),
    ] {
        assert_eq!(Release::parse(text).version, version, "{text}");
    }
    let old = kernel::judge(&Release::parse("5.15.0"));
    assert_eq!(told(&old), (Level::Missing, ALL.to_vec(), vec![]));
    names(&old, &["5.15.0", "5.17"]);
    assert_eq!(told(&kernel::judge(&Release::parse("5.17.1"))), (Level::Ok, vec![], vec![]));

    let passthrough = |release, privilege| kernel::judge_passthrough(&Release::parse(release), privilege);
    assert_eq!(passthrough("6.8.0", Privilege::Full).level, Level::Missing);
    assert_eq!(passthrough("6.9.0", Privilege::Full).level, Level::Ok);
    names(&passthrough("6.9.0", Privilege::None), &["CAP_SYS_ADMIN", "root"]);

    let refused = |release, enabled, ring, disabled, seccomp| {
        kernel::judge_io_uring(&IoUring {
            release: Release::parse(release),
            enabled,
            ring,
            disabled,
            seccomp,
        })
    };
    let io_uring = |release, enabled, disabled| {
        let ring = if disabled == Some(2) { Err(Errno::EPERM) } else { Ok(()) };
        refused(release, enabled, ring, disabled, false)
    };
    names(&io_uring("6.12.0", None, None), &["6.14"]);
    names(&io_uring("6.14.0", Some(false), Some(0)), &["/sys/module/fuse/parameters/enable_uring"]);
    names(&io_uring("6.14.0", Some(true), Some(2)), &["kernel.io_uring_disabled=0"]);
    names(&io_uring("6.14.0", None, None), &["CONFIG_FUSE_IO_URING"]);
    assert_eq!(io_uring("6.14.0", Some(true), Some(0)).level, Level::Ok);
    // Root may, where ordinary users may not.
    assert_eq!(io_uring("6.14.0", Some(true), Some(1)).level, Level::Ok);
    let filtered = refused("6.14.0", Some(false), Err(Errno::EPERM), Some(0), true);
    assert_eq!(filtered.level, Level::Limited);
    names(&filtered, &["enable_uring", "seccomp=unconfined"]);
    names(&refused("6.14.0", Some(true), Err(Errno::ENOSYS), None, false), &["CONFIG_IO_URING"]);
}

#[test]
fn a_container_without_the_device_is_told_of_it() {
    for (fuse, words) in [
        (Fuse::NoDevice, &["--device /dev/fuse", "modprobe fuse"][..]),
        (Fuse::NoDriver, &["modprobe fuse"]),
        (Fuse::Refused(Errno::EPERM), &["--device /dev/fuse"]),
        (Fuse::AnotherFile, &["mknod"]),
    ] {
        let finding = device::judge(fuse);
        assert_eq!(told(&finding), (Level::Missing, ALL.to_vec(), vec![]));
        names(&finding, words);
    }
    assert_eq!(device::judge(Fuse::Usable).level, Level::Ok);
}

#[test]
fn what_surrounds_the_process_is_named_with_what_lifts_it() {
    let plain = confinement::judge(&around(Privilege::None));
    assert_eq!((plain.level, plain.remedy.as_deref()), (Level::Ok, None));
    let confined = Around {
        uid: 0,
        seccomp: true,
        no_new_privs: true,
        apparmor: Some("docker-default".into()),
        container: Some("/.dockerenv"),
        ..around(Privilege::None)
    };
    let finding = confinement::judge(&confined);
    assert_eq!(told(&finding), (Level::Limited, vec![], vec![]));
    names(
        &finding,
        &["seccomp=unconfined", "NoNewPriv", "docker-default", "apparmor=unconfined", "--cap-add SYS_ADMIN"],
    );
    for (label, profile) in [
        ("docker-default (enforce)\n", Some("docker-default")),
        ("unconfined\n", None),
        ("lamina (complain)\n", None),
        ("a (b) (enforce)", Some("a (b)")),
        ("", None),
    ] {
        assert_eq!(confinement::profile(label).as_deref(), profile, "{label}");
    }
}

#[test]
fn fusermount3_matters_to_ordinary_users_only() {
    let program = |raised| Some(Program { path: "/usr/bin/fusermount3".into(), raised });
    let facts = |program, allow_other| helper::Facts { program, version: None, allow_other };
    let user = around(Privilege::None);
    let judged = |facts: &helper::Facts, around: &Around| helper::judge(facts, around);

    let missing = judged(&facts(None, false), &user);
    assert_eq!(told(&missing), (Level::Missing, MOUNTS.to_vec(), vec![]));
    names(&missing, &["package fuse3", "unshare -Urm"]);
    names(&judged(&facts(program(false), false), &user), &["chmod u+s"]);
    let no_new_privs = Around { no_new_privs: true, ..user.clone() };
    let powerless = judged(&facts(program(true), true), &no_new_privs);
    assert_eq!(told(&powerless), (Level::Missing, MOUNTS.to_vec(), vec![]));
    names(&powerless, &["no-new-privileges"]);
    let closed = judged(&facts(program(true), false), &user);
    assert_eq!(told(&closed), (Level::Limited, vec![], MOUNTS.to_vec()));
    names(&closed, &["user_allow_other", "/etc/fuse.conf"]);
    assert_eq!(judged(&facts(program(true), true), &user).level, Level::Ok);
    for privilege in [Privilege::Full, Privilege::Namespace] {
        assert_eq!(told(&judged(&facts(None, false), &around(privilege))), (Level::Ok, vec![], vec![]));
    }
    // As in a container without the capability.
    let powerless = Around { uid: 0, ..user };
    assert_eq!(told(&judged(&facts(None, false), &powerless)), (Level::Ok, vec![], vec![]));

    assert_eq!(helper::version("fusermount3 version: 3.17.2\n").as_deref(), Some("3.17.2"));
    assert_eq!(helper::version("oops"), None);
    assert!(helper::allows_other("# a\n user_allow_other \n"));
    assert!(!helper::allows_other("#user_allow_other\nmount_max = 10\n"));
}

fn maps(len: u32) -> Maps {
    let map =
        vec![IdRange { inside: 0, outside: 1000, len: 1 }, IdRange { inside: 1, outside: 100_000, len }];
    Maps { uids: map.clone(), gids: map }
}

fn with_helpers(len: u32) -> namespaces::Facts {
    let program = |name: &str| Some(Program { path: format!("/usr/bin/{name}").into(), raised: true });
    namespaces::Facts {
        plan: IdPlan::Helpers {
            maps: maps(len),
            newuidmap: "/usr/bin/newuidmap".into(),
            newgidmap: "/usr/bin/newgidmap".into(),
        },
        made: Ok(()),
        helpers: [program("newuidmap"), program("newgidmap")],
        own_ids: u64::from(u32::MAX),
        strange_group: None,
    }
}

#[test]
fn what_forbids_namespaces_is_named() {
    let none = Settings {
        unprivileged_clone: None,
        most_user: None,
        most_others: None,
        apparmor: None,
        seccomp: false,
        privilege: Privilege::None,
    };
    let user = around(Privilege::None);
    for (tried, errno, settings, word) in [
        (
            probe::Tried::MountNamespace,
            Errno::EPERM,
            Settings { apparmor: Some(1), ..none },
            "kernel.apparmor_restrict_unprivileged_userns",
        ),
        (
            probe::Tried::UserNamespace,
            Errno::EPERM,
            Settings { unprivileged_clone: Some(0), ..none },
            "kernel.unprivileged_userns_clone",
        ),
        (probe::Tried::UserNamespace, Errno::ENOSPC, none, "user.max_user_namespaces"),
        (probe::Tried::UserNamespace, Errno::EPERM, Settings { seccomp: true, ..none }, "seccomp=unconfined"),
    ] {
        let facts =
            namespaces::Facts { made: Err(probe::blocked(tried, errno, &settings)), ..with_helpers(65536) };
        let finding = namespaces::judge(&facts, &user);
        assert_eq!(told(&finding), (Level::Missing, vec![Use::Run, Use::Podman], vec![]));
        names(&finding, &[word]);
        // Podman of root needs no user namespace.
        let root = namespaces::judge(&facts, &around(Privilege::Full));
        assert_eq!(told(&root), (Level::Missing, vec![Use::Run], vec![]));
    }
}

#[test]
fn few_ids_limit_and_the_reason_is_named() {
    let user = around(Privilege::None);
    let judged = |facts: &namespaces::Facts, around: &Around| namespaces::judge_ids(facts, around);
    assert_eq!(told(&judged(&with_helpers(65536), &user)), (Level::Ok, vec![], vec![]));
    let both = vec![Use::Run, Use::Podman];
    let few = judged(&with_helpers(1000), &user);
    assert_eq!(told(&few), (Level::Limited, vec![], both.clone()));
    names(&few, &["1001 user", "65536", "/etc/subuid"]);

    let mut plain = with_helpers(65536);
    plain.helpers[1] = Some(Program { path: "/usr/bin/newgidmap".into(), raised: false });
    names(&judged(&plain, &user), &["chmod u+s /usr/bin/newgidmap"]);
    names(
        &judged(&with_helpers(65536), &Around { no_new_privs: true, ..user.clone() }),
        &["no-new-privileges"],
    );

    let strange = namespaces::Facts { strange_group: Some(64321), ..with_helpers(65536) };
    assert_eq!(told(&judged(&strange, &user)), (Level::Limited, vec![], both.clone()));
    names(&judged(&strange, &user), &["this is group 64321", "newgrp"]);

    let why = FewIds::NoRange { file: "/etc/subuid", user: "ann".into(), free: 165_536 };
    let single = namespaces::Facts { plan: IdPlan::Single { maps: maps(1), why }, ..with_helpers(1) };
    let finding = judged(&single, &user);
    assert_eq!(told(&finding), (Level::Limited, vec![], both.clone()));
    names(&finding, &["usermod --add-subuids", "newuidmap"]);

    let kept = |own_ids| namespaces::Facts { plan: IdPlan::Keep, own_ids, ..with_helpers(1) };
    assert_eq!(told(&judged(&kept(1), &around(Privilege::Namespace))), (Level::Limited, vec![], both));
    assert_eq!(judged(&kept(65536), &around(Privilege::Full)).level, Level::Ok);
}

#[test]
fn a_trial_that_fails_is_the_last_word() {
    let failed = || Tried::Failed { message: "mounting: Operation not permitted".into(), hint: None };
    let facts = trial::Facts { mount: failed(), sandbox: failed(), proc: failed() };
    let user = around(Privilege::None);
    assert_eq!(told(&trial::judge_mount(&facts, &user)), (Level::Missing, MOUNTS.to_vec(), vec![]));
    let confined = Around { apparmor: Some("docker-default".into()), ..around(Privilege::Full) };
    let root = trial::judge_mount(&facts, &confined);
    assert_eq!(told(&root), (Level::Missing, vec![Use::Mount, Use::Image, Use::Podman], vec![]));
    names(&root, &["apparmor=unconfined"]);
    let sandbox = trial::judge_sandbox(&facts, &with_helpers(65536), &user);
    assert_eq!(told(&sandbox), (Level::Missing, vec![Use::Run, Use::Podman], vec![]));
    names(&sandbox, &["dmesg"]);
    let filtered = Around { seccomp: true, restricted: true, ..user.clone() };
    let lifted = ["seccomp=unconfined", "kernel.apparmor_restrict_unprivileged_userns=0"];
    names(&trial::judge_sandbox(&facts, &with_helpers(65536), &filtered), &lifted);
    names(&trial::judge_mount(&facts, &filtered), &lifted[..1]);
    let proc = trial::judge_proc(&facts);
    assert_eq!(told(&proc), (Level::Limited, vec![], vec![Use::Run, Use::Podman]));
    names(&proc, &["unmask=ALL"]);

    let not_tried = trial::Facts { sandbox: Tried::NotTried, proc: Tried::NotTried, mount: Tried::Works };
    assert_eq!(told(&trial::judge_mount(&not_tried, &user)), (Level::Ok, vec![], vec![]));
    // Why is said by the finding about namespaces.
    let sandbox = trial::judge_sandbox(&not_tried, &with_helpers(65536), &user);
    assert_eq!(told(&sandbox), (Level::Missing, vec![], vec![]));
    let no_device = trial::Facts { mount: Tried::NotTried, ..not_tried };
    assert_eq!(told(&trial::judge_mount(&no_device, &user)), (Level::Missing, vec![], vec![]));
}

#[test]
fn an_upper_is_judged_by_what_its_file_system_does() {
    let good = Features {
        kind: Some("ext4".into()),
        user_xattr: Ok(()),
        trusted_xattr: Ok(()),
        whiteout: Ok(()),
        rename_whiteout: Ok(()),
        tmpfile: Ok(()),
        reflink: Err(Errno::EOPNOTSUPP),
        free: 1 << 40,
    };
    let upper = |role| Upper { path: "/u".into(), role };
    let judged = |role, features: &Features, privilege| {
        place::judge(&upper(role), &place::Facts::Tried(features.clone()), privilege)
    };
    assert_eq!(judged(Role::Asked, &good, Privilege::Full).level, Level::Ok);
    // Attributes that only root may write are nothing that a user misses.
    let ordinary = Features { trusted_xattr: Err(Errno::EPERM), ..good.clone() };
    assert_eq!(judged(Role::Asked, &ordinary, Privilege::None).level, Level::Ok);
    names(&judged(Role::Asked, &ordinary, Privilege::Full), &["trusted."]);

    let none = Err(Errno::EOPNOTSUPP);
    for (features, word) in [
        (Features { user_xattr: none, trusted_xattr: none, ..good.clone() }, "extended attributes"),
        (Features { whiteout: none, ..good.clone() }, ".wh. files"),
        (Features { rename_whiteout: none, ..good.clone() }, "RENAME_WHITEOUT"),
        (Features { tmpfile: none, ..good.clone() }, "O_TMPFILE"),
        (Features { free: 5_000_000, ..good.clone() }, "5 MB"),
    ] {
        let finding = judged(Role::Asked, &features, Privilege::None);
        assert_eq!(told(&finding), (Level::Limited, vec![], MOUNTS.to_vec()));
        names(&finding, &[word, "ext4"]);
        assert_eq!(told(&judged(Role::Scratch, &features, Privilege::None)).2, [Use::Run]);
        assert_eq!(told(&judged(Role::Home, &features, Privilege::None)).2, []);
    }
    let refused = |role| place::judge(&upper(role), &place::Facts::Unusable(Errno::EROFS), Privilege::None);
    assert_eq!(told(&refused(Role::Scratch)), (Level::Missing, vec![Use::Run], vec![]));
    names(&refused(Role::Scratch), &["TMPDIR", "Read-only"]);
    assert_eq!(told(&refused(Role::Asked)), (Level::Missing, MOUNTS.to_vec(), vec![]));
}

#[test]
fn what_is_tried_in_a_directory_is_gone_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let facts = place::Facts::try_out(&dir.path().join("not/there/yet"));
    let place::Facts::Tried(tried) = facts else { panic!("{facts:?}") };
    assert!(tried.free > 0);
    assert!(tried.kind.is_some());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn few_descriptors_are_told() {
    let judged = |soft, hard| descriptors::judge(descriptors::Facts { soft, hard });
    assert_eq!(told(&judged(64, 64)), (Level::Missing, ALL.to_vec(), vec![]));
    assert_eq!(told(&judged(256, 1024)), (Level::Limited, vec![], ALL.to_vec()));
    assert_eq!(judged(1024, u64::MAX).level, Level::Ok);
    names(&judged(1024, u64::MAX), &["1024 now", "any number"]);
    names(&judged(64, 64), &["LimitNOFILE", "ulimit"]);
}

#[test]
fn a_store_that_cannot_be_is_missing_for_images_only() {
    for facts in [
        store::Facts::NoPlace,
        store::Facts::Refused(Errno::EACCES),
        store::Facts::Unusable("it is something else".into(), None),
    ] {
        let finding = store::judge(None, &facts);
        assert_eq!(told(&finding), (Level::Missing, vec![Use::Image], vec![Use::Run]));
        names(&finding, &["--store"]);
    }
    let full = store::judge(None, &store::Facts::Usable { exists: true, free: 1000 });
    assert_eq!(told(&full), (Level::Limited, vec![], vec![Use::Image, Use::Run]));
    names(&full, &["lamina store gc"]);
}

#[test]
fn the_worst_reason_comes_first_and_is_the_verdict() {
    let examined = Examined {
        findings: vec![
            descriptors::judge(descriptors::Facts { soft: 1024, hard: 1024 }),
            podman::judge(&podman::Facts { program: None }, &around(Privilege::None)),
        ],
    };
    assert_eq!(examined.verdict(Use::Mount), Level::Limited);
    assert_eq!(examined.verdict(Use::Podman), Level::Missing);
    let checks: Vec<&str> = examined.reasons(Use::Podman).iter().map(|(finding, _)| finding.check).collect();
    assert_eq!(checks, ["podman", "descriptors"]);
    assert_eq!(Examined { findings: Vec::new() }.verdict(Use::Run), Level::Ok);
}
