//! Listing directories.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::support::sys::{DirItem, DirStream};
use crate::support::{Mount, Setup};

fn read_all(stream: &mut DirStream) -> Vec<DirItem> {
    std::iter::from_fn(|| stream.next().unwrap()).collect()
}

/// Three layers with some names in common, and whiteouts.
fn merged(count: usize) -> String {
    let mut text = String::from("layer 1\n");
    for n in 0..count {
        text += &format!("file d/a{n:05} \"1\"\n");
    }
    text += "layer 2\n";
    for n in 0..count {
        text += &format!("file d/b{n:05} \"2\"\n");
        if n % 10 == 0 {
            text += &format!("whiteout d/a{n:05}\n");
        }
    }
    text += "layer 3\n";
    for n in (0..count).step_by(3) {
        text += &format!("file d/b{n:05} \"3\"\n");
    }
    text
}

/// The names that [`merged`] shows.
fn shown(count: usize) -> BTreeSet<Vec<u8>> {
    let a = (0..count).filter(|n| n % 10 != 0).map(|n| format!("a{n:05}").into_bytes());
    let b = (0..count).map(|n| format!("b{n:05}").into_bytes());
    a.chain(b).collect()
}

fn without_dots(items: &[DirItem]) -> Vec<Vec<u8>> {
    items.iter().map(|item| item.name.clone()).filter(|name| name != b"." && name != b"..").collect()
}

#[test]
fn a_large_merged_directory_lists_each_name_once() {
    let m = Mount::of(&merged(2_000));
    let mut stream = DirStream::open(&m.at("d")).unwrap();
    for _ in 0..2 {
        let items = read_all(&mut stream);
        let names = without_dots(&items);
        assert_eq!(items.len(), names.len() + 2, ". and .. are listed");
        assert_eq!(names.len(), shown(2_000).len());
        assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), shown(2_000));
        stream.rewind();
    }
}

#[test]
fn a_listing_says_the_inode_number_and_kind_that_lstat_says() {
    let m = Setup::named("kinds").mount();
    // Once as they are, once with copies among them.
    for _ in 0..2 {
        for dir in [".", "dir", "linked", "deep/one"] {
            for item in read_all(&mut DirStream::open(&m.at(dir)).unwrap()) {
                let name = String::from_utf8(item.name).unwrap();
                let meta = m.stat(&format!("{dir}/{name}"));
                if name != ".." || dir != "." {
                    assert_eq!(item.ino, meta.ino(), "{dir}/{name}");
                }
                assert_eq!(u32::from(item.kind) << 12, meta.mode() & libc::S_IFMT, "{dir}/{name}");
            }
        }
        fs::write(m.at("empty"), "copied").unwrap();
        fs::write(m.at("dir/new"), "new").unwrap();
    }
}

#[test]
fn a_position_leads_back_to_where_it_was_taken() {
    let m = Mount::of(&merged(300));
    let mut stream = DirStream::open(&m.at("d")).unwrap();
    let mut positions = Vec::new();
    loop {
        let position = stream.tell();
        match stream.next().unwrap() {
            Some(item) => positions.push((position, item)),
            None => break,
        }
    }
    for (position, item) in positions.iter().rev().step_by(7).chain(positions.iter().step_by(5)) {
        stream.seek(*position);
        assert_eq!(stream.next().unwrap().as_ref(), Some(item));
    }
    // From the middle to the end there is exactly the second half.
    let half = positions.len() / 2;
    stream.seek(positions[half].0);
    let rest: Vec<DirItem> = positions[half..].iter().map(|(_, item)| item.clone()).collect();
    assert_eq!(read_all(&mut stream), rest);
}

#[test]
fn unlinking_while_reading_misses_nothing() {
    let m = Mount::of(&merged(1_500));
    for n in 0..1_500 {
        fs::write(m.at(format!("d/c{n:05}")), "upper").unwrap();
    }
    let expected = shown(1_500).len() + 1_500;
    let mut stream = DirStream::open(&m.at("d")).unwrap();
    let mut count = 0;
    while let Some(item) = stream.next().unwrap() {
        if item.name != b"." && item.name != b".." {
            fs::remove_file(m.at("d").join(String::from_utf8(item.name).unwrap())).unwrap();
            count += 1;
        }
    }
    assert_eq!(count, expected);
    assert_eq!(m.names("d"), [""; 0]);
    fs::remove_dir(m.at("d")).unwrap();
    assert!(m.absent("d") && m.whiteout_in_upper("d"));
}

#[test]
fn rm_removes_a_merged_tree() {
    let m = Setup::text(&(merged(800) + "file d/sub/one/x \"x\"\nfile d/sub/two/x \"x\"\n")).mount();
    let output = Command::new("rm").arg("-rf").arg(m.at("d")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(m.absent("d"));
    let m = m.remount();
    assert!(m.absent("d") && m.whiteout_in_upper("d"));
}

#[test]
fn what_was_there_at_the_start_is_listed_once_while_names_come() {
    let m = Mount::of(&merged(400));
    let mut stream = DirStream::open(&m.at("d")).unwrap();
    let mut seen = Vec::new();
    let mut n = 0;
    while let Some(item) = stream.next().unwrap() {
        seen.push(item);
        if n < 400 {
            fs::write(m.at(format!("d/z{n:05}")), "").unwrap();
            n += 1;
        }
    }
    let names = without_dots(&seen);
    let distinct: BTreeSet<Vec<u8>> = names.iter().cloned().collect();
    assert_eq!(names.len(), distinct.len(), "a name was listed twice");
    assert!(shown(400).is_subset(&distinct));
    stream.rewind();
    let after: BTreeSet<Vec<u8>> = without_dots(&read_all(&mut stream)).into_iter().collect();
    assert_eq!(after.len(), shown(400).len() + 400, "a rewound listing shows what has come");
}

#[test]
fn changes_show_in_the_next_listing() {
    let m = Mount::of("layer 1\nfile d/one \"1\"\nfile d/two \"2\"\nlayer 2\nfile d/three \"3\"\n");
    assert_eq!(m.names("d"), ["one", "three", "two"]);
    fs::write(m.at("d/four"), "").unwrap();
    assert_eq!(m.names("d"), ["four", "one", "three", "two"]);
    fs::remove_file(m.at("d/one")).unwrap();
    assert_eq!(m.names("d"), ["four", "three", "two"]);
    fs::rename(m.at("d/two"), m.at("d/five")).unwrap();
    assert_eq!(m.names("d"), ["five", "four", "three"]);
    fs::write(m.at("d/two"), "again").unwrap();
    assert_eq!(m.names("d"), ["five", "four", "three", "two"]);
    fs::create_dir(m.at("d/one")).unwrap();
    assert_eq!(m.names("d"), ["five", "four", "one", "three", "two"]);
    let m = m.remount();
    assert_eq!(m.names("d"), ["five", "four", "one", "three", "two"]);
}

#[test]
fn a_directory_that_is_gone_lists_nothing() {
    let m = Mount::of("layer 1\ndir d/e\n");
    let mut stream = DirStream::open(&m.at("d/e")).unwrap();
    fs::remove_dir(m.at("d/e")).unwrap();
    assert_eq!(without_dots(&read_all(&mut stream)), [b""; 0]);
}
