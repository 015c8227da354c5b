//! Renaming.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use crate::needs;
use crate::support::sys::rename_with;
use crate::support::{Errno, Mount, Setup, as_user, errno};

const LOWER: &str = "layer 1\nfile f \"f\"\nfile g \"g\"\nfile d/one \"1\"\nfile d/sub/deep \"deep\"\nfile e/x \"x\"\n\
                     dir empty\nsymlink s f\nlayer 2\nfile d/two \"2\"\n";

fn rename(m: &Mount, from: &str, to: &str) -> std::io::Result<()> {
    fs::rename(m.at(from), m.at(to))
}

fn flags(m: &Mount, from: &str, to: &str, flags: u32) -> nix::Result<()> {
    rename_with(&m.at(from), &m.at(to), flags)
}

#[test]
fn a_lower_file_moves() {
    needs!(StableNumbers);
    let m = Mount::of(LOWER);
    let ino = m.stat("f").ino();
    rename(&m, "f", "d/moved").unwrap();
    assert!(m.absent("f") && m.whiteout_in_upper("f"));
    assert_eq!(m.text("d/moved"), "f");
    assert_eq!(m.stat("d/moved").ino(), ino);
    let m = m.remount();
    assert!(m.absent("f"));
    assert_eq!(m.text("d/moved"), "f");
    assert_eq!(m.stat("d/moved").ino(), ino);
}

#[test]
fn a_pure_upper_file_leaves_nothing_behind() {
    let m = Mount::of(LOWER);
    fs::write(m.at("new"), "new").unwrap();
    rename(&m, "new", "newer").unwrap();
    assert!(m.absent("new") && m.absent_in_upper("new"));
    assert_eq!(m.text("newer"), "new");
}

#[test]
fn a_file_replaces_a_file() {
    let m = Mount::of(LOWER);
    let held = fs::File::open(m.at("g")).unwrap();
    rename(&m, "f", "g").unwrap();
    assert_eq!(m.text("g"), "f");
    assert_eq!(std::io::read_to_string(held).unwrap(), "g", "who held the replaced file keeps it");
    fs::write(m.at("new"), "new").unwrap();
    rename(&m, "new", "g").unwrap();
    assert_eq!(m.text("g"), "new");
    rename(&m, "g", "d/one").unwrap();
    assert!(m.absent("g") && m.whiteout_in_upper("g"));
    let m = m.remount();
    assert_eq!(m.text("d/one"), "new");
    assert!(m.absent("f") && m.absent("g"));
}

#[test]
fn a_file_takes_a_deleted_name() {
    let m = Mount::of(LOWER);
    fs::remove_file(m.at("g")).unwrap();
    rename(&m, "f", "g").unwrap();
    assert_eq!(m.text("g"), "f");
    fs::remove_dir(m.at("empty")).unwrap();
    fs::write(m.at("new"), "new").unwrap();
    rename(&m, "new", "empty").unwrap();
    let m = m.remount();
    assert_eq!((m.text("g"), m.text("empty")), ("f".into(), "new".into()));
}

#[test]
fn a_symlink_is_renamed_itself() {
    let m = Mount::of(LOWER);
    rename(&m, "s", "d/t").unwrap();
    assert_eq!(fs::read_link(m.at("d/t")).unwrap().to_str(), Some("f"));
    assert!(m.absent("s"));
}

#[test]
fn a_pure_upper_directory_moves_with_all_it_has() {
    let m = Mount::of(LOWER);
    fs::create_dir_all(m.at("new/a/b")).unwrap();
    fs::write(m.at("new/a/b/f"), "x").unwrap();
    rename(&m, "new", "d/newer").unwrap();
    assert!(m.absent("new") && m.absent_in_upper("new"));
    assert_eq!(m.text("d/newer/a/b/f"), "x");
    let m = m.remount();
    assert_eq!(m.text("d/newer/a/b/f"), "x");
}

