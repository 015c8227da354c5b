//! What the entries of a tar mean, where that is not obvious.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use crate::images::{Compression, Entry, Sparse, TarBuilder};
use crate::place::{Mounted, Place, image_of, tar_of};
use crate::support::sys;

/// Mounts an image of these layers, base first.
fn mounted(place: &Place, layers: impl IntoIterator<Item = Vec<u8>>) -> Mounted {
    place.mount(&[place.archive("image.tar", &image_of(layers, Compression::None))])
}

fn one(place: &Place, entries: impl IntoIterator<Item = Entry>) -> Mounted {
    mounted(place, [tar_of(entries)])
}

#[test]
fn leading_slashes_and_dots_go() {
    let place = Place::new();
    let m = one(
        &place,
        [
            Entry::dir("/abs"),
            Entry::file("/abs/file", "1"),
            Entry::file("./dot", "2"),
            Entry::file("././abs/./again", "3"),
            Entry::file("//abs//twice", "4"),
            Entry::hardlink("./ln", "/abs/file"),
            Entry::whiteout("./nothing/to/hide"),
        ],
    );
    assert_eq!(m.names(""), ["abs", "dot", "ln", "nothing"]);
    assert_eq!(m.names("abs"), ["again", "file", "twice"]);
    assert_eq!(m.text("ln"), "1");
    assert_eq!(m.stat("ln").nlink(), 2);
}

#[test]
fn of_duplicates_the_last_wins() {
    let place = Place::new();
    let m = one(
        &place,
        [
            Entry::file("file", "first").xattr("user.first", "1"),
            Entry::dir("dir").mode(0o700),
            Entry::file("dir/kept", ""),
            Entry::file("becomes-dir", ""),
            Entry::dir("becomes-file"),
            Entry::file("becomes-file/inside", ""),
            Entry::file("file", "the last one").mode(0o600),
            Entry::dir("dir").mode(0o711),
            Entry::dir("becomes-dir"),
            Entry::file("becomes-file", "now"),
        ],
    );
    assert_eq!(m.text("file"), "the last one");
    assert_eq!(m.stat("file").mode() & 0o7777, 0o600);
    assert!(sys::get_xattr(&m.at("file"), b"user.first").is_err());
    assert_eq!(m.stat("dir").mode() & 0o7777, 0o711, "a directory over a directory changes attributes only");
    assert_eq!(m.names("dir"), ["kept"]);
    assert!(m.stat("becomes-dir").is_dir());
    assert_eq!(m.text("becomes-file"), "now");
}

#[test]
fn parents_without_an_entry_are_there() {
    let place = Place::new();
    let base = tar_of([Entry::dir("tmp").mode(0o1777).owner(1, 2).mtime(77, 88), Entry::file("tmp/old", "")]);
    let top = tar_of([Entry::file("tmp/new", ""), Entry::file("a/b/c", "deep")]);
    let m = mounted(&place, [base, top]);
    let tmp = m.stat("tmp");
    assert_eq!(
        (tmp.mode() & 0o7777, tmp.mtime(), tmp.mtime_nsec()),
        (0o1777, 77, 88),
        "those of the layer below"
    );
    assert_eq!(m.names("tmp"), ["new", "old"]);
    assert_eq!(m.text("a/b/c"), "deep");
    assert_eq!(m.stat("a/b").mode() & 0o7777, 0o755);
    assert_eq!((m.stat("a").uid(), m.stat("a").gid()), (0, 0));
}

#[test]
fn a_directory_that_comes_after_what_is_in_it_gives_its_attributes() {
    let place = Place::new();
    let m = one(&place, [Entry::file("dir/file", ""), Entry::dir("dir").mode(0o700).mtime(5, 6)]);
    assert_eq!((m.stat("dir").mode() & 0o7777, m.stat("dir").mtime()), (0o700, 5));
    assert_eq!(m.names("dir"), ["file"]);
}

#[test]
fn whiteouts_act_on_lower_layers_only() {
    let place = Place::new();
    let base = tar_of([
        Entry::file("a", "1"),
        Entry::file("b", "1"),
        Entry::dir("d"),
        Entry::file("d/x", ""),
        Entry::file("d/y", ""),
    ]);
    let top = tar_of([
        Entry::whiteout("a"),
        Entry::whiteout("nothing"),
        Entry::file("b", "2"),
        // In one layer both mean: what is below is gone, and this is there.
        Entry::whiteout("b"),
        Entry::file("d/z", ""),
        Entry::opaque("d"),
    ]);
    let m = mounted(&place, [base, top]);
    assert_eq!(m.names(""), ["b", "d"]);
    assert_eq!(m.text("b"), "2");
    assert_eq!(m.names("d"), ["z"]);
}

