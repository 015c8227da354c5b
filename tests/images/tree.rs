//! The exact tree, in every format and compression, for root, an ordinary user and in a user namespace.

use crate::images::{Compression, Entry, Sparse};
use crate::place::{Format, Place, image_of, tar_of};
use crate::rows::{assert_rows, content, rows};

/// The mtime that entries have if nothing else is said.
const T: &str = "1600000000.123456789";

/// A file capability, cap_net_raw=ep, as the kernel stores it.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn pattern() -> Vec<u8> {
    (0..200_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn sparse(form: Sparse) -> Entry {
    Entry::sparse(format!("holes/{form:?}"), form, 100_000, &[(4096, &[1; 1024]), (65_536, b"end")])
}

fn sparse_content() -> Vec<u8> {
    let mut bytes = vec![0; 100_000];
    bytes[4096..5120].fill(1);
    bytes[65_536..65_539].copy_from_slice(b"end");
    bytes
}

pub fn layers() -> Vec<Vec<u8>> {
    let long = "n".repeat(255);
    let deep = format!("deep/{}/{}", "a".repeat(200), "b".repeat(200));
    let base = tar_of([
        Entry::dir(".").mode(0o751).owner(7, 8).mtime(1_500_000_000, 5),
        Entry::dir("etc"),
        Entry::file("etc/passwd", "root\n"),
        Entry::file("etc/shadow", "secret").mode(0).owner(0, 42),
        Entry::file("etc/gone", "gone"),
        Entry::dir("tmp").mode(0o1777),
        Entry::dir("opt").mode(0o750).owner(1000, 1001).mtime(1_234_567_890, 987_654_321),
        Entry::file("opt/tool", "#!").mode(0o6755),
        Entry::file("opt/first", "linked").mode(0o600).owner(33, 44),
        Entry::hardlink("opt/second", "opt/first"),
        Entry::symlink("opt/link", "../etc/passwd").owner(5, 6),
        Entry::fifo("opt/pipe").mode(0o620),
        Entry::dir("dev"),
        Entry::char_device("dev/null", 1, 3).mode(0o666),
        Entry::block_device("dev/disk", 259, 70_000).mode(0o660).owner(0, 6),
        Entry::dir("kinds"),
        Entry::file("kinds/pattern", pattern()),
        Entry::file("kinds/empty", ""),
        Entry::file("kinds/old", "o").mtime(-86_400, 250_000_000),
        Entry::file("kinds/new", "n").mtime(4_102_444_800, 1),
        Entry::file("kinds/large-id", "l").owner(3_000_000, 4_000_000_000),
        Entry::file("kinds/xattrs", "x").xattr("user.note", "a\0b").xattr("user.empty", ""),
        Entry::file("kinds/capable", "c").mode(0o755).xattr("security.capability", CAPABILITY),
        Entry::file(b"kinds/odd\xff\n\tname", "odd"),
        Entry::file(format!("kinds/{long}"), "long"),
        Entry::file(format!("kinds/g{}", &long[1..]), "gnu").gnu(),
        Entry::symlink("kinds/far", "t".repeat(300)),
        Entry::dir("deep"),
        Entry::dir(deep.rsplit_once('/').unwrap().0),
        Entry::dir(&deep),
        Entry::dir("holes"),
        sparse(Sparse::Gnu),
        sparse(Sparse::Pax00),
        sparse(Sparse::Pax01),
        sparse(Sparse::Pax10),
        Entry::dir("replaced"),
        Entry::dir("replaced/dir"),
        Entry::file("replaced/dir/inside", ""),
        Entry::file("replaced/file", ""),
        Entry::dir("fresh"),
        Entry::file("fresh/below", ""),
        Entry::dir("attributes"),
        Entry::file("attributes/kept", "kept"),
    ]);
    let middle = tar_of([
        Entry::whiteout("etc/gone"),
        Entry::dir("fresh").mode(0o711),
        // The mark may come before and after what it does not hide.
        Entry::file("fresh/one", "1"),
        Entry::opaque("fresh"),
        Entry::file("fresh/two", "2"),
        Entry::file("replaced/dir", "now a file"),
        Entry::dir("replaced/file").mode(0o700),
        Entry::file("replaced/file/inside", "i"),
        Entry::dir("attributes").mode(0o700).owner(9, 10).mtime(7, 8).xattr("user.d", "e"),
    ]);
    // Directories without an entry of their own.
    let top = tar_of([Entry::file("tmp/new", "new"), Entry::file("etc/passwd", "root and more\n")]);
    vec![base, middle, top]
}

pub fn expected() -> Vec<String> {
    let long = "n".repeat(255);
    let (a, b) = ("a".repeat(200), "b".repeat(200));
    let pattern = content(&pattern(), 800_000);
    let holes = content(&sparse_content(), 100_000);
    let far = "t".repeat(300);
    let gnu = &long[1..];
    let capability = CAPABILITY.escape_ascii();
    format!(
        r#"
. dir 0751 7:8 1500000000.000000005
attributes dir 0700 9:10 7.000000008 user.d=e
attributes/kept file 0644 0:0 {T} links=1 size=4 "kept"
deep dir 0755 0:0 {T}
deep/{a} dir 0755 0:0 {T}
deep/{a}/{b} dir 0755 0:0 {T}
dev dir 0755 0:0 {T}
dev/disk block 0660 0:6 {T} links=1 259,70000
dev/null char 0666 0:0 {T} links=1 1,3
etc dir 0755 0:0 {T}
etc/passwd file 0644 0:0 {T} links=1 size=14 "root and more\n"
etc/shadow file 0000 0:42 {T} links=1 size=6 "secret"
fresh dir 0711 0:0 {T}
fresh/one file 0644 0:0 {T} links=1 size=1 "1"
fresh/two file 0644 0:0 {T} links=1 size=1 "2"
holes dir 0755 0:0 {T}
holes/Gnu file 0644 0:0 1600000000.000000000 links=1{holes}
holes/Pax00 file 0644 0:0 {T} links=1{holes}
holes/Pax01 file 0644 0:0 {T} links=1{holes}
holes/Pax10 file 0644 0:0 {T} links=1{holes}
kinds dir 0755 0:0 {T}
kinds/capable file 0755 0:0 {T} links=1 size=1 "c" security.capability={capability}
kinds/empty file 0644 0:0 {T} links=1 size=0 ""
kinds/far link 0777 0:0 {T} links=1 -> {far}
kinds/g{gnu} file 0644 0:0 1600000000.000000000 links=1 size=3 "gnu"
kinds/large-id file 0644 3000000:4000000000 {T} links=1 size=1 "l"
kinds/new file 0644 0:0 4102444800.000000001 links=1 size=1 "n"
kinds/{long} file 0644 0:0 {T} links=1 size=4 "long"
kinds/odd\xff\n\tname file 0644 0:0 {T} links=1 size=3 "odd"
kinds/old file 0644 0:0 -86400.250000000 links=1 size=1 "o"
kinds/pattern file 0644 0:0 {T} links=1{pattern}
kinds/xattrs file 0644 0:0 {T} links=1 size=1 "x" user.empty= user.note=a\x00b
opt dir 0750 1000:1001 1234567890.987654321
opt/first file 0600 33:44 {T} links=2 size=6 "linked"
opt/link link 0777 5:6 {T} links=1 -> ../etc/passwd
opt/pipe fifo 0620 0:0 {T} links=1
opt/second file 0600 33:44 {T} links=2 size=6 "linked"
opt/tool file 6755 0:0 {T} links=1 size=2 "\#!"
replaced dir 0755 0:0 {T}
replaced/dir file 0644 0:0 {T} links=1 size=10 "now a file"
replaced/file dir 0700 0:0 {T}
replaced/file/inside file 0644 0:0 {T} links=1 size=1 "i"
tmp dir 1777 0:0 {T}
tmp/new file 0644 0:0 {T} links=1 size=3 "new"
"#
    )
    .replace("\\#", "#")
    .lines()
    .filter(|line| !line.is_empty())
    .map(str::to_owned)
    .collect()
}

#[test]
fn every_format_and_compression_shows_the_exact_tree() {
    let expected = expected();
    for compression in Compression::ALL {
        let image = image_of(layers(), compression);
        for format in Format::ALL {
            let place = Place::new();
            let what = format!("{format:?}, {compression}");
            let path = place.write("image", format, &format.files(&[&image]));
            let mounted = place.mount(&[&path]);
            assert_rows(&what, &rows(&mounted.at("")), &expected);
            drop(mounted);
            let named = format!("{}:{}", format.transport(), path.display());
            let again = place.mount(&[named]);
            assert_rows(&format!("{what}, by its transport"), &rows(&again.at("")), &expected);
        }
    }
}