#[test]
fn a_merged_directory_moves_by_a_redirect() {
    needs!(Redirects);
    let m = Mount::of(LOWER);
    fs::write(m.at("d/three"), "3").unwrap();
    let ino = m.stat("d/one").ino();
    rename(&m, "d", "moved").unwrap();
    assert!(m.absent("d") && m.whiteout_in_upper("d"));
    assert_eq!(m.names("moved"), ["one", "sub", "three", "two"]);
    assert_eq!(m.text("moved/sub/deep"), "deep");
    assert_eq!(m.stat("moved/one").ino(), ino);
    assert!(m.absent_in_upper("moved/one"), "nothing was copied");
    // In one directory the sibling's name is enough.
    assert_eq!(m.marker_in_upper("moved", "redirect").as_deref(), Some(&b"d"[..]));
    rename(&m, "moved", "e/further").unwrap();
    assert_eq!(m.marker_in_upper("e/further", "redirect").as_deref(), Some(&b"/d"[..]));
    assert!(m.absent_in_upper("moved"), "the name in between had nothing below");
    let m = m.remount();
    assert!(m.absent("d") && m.absent("moved"));
    assert_eq!(m.names("e/further"), ["one", "sub", "three", "two"]);
    assert_eq!((m.text("e/further/two"), m.text("e/further/three")), ("2".into(), "3".into()));
    // It stays a merged directory: what changes in it is copied up, what goes leaves a whiteout.
    fs::write(m.at("e/further/one"), "changed").unwrap();
    fs::remove_file(m.at("e/further/two")).unwrap();
    fs::write(m.at("e/further/sub/new"), "new").unwrap();
    let m = m.remount();
    assert_eq!(m.names("e/further"), ["one", "sub", "three"]);
    assert_eq!(m.names("e/further/sub"), ["deep", "new"]);
    assert_eq!(m.text("e/further/one"), "changed");
}

#[test]
fn a_directory_below_a_moved_one_moves_on() {
    needs!(Redirects);
    let m = Mount::of("layer 1\nfile a/b/c/f \"f\"\ndir x\n");
    rename(&m, "a/b", "x/b2").unwrap();
    rename(&m, "x/b2/c", "c2").unwrap();
    assert_eq!(m.marker_in_upper("c2", "redirect").as_deref(), Some(&b"/a/b/c"[..]));
    assert_eq!(m.text("c2/f"), "f");
    let m = m.remount();
    assert_eq!(m.text("c2/f"), "f");
    assert_eq!(m.names("x/b2"), [""; 0]);
    assert_eq!(m.names("a"), [""; 0]);
}

#[test]
fn a_merged_directory_goes_back_home() {
    needs!(Redirects);
    let m = Mount::of(LOWER);
    rename(&m, "d", "away").unwrap();
    rename(&m, "away", "d").unwrap();
    assert_eq!(m.names("d"), ["one", "sub", "two"]);
    assert!(m.absent("away"));
    let m = m.remount();
    assert_eq!(m.names("d"), ["one", "sub", "two"]);
    assert_eq!(m.names("."), ["d", "e", "empty", "f", "g", "s"]);
}

#[test]
fn a_new_directory_in_the_old_place_is_empty() {
    needs!(Redirects);
    let m = Mount::of(LOWER);
    rename(&m, "d", "moved").unwrap();
    fs::create_dir(m.at("d")).unwrap();
    assert_eq!(m.names("d"), [""; 0]);
    fs::write(m.at("d/one"), "other").unwrap();
    let m = m.remount();
    assert_eq!((m.text("d/one"), m.text("moved/one")), ("other".into(), "1".into()));
    assert_eq!(m.names("d"), ["one"]);
}

