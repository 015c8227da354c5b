//! Tars that want to do harm, or were damaged: each is refused, and told with its entry.

use std::io::{self, Read};

use super::make::pax_records;
use super::*;
use crate::tarball::{NameOf, NameProblem, Problem};

/// Asserts that a tar is refused, that the error names the entry, and what it says.
#[track_caller]
fn is_refused(tar: Tar, entry: &str, says: &str) {
    let error = refused(&tar.end());
    let shown = error.entry.as_ref().map(|name| name.escape_ascii().to_string());
    assert_eq!(shown.as_deref(), Some(entry), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("entry '") && text.contains(says), "{text}");
}

#[test]
fn names_that_lead_out_or_cannot_be() {
    let dotdot = "the name has '..'";
    is_refused(Tar::new().file("../x", b""), "../x", dotdot);
    is_refused(Tar::new().file("a/../x", b""), "a/../x", dotdot);
    is_refused(Tar::new().dir("a/.."), "a/..", dotdot);
    is_refused(Tar::new().dir(".."), "..", dotdot);
    is_refused(Tar::new().file("/../../etc/x", b""), "/../../etc/x", dotdot);
    is_refused(Tar::new().file("", b""), "", "the name is empty");
    is_refused(
        Tar::new().file("/", b"").file("./.", b"x"),
        "./.",
        "it names the root, and is not a directory",
    );
    is_refused(Tar::new().symlink(".", "x"), ".", "it names the root");
    let long = "x".repeat(256);
    is_refused(Tar::new().file(&long, b""), &long, "longer than 255 bytes");
    let long = "x".repeat(5000);
    is_refused(Tar::new().file(&long, b""), &long, "... (5000 bytes)': the name has a part that is longer");
    let long = "d/".repeat(2500);
    is_refused(Tar::new().file(&long, b""), &long, "the name is longer than 4096 bytes");
    is_refused(Tar::new().pax(&[("path", long.as_bytes())]).file("x", b""), &long, "longer than 4096 bytes");
    let long = Tar::new().entry(b'L', b"././@LongLink", b"a\0b\0\0", |_| {}).file("x", b"");
    is_refused(long, "a\\x00b", "the name has a NUL byte");
    assert_eq!(dump(&index(&Tar::new().file(&"x".repeat(255), b"").end())).len(), 2);
    assert_eq!(dump(&index(&Tar::new().dir(&"d/".repeat(2048)).end())).len(), 2049);
}

#[test]
fn targets_that_lead_out_or_cannot_be() {
    is_refused(Tar::new().link("a", "../x"), "a", "the target of the hard link has '..'");
    is_refused(Tar::new().link("a", "/d/../../x"), "a", "the target of the hard link has '..'");
    is_refused(Tar::new().link("a", ""), "a", "the target of the hard link is empty");
    is_refused(Tar::new().symlink("a", ""), "a", "the target of the symlink is empty");
    is_refused(Tar::new().symlink("a", &"x".repeat(4096)), "a", "the target of the symlink is longer than");
    is_refused(Tar::new().dir("d").link("a", "d"), "a", "it is a hard link to the directory 'd'");
    is_refused(
        Tar::new().file("d/x", b"").link("a", "./d/"),
        "a",
        "it is a hard link to the directory './d/'",
    );
    is_refused(Tar::new().link("a", "/"), "a", "it is a hard link to the directory '/'");
    is_refused(Tar::new().file(".wh.x", b"").link("a", ".wh.x"), "a", "a hard link to the whiteout '.wh.x'");
    is_refused(Tar::new().file("f", b"").link("a", "f/x"), "a", "its parent 'f' is not a directory");
    // A symlink may lead anywhere: only following it stays within.
    becomes(
        Tar::new().symlink("s", "../../../etc").file("s/x", b""),
        &["dir 755 0:0 /etc implied", "file 644 0:0 /etc/x", "symlink 777 0:0 /s -> ../../../etc"],
    );
}

