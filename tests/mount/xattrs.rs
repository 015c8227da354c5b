//! Extended attributes: kept, and with the overlay's own neither seen nor made by users.

use std::fs;

use crate::needs;
use crate::support::fixtures::Powers;
use crate::support::sys::{self, SetXattr};
use crate::support::{Errno, Mount, Setup, Who, errno};

fn set(m: &Mount, path: &str, name: &str, value: &[u8]) -> nix::Result<()> {
    sys::set_xattr(&m.at(path), name.as_bytes(), value, SetXattr::Always)
}

fn get(m: &Mount, path: &str, name: &str) -> nix::Result<Vec<u8>> {
    sys::get_xattr(&m.at(path), name.as_bytes())
}

fn list(m: &Mount, path: &str) -> Vec<String> {
    let names = sys::list_xattr(&m.at(path)).unwrap();
    names.into_iter().map(|name| String::from_utf8(name).unwrap()).collect()
}

#[test]
fn lower_attributes_are_shown() {
    let m = Setup::named("kinds").mount();
    assert_eq!(list(&m, "xattrs"), ["user.binary", "user.empty", "user.text"]);
    assert_eq!(get(&m, "xattrs", "user.text").unwrap(), b"some text");
    assert_eq!(get(&m, "xattrs", "user.binary").unwrap(), [0, 255, 0]);
    assert_eq!(get(&m, "xattrs", "user.empty").unwrap(), b"");
    assert_eq!(errno(get(&m, "xattrs", "user.none")), Errno::ENODATA);
    assert_eq!(get(&m, "dir", "user.dir").unwrap(), b"on the directory");
}

#[test]
fn sizes_are_asked_for_and_kept_to() {
    let m = Setup::named("kinds").mount();
    let path = m.at("xattrs");
    assert_eq!(sys::get_xattr_into(&path, b"user.text", &mut []), Ok(9));
    assert_eq!(sys::get_xattr_into(&path, b"user.text", &mut [0; 8]), Err(Errno::ERANGE));
    assert_eq!(sys::get_xattr_into(&path, b"user.text", &mut [0; 9]), Ok(9));
}

#[test]
fn setting_changes_and_removes() {
    let m = Setup::named("kinds").mount();
    set(&m, "xattrs", "user.text", b"changed").unwrap();
    set(&m, "xattrs", "user.new", b"new").unwrap();
    set(&m, "dir", "user.new", b"new").unwrap();
    sys::remove_xattr(&m.at("xattrs"), b"user.binary").unwrap();
    assert_eq!(errno(sys::remove_xattr(&m.at("xattrs"), b"user.binary")), Errno::ENODATA);
    let m = m.remount();
    assert_eq!(list(&m, "xattrs"), ["user.empty", "user.new", "user.text"]);
    assert_eq!(get(&m, "xattrs", "user.text").unwrap(), b"changed");
    assert_eq!(get(&m, "dir", "user.new").unwrap(), b"new");
    assert_eq!(m.text("xattrs"), "xattrs\n");
}

#[test]
fn creating_and_replacing_are_told_apart() {
    let m = Setup::named("kinds").mount();
    let with = |name: &str, how| sys::set_xattr(&m.at("xattrs"), name.as_bytes(), b"x", how);
    assert_eq!(errno(with("user.text", SetXattr::Create)), Errno::EEXIST);
    assert_eq!(errno(with("user.none", SetXattr::Replace)), Errno::ENODATA);
    with("user.none", SetXattr::Create).unwrap();
    with("user.none", SetXattr::Replace).unwrap();
    assert_eq!(get(&m, "xattrs", "user.text").unwrap(), b"some text");
}

#[test]
fn failing_to_change_copies_nothing() {
    let m = Setup::named("kinds").mount();
    assert_eq!(errno(sys::remove_xattr(&m.at("xattrs"), b"user.none")), Errno::ENODATA);
    assert!(m.absent_in_upper("xattrs"));
}

#[test]
fn symlinks_have_no_user_attributes() {
    let m = Setup::named("kinds").mount();
    assert_eq!(errno(set(&m, "link", "user.x", b"y")), Errno::EPERM);
    assert_eq!(errno(set(&m, "fifo", "user.x", b"y")), Errno::EPERM);
    assert_eq!(list(&m, "link"), [""; 0]);
}

