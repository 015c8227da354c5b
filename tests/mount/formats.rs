//! What layers say in markers is understood, in every form that there is.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::needs;
use crate::support::fixtures::Powers;
use crate::support::{Backend, Errno, Mount, Setup, errno, sys};

/// The forms that the kernel's overlay does not know are checked with lamina only.
fn lamina() -> bool {
    Backend::current() == Backend::Lamina
}

fn check_whiteouts(m: &Mount) {
    assert_eq!(m.names("device"), ["kept"]);
    for name in ["file", "dir", "link", "fifo", "never"] {
        assert_eq!(errno(fs::symlink_metadata(m.at("device").join(name))), Errno::ENOENT, "device/{name}");
    }
    assert_eq!(m.names("xattr"), ["kept", "nonempty"]);
    assert_eq!(errno(fs::symlink_metadata(m.at("xattr/file"))), Errno::ENOENT);
    assert_eq!(m.text("xattr/nonempty"), "2\n");
    assert_eq!(m.names("again"), ["file"]);
    assert_eq!(m.text("again/file"), "3\n");
    assert_eq!(m.names("filled"), [""; 0]);
    if lamina() {
        assert_eq!(m.names("oci"), ["kept"]);
        for name in ["file", "dir", "dir/inside", ".wh.file"] {
            assert_eq!(errno(fs::symlink_metadata(m.at("oci").join(name))), Errno::ENOENT, "oci/{name}");
        }
    }
}

#[test]
fn whiteouts() {
    let m = Setup::named("whiteouts").mount();
    check_whiteouts(&m);
    // And over a change of the directories that hold them.
    for dir in ["device", "xattr", "again", "filled"] {
        fs::write(m.at(dir).join("zz"), "new").unwrap();
        fs::remove_file(m.at(dir).join("zz")).unwrap();
    }
    check_whiteouts(&m);
    fs::write(m.at("device/file"), "made again").unwrap();
    fs::create_dir(m.at("xattr/dir")).unwrap();
    let m = m.remount();
    assert_eq!(m.text("device/file"), "made again");
    assert_eq!(m.names("xattr/dir"), [""; 0]);
}

#[test]
fn whiteouts_without_an_upper() {
    check_whiteouts(&Setup::named("whiteouts").read_only().mount());
}

#[test]
fn opaque_directories() {
    let m = Setup::named("opaque").mount();
    assert_eq!(m.names("y"), ["new", "sub", "top"]);
    assert_eq!(m.names("y/sub"), ["new"]);
    assert_eq!(m.names("x"), ["new", "old"]);
    assert_eq!(m.names("plain"), ["new", "old"]);
    assert_eq!(m.names("middle"), ["middle", "top"]);
    if lamina() {
        assert_eq!(m.names("fuse"), ["new"]);
        assert_eq!(m.names("oci"), ["new"]);
        assert_eq!(errno(fs::symlink_metadata(m.at("oci/.wh..wh..opq"))), Errno::ENOENT);
    }
    for dir in ["y", "x", "plain", "middle"] {
        assert_eq!(errno(fs::metadata(m.at(dir).join("none"))), Errno::ENOENT);
    }
}

/// A branch as AUFS leaves it: each whiteout is a link of one file, beside directories of its own.
fn make_aufs_branch(branch: &std::path::Path) {
    let at = |path: &str| branch.join(path);
    fs::write(at(".wh..wh.aufs"), "").unwrap();
    for own in [".wh..wh.plnk", ".wh..wh.orph", "again"] {
        fs::create_dir(at(own)).unwrap();
    }
    fs::write(at(".wh..wh.plnk/17.23"), "linked").unwrap();
    for whiteout in [".wh.gone", ".wh.dir", "again/.wh..wh..opq"] {
        fs::hard_link(at(".wh..wh.aufs"), at(whiteout)).unwrap();
    }
    fs::write(at("again/new"), "new").unwrap();
}

#[test]
fn a_branch_of_aufs_is_a_layer_and_an_upper() {
    needs!(Lamina);
    let lower = "layer 1\nfile gone \"1\"\nfile dir/inside \"1\"\nfile again/old \"1\"\nfile kept \"1\"\n";
    let as_upper = Setup::text(lower).build();
    make_aufs_branch(&as_upper.upper(""));
    let as_layer = Setup::text(&format!("{lower}layer 2\ndir again\n")).build();
    fs::remove_dir(as_layer.lower(2, "again")).unwrap();
    make_aufs_branch(&as_layer.lower(2, ""));
    for layers in [as_upper, as_layer] {
        let m = layers.mounted();
        assert_eq!(
            (m.names("."), m.names("again")),
            (vec!["again".into(), "kept".into()], vec!["new".to_owned()])
        );
        assert!(m.absent("gone") && m.absent("dir") && m.absent(".wh..wh.plnk") && m.absent(".wh..wh.aufs"));
        fs::write(m.at("gone"), "again").unwrap();
        fs::create_dir(m.at("dir")).unwrap();
        fs::remove_dir_all(m.at("again")).unwrap();
        let m = m.remount();
        assert_eq!(
            (m.names("."), m.names("dir")),
            (vec!["dir".into(), "gone".into(), "kept".into()], Vec::<String>::new())
        );
        assert_eq!(m.text("gone"), "again");
    }
}