#[test]
fn parents_that_cannot_have_entries() {
    is_refused(Tar::new().file("f", b"").file("f/x", b""), "f/x", "its parent 'f' is not a directory");
    is_refused(Tar::new().file("d/f", b"").dir("d/f/x/y"), "d/f/x/y", "its parent 'd/f' is not a directory");
    is_refused(Tar::new().device(b'3', "n", 1, 3).file("n/.wh.x", b""), "n/.wh.x", "'n' is not a directory");
    is_refused(Tar::new().link("l", "below").file("l/x", b""), "l/x", "its parent 'l' is not a directory");
    is_refused(
        Tar::new().symlink("a", "b").symlink("b", "a").file("a/x", b""),
        "a/x",
        "the name goes through more than 40 symlinks",
    );
    is_refused(
        Tar::new().symlink("a", "a").link("x", "a/y"),
        "x",
        "the target of the hard link goes through",
    );
    is_refused(
        Tar::new().symlink("a", &"y".repeat(300)).file("a/x", b""),
        "a/x",
        "the target of the symlink has a part that is longer",
    );
    // Symlinks lead deeper and deeper, each name short.
    let mut tar = Tar::new().symlink("s0", &"d/".repeat(1000));
    for number in 1..6 {
        tar = tar.symlink(
            &format!("s{}/s{number}", number - 1),
            &format!("/s{}/{}", number - 1, "d/".repeat(1000)),
        );
        tar = tar.symlink(&format!("s{number}"), &format!("s{}/s{number}", number - 1));
    }
    let error = refused(&tar.file("s5/x", b"").end());
    let Problem::Name { problem: NameProblem::TooLong, subject: NameOf::Entry } = error.problem else {
        panic!("{error}")
    };
}

#[test]
fn whiteouts_that_name_nothing() {
    let says = "'.wh.', '.wh..' and '.wh...' name none";
    for name in [".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh.."] {
        is_refused(Tar::new().file(name, b""), name, says);
    }
    is_refused(
        Tar::new().file(".wh.d/x", b""),
        ".wh.d/x",
        "goes through '.wh.d', and a whiteout is not a directory",
    );
    is_refused(Tar::new().file("d/.wh..wh..opq/x", b""), "d/.wh..wh..opq/x", "goes through '.wh..wh..opq'");
}

#[test]
fn whiteouts_of_nothing_are_accepted() {
    becomes(Tar::new().file("no/.wh.such", b""), &["dir 755 0:0 /no implied", "deleted /no/such"]);
}

#[test]
fn types_that_are_no_objects() {
    is_refused(Tar::new().entry(b'M', b"a", b"", |_| {}), "a", "tars of several volumes are not supported");
    for kind in [b'8', b'A', b'N', b'Z', b'\n', 0xff] {
        let says = format!("type '{}' are not supported", [kind].escape_ascii());
        is_refused(Tar::new().entry(kind, b"a", b"", |_| {}), "a", &says);
    }
    is_refused(Tar::new().file("dir/", b"data"), "dir/", "it is a directory and has 4 bytes of data");
}