#[test]
fn without_redirects_a_merged_directory_does_not_move() {
    needs!(Redirects);
    let m = Setup::text(LOWER).options("redirect_dir=follow").mount();
    assert_eq!(errno(rename(&m, "d", "moved")), Errno::EXDEV);
    assert_eq!(errno(rename(&m, "empty", "moved")), Errno::EXDEV);
    assert_eq!(m.names("d"), ["one", "sub", "two"]);
    fs::create_dir(m.at("pure")).unwrap();
    rename(&m, "pure", "moved").unwrap();
    rename(&m, "f", "moved/f").unwrap();
    // mv(1) then copies.
    let output = std::process::Command::new("mv").arg(m.at("d")).arg(m.at("copied")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(m.names("copied"), ["one", "sub", "two"]);
    assert!(m.absent("d"));
}

#[test]
fn a_redirect_that_would_be_too_long_is_refused() {
    needs!(Redirects);
    let long = "n".repeat(200);
    let m = Setup::text(&format!("layer 1\nfile {long}/{long}/d/f \"f\"\ndir x\n")).mount();
    assert_eq!(errno(rename(&m, &format!("{long}/{long}/d"), "x/d")), Errno::EXDEV);
    assert_eq!(m.text(&format!("{long}/{long}/d/f")), "f");
    // Beside itself the short form does.
    rename(&m, &format!("{long}/{long}/d"), &format!("{long}/{long}/e")).unwrap();
    assert_eq!(m.text(&format!("{long}/{long}/e/f")), "f");
}

#[test]
fn a_directory_replaces_only_an_empty_one() {
    needs!(Redirects);
    let m = Mount::of(LOWER);
    assert_eq!(errno(rename(&m, "e", "d")), Errno::ENOTEMPTY);
    assert_eq!(errno(rename(&m, "e", "f")), Errno::ENOTDIR);
    assert_eq!(errno(rename(&m, "f", "e")), Errno::EISDIR);
    rename(&m, "e", "empty").unwrap();
    assert_eq!(m.names("empty"), ["x"]);
    for name in ["one", "two", "sub/deep"] {
        fs::remove_file(m.at("d").join(name)).unwrap();
    }
    fs::remove_dir(m.at("d/sub")).unwrap();
    // Its upper part is full of whiteouts, to users it is empty.
    rename(&m, "empty", "d").unwrap();
    assert_eq!(m.names("d"), ["x"]);
    fs::create_dir(m.at("pure")).unwrap();
    fs::create_dir(m.at("other")).unwrap();
    rename(&m, "pure", "other").unwrap();
    let m = m.remount();
    assert_eq!(m.names("d"), ["x"]);
    assert!(m.absent("e") && m.absent("empty") && m.absent("pure"));
}

#[test]
fn a_pure_directory_over_a_deleted_merged_one_hides_it() {
    let m = Mount::of(LOWER);
    fs::remove_dir_all(m.at("d")).unwrap();
    fs::create_dir(m.at("new")).unwrap();
    fs::write(m.at("new/f"), "x").unwrap();
    rename(&m, "new", "d").unwrap();
    assert_eq!(m.names("d"), ["f"]);
    let m = m.remount();
    assert_eq!(m.names("d"), ["f"]);
}

#[test]
fn a_pure_directory_over_an_emptied_merged_one_hides_it() {
    let m = Mount::of(LOWER);
    fs::remove_file(m.at("e/x")).unwrap();
    fs::create_dir(m.at("new")).unwrap();
    fs::write(m.at("new/f"), "x").unwrap();
    rename(&m, "new", "e").unwrap();
    assert_eq!(m.names("e"), ["f"]);
    let m = m.remount();
    assert_eq!(m.names("e"), ["f"]);
}

#[test]
fn a_pure_directory_moved_into_a_place_with_lower_names_shows_none_of_them() {
    let m = Mount::of("layer 1\nfile d/sub/old \"old\"\n");
    fs::create_dir_all(m.at("new/sub")).unwrap();
    fs::write(m.at("new/sub/f"), "x").unwrap();
    fs::remove_dir_all(m.at("d")).unwrap();
    rename(&m, "new", "d").unwrap();
    assert_eq!(m.names("d/sub"), ["f"]);
    let m = m.remount();
    assert_eq!(m.names("d/sub"), ["f"]);
}

#[test]
fn noreplace_refuses_what_exists() {
    let m = Mount::of(LOWER);
    fs::write(m.at("new"), "new").unwrap();
    for to in ["g", "d", "new", "s"] {
        assert_eq!(errno(flags(&m, "f", to, libc::RENAME_NOREPLACE)), Errno::EEXIST, "{to}");
    }
    assert_eq!(errno(flags(&m, "f", "f", libc::RENAME_NOREPLACE)), Errno::EEXIST);
    flags(&m, "f", "fresh", libc::RENAME_NOREPLACE).unwrap();
    assert_eq!(m.text("fresh"), "f");
    fs::remove_file(m.at("g")).unwrap();
    flags(&m, "fresh", "g", libc::RENAME_NOREPLACE).unwrap();
    assert_eq!(m.text("g"), "f");
}

#[test]
fn exchange_swaps_files() {
    let m = Mount::of(LOWER);
    let (f, g) = (m.stat("f").ino(), m.stat("g").ino());
    flags(&m, "f", "g", libc::RENAME_EXCHANGE).unwrap();
    assert_eq!((m.text("f"), m.text("g")), ("g".into(), "f".into()));
    assert_eq!((m.stat("f").ino(), m.stat("g").ino()), (g, f));
    fs::write(m.at("new"), "new").unwrap();
    flags(&m, "new", "d/one", libc::RENAME_EXCHANGE).unwrap();
    assert_eq!((m.text("new"), m.text("d/one")), ("1".into(), "new".into()));
    let m = m.remount();
    assert_eq!((m.text("f"), m.text("g")), ("g".into(), "f".into()));
    assert_eq!((m.text("new"), m.text("d/one")), ("1".into(), "new".into()));
    assert_eq!(errno(flags(&m, "f", "none", libc::RENAME_EXCHANGE)), Errno::ENOENT);
}

#[test]
fn exchange_swaps_directories_and_kinds() {
    needs!(Redirects);
    let m = Mount::of(LOWER);
    flags(&m, "d", "e", libc::RENAME_EXCHANGE).unwrap();
    assert_eq!(m.names("e"), ["one", "sub", "two"]);
    assert_eq!(m.names("d"), ["x"]);
    let m = m.remount();
    assert_eq!(m.names("e"), ["one", "sub", "two"]);
    assert_eq!(m.names("d"), ["x"]);
    // A file and a merged directory, a pure and a merged one.
    flags(&m, "f", "e", libc::RENAME_EXCHANGE).unwrap();
    assert_eq!((m.names("f"), m.text("e")), (vec!["one".into(), "sub".into(), "two".into()], "f".into()));
    fs::create_dir(m.at("pure")).unwrap();
    fs::write(m.at("pure/p"), "p").unwrap();
    flags(&m, "pure", "d", libc::RENAME_EXCHANGE).unwrap();
    let m = m.remount();
    assert_eq!((m.names("f"), m.text("e")), (vec!["one".into(), "sub".into(), "two".into()], "f".into()));
    assert_eq!((m.names("pure"), m.names("d")), (vec!["x".to_owned()], vec!["p".to_owned()]));
    assert_eq!(m.text("f/sub/deep"), "deep");
}

#[test]
fn nobody_makes_a_whiteout_by_renaming() {
    let m = Mount::of(LOWER);
    assert_eq!(errno(flags(&m, "f", "x", libc::RENAME_WHITEOUT)), Errno::EINVAL);
    let both = libc::RENAME_EXCHANGE | libc::RENAME_NOREPLACE;
    assert_eq!(errno(flags(&m, "f", "g", both)), Errno::EINVAL);
    assert_eq!(m.text("f"), "f");
}

#[test]
fn what_cannot_be_is_refused() {
    needs!(Redirects);
    let m = Mount::of(LOWER);
    assert_eq!(errno(rename(&m, "d", "d/sub/d")), Errno::EINVAL);
    assert_eq!(errno(rename(&m, "none", "x")), Errno::ENOENT);
    assert_eq!(errno(rename(&m, "f", "none/x")), Errno::ENOENT);
    assert_eq!(errno(rename(&m, "f", "g/x")), Errno::ENOTDIR);
    assert_eq!(errno(rename(&m, "d/sub", "d")), Errno::ENOTEMPTY);
    rename(&m, "f", "f").unwrap();
    rename(&m, "d", "d").unwrap();
    assert_eq!(m.text("f"), "f");
}

#[test]
fn an_open_file_follows_its_name() {
    let m = Mount::of(LOWER);
    let mut file = OpenOptions::new().append(true).open(m.at("f")).unwrap();
    rename(&m, "f", "d/moved").unwrap();
    file.write_all(b"+").unwrap();
    assert_eq!(m.text("d/moved"), "f+");
    fs::write(m.at("f"), "another").unwrap();
    file.write_all(b"+").unwrap();
    assert_eq!((m.text("f"), m.text("d/moved")), ("another".into(), "f++".into()));
}

#[test]
fn an_open_directory_follows_its_name() {
    needs!(Redirects);
    let m = Mount::of(LOWER);
    let dir = fs::File::open(m.at("d")).unwrap();
    rename(&m, "d", "e/moved").unwrap();
    use std::os::fd::AsFd;
    let flags = nix::fcntl::OFlag::O_CREAT | nix::fcntl::OFlag::O_WRONLY;
    nix::fcntl::openat(dir.as_fd(), "made", flags, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(m.names("e/moved"), ["made", "one", "sub", "two"]);
    assert_eq!(
        nix::sys::stat::fstatat(dir.as_fd(), "..", nix::fcntl::AtFlags::empty()).unwrap().st_ino,
        m.stat("e").ino()
    );
}

#[test]
fn moving_a_directory_needs_the_right_to_write_into_it() {
    needs!(Root, Redirects);
    // A directory whose `..` changes must be writable by who moves it.
    let m = Mount::of(
        "layer 1\ndir a mode=777\ndir b mode=777\ndir a/theirs mode=755 owner=64321:64321\nfile a/theirs/f \"f\"\n\
         dir a/other mode=555 owner=64321:64321\n",
    );
    as_user(64_321, 64_321, || {
        rename(&m, "a/theirs", "b/theirs").unwrap();
        assert_eq!(errno(rename(&m, "a/other", "b/other")), Errno::EACCES);
        rename(&m, "a/other", "a/same-parent").unwrap();
    });
    assert_eq!(m.text("b/theirs/f"), "f");
    let meta = m.stat("b/theirs");
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (64_321, 64_321, 0o755));
}