#[test]
fn redirects() {
    needs!(Redirects);
    let m = Setup::named("redirects").mount();
    assert!(m.absent("absolute/from") && m.absent("sibling/old"));
    assert_eq!(m.names("elsewhere/moved"), ["added", "file"]);
    assert_eq!(m.text("elsewhere/moved/file"), "absolute\n");
    assert_eq!(m.text("sibling/new/file"), "sibling\n");
    assert_eq!(m.names("chain"), ["three"]);
    assert_eq!(m.names("chain/three"), ["added", "file"]);
    assert_eq!((m.names("swap/a"), m.names("swap/b")), (vec!["in-b".to_owned()], vec!["in-a".to_owned()]));
    assert_eq!(m.names("moved/outer"), ["renamed"]);
    assert_eq!(m.text("moved/outer/renamed/file"), "nested\n");
    fs::write(m.at("chain/three/file"), "changed").unwrap();
    fs::remove_file(m.at("swap/a/in-b")).unwrap();
    let m = m.remount();
    assert_eq!(m.text("chain/three/file"), "changed");
    assert_eq!(m.names("swap/a"), [""; 0]);
}

#[test]
fn redirects_are_not_followed_where_asked() {
    needs!(Redirects);
    let m =
        Setup::text("layer 1\nfile old/f \"x\"\nlayer 2\ndir new\nredirect new /old\nfile new/own \"o\"\n")
            .options("redirect_dir=nofollow")
            .mount();
    // Half a directory would be a lie.
    assert_eq!(errno(fs::read_dir(m.at("new"))), Errno::EPERM);
    assert_eq!(m.names("old"), ["f"]);
    assert_eq!(m.names("."), ["new", "old"], "what is refused is listed");
}

#[test]
fn metadata_only_copies() {
    needs!(Redirects);
    let m = Setup::named("metacopy").kernel_options("metacopy=on").build().settle().mounted();
    let table = [
        ("plain", "plain data\n", 0o600),
        ("long", "long form data\n", 0o640),
        ("moved-to", "moved data\n", 0o644),
        ("twice", "twice data\n", 0o600),
    ];
    for (path, text, mode) in table {
        assert_eq!(m.text(path), text, "{path}");
        assert_eq!((m.stat(path).mode() & 0o7777, m.stat(path).size()), (mode, text.len() as u64), "{path}");
    }
    assert_eq!((m.stat("plain").mtime(), m.stat("plain").mtime_nsec()), (1_700_000_000, 500_000_000));
    assert!(fs::read(m.at("big")).unwrap() == fs::read(m.lower(1, "big")).unwrap());
    assert!(m.absent("dir/moved-from"));
    // Blocks are those of the data.
    assert_eq!(m.stat("big").blocks(), m.lower(1, "big").metadata().unwrap().blocks());
    // A change copies data and metadata, each from where it is.
    for path in ["plain", "moved-to", "twice"] {
        let before = (m.stat(path).ino(), m.stat(path).mode());
        let mut text = m.text(path);
        text.push('+');
        fs::write(m.at(path), &text).unwrap();
        assert_eq!(m.text(path), text);
        assert_eq!((m.stat(path).ino(), m.stat(path).mode()), before, "{path}");
    }
    let m = m.remount();
    assert_eq!(m.text("moved-to"), "moved data\n+");
    assert_eq!(fs::read_to_string(m.upper("twice")).unwrap(), "twice data\n+");
}

#[test]
fn data_only_layers() {
    let m = Setup::named("data-only").mount();
    assert_eq!(m.names("."), ["first", "listed", "lost", "second"]);
    assert_eq!(m.text("first"), "data of one");
    assert_eq!(m.text("second"), "data of two\n");
    assert_eq!(m.stat("first").mode() & 0o777, 0o600);
    assert!(m.absent("objects") && m.absent("never-listed"));
    // Its metadata is there, its data is not: ENOENT from the kernel's overlay, which looks for it at open.
    assert_eq!(m.stat("lost").size(), 5);
    assert!(matches!(errno(fs::read(m.at("lost"))), Errno::EIO | Errno::ENOENT));
    fs::write(m.at("first"), "changed").unwrap();
    let m = m.remount();
    assert_eq!(m.text("first"), "changed");
    assert_eq!(m.text("second"), "data of two\n");
}

