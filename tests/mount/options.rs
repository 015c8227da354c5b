//! What each option changes.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};

use crate::needs;
use crate::support::fixtures::Powers;
use crate::support::sys::{self, SetXattr};
use crate::support::{Errno, Mount, Setup, Who, as_user, errno, with_umask};

fn owner(m: &Mount, path: &str) -> (u32, u32) {
    (m.stat(path).uid(), m.stat(path).gid())
}

#[test]
fn volatile_leaves_its_mark_until_a_person_removes_it() {
    let m = Setup::text("layer 1\nfile f \"x\"\n").options("volatile").mount();
    let mark = m.work().join("work/incompat/volatile");
    assert!(mark.is_dir());
    fs::write(m.at("f"), "changed").unwrap();
    fs::File::open(m.at("f")).unwrap().sync_all().unwrap();
    let layers = m.unmount();
    assert!(mark.is_dir(), "it stays after unmounting");
    let refused = layers.mount().expect_err("the next mount is refused");
    let (message, mut layers) = (refused.message, refused.layers);
    if crate::support::Backend::current() == crate::support::Backend::Lamina {
        assert!(message.contains("incompat"), "{message}");
    }
    assert!(mark.is_dir());
    layers.set_options("xino=auto");
    let layers = layers.mount().expect_err("also without the option").layers;
    fs::remove_dir_all(layers.work().join("work")).unwrap();
    let m = layers.mounted();
    assert_eq!(m.text("f"), "changed");
}

#[test]
fn an_upper_may_lie_in_a_mount_of_lamina() {
    // No device 0:0 can be made in a union: deletions are .wh. files, which are ordinary names for the one below.
    for inside in ["whiteouts=auto", "whiteouts=kernel"] {
        let below = Setup::text("layer 1\ndir d\n").lamina_options(inside).mount();
        let mut above = Setup::text("layer 1\nfile f \"x\"\n").build();
        above.place_upper(&below.at("d/upper"), &below.at("d/work"));
        if crate::support::Backend::current() == crate::support::Backend::Kernel {
            above.mount().expect_err("the kernel's overlay takes no upper on an overlay");
            continue;
        }
        let m = above.mounted();
        fs::remove_file(m.at("f")).unwrap();
        assert!(m.remount().absent("f"));
    }
}

#[test]
fn an_upper_that_can_hold_no_whiteout_is_refused() {
    let on = |below: &Mount| {
        let mut above = Setup::text("layer 1\ndir d\n").build();
        above.place_upper(&below.at("d/upper"), &below.at("d/work"));
        above
    };
    let first = Mount::of("layer 1\ndir d\n");
    if crate::support::Backend::current() == crate::support::Backend::Kernel {
        on(&first).mount().expect_err("the kernel's overlay takes no upper on an overlay");
        return;
    }
    // The second writes `.wh.` files, and keeps their names for itself.
    let second = on(&first).mounted();
    let message = on(&second).mount().expect_err("nothing could be deleted").message;
    assert!(message.contains("write deletions") && message.contains("another file system"), "{message}");
}

#[test]
fn userxattr_uses_the_other_namespace() {
    // The kernel's overlay has no redirects then, and is told so.
    let options = "redirect_dir=nofollow";
    let m = Setup::text("layer 1\nfile d/old \"x\"\nfile f \"x\"\n")
        .options("userxattr")
        .kernel_options(options)
        .mount();
    fs::remove_dir_all(m.at("d")).unwrap();
    fs::create_dir(m.at("d")).unwrap();
    fs::write(m.at("f"), "copied").unwrap();
    assert_eq!(sys::get_xattr(&m.upper("d"), b"user.overlay.opaque").unwrap(), b"y");
    sys::get_xattr(&m.upper("f"), b"user.overlay.origin").unwrap();
    assert_eq!(errno(sys::get_xattr(&m.at("d"), b"user.overlay.opaque")), Errno::ENODATA);
    assert_eq!(sys::list_xattr(&m.at("d")).unwrap(), [b""; 0]);
    // A name of the user's own is escaped.
    sys::set_xattr(&m.at("f"), b"user.overlay.redirect", b"/x", SetXattr::Always).unwrap();
    assert_eq!(sys::get_xattr(&m.upper("f"), b"user.overlay.overlay.redirect").unwrap(), b"/x");
    let m = m.remount();
    assert_eq!(m.names("d"), [""; 0]);
    assert_eq!(sys::get_xattr(&m.at("f"), b"user.overlay.redirect").unwrap(), b"/x");
}

