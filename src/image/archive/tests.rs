use std::fs;
use std::io::Read;

use super::*;

/// A raw member: kind, name, link, stated size, data.
type Raw<'a> = (u8, &'a [u8], &'a [u8], u64, &'a [u8]);

/// A tar of raw members.
fn write(path: &Path, members: &[Raw<'_>]) {
    let mut out = Vec::new();
    for (kind, name, link, size, data) in members {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(EntryType::new(*kind));
        header.set_size(*size);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    fs::write(path, out).unwrap();
}

fn content(archive: &Archive, name: &str) -> Option<String> {
    let mut text = String::new();
    archive.find(name).unwrap()?.reader().read_to_string(&mut text).unwrap();
    Some(text)
}

#[test]
fn members_are_found_by_whatever_leads_to_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    let long = b"d/".iter().copied().chain([b'n'; 150]).collect::<Vec<u8>>();
    let pax = b"19 path=pax/member\n";
    write(
        &path,
        &[
            (b'g', b"global", b"", 12, b"12 comment=x"),
            (b'5', b"d/", b"", 7, b""),
            (b'0', b"./a", b"", 3, b"one"),
            (b'0', b"/b", b"", 3, b"two"),
            (b'0', b"a", b"", 5, b"three"),
            (b'2', b"d/up", b"../b", 0, b""),
            (b'2', b"d/side", b"up", 0, b""),
            (b'2', b"absolute", b"/d/../a", 0, b""),
            (b'2', b"d/out", b"../../a", 0, b""),
            (b'2', b"loop", b"./loop", 0, b""),
            (b'2', b"dangling", b"nothing", 0, b""),
            (b'1', b"hard", b"a", 5, b""),
            (b'L', b"././@LongLink", b"", long.len() as u64, &long),
            (b'0', b"short", b"", 4, b"long"),
            (b'x', b"x", b"", pax.len() as u64, pax),
            (b'0', b"short", b"", 3, b"pax"),
            (b'S', b"sparse", b"", 0, b""),
            (0, b"old", b"", 3, b"old"),
            (0, b"olddir/", b"", 0, b""),
        ],
    );
    let archive = Archive::open(&path).unwrap();
    let long = String::from_utf8(long).unwrap();
    for (name, expected) in [
        ("a", Some("three")),
        ("./a", Some("three")),
        ("/b", Some("two")),
        ("d/up", Some("two")),
        ("d/side", Some("two")),
        ("absolute", Some("three")),
        ("hard", Some("three")),
        (&long, Some("long")),
        ("pax/member", Some("pax")),
        ("old", Some("old")),
        ("short", None),
        ("nothing", None),
        ("dangling", None),
    ] {
        assert_eq!(content(&archive, name).as_deref(), expected, "{name}");
    }
    for (name, message) in [
        ("d/out", "the name 'd/out' leads out of the archive"),
        ("../a", "the name '../a' leads out of the archive"),
        ("loop", "'loop' is a link to itself"),
        ("d", "'d' is not a file"),
        ("olddir", "'olddir' is not a file"),
        ("sparse", "'sparse' is stored as a sparse file"),
    ] {
        assert_eq!(archive.find(name).unwrap_err().to_string(), message);
    }
}

#[test]
fn what_is_no_honest_tar_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let error = |path: &Path| Archive::open(path).unwrap_err().to_string();
    for (content, message) in [
        (&b""[..], "it is not an image: it is neither a directory nor a tar"),
        (b"text", "it is not an image: it is neither a directory nor a tar"),
        (&[b'x'; 2048], "it is not an image: it is neither a directory nor a tar"),
        (b"\x1f\x8b\x08 gzip", "it is compressed as a whole, with gzip"),
        (b"\x28\xb5\x2f\xfd zstd", "it is compressed as a whole, with zstd"),
        (b"\xfd7zXZ\0", "it is compressed as a whole, with xz"),
        (b"BZh91AY&SY", "it is compressed as a whole, with bzip2"),
    ] {
        fs::write(&path, content).unwrap();
        assert_eq!(error(&path), message);
    }
}