#[test]
fn trusted_attributes_are_kept() {
    needs!(Root);
    let m = Mount::of(
        "layer 1\nfile f \"x\"\nsymlink s f\nxattr f trusted.mine \"1\"\nxattr s trusted.mine \"2\"\n",
    );
    assert_eq!(get(&m, "f", "trusted.mine").unwrap(), b"1");
    assert_eq!(get(&m, "s", "trusted.mine").unwrap(), b"2");
    set(&m, "f", "trusted.other", b"3").unwrap();
    set(&m, "s", "trusted.other", b"4").unwrap();
    let m = m.remount();
    assert_eq!(list(&m, "f"), ["trusted.mine", "trusted.other"]);
    assert_eq!(list(&m, "s"), ["trusted.mine", "trusted.other"]);
    crate::support::as_user(64_321, 64_321, || assert_eq!(list(&m, "f"), [""; 0]));
}

/// Nothing of the overlay's own is shown, in whatever state a name is.
#[test]
fn markers_are_hidden() {
    let m = Mount::of(
        "layer 1\nfile f \"x\"\nfile d/one \"1\"\nfile o/old \"x\"\nfile r/x \"x\"\n\
         layer 2\ndir o\nopaque o\ndir q\nredirect q /r\nimpure q\n",
    );
    fs::write(m.at("f"), "copied").unwrap();
    fs::write(m.at("d/two"), "2").unwrap();
    fs::create_dir(m.at("d/made")).unwrap();
    if Who::current() == Who::Root {
        fs::rename(m.at("d"), m.at("e")).unwrap();
        assert_eq!(list(&m, "e"), [""; 0]);
        assert_eq!(errno(get(&m, "e", "trusted.overlay.redirect")), Errno::ENODATA);
    }
    let prefix = std::str::from_utf8(Powers::detect().overlay_prefix()).unwrap();
    for path in [".", "f", "o"] {
        assert_eq!(list(&m, path), [""; 0], "{path}");
        for marker in ["opaque", "origin", "impure", "redirect", "metacopy"] {
            assert_eq!(errno(get(&m, path, &format!("{prefix}{marker}"))), Errno::ENODATA, "{path} {marker}");
        }
    }
}

#[test]
fn a_users_own_overlay_names_are_escaped() {
    needs!(Capabilities);
    let m = Mount::of("layer 1\nfile d/old \"old\"\nfile f \"f\"\n");
    let prefix = std::str::from_utf8(Powers::detect().overlay_prefix()).unwrap().to_owned();
    let opaque = format!("{prefix}opaque");
    set(&m, "d", &opaque, b"y").unwrap();
    assert_eq!(get(&m, "d", &opaque).unwrap(), b"y");
    assert_eq!(list(&m, "d"), [opaque.as_str()]);
    assert_eq!(m.names("d"), ["old"], "it is no marker");
    let escaped = format!("{prefix}overlay.opaque");
    assert_eq!(sys::get_xattr(&m.upper("d"), escaped.as_bytes()).unwrap(), b"y");
    set(&m, "f", &format!("{prefix}whiteout"), b"y").unwrap();
    let m = m.remount();
    assert_eq!(get(&m, "d", &opaque).unwrap(), b"y");
    assert_eq!(m.names("d"), ["old"]);
    assert_eq!(m.text("f"), "f");
    sys::remove_xattr(&m.at("d"), opaque.as_bytes()).unwrap();
    assert_eq!(errno(get(&m, "d", &opaque)), Errno::ENODATA);
    assert_eq!(list(&m, "d"), [""; 0]);
}

#[test]
fn large_values_and_many_names() {
    let m = Mount::of("layer 1\nfile f \"x\"\n");
    // What fits is the file system's: one block on ext4.
    let large = vec![b'v'; 2000];
    set(&m, "f", "user.large", &large).unwrap();
    for n in 0..20 {
        set(&m, "f", &format!("user.many-{n:02}"), b"v").unwrap();
    }
    let m = m.remount();
    assert_eq!(get(&m, "f", "user.large").unwrap(), large);
    assert_eq!(list(&m, "f").len(), 21);
}

#[test]
fn writing_attributes_needs_the_right_to() {
    needs!(Root);
    let m = Mount::of(
        "layer 1\nfile f \"x\" mode=644\nfile hidden \"x\" mode=600\nxattr f user.a \"1\"\nxattr hidden user.a \"1\"\n",
    );
    crate::support::as_user(64_321, 64_321, || {
        assert_eq!(get(&m, "f", "user.a").unwrap(), b"1");
        assert_eq!(errno(set(&m, "f", "user.a", b"2")), Errno::EACCES);
        assert_eq!(errno(get(&m, "hidden", "user.a")), Errno::EACCES);
        assert_eq!(errno(set(&m, "f", "trusted.a", b"2")), Errno::EPERM);
    });
}