#[test]
fn a_layer_may_be_any_upper_that_was() {
    needs!(Redirects);
    let m = Mount::of("layer 1\nfile d/a \"a\"\nfile d/b \"b\"\nfile e/c \"c\"\nfile f \"f\"\n");
    fs::rename(m.at("d"), m.at("moved")).unwrap();
    fs::remove_file(m.at("moved/b")).unwrap();
    fs::write(m.at("moved/a"), "changed").unwrap();
    fs::remove_dir_all(m.at("e")).unwrap();
    fs::create_dir(m.at("e")).unwrap();
    fs::remove_file(m.at("f")).unwrap();
    let upper = m.unmount();
    let mut layers = Setup::text("layer 1\ndir x\nlayer 2\ndir x\n").build();
    layers.replace_lower(1, upper.lower(1, ""));
    layers.replace_lower(2, upper.upper(""));
    let m = layers.mounted();
    assert_eq!(m.names("."), ["e", "moved"]);
    assert_eq!(m.names("moved"), ["a"]);
    assert_eq!(m.text("moved/a"), "changed");
    assert_eq!(m.names("e"), [""; 0]);
    fs::rename(m.at("moved"), m.at("e/again")).unwrap();
    assert_eq!(m.text("e/again/a"), "changed");
    let m = m.remount();
    assert_eq!(m.names("e/again"), ["a"]);
    drop(m);
}

#[test]
fn an_opaque_mark_of_another_value_is_damage() {
    let m = Mount::of(
        "layer 1\nfile d/old \"old\"\nfile good \"1\"\nlayer 2\nfile d/new \"new\"\nxattr d overlay.opaque \"z\"\n",
    );
    match Backend::current() {
        Backend::Lamina => {
            assert_eq!(errno(fs::metadata(m.at("d"))), Errno::EIO);
            assert_eq!(errno(fs::metadata(m.at("d/new"))), Errno::EIO);
        }
        // It knows y and x, and takes everything else for no mark at all.
        Backend::Kernel => assert_eq!(m.names("d"), ["new", "old"]),
    }
    assert_eq!(m.text("good"), "1");
    assert_eq!(m.names("."), ["d", "good"]);
}

#[test]
fn marks_of_both_namespaces_are_read() {
    needs!(Lamina, Root);
    let m = Mount::of(
        "layer 1\nfile t/old \"t\"\nfile u/old \"u\"\nfile from/f \"f\"\nfile w/gone \"w\"\n\
         layer 2\nfile t/new \"t\"\nxattr t trusted.overlay.opaque \"y\"\n\
         file u/new \"u\"\nxattr u user.overlay.opaque \"y\"\ndir to\nxattr to user.overlay.redirect \"/from\"\n\
         dir w\nxattr w user.overlay.opaque \"x\"\nfile w/gone\nxattr w/gone user.overlay.whiteout \"y\"\n",
    );
    assert_eq!((m.names("t"), m.names("u")), (vec!["new".to_owned()], vec!["new".to_owned()]));
    assert_eq!(m.names("to"), ["f"]);
    assert_eq!(m.names("w"), [""; 0]);
    assert!(m.absent("w/gone"));
    // What is read is shown to nobody.
    for path in ["t", "u", "to", "w"] {
        assert_eq!(sys::list_xattr(&m.at(path)).unwrap(), [b""; 0], "{path}");
    }
}

/// The names of all attributes in a tree of the upper that begin as marks do.
fn marks(path: &std::path::Path, into: &mut Vec<String>) {
    let names = sys::list_xattr(path).unwrap().into_iter().map(|name| String::from_utf8(name).unwrap());
    into.extend(names.filter(|name| name.contains(".overlay.")));
    if path.symlink_metadata().unwrap().is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| marks(&entry.unwrap().path(), into));
    }
}

#[test]
fn marks_are_written_in_one_namespace() {
    needs!(Redirects);
    let m = Mount::of("layer 1\nfile d/one \"1\"\nfile e/two \"2\"\nfile f \"f\"\nsymlink s f\n");
    fs::write(m.at("f"), "copied").unwrap();
    fs::rename(m.at("s"), m.at("t")).unwrap();
    fs::rename(m.at("d"), m.at("moved")).unwrap();
    fs::remove_dir_all(m.at("e")).unwrap();
    fs::create_dir(m.at("e")).unwrap();
    let mut all = Vec::new();
    marks(&m.upper(""), &mut all);
    let prefix = std::str::from_utf8(Powers::detect().overlay_prefix()).unwrap();
    for mark in ["origin", "redirect", "opaque"] {
        assert!(all.contains(&format!("{prefix}{mark}")), "{mark} in {all:?}");
    }
    assert!(all.iter().all(|name| name.starts_with(prefix)), "{all:?}");
    assert!(m.whiteout_in_upper("d"), "a whiteout is a device, whoever makes it");
}