#[test]
fn hostile_sizes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    for size in [5000, 1 << 40, u64::MAX >> 1, u64::MAX] {
        write(&path, &[(b'0', b"a", b"", size, b"data")]);
        let error = Archive::open(&path).unwrap_err().to_string();
        assert!(error.starts_with("the archive's member at byte 0: expected "), "{size}: {error}");
        assert!(error.ends_with("found 1536 bytes: the archive is truncated"), "{size}: {error}");
    }
    for (members, message) in [
        (
            vec![(b'0', &b"a/../../b"[..], &b""[..], 0, &b""[..])],
            "the archive's member 'a/../../b' has '..' in its name",
        ),
        (
            vec![(b'x', b"x", b"", 11, b"11 size=-1\n")],
            "the archive's header at byte 512 is damaged: its size is not a number",
        ),
        (
            vec![(b'x', b"x", b"", 5, b"99 x=")],
            "the archive's header at byte 512 is damaged: an extended header's record is malformed",
        ),
    ] {
        write(&path, &members);
        assert_eq!(Archive::open(&path).unwrap_err().to_string(), message);
    }
    let large = vec![b'n'; (LARGEST_EXTENSION + 1) as usize];
    write(&path, &[(b'L', b"L", b"", large.len() as u64, &large)]);
    let error = Archive::open(&path).unwrap_err().to_string();
    assert_eq!(
        error,
        "the archive's extended header at byte 512 is too large: 1048577 bytes, the limit is 1048576 bytes"
    );
    // A pax size counts where the header's own has no room for it.
    write(
        &path,
        &[(b'x', b"x", b"", 10, b"10 size=3\n"), (b'0', b"a", b"", 0, b"abc"), (b'0', b"b", b"", 1, b"d")],
    );
    let archive = Archive::open(&path).unwrap();
    assert_eq!(
        (content(&archive, "a").as_deref(), content(&archive, "b").as_deref()),
        (Some("abc"), Some("d"))
    );
}

#[test]
fn an_archive_has_no_more_members_than_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let names: Vec<String> = (0..=MOST_MEMBERS).map(|number| number.to_string()).collect();
    let members: Vec<Raw<'_>> =
        names.iter().map(|name| (b'0', name.as_bytes(), &b""[..], 0, &b""[..])).collect();
    write(&path, &members[1..]);
    assert_eq!(Archive::open(&path).unwrap().members.len(), MOST_MEMBERS);
    write(&path, &members);
    assert_eq!(
        Archive::open(&path).unwrap_err().to_string(),
        "the archive is too large: more than 100000 members, the limit is 100000 members"
    );
}

#[test]
fn an_archive_that_is_cut_anywhere_is_an_error_or_ends_early() {
    let dir = tempfile::tempdir().unwrap();
    let (path, cut) = (dir.path().join("x"), dir.path().join("cut"));
    write(&path, &[(b'0', b"a", b"", 3, b"one"), (b'0', b"b", b"", 700, &[b'x'; 700])]);
    let whole = fs::read(&path).unwrap();
    for len in 0..whole.len() {
        fs::write(&cut, &whole[..len]).unwrap();
        let expected = match len {
            // Padding, and the zeros at the end, are not missed.
            515..=1024 => Some(1),
            2236.. => Some(2),
            _ => None,
        };
        let members = Archive::open(&cut).ok().map(|archive| archive.members.len());
        assert_eq!(members, expected, "{len}");
    }
}

#[test]
fn names_take_no_more_memory_than_names_may() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    let record = [&b"1000012 path="[..], &b"x".repeat(999_998), b"\n"].concat();
    let member =
        |_| [(b'x', &b"p"[..], &b""[..], record.len() as u64, record.as_slice()), (b'0', b"f", b"", 0, b"")];
    write(&path, &(0..33).flat_map(member).collect::<Vec<_>>());
    assert!(Archive::open(&path).is_ok());
    write(&path, &(0..34).flat_map(member).collect::<Vec<_>>());
    assert!(matches!(Archive::open(&path), Err(Problem::TooLarge { .. })));
}