#[test]
fn a_whiteout_with_a_directory_of_the_same_name_hides_what_is_below() {
    let place = Place::new();
    let base = tar_of([Entry::dir("d"), Entry::file("d/below", "")]);
    let top = tar_of([Entry::whiteout("d"), Entry::dir("d"), Entry::file("d/new", "")]);
    let m = mounted(&place, [base, top]);
    assert_eq!(m.names("d"), ["new"]);
}

#[test]
fn zeroes_at_the_end_are_padding() {
    let place = Place::new();
    let tar = TarBuilder::new().add(Entry::file("file", "x")).finish_padded(20 * 512);
    assert_eq!(mounted(&place, [tar]).text("file"), "x");
}

#[test]
fn a_tar_without_its_end_marker_is_whole() {
    let place = Place::new();
    let tar = TarBuilder::new().add(Entry::file("file", "x")).finish_padded(0);
    assert_eq!(mounted(&place, [tar]).text("file"), "x");
}

#[test]
fn an_empty_layer_is_a_layer() {
    let place = Place::new();
    let m = mounted(&place, [tar_of([Entry::file("file", "x")]), tar_of([])]);
    assert_eq!(m.names(""), ["file"]);
}

#[test]
fn a_symlink_as_parent_is_followed_within_the_layer() {
    let place = Place::new();
    let m = one(
        &place,
        [
            Entry::dir("usr"),
            Entry::dir("usr/bin"),
            Entry::symlink("bin", "usr/bin"),
            Entry::file("bin/tool", "through a link"),
            Entry::symlink("absolute", "/usr/bin"),
            Entry::file("absolute/other", "through an absolute one"),
        ],
    );
    assert_eq!(m.names("usr/bin"), ["other", "tool"]);
    assert!(m.stat("bin").file_type().is_symlink());
    assert_eq!(m.text("usr/bin/other"), "through an absolute one");
}

#[test]
fn a_symlink_as_parent_never_leads_out_of_the_image() {
    let place = Place::new();
    let m = one(
        &place,
        [
            Entry::symlink("out", "../../../tmp"),
            Entry::file("out/lamina-was-here", "inside"),
            Entry::symlink("etc", "/../../srv"),
            Entry::file("etc/file", "inside, too"),
        ],
    );
    assert_eq!(m.text("tmp/lamina-was-here"), "inside");
    assert_eq!(m.text("srv/file"), "inside, too");
    assert!(!fs::exists("/tmp/lamina-was-here").unwrap());
}

#[test]
fn hard_links_reach_into_layers_below() {
    let place = Place::new();
    let base = tar_of([Entry::file("below", "of the base").mode(0o640).owner(3, 4).xattr("user.a", "b")]);
    let top = tar_of([Entry::hardlink("above", "below")]);
    let m = mounted(&place, [base, top]);
    assert_eq!(m.text("above"), "of the base");
    let meta = m.stat("above");
    assert_eq!((meta.mode() & 0o7777, meta.len()), (0o640, 11));
    assert_eq!(sys::get_xattr(&m.at("above"), b"user.a").unwrap(), b"b");
}

#[test]
fn a_hard_link_may_come_before_its_target() {
    let place = Place::new();
    let m = one(&place, [Entry::hardlink("one", "two"), Entry::file("two", "2").mode(0o600)]);
    assert_eq!((m.text("one").as_str(), m.stat("one").mode() & 0o7777), ("2", 0o600));
    assert_eq!((m.stat("one").nlink(), m.stat("one").ino()), (2, m.stat("two").ino()));
    drop(m);
    // Where a layer below has the name, what was there when the entry came is meant.
    let base = tar_of([Entry::file("below", "of the base")]);
    let top = tar_of([Entry::hardlink("old", "below"), Entry::file("below", "of the top")]);
    let m = mounted(&place, [base, top]);
    assert_eq!((m.text("old").as_str(), m.text("below").as_str()), ("of the base", "of the top"));
}

#[test]
fn hard_links_of_links_and_special_files() {
    let place = Place::new();
    let m = one(
        &place,
        [
            Entry::symlink("link", "target"),
            Entry::hardlink("link2", "link"),
            Entry::fifo("fifo"),
            Entry::hardlink("fifo2", "fifo"),
            Entry::file("f", "data"),
            Entry::hardlink("f2", "f"),
            Entry::hardlink("f3", "f2"),
        ],
    );
    assert_eq!(fs::read_link(m.at("link2")).unwrap().to_str(), Some("target"));
    assert!(m.stat("fifo2").file_type().is_fifo());
    assert_eq!((m.text("f3").as_str(), m.stat("f3").nlink()), ("data", 3));
    assert_eq!(m.stat("f3").ino(), m.stat("f").ino());
}