#[test]
fn a_timeout_of_nothing_changes_nothing_that_is_seen() {
    needs!(Lamina);
    let m = Setup::named("kinds").lamina_options("timeout=0").mount();
    assert_eq!(m.names("dir"), ["child"]);
    fs::write(m.at("dir/new"), "x").unwrap();
    fs::remove_file(m.at("dir/child")).unwrap();
    assert_eq!(m.names("dir"), ["new"]);
    let ino = m.stat("file").ino();
    fs::write(m.at("file"), "changed").unwrap();
    assert_eq!((m.text("file"), m.stat("file").ino()), ("changed".into(), ino));
}

#[test]
fn with_a_timeout_of_nothing_changes_behind_the_mount_are_seen() {
    needs!(Lamina);
    // Nothing is promised of layers that change under a mount, but this much is what such a timeout is asked for.
    let m = Setup::text("layer 1\nfile d/lower \"1\"\nupper\nfile d/f \"one\" mode=644\n")
        .lamina_options("timeout=0")
        .mount();
    assert_eq!((m.text("d/f"), m.names("d")), ("one".into(), vec!["f".to_owned(), "lower".to_owned()]));
    assert!(m.absent("d/new"));
    fs::set_permissions(m.upper("d/f"), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(m.stat("d/f").mode() & 0o777, 0o600);
    fs::write(m.upper("d/new"), "new").unwrap();
    assert_eq!(m.text("d/new"), "new");
}

#[test]
fn with_a_timeout_of_nothing_a_lower_that_changes_is_seen() {
    needs!(Lamina);
    let mut m = Setup::text(
        "layer 2\nfile d/top \"top\"\nlayer 1\nfile d/f \"one\" mode=644\nfile d/gone \"gone\"\nfile d/kind \"kind\"\n\
         file d/sub/x \"x\"\nupper\n",
    )
    .lamina_options("timeout=0")
    .mount();
    assert_eq!(m.names("d"), ["f", "gone", "kind", "sub", "top"]);
    assert_eq!(
        (m.text("d/f"), m.text("d/kind"), m.text("d/sub/x")),
        ("one".into(), "kind".into(), "x".into())
    );
    assert!(m.absent("d/new"));
    let mut open = File::open(m.at("d/f")).unwrap();

    fs::write(m.lower(1, "d/new"), "new").unwrap();
    fs::remove_file(m.lower(1, "d/gone")).unwrap();
    assert_eq!(m.names("d"), ["f", "kind", "new", "sub", "top"]);
    assert_eq!(m.text("d/new"), "new");
    assert!(m.absent("d/gone"));

    fs::write(m.lower(1, "d/f"), "and more").unwrap();
    assert_eq!((m.stat("d/f").len(), m.text("d/f")), (8, "and more".into()));
    let mut read = String::new();
    open.read_to_string(&mut read).unwrap();
    assert_eq!(read, "and more", "through what was open before, too");

    fs::rename(m.lower(1, "d/sub"), m.lower(1, "away")).unwrap();
    fs::create_dir(m.lower(1, "d/sub")).unwrap();
    fs::write(m.lower(1, "d/sub/y"), "y").unwrap();
    assert_eq!(m.names("d/sub"), ["y"]);
    assert_eq!(m.text("d/sub/y"), "y");
    assert!(m.absent("d/sub/x"));

    fs::remove_file(m.lower(1, "d/kind")).unwrap();
    fs::create_dir(m.lower(1, "d/kind")).unwrap();
    fs::write(m.lower(1, "d/kind/z"), "z").unwrap();
    assert_eq!(m.text("d/kind/z"), "z");
    assert!(m.stat("d/kind").is_dir());
    m.changed_lowers();
}

#[test]
fn noacl_keeps_no_acls() {
    needs!(Lamina, Root);
    let m = Setup::text(
        "layer 1\ndir d\nacl d default u::rwx,u:64321:rwx,g::r-x,m::rwx,o::---\n\
         file f \"f\" mode=640\nacl f access u::rw-,u:64321:rw-,g::r--,m::rw-,o::---\n",
    )
    .lamina_options("noacl")
    .mount();
    let value = sys::get_xattr(&m.lower(1, "f"), b"system.posix_acl_access").unwrap();
    let set = sys::set_xattr(&m.at("f"), b"system.posix_acl_access", &value, SetXattr::Always);
    assert_eq!(errno(set), Errno::EOPNOTSUPP);
    assert_eq!(errno(sys::get_xattr(&m.at("f"), b"system.posix_acl_access")), Errno::EOPNOTSUPP);
    with_umask(0o027, || {
        OpenOptions::new().write(true).create_new(true).mode(0o666).open(m.at("d/new")).unwrap();
    });
    assert_eq!(m.stat("d/new").mode() & 0o777, 0o640, "the umask, not the default ACL");
}

#[test]
fn noxattrs_offers_none() {
    needs!(Lamina);
    let m = Setup::named("kinds").lamina_options("noxattrs=1").mount();
    assert_eq!(errno(sys::get_xattr(&m.at("xattrs"), b"user.text")), Errno::EOPNOTSUPP);
    assert_eq!(errno(sys::set_xattr(&m.at("xattrs"), b"user.x", b"y", SetXattr::Always)), Errno::EOPNOTSUPP);
    assert_eq!(m.text("xattrs"), "xattrs\n");
    fs::write(m.at("xattrs"), "changed").unwrap();
    let ino = m.stat("xattrs").ino();
    let m = m.remount();
    assert_eq!((m.text("xattrs"), m.stat("xattrs").ino()), ("changed".into(), ino));
}

#[test]
fn squashing_shows_one_owner() {
    needs!(Lamina, Root);
    for (options, expected) in [
        ("squash_to_root", (0, 0)),
        ("squash_to_uid=77", (77, 1002)),
        ("squash_to_gid=88", (1001, 88)),
        ("squash_to_uid=77,squash_to_gid=88", (77, 88)),
        ("squash_to_root,squash_to_uid=77,squash_to_gid=88", (77, 88)),
    ] {
        let m = Setup::named("kinds").lamina_options(options).mount();
        assert_eq!(owner(&m, "file"), expected, "{options}");
        assert_eq!(owner(&m, "link"), expected, "{options}");
        assert_eq!(owner(&m, "dir"), expected, "{options}");
        fs::write(m.at("file"), "changed").unwrap();
        assert_eq!(owner(&m, "file"), expected, "{options}, copied");
        let below = m.upper("file").metadata().unwrap();
        assert_eq!((below.uid(), below.gid()), (1001, 1002), "the copy keeps the owner it has");
    }
}

#[test]
fn ids_are_mapped_both_ways() {
    needs!(Lamina, Root);
    // As fuse-overlayfs has it (tried): the first number is the layers', the second what is shown.
    let m =
        Setup::text("layer 1\nfile f \"x\" owner=5:6\nfile beyond \"x\" owner=5000:6000\ndir d mode=777\n")
            .lamina_options("uidmapping=0:100000:1000,gidmapping=0:200000:1000")
            .mount();
    assert_eq!(owner(&m, "f"), (100_005, 200_006));
    assert_eq!(owner(&m, "beyond"), (65_534, 65_534));
    chown(m.at("f"), Some(100_007), Some(200_008)).unwrap();
    assert_eq!(owner(&m, "f"), (100_007, 200_008));
    let below = m.upper("f").metadata().unwrap();
    assert_eq!((below.uid(), below.gid()), (7, 8));
    as_user(100_009, 200_009, || fs::write(m.at("d/new"), "x").unwrap());
    assert_eq!(owner(&m, "d/new"), (100_009, 200_009));
    let below = m.upper("d/new").metadata().unwrap();
    assert_eq!((below.uid(), below.gid()), (9, 9));
    // An id outside of the map cannot be stored.
    assert_eq!(errno(chown(m.at("f"), Some(3), None)), Errno::EINVAL);
}

#[test]
fn recorded_owners_and_modes_are_shown() {
    needs!(Lamina);
    let m = Setup::named("override").lamina_options("xattr_permissions=2").mount();
    let shown = |path: &str| (m.stat(path).uid(), m.stat(path).gid(), m.stat(path).mode() & 0o7777);
    // Ids that a user namespace has not are nobody's there.
    let ids = |uid, gid| if Who::current() == Who::Namespace { (65_534, 65_534) } else { (uid, gid) };
    assert_eq!(shown("file"), (ids(1001, 1002).0, ids(1001, 1002).1, 0o4751));
    assert_eq!(shown("dir"), (ids(5, 6).0, ids(5, 6).1, 0o710));
    assert!(m.stat("device").file_type().is_char_device());
    assert_eq!(m.stat("device").rdev(), nix::sys::stat::makedev(1, 3));
    assert!(m.stat("fifo").file_type().is_fifo());
    assert!(m.stat("link").is_symlink());
    assert_eq!(fs::read_link(m.at("link")).unwrap().to_str(), Some("target"));
    assert_eq!(sys::list_xattr(&m.at("file")).unwrap(), [b""; 0], "the record itself is hidden");
    assert_eq!(m.text("plain"), "no record\n");
}

#[test]
fn changed_owners_and_modes_are_recorded() {
    needs!(Lamina, Root);
    let m = Setup::named("override").lamina_options("xattr_permissions=2").mount();
    chown(m.at("plain"), Some(31), Some(32)).unwrap();
    fs::set_permissions(m.at("plain"), Permissions::from_mode(0o4711)).unwrap();
    fs::set_permissions(m.at("file"), Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(m.at("made")).unwrap();
    chown(m.at("made"), Some(33), None).unwrap();
    let shown =
        |m: &Mount, path: &str| (m.stat(path).uid(), m.stat(path).gid(), m.stat(path).mode() & 0o7777);
    let m = m.remount();
    assert_eq!(shown(&m, "plain"), (31, 32, 0o4711));
    assert_eq!(shown(&m, "file"), (1001, 1002, 0o600));
    assert_eq!(m.stat("made").uid(), 33);
    let record = |path: &str| sys::get_xattr(&m.upper(path), b"user.containers.override_stat");
    let text = |path: &str| String::from_utf8(record(path).unwrap()).unwrap();
    assert!(text("plain").starts_with("31:32:4711"), "{}", text("plain"));
    assert!(text("file").starts_with("1001:1002:0600"), "{}", text("file"));
    assert_ne!(m.upper("plain").metadata().unwrap().uid(), 31, "recorded in place of the inode");
}

#[test]
fn static_nlink_and_ino32() {
    needs!(Lamina);
    let m = Setup::text("layer 1\ndir d/a\ndir d/b\nfile f \"x\"\n")
        .lamina_options("static_nlink,ino32_t")
        .mount();
    fs::create_dir_all(m.at("new/one")).unwrap();
    for path in [".", "d", "d/a", "new", "new/one"] {
        assert_eq!(m.stat(path).nlink(), 1, "{path}");
    }
    for path in [".", "d", "f", "new"] {
        assert!(m.stat(path).ino() <= u64::from(u32::MAX), "{path}");
    }
}

#[test]
fn oci_names_are_literal_where_asked() {
    needs!(Lamina);
    let m = Setup::named("whiteouts").lamina_options("whiteouts=kernel").mount();
    assert_eq!(m.names("oci"), [".wh.dir", ".wh.file", "dir", "file", "kept"]);
    fs::write(m.at("oci/.wh.kept"), "an ordinary name").unwrap();
    assert_eq!(m.text("oci/kept"), "1\n");
    let m = m.remount();
    assert_eq!(m.text("oci/.wh.kept"), "an ordinary name");
    fs::remove_file(m.at("oci/.wh.kept")).unwrap();
    assert_eq!(m.names("oci"), [".wh.dir", ".wh.file", "dir", "file", "kept"]);
}

#[test]
fn unsynced_mounts_keep_what_was_written() {
    needs!(Lamina);
    let m = Setup::text("layer 1\nfile f \"x\"\n").lamina_options("fsync=0").mount();
    fs::write(m.at("f"), "changed").unwrap();
    fs::File::open(m.at("f")).unwrap().sync_all().unwrap();
    let m = m.remount();
    assert_eq!(m.text("f"), "changed");
    assert!(!m.work().join("work/incompat").exists());
}

#[test]
fn mount_flags_are_obeyed() {
    needs!(Root);
    let m = Setup::text("layer 1\ndir d\n").options("nosuid").mount();
    fs::copy("/usr/bin/id", m.at("d/id")).unwrap();
    chown(m.at("d/id"), Some(1234), None).unwrap();
    fs::set_permissions(m.at("d/id"), Permissions::from_mode(0o4755)).unwrap();
    let output = std::process::Command::new(m.at("d/id")).arg("-u").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0");
    let m = Setup::text("layer 1\ndir d\n").options("noexec").mount();
    fs::copy("/usr/bin/id", m.at("d/id")).unwrap();
    assert_eq!(errno(std::process::Command::new(m.at("d/id")).output()), Errno::EACCES);
}

#[test]
fn an_index_is_kept_in_the_work_directory() {
    needs!(Root);
    let m = Setup::text("layer 1\nfile a \"x\"\nhardlink b a\n").options("index=on").mount();
    fs::write(m.at("a"), "changed").unwrap();
    let index = m.work().join("index");
    let entries = crate::support::guard::names(&index);
    assert_eq!(entries.len(), 1, "{entries:?}");
    let prefix = Powers::detect().overlay_prefix();
    let origin = sys::get_xattr(&m.upper("a"), &[prefix, b"origin"].concat()).unwrap();
    let hex: String = origin.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(entries[0], hex, "named by the origin");
    assert_eq!(index.join(&entries[0]).metadata().unwrap().ino(), m.upper("a").metadata().unwrap().ino());
    sys::get_xattr(&m.upper("a"), &[prefix, b"nlink"].concat()).unwrap();
    // With its last name the entry goes.
    fs::remove_file(m.at("a")).unwrap();
    fs::remove_file(m.at("b")).unwrap();
    // The kernel's overlay may keep a whiteout there to link from.
    let left: Vec<String> = crate::support::guard::names(&index)
        .into_iter()
        .filter(|name| !crate::support::guard::is_whiteout(&index.join(name)))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn options_that_are_not_known_are_refused() {
    needs!(Lamina);
    let layers = Setup::text("layer 1\nfile f \"x\"\n").lamina_options("no-such-option").build();
    let refused = layers.mount().expect_err("an unknown option");
    let (message, layers) = (refused.message, refused.layers);
    assert!(message.contains("no-such-option"), "{message}");
    assert!(!crate::support::guard::is_mounted(&layers.dir().join("mnt")));
}