#[test]
fn numbers_that_are_none_or_too_large() {
    let header = |change: fn(&mut tar::Header)| Tar::new().entry(b'0', b"a", b"", change);
    is_refused(
        header(|h| h.as_old_mut().size = *b"00000000019\0"),
        "a",
        "its size '00000000019\\x00' is not",
    );
    is_refused(header(|h| h.as_old_mut().size = [0xff; 12]), "a", "its size");
    is_refused(
        header(|h| h.as_old_mut().size = *b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"),
        "a",
        "its size",
    );
    is_refused(header(|h| h.as_old_mut().mode = *b"0x644\0\0\0"), "a", "its mode");
    is_refused(header(|h| h.as_old_mut().mtime = *b"yesterday\0\0\0"), "a", "its mtime");
    is_refused(
        header(|h| h.as_old_mut().uid = *b"\x80\0\0\0\xff\xff\xff\xff"),
        "a",
        "its user id 4294967295 is",
    );
    is_refused(
        header(|h| h.as_old_mut().gid = [0xff; 8]),
        "a",
        "its group id -1 is not one that a file can have",
    );
    is_refused(Tar::new().device(b'3', "a", 0x1000, 0), "a", "its device number '4096' is not");
    for (record, says) in [
        (("uid", &b"4294967296"[..]), "its user id 4294967296"),
        (("uid", b"99999999999999999999"), "its user id '99999999999999999999'"),
        (("size", b"-1"), "its size '-1'"),
        (("mtime", b"soon"), "its mtime 'soon'"),
        (("SCHILY.xattr.", b"v"), "its attribute ''"),
        (
            ("LIBARCHIVE.xattr.user.a", b"not base64!"),
            "its attribute 'user.a' has a value that is not base64",
        ),
    ] {
        let error = refused(&Tar::new().pax(&[record]).file("a", b"").end());
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn sizes_beyond_the_data() {
    let lies = |size: u64| Tar::new().entry(b'0', b"a", b"data", move |header| header.set_size(size));
    for size in [2000, 1 << 40, i64::MAX as u64] {
        is_refused(
            lies(size),
            "a",
            &format!("the tar is truncated: {size} bytes should follow here, 1536 are"),
        );
    }
    is_refused(
        Tar::new().pax(&[("size", b"9223372036854775807")]).file("a", b""),
        "a",
        "9223372036854775807 bytes should follow here",
    );
    // A size that is too small makes of data what should be a header.
    let error = refused(&lies(0).end());
    assert!(matches!(error.problem, Problem::Checksum { .. }), "{error}");
    assert_eq!((error.entry, error.offset), (None, 512));
}

#[test]
fn a_tar_that_is_cut_anywhere_but_between_entries() {
    let tar = Tar::new().pax(&[("mtime", b"1")]).file("a", b"data").file(&"n".repeat(150), b"").end();
    let whole = dump(&index(&tar));
    let ends = [0, 2048, 2048 + 3 * 512, 2048 + 4 * 512, 2048 + 5 * 512];
    for len in 0..tar.len() {
        match scan(&tar[..len], &Limits::default()) {
            Ok(scanned) => {
                assert!(ends.contains(&len), "{len}");
                assert_eq!(scanned.index().unwrap().tar_len(), len as u64);
            }
            Err(error) => {
                assert!(!ends.contains(&len) || len == 0, "{len}: {error}");
                let truncated =
                    matches!(error.problem, Problem::Truncated { .. } | Problem::ExtensionWithoutEntry);
                assert!(truncated, "{len}: {error}");
            }
        }
    }
    assert_eq!(whole.len(), 3);
}

#[test]
fn what_is_no_tar() {
    let error = refused(&[b'x'; 4096]);
    assert!(error.to_string().starts_with("at byte 0: this is not the header of an entry"), "{error}");
    let error = refused(b"short");
    assert_eq!(
        error.to_string(),
        "at byte 0: the tar is truncated: 512 bytes should follow here, 5 are there"
    );
    let tar = [Tar::new().file("a", b"").0, vec![0; 512], Tar::new().file("b", b"").0].concat();
    let error = refused(&tar);
    assert!(matches!(error.problem, Problem::LoneZeroBlock), "{error}");
    assert_eq!(error.offset, 512);
}

#[test]
fn extended_headers_that_lie() {
    let large = Tar::new().entry(b'x', b"x", b"", |header| header.set_size((1 << 20) + 1));
    let error = refused(&large.end());
    assert!(matches!(error.problem, Problem::ExtensionTooLarge { size: 1_048_577, .. }), "{error}");
    // Many for one entry are as much as a large one.
    let value = [0; 60_000];
    let mut many = Tar::new();
    for _ in 0..18 {
        many = many.pax(&[("SCHILY.xattr.user.a", &value)]);
    }
    let error = refused(&many.file("x", b"").end());
    assert!(matches!(error.problem, Problem::ExtensionTooLarge { size: 1_080_486, .. }), "{error}");
    let mut many = Tar::new();
    for _ in 0..18 {
        many = many.pax(&[("SCHILY.xattr.user.a", &value)]).file("x", b"");
    }
    assert_eq!(dump(&index(&many.end())).len(), 2);
    let error = refused(&Tar::new().pax(&[("mtime", b"1")]).end());
    assert!(matches!(error.problem, Problem::ExtensionWithoutEntry), "{error}");
    let error = refused(&Tar::new().entry(b'x', b"x", b"99 path=x\n", |_| {}).file("a", b"").end());
    assert!(matches!(error.problem, Problem::PaxRecord { at: 0 }), "{error}");
    let value = [0; 65537];
    let tar = Tar::new().pax(&[("SCHILY.xattr.user.a", &value)]).file("a", b"");
    assert!(refused(&tar.end()).to_string().contains("'user.a' has a value of more than 65536 bytes"));
    for (key, value) in [
        ("path", &b"x"[..]),
        ("linkpath", b"x"),
        ("size", b"1"),
        ("SCHILY.xattr.user.a", b""),
        ("GNU.sparse.size", b"1"),
    ] {
        let tar = Tar::new().entry(b'g', b"g", &pax_records(&[(key, value)]), |_| {}).file("a", b"");
        let error = refused(&tar.end());
        assert!(matches!(error.problem, Problem::GlobalRecord { .. }), "{key}: {error}");
    }
}

#[test]
fn maps_of_sparse_files_that_contradict_themselves() {
    let map = |size: &str, map: &str, data: &[u8]| {
        Tar::new()
            .pax(&[("GNU.sparse.size", size.as_bytes()), ("GNU.sparse.map", map.as_bytes())])
            .file("a", data)
    };
    for (size, text, says) in [
        ("100", "0,4,2,4", "pieces overlap or are not in order"),
        ("100", "50,4,0,4", "pieces overlap or are not in order"),
        ("100", "0,4,97,4", "a piece is beyond the end of the file"),
        ("100", "0,4,9223372036854775807,4", "a piece is beyond the end of the file"),
        ("100", "0,4,9223372036854775808,4", "its sparse map '9223372036854775808' is not"),
        ("100", "0,4", "the pieces are not as long as the data"),
        ("100", "0,9", "the pieces are not as long as the data"),
        ("100", "", "the pieces are not as long as the data"),
        ("100", "0,4,5", "an offset has no length"),
        ("100", "0,x", "its sparse map 'x' is not"),
        ("100", "0,,8", "its sparse map '' is not"),
        ("-1", "0,8", "its sparse size '-1' is not"),
    ] {
        let error = refused(&map(size, text, b"01234567").end());
        assert!(error.to_string().contains(says), "{text}: {error}");
    }
    becomes(map("100", "0,4,96,4,100,0", b"01234567"), &["file 644 0:0 /a"]);
    let version =
        |records: &[(&str, &[u8])], data: &[u8]| refused(&Tar::new().pax(records).file("a", data).end());
    let one = |data: &[u8]| {
        version(
            &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"9")],
            data,
        )
    };
    for (error, says) in [
        (version(&[("GNU.sparse.major", b"2"), ("GNU.sparse.size", b"1")], b""), "its version is not known"),
        (version(&[("GNU.sparse.major", b"1")], b""), "the size of the file is not there"),
        (version(&[("GNU.sparse.numblocks", b"2"), ("GNU.sparse.size", b"1")], b""), "not as many pieces"),
        (version(&[("GNU.sparse.numbytes", b"2")], b""), "do not take turns"),
        (one(b""), "it does not end before the data does"),
        (one(b"1\n0\n"), "it does not end before the data does"),
        (one(&[b'1'; 600]), "a number has too many digits"),
        (one(&[0; 512]), "has too many digits"),
        (one(&[b"1\n0\n9\n".to_vec(), vec![0; 506]].concat()), "the pieces are not as long as the data"),
        (one(&[b"99999999999\n".to_vec(), b"0\n".repeat(250)].concat()), "it does not end before"),
    ] {
        assert!(error.to_string().contains(says), "{error}");
    }
    let error = refused(&Tar::new().entry(b'S', b"a", b"", |h| h.as_mut_bytes()[257..265].fill(0)).end());
    assert!(error.to_string().contains("only GNU headers have one"), "{error}");
}

#[test]
fn limits_are_kept() {
    let tar = Tar::new().file("a", b"").file("d/b", b"").end();
    let limit = |entries, unpacked| scan(&tar[..], &Limits { entries, unpacked });
    assert!(limit(3, tar.len() as u64).is_ok());
    let error = limit(2, u64::MAX).unwrap_err();
    assert_eq!(error.to_string(), "entry 'd/b': the tar has more than 2 entries");
    let error = limit(3, tar.len() as u64 - 1).unwrap_err();
    assert!(matches!(error.problem, Problem::TooLarge { .. }), "{error}");
    // A bomb is not read further than the limit.
    let bomb = Tar::new().entry(b'0', b"bomb", b"", |header| header.set_size(1 << 40)).0;
    let mut endless = bomb.chain(io::repeat(0));
    let error = scan(&mut endless, &Limits { entries: 9, unpacked: 1 << 24 }).unwrap_err();
    assert_eq!(error.to_string(), "entry 'bomb': the tar is larger than 16777216 bytes");
}

#[test]
fn what_reading_says_passes_through() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the gzip stream is damaged"))
        }
    }
    let start = Tar::new().entry(b'0', b"a", b"", |header| header.set_size(4)).0;
    let error = scan(start.chain(Broken), &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "entry 'a': the gzip stream is damaged");
    let Problem::Read(error) = error.problem else { panic!("{error}") };
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}
