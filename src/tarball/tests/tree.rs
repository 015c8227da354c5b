//! What the entries of a tar are together.

use super::*;

#[test]
fn names_are_taken_as_tar_takes_them() {
    becomes(
        Tar::new().file("/etc/passwd", b"x").file("./a", b"").file("b//c/.//d", b"").dir("e/"),
        &[
            "file 644 0:0 /a",
            "dir 755 0:0 /b implied",
            "dir 755 0:0 /b/c implied",
            "file 644 0:0 /b/c/d",
            "dir 700 0:0 /e",
            "dir 755 0:0 /etc implied",
            "file 644 0:0 /etc/passwd",
        ],
    );
}

#[test]
fn an_empty_tar_is_an_empty_layer() {
    becomes(Tar::new(), &[]);
    assert_eq!(dump(&index(b"")), ["dir 755 0:0 / implied"]);
}

#[test]
fn the_root_may_have_an_entry() {
    for name in ["./", ".", "/", "././/"] {
        let tar = Tar::new().file("a", b"").dir(name);
        assert_eq!(dump(&index(&tar.end())), ["dir 700 0:0 /", "file 644 0:0 /a"], "{name}");
    }
}

#[test]
fn the_last_entry_of_a_name_wins() {
    let tar = Tar::new().file("a", b"first").file("a", b"second!");
    let index = index(&tar.clone().end());
    assert_eq!(index.summary().unpacked_bytes, 7);
    becomes(tar.symlink("a", "b"), &["symlink 777 0:0 /a -> b"]);
    becomes(Tar::new().file("a", b"").dir("a").file("a/b", b""), &["dir 700 0:0 /a", "file 644 0:0 /a/b"]);
}

#[test]
fn a_directory_over_a_directory_changes_attributes_only() {
    becomes(
        Tar::new().file("d/a", b"").dir("d").file("d/b", b"").entry(b'5', b"d", b"", |h| {
            h.set_mode(0o40750);
            h.set_uid(7);
        }),
        &["dir 750 7:0 /d", "file 644 0:0 /d/a", "file 644 0:0 /d/b"],
    );
}

#[test]
fn a_directory_that_is_replaced_takes_its_content_with_it() {
    becomes(Tar::new().dir("d").file("d/a", b"").file("d/.wh.x", b"").file("d", b""), &["file 644 0:0 /d"]);
    becomes(
        Tar::new().dir("d").file("d/.wh..wh..opq", b"").file("d/a", b"").symlink("d", "x").dir("d"),
        &["dir 700 0:0 /d"],
    );
}

#[test]
fn a_symlink_as_parent_is_followed_within_the_layer() {
    becomes(
        Tar::new()
            .symlink("lib", "usr/lib")
            .file("lib/a", b"")
            .symlink("usr/lib/up", "../../..")
            .file("lib/up/etc/b", b"")
            .symlink("abs", "/usr/./lib/")
            .file("abs/c", b"")
            .file("abs/.wh.d", b""),
        &[
            "symlink 777 0:0 /abs -> /usr/./lib/",
            "dir 755 0:0 /etc implied",
            "file 644 0:0 /etc/b",
            "symlink 777 0:0 /lib -> usr/lib",
            "dir 755 0:0 /usr implied",
            "dir 755 0:0 /usr/lib implied",
            "file 644 0:0 /usr/lib/a",
            "file 644 0:0 /usr/lib/c",
            "deleted /usr/lib/d",
            "symlink 777 0:0 /usr/lib/up -> ../../..",
        ],
    );
}

#[test]
fn a_symlink_as_parent_is_followed_as_it_is_when_the_entry_comes() {
    becomes(
        Tar::new().symlink("s", "one").file("s/a", b"").symlink("s", "two").file("s/b", b""),
        &[
            "dir 755 0:0 /one implied",
            "file 644 0:0 /one/a",
            "symlink 777 0:0 /s -> two",
            "dir 755 0:0 /two implied",
            "file 644 0:0 /two/b",
        ],
    );
}

#[test]
fn a_directory_over_a_symlink_replaces_it() {
    becomes(
        Tar::new().symlink("lib", "usr/lib").dir("lib").file("lib/a", b""),
        &["dir 700 0:0 /lib", "file 644 0:0 /lib/a"],
    );
}

#[test]
fn whiteouts_delete_below_only_whatever_their_order() {
    becomes(
        Tar::new().file("d/.wh.a", b"").file(".wh.b", b"").file("b", b"").file("c", b"").file(".wh.c", b""),
        &["file 644 0:0 /b", "file 644 0:0 /c", "dir 755 0:0 /d implied", "deleted /d/a"],
    );
}

#[test]
fn a_whiteout_of_a_directory_of_the_layer_makes_it_opaque() {
    let expected = ["dir 700 0:0 /d opaque", "file 644 0:0 /d/a"];
    becomes(Tar::new().file(".wh.d", b"").dir("d").file("d/a", b""), &expected);
    becomes(Tar::new().dir("d").file("d/a", b"").file(".wh.d", b""), &expected);
    // Without an entry of its own, it cannot have the attributes of what is deleted.
    becomes(Tar::new().file("d/a", b"").file(".wh.d", b""), &["dir 755 0:0 /d opaque", "file 644 0:0 /d/a"]);
}

#[test]
fn an_opaque_mark_hides_what_is_below() {
    let tar = Tar::new().file("d/.wh..wh..opq", b"").file("d/a", b"");
    becomes(tar.clone(), &["dir 755 0:0 /d opaque implied", "file 644 0:0 /d/a"]);
    becomes(tar.dir("d"), &["dir 700 0:0 /d opaque", "file 644 0:0 /d/a"]);
    let root = Tar::new().file(".wh..wh..opq", b"");
    assert_eq!(dump(&index(&root.end())), ["dir 755 0:0 / opaque implied"]);
}

