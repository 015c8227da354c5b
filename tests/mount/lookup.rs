//! Finding names.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use crate::needs;
use crate::support::{Errno, Mount, Setup, errno};

#[test]
fn names_are_bytes() {
    let m = Setup::named("names").mount();
    let long = [b'n'; 255];
    let table: [(&[u8], &str); 8] = [
        (b"\xff\xfe", "not UTF-8\n"),
        (b"caf\xc3\xa9", "UTF-8\n"),
        (b"new\nline", "newline\n"),
        (b"with space", "space\n"),
        (b"-rf", "dash\n"),
        (b"back\\slash", "backslash\n"),
        (b"colon:comma,", "separators\n"),
        (&long, "over 255 bytes\n"),
    ];
    for (name, content) in table {
        let path = m.at(OsStr::from_bytes(name));
        assert_eq!(fs::read_to_string(&path).unwrap(), content, "{}", name.escape_ascii());
    }
    let gone = m.at(OsStr::from_bytes(b"caf\xe9"));
    assert_eq!(errno(fs::metadata(gone)), Errno::ENOENT);
    let link = fs::read_link(m.at(OsStr::from_bytes(b"\x01"))).unwrap();
    assert_eq!(link.as_os_str().as_bytes(), b"\xff\xfe");
    let deep = m.at(OsStr::from_bytes(b"dir\xff")).join(OsStr::from_bytes(&[b'd'; 255])).join("x");
    assert_eq!(fs::read_to_string(deep).unwrap(), "deep\n");
    assert_eq!(
        m.names("."),
        [
            "-rf",
            "\\x01",
            "\\xf0\\x9f\\x98\\x80",
            "\\xff\\xfe",
            "back\\\\slash",
            "caf\\xc3\\xa9",
            "colon:comma,",
            "dir\\xff",
            "new\\nline",
            &"n".repeat(255),
            "with space",
        ]
    );
    // And they are written as bytes too.
    fs::write(m.at(OsStr::from_bytes(b"made\xfe")), "x").unwrap();
    assert!(m.upper("").join(OsStr::from_bytes(b"made\xfe")).exists());
}

#[test]
fn a_name_has_up_to_255_bytes() {
    let m = Mount::of("layer 1\ndir d\n");
    let longest = "x".repeat(255);
    fs::write(m.at("d").join(&longest), "long").unwrap();
    assert_eq!(m.names("d"), [longest.as_str()]);
    assert!(m.upper("d").join(&longest).exists());
    let too_long = "x".repeat(256);
    assert_eq!(errno(fs::symlink_metadata(m.at(&too_long))), Errno::ENAMETOOLONG);
    assert_eq!(errno(fs::write(m.at(&too_long), "")), Errno::ENAMETOOLONG);
    assert_eq!(errno(fs::create_dir(m.at(&too_long))), Errno::ENAMETOOLONG);
    assert_eq!(errno(fs::rename(m.at("d"), m.at(&too_long))), Errno::ENAMETOOLONG);
    // Deleting a lower name of 255 bytes needs a marker that has room for it.
    let m = Setup::named("names").mount();
    let name = "n".repeat(255);
    fs::remove_file(m.at(&name)).unwrap();
    assert!(m.absent(&name));
    assert!(m.whiteout_in_upper(&name));
}

#[test]
fn what_does_not_exist_is_noticed_when_it_does() {
    let m = Mount::of("layer 1\nfile f \"1\"\n");
    for _ in 0..2 {
        assert_eq!(errno(fs::metadata(m.at("new"))), Errno::ENOENT);
    }
    fs::write(m.at("new"), "now").unwrap();
    assert_eq!(m.text("new"), "now");
    fs::remove_file(m.at("new")).unwrap();
    assert_eq!(errno(fs::metadata(m.at("new"))), Errno::ENOENT);
    fs::create_dir(m.at("new")).unwrap();
    assert!(m.stat("new").is_dir());
    assert_eq!(errno(fs::metadata(m.at("to"))), Errno::ENOENT);
    fs::rename(m.at("new"), m.at("to")).unwrap();
    assert!(m.stat("to").is_dir() && m.absent("new"));
    assert_eq!(errno(fs::metadata(m.at("linked"))), Errno::ENOENT);
    fs::hard_link(m.at("f"), m.at("linked")).unwrap();
    assert_eq!(m.text("linked"), "1");
}

#[test]
fn below_a_file_there_is_nothing() {
    let m = Mount::of("layer 1\nfile f \"1\"\nsymlink loop loop\n");
    assert_eq!(errno(fs::metadata(m.at("f/x"))), Errno::ENOTDIR);
    assert_eq!(errno(fs::read(m.at("loop"))), Errno::ELOOP);
}

#[test]
fn the_upper_kind_of_a_name_wins_and_ends_the_search() {
    let m = Setup::named("types").mount();
    assert_eq!(m.text("dir-under-file"), "2\n");
    assert_eq!(m.names("file-under-dir"), ["inside"]);
    assert_eq!(m.names("link-under-dir"), ["inside"]);
    assert!(!m.stat("link-under-dir").is_symlink());
    assert_eq!(fs::read_link(m.at("dir-under-link")).unwrap().as_os_str(), "elsewhere");
    assert_eq!(m.names("dir-under-link"), ["x"]);
    assert_eq!(m.names("sandwich"), ["top"]);
    assert_eq!(m.text("fifo-under-file"), "2\n");
}

#[test]
fn many_layers_are_one_tree() {
    let m = Setup::named("deep").mount();
    assert_eq!(m.text("common"), "24\n");
    assert_eq!(m.stat("common").mtime(), 1024);
    let all: Vec<String> = (1..=24).map(|n| format!("{n:02}")).collect();
    assert_eq!(m.names("each"), all);
    assert_eq!(m.names("d/d/d"), all);
    assert_eq!(m.names("gone"), ["24"]);
    for n in [1, 7, 24] {
        assert_eq!(m.text(&format!("each/{n:02}")), format!("{n}\n"));
    }
}

#[test]
fn a_merged_directory_shows_its_top_layer() {
    needs!(Root);
    let m = Mount::of(
        "layer 1\ndir . mode=700 owner=1:1\ndir d mode=711 owner=5:5 mtime=5\nfile d/one \"1\"\n\
         layer 2\ndir . mode=751 owner=2:3 mtime=99\ndir d mode=1775 owner=6:7 mtime=77.5\n\
         upper\ndir . mode=755 owner=8:9 mtime=111\n",
    );
    let shown = |path: &str| {
        let meta = m.stat(path);
        (meta.mode() & 0o7777, meta.uid(), meta.gid(), meta.mtime())
    };
    assert_eq!(shown("."), (0o755, 8, 9, 111));
    assert_eq!(shown("d"), (0o1775, 6, 7, 77));
    assert_eq!(m.names("d"), ["one"]);
}