#[test]
fn what_looks_like_a_mark_is_data() {
    let place = Place::new();
    let base = tar_of([Entry::dir("dir"), Entry::file("dir/below", ""), Entry::file("file", "data")]);
    let top = tar_of([
        Entry::dir("dir").xattr("user.overlay.opaque", "y").xattr("user.fuseoverlayfs.opaque", "y"),
        Entry::file("dir/new", "")
            .xattr("user.overlay.whiteout", "")
            .xattr("user.overlay.metacopy", "")
            .xattr("user.overlay.redirect", "/file"),
        Entry::file("owned", "").mode(0o640).xattr("user.containers.override_stat", "5:6:0777"),
        Entry::char_device("zero", 0, 0),
    ]);
    let m = mounted(&place, [base, top]);
    assert_eq!(m.names("dir"), ["below", "new"], "not opaque");
    assert_eq!(
        (m.text("dir/new").as_str(), m.stat("owned").mode() & 0o7777, m.stat("owned").uid()),
        ("", 0o640, 0)
    );
    assert_eq!(sys::get_xattr(&m.at("dir"), b"user.overlay.opaque").unwrap(), b"y");
    assert_eq!(sys::get_xattr(&m.at("dir/new"), b"user.overlay.redirect").unwrap(), b"/file");
    assert_eq!(sys::get_xattr(&m.at("owned"), b"user.containers.override_stat").unwrap(), b"5:6:0777");
    assert!(m.stat("zero").file_type().is_char_device(), "a device 0:0 is no whiteout in a tar");
}

#[test]
fn a_global_header_holds_for_what_follows() {
    let place = Place::new();
    let tar = TarBuilder::new()
        .global(&[("comment", "made by git archive"), ("mtime", "12.5")])
        .add(Entry::file("file", "x").mtime(99, 0))
        .finish();
    let m = mounted(&place, [tar]);
    assert_eq!((m.stat("file").mtime(), m.stat("file").mtime_nsec()), (12, 500_000_000));
}

#[test]
fn holes_are_holes() {
    use std::os::fd::AsFd;
    let place = Place::new();
    let forms = [Sparse::Gnu, Sparse::Pax00, Sparse::Pax01, Sparse::Pax10];
    let entries = forms.map(|form| {
        Entry::sparse(
            format!("{form:?}"),
            form,
            1 << 30,
            &[(0, &[1; 512]), (1 << 20, &[2; 4096]), (512 << 20, b"end")],
        )
    });
    let m = one(&place, entries);
    for form in forms {
        let path = m.at(format!("{form:?}"));
        assert_eq!(m.stat(&format!("{form:?}")).len(), 1 << 30);
        let file = fs::File::open(&path).unwrap();
        let seek = |from, whence| nix::unistd::lseek(file.as_fd(), from, whence);
        assert_eq!(seek(4096, nix::unistd::Whence::SeekData), Ok(1 << 20), "{form:?}");
        assert_eq!(seek(1 << 20, nix::unistd::Whence::SeekHole), Ok((1 << 20) + 4096), "{form:?}");
        let mut bytes = [9; 8];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, (512 << 20) - 2).unwrap();
        assert_eq!(&bytes, b"\0\0end\0\0\0", "{form:?}");
    }
}

#[test]
fn many_pieces_of_a_sparse_file() {
    let place = Place::new();
    let pieces: Vec<(u64, [u8; 512])> = (0..200u64).map(|n| (n * 65_536, [n as u8; 512])).collect();
    let pieces: Vec<(u64, &[u8])> = pieces.iter().map(|(offset, data)| (*offset, &data[..])).collect();
    let m = one(&place, [Entry::sparse("s", Sparse::Gnu, 200 * 65_536, &pieces)]);
    let bytes = fs::read(m.at("s")).unwrap();
    assert!((0..200).all(|n| bytes[n * 65_536..][..512].iter().all(|b| *b == n as u8) && bytes[n * 65_536 + 512] == 0));
}

#[test]
fn trusted_attributes_of_a_tar_are_shown_to_root() {
    crate::needs!(Root);
    let place = Place::new();
    let m = one(&place, [Entry::dir("d").xattr("trusted.overlay.opaque", "y").xattr("trusted.note", "n")]);
    assert_eq!(sys::get_xattr(&m.at("d"), b"trusted.overlay.opaque").unwrap(), b"y");
    assert_eq!(sys::get_xattr(&m.at("d"), b"trusted.note").unwrap(), b"n");
}