#[test]
fn markers_are_markers_whatever_their_type() {
    becomes(
        Tar::new()
            .dir(".wh.a")
            .link(".wh.b", ".wh..wh.aufs")
            .device(b'3', ".wh.c", 0, 0)
            .symlink(".wh.d", "x"),
        &["deleted /a", "deleted /b", "deleted /c", "deleted /d"],
    );
}

#[test]
fn what_aufs_keeps_for_itself_is_not_shown_but_can_be_linked_to() {
    becomes(
        Tar::new()
            .file(".wh..wh.aufs", b"")
            .dir(".wh..wh.orph")
            .file(".wh..wh.plnk/12.34", b"data")
            .link("a", ".wh..wh.plnk/12.34"),
        &["file 644 0:0 /a"],
    );
}

#[test]
fn hard_links_are_one_object_whatever_it_is() {
    becomes(
        Tar::new()
            .file("a", b"data")
            .link("b", "./a")
            .link("c", "/b")
            .symlink("s", "x")
            .link("t", "s")
            .device(b'3', "null", 1, 3)
            .link("zero", "null")
            .entry(b'6', b"p", b"", |_| {})
            .link("q", "p"),
        &[
            "file 644 0:0 /a #3",
            "file 644 0:0 /b #3",
            "file 644 0:0 /c #3",
            "char 644 0:0 /null 1,3 #2",
            "fifo 644 0:0 /p #2",
            "fifo 644 0:0 /q #2",
            "symlink 777 0:0 /s -> x #2",
            "symlink 777 0:0 /t -> x #2",
            "char 644 0:0 /zero 1,3 #2",
        ],
    );
    let index = index(&Tar::new().file("a", b"data").link("b", "a").end());
    let ids: Vec<_> = index.children(EntryId::ROOT).unwrap().map(|child| child.unwrap().1).collect();
    assert_eq!(ids, [Child::Entry(EntryId(1)), Child::Entry(EntryId(1))]);
    assert_eq!(index.summary().unpacked_bytes, 4);
    assert_eq!((index.summary().files, index.summary().entries), (1, 3));
}

#[test]
fn a_hard_link_keeps_the_object_that_its_target_was() {
    becomes(
        Tar::new().device(b'4', "a", 8, 1).link("b", "a").file("a", b""),
        &["file 644 0:0 /a", "block 644 0:0 /b 8,1"],
    );
    becomes(
        Tar::new().file("d/a", b"").link("b", "d/a").file("d", b""),
        &["file 644 0:0 /b", "file 644 0:0 /d"],
    );
    becomes(Tar::new().file("a", b"").link("a", "a"), &["file 644 0:0 /a"]);
}

#[test]
fn a_hard_link_through_a_symlink_finds_its_target() {
    becomes(
        Tar::new().symlink("lib", "/usr/lib").file("usr/lib/a", b"").link("b", "lib/a").link("lib/c", "b"),
        &[
            "file 644 0:0 /b #3",
            "symlink 777 0:0 /lib -> /usr/lib",
            "dir 755 0:0 /usr implied",
            "dir 755 0:0 /usr/lib implied",
            "file 644 0:0 /usr/lib/a #3",
            "file 644 0:0 /usr/lib/c #3",
        ],
    );
}

#[test]
fn a_hard_link_to_what_the_tar_has_not_waits_for_the_layers_below() {
    becomes(
        Tar::new()
            .link("a", "./usr//x")
            .symlink("s", "usr")
            .link("b", "s/y")
            .link("c", "a")
            .file("usr/.wh.z", b"")
            .link("d", "usr/z"),
        &[
            "below 0 0:0 /a -> usr/x #2",
            "below 0 0:0 /b -> usr/y",
            "below 0 0:0 /c -> usr/x #2",
            "below 0 0:0 /d -> usr/z",
            "symlink 777 0:0 /s -> usr",
            "dir 755 0:0 /usr implied",
            "deleted /usr/z",
        ],
    );
}

#[test]
fn a_device_that_would_be_a_whiteout_in_a_directory_is_a_device() {
    becomes(Tar::new().device(b'3', "a", 0, 0), &["char 644 0:0 /a 0,0"]);
}

#[test]
fn directories_count_links_as_file_systems_do() {
    let index = index(&Tar::new().dir("a/b").dir("a/c").file("a/d", b"").link("e", "a/d").end());
    let nlink = |name: &[u8]| {
        let found = index.find(EntryId::ROOT, crate::path::Name::new(name).unwrap()).unwrap();
        let Some(Child::Entry(id)) = found else { panic!("{found:?}") };
        index.attributes(id).unwrap().nlink
    };
    assert_eq!((index.attributes(EntryId::ROOT).unwrap().nlink, nlink(b"a"), nlink(b"e")), (3, 4, 2));
}

#[test]
fn all_names_are_found() {
    let mut tar = Tar::new();
    for number in 0..3000 {
        tar = tar.file(&format!("dir{}/file{number}", number % 7), b"");
    }
    let index = index(&tar.end());
    assert_eq!(index.summary().entries, 3000 + 7 + 1);
    for number in 0..3000 {
        let dir = format!("dir{}", number % 7);
        let name = |text: &str| crate::path::NameBuf::new(text.as_bytes()).unwrap();
        let Some(Child::Entry(dir)) = index.find(EntryId::ROOT, name(&dir).as_name()).unwrap() else {
            panic!("{dir}")
        };
        let found = index.find(dir, name(&format!("file{number}")).as_name()).unwrap();
        assert!(matches!(found, Some(Child::Entry(_))), "{number}");
        assert_eq!(index.find(dir, name(&format!("file{number}x")).as_name()).unwrap(), None);
    }
}
