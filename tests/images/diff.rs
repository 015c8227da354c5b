//! `lamina diff`: images, directories, layers of one image, and what is changed in a mount.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use serde_json::{Value, json};

use crate::documented::{five_instructions, prints_what_the_page_shows};
use crate::images::{Compression, DockerStyle, Entry, Sparse, docker};
use crate::place::{Format, Mounted, Outcome, Place, image_of, tar_of};
use crate::support::{Who, sys};

/// It printed these lines, nothing went wrong, and the exit code says whether there are any.
#[track_caller]
fn says(said: &Outcome, expected: &[&str]) {
    assert_eq!(said.err, "", "{said:?}");
    assert_eq!(said.out.lines().collect::<Vec<_>>(), expected);
    assert_eq!(said.code, i32::from(!expected.is_empty()), "{said:?}");
}

/// It has no answer: exit code 2, and these words in what it says.
#[track_caller]
fn has_no_answer(said: &Outcome, words: &[&str]) {
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
    for word in words {
        assert!(said.err.contains(word), "{word:?} is missing in:\n{}", said.err);
    }
}

#[test]
fn the_examples_in_the_documents_are_what_is_printed() {
    prints_what_the_page_shows("diff", &[1; 3]);
}

/// Two images that share a base: of version 1, and of version 2, whose top layer changes something of each kind.
fn versions(place: &Place) {
    let base = tar_of([
        Entry::dir("bin"),
        Entry::file("bin/tool", "#!").mode(0o755),
        Entry::dir("etc"),
        Entry::file("etc/same", "same"),
        Entry::file("etc/conf", "threads=1"),
        Entry::symlink("etc/link", "conf"),
        Entry::char_device("null", 1, 3),
        Entry::dir("doc"),
        Entry::file("doc/a", "aa"),
        Entry::dir("doc/more"),
        Entry::file("doc/more/b", "bbb"),
        Entry::file("was-file", ""),
        Entry::file(b"odd\xff\nname", ""),
    ]);
    let one = tar_of([Entry::file("version", "1").mtime(1_000_000_000, 0)]);
    let two = tar_of([
        Entry::file("version", "1").mtime(2_000_000_000, 0),
        Entry::file("bin/tool", "#!").mode(0o4755).owner(1, 2),
        Entry::file("etc/conf", "threads=2").xattr("user.note", "new"),
        Entry::file("etc/same", "same"),
        Entry::symlink("etc/link", "same"),
        Entry::char_device("null", 1, 5),
        Entry::whiteout("doc"),
        Entry::dir("was-file"),
        Entry::file("was-file/in", "x"),
        Entry::file(b"odd\xff\nname", "1"),
    ]);
    place.archive("one.tar", &image_of([base.clone(), one], Compression::None));
    place.archive("two.tar", &image_of([base, two], Compression::Gzip));
}

const CHANGES: [&str; 8] = [
    "C /bin/tool (mode owner)",
    "D /doc (with 3 paths in it)",
    "C /etc/conf (content xattr)",
    "C /etc/link (target)",
    "C /null (device)",
    "C /odd\\xff\\nname (content)",
    "C /was-file (type)",
    "A /was-file/in",
];

#[test]
fn two_images_are_compared() {
    let place = Place::new();
    versions(&place);
    let diff = |args: &[&str]| place.run("diff", args);
    says(&diff(&["one.tar", "two.tar"]), &CHANGES);
    says(&diff(&["one.tar", "one.tar", "--stat"]), &[]);
    let quiet = diff(&["-q", "one.tar", "two.tar"]);
    assert_eq!((quiet.code, quiet.out.as_str(), quiet.err.as_str()), (1, "", ""));
    says(&diff(&["--from", "1", "--to", "1", "one.tar", "two.tar"]), &[]);
    says(&diff(&["one.tar", "two.tar", "--path", "etc"]), &CHANGES[2..4]);
    says(&diff(&["one.tar", "two.tar", "--path", "/doc/"]), &CHANGES[1..2]);
    says(&diff(&["one.tar", "two.tar", "--path", "/was-file"]), &CHANGES[6..]);
    says(&diff(&["one.tar", "two.tar", "--path", "/version", "--times"]), &["C /version (time)"]);
    let parents = diff(&["one.tar", "two.tar", "--parents"]);
    let above: Vec<&str> = parents.out.lines().filter(|line| !CHANGES.contains(line)).collect();
    assert_eq!(above, ["C /bin", "C /etc"]);
    says(
        &diff(&["one.tar", "two.tar", "--stat"]),
        &[
            "DIRECTORY  ADDED    CHANGED   DELETED  SIZE",
            "/          -        2 (+1 B)  -        +1 B",
            "/bin       -        1 (0 B)   -        0 B",
            "/doc       -        -         4 (5 B)  -5 B",
            "/etc       -        2 (0 B)   -        0 B",
            "/was-file  1 (1 B)  1 (0 B)   -        +1 B",
            "in all     1 (1 B)  6 (+1 B)  4 (5 B)  -3 B",
        ],
    );
}

#[test]
fn json_is_the_documented_one() {
    let place = Place::new();
    versions(&place);
    let said = place.run("diff", &["--json", "one.tar", "two.tar"]);
    assert_eq!((said.code, said.err.as_str()), (1, ""), "{said:?}");
    let conf = said.out.lines().find(|line| line.contains("etc/conf")).unwrap();
    assert_eq!(
        conf.trim_end_matches(','),
        concat!(
            r#"{"path":"/etc/conf","change":"changed","what":["content","xattr"],"held":null,"#,
            r#""before":{"type":"file","layer":1,"mode":420,"uid":0,"gid":0,"size":9,"mtime":1600000000,"target":null,"device":null},"#,
            r#""after":{"type":"file","layer":2,"mode":420,"uid":0,"gid":0,"size":9,"mtime":1600000000,"target":null,"device":null}}"#
        )
    );
    let all: Vec<Value> = serde_json::from_str(&said.out).unwrap();
    let of = |path: Value| all.iter().find(|one| one["path"] == path).unwrap();
    let doc = of(json!("/doc"));
    assert_eq!((&doc["change"], &doc["held"], &doc["after"]), (&json!("deleted"), &json!(3), &Value::Null));
    assert_eq!(of(json!("/was-file"))["what"], json!(["type"]));
    assert_eq!(of(json!("/was-file/in"))["before"], Value::Null);
    assert_eq!(of(json!("/etc/link"))["after"]["target"], "same");
    assert_eq!(of(json!("/null"))["after"]["device"], json!({"kind": "character", "major": 1, "minor": 5}));
    assert_eq!(of(json!({"bytes": b"/odd\xff\nname"}))["what"], json!(["content"]));

    assert_eq!(place.run("diff", &["--json", "one.tar", "one.tar"]).succeeds().out, "[]\n");
    let stat = place.run("diff", &["--json", "--stat", "one.tar", "two.tar", "--depth", "0"]);
    let counted = json!({
        "added": {"paths": 1, "bytes": 1},
        "changed": {"paths": 6, "bytes_before": 9, "bytes_after": 10},
        "deleted": {"paths": 4, "bytes": 5},
    });
    let mut expected = counted.clone();
    expected["directories"] = json!([counted]);
    expected["directories"][0]["path"] = json!("/");
    assert_eq!(serde_json::from_str::<Value>(&stat.out).unwrap(), expected);
}

#[test]
fn layers_of_one_image_are_compared() {
    let place = Place::new();
    five_instructions(&place);
    let diff = |args: &[&str]| place.run("diff", args);
    says(&diff(&["--layer", "5", "app.tar"]), &["C /srv/cache (type)"]);
    says(&diff(&["--layer", "2", "app.tar"]), &["C /etc/app.conf (content mode owner)"]);
    says(
        &diff(&["--from", "2", "--to", "4", "app.tar"]),
        &["C /etc/app.conf (content)", "D /var/log/build.log"],
    );
    says(
        &diff(&["--from", "4", "--to", "1", "app.tar"]),
        &["C /etc/app.conf (content mode owner)", "A /var/log/build.log"],
    );
    says(&diff(&["--from", "5", "app.tar"]), &[]);
    // The first changes nothing: it is all there is.
    let first = diff(&["--layer", "1", "app.tar"]);
    assert_eq!(first.out.lines().collect::<Vec<_>>()[..3], ["A /", "A /etc", "A /etc/app.conf"]);
    has_no_answer(&diff(&["--layer", "6", "app.tar"]), &["has no layer 6", "1 (the base) to 5"]);
    has_no_answer(&diff(&["--layer", "2", "--from", "1", "app.tar"]), &["cannot be used with"]);
    has_no_answer(&diff(&["--to", "2", "app.tar"]), &["--from", "--layer"]);
}

#[test]
fn a_single_source_must_be_a_mount_with_an_upper() {
    let place = Place::new();
    five_instructions(&place);
    fs::create_dir(place.path("dir")).unwrap();
    let diff = |args: &[&str]| place.run("diff", args);
    has_no_answer(&diff(&["app.tar"]), &["'app.tar' is an image", "lamina diff --layer 5 app.tar"]);
    has_no_answer(&diff(&["dir"]), &["'dir' is a directory, and no live mount", "lamina diff BEFORE dir"]);
    has_no_answer(&diff(&["overlay:dir"]), &["is layers"]);
    has_no_answer(&diff(&["nothing"]), &["nothing"]);
    has_no_answer(&diff(&[]), &["SOURCE"]);
    has_no_answer(
        &diff(&["app.tar", "dir", "--path", "/none"]),
        &["'/none'", "'dir' and 'app.tar'", "explain"],
    );
    let mounted = place.mount(&["app.tar"]);
    let said = place.run("diff", &[mounted.at("")]);
    has_no_answer(&said, &["has no upper", "a second SOURCE"]);
    says(&place.run("diff", &["app.tar".as_ref(), mounted.at("").as_os_str()]), &[]);
}

#[test]
fn formats_and_forms_are_no_difference() {
    let place = Place::new();
    let layers = [
        tar_of([
            Entry::dir("d"),
            Entry::file("d/one", "1"),
            Entry::sparse("d/holes", Sparse::Pax10, 3_000_000, &[(2_000_000, b"data")]),
            Entry::file("gone", ""),
        ]),
        tar_of([
            Entry::whiteout("gone"),
            Entry::opaque("d"),
            Entry::file("d/two", "2"),
            Entry::hardlink("d/three", "d/two"),
        ]),
    ];
    let image = image_of(layers, Compression::Zstd);
    place.archive("docker.tar", &image);
    place.write("layout", Format::OciDir, &Format::OciDir.files(&[&image]));
    let old = docker(&[&image], DockerStyle::Old);
    place.write("old.tar", Format::Docker(DockerStyle::Old), &old);
    for other in ["layout", "old.tar"] {
        says(&place.run("diff", &["docker.tar", other]), &[]);
    }
    place.run("unpack", &["docker.tar", "unpacked", "--flat"]).succeeds();
    if Who::current() == Who::Root {
        says(&place.run("diff", &["docker.tar", "unpacked"]), &[]);
    }
}

#[test]
fn what_cannot_be_read_is_trouble_and_the_rest_is_told() {
    let place = Place::new();
    for side in ["old", "new"] {
        let dir = place.path(side);
        fs::create_dir(&dir).unwrap();
        for name in ["closed", "same", side] {
            fs::write(dir.join(name), "12345").unwrap();
        }
        fs::set_permissions(dir.join("closed"), PermissionsExt::from_mode(0o000)).unwrap();
    }
    let said = place.run("diff", &["old", "new"]);
    assert_eq!(said.out, "A /new\nD /old\n");
    match Who::current() {
        Who::User => {
            assert_eq!(said.code, 2, "{said:?}");
            assert!(said.err.contains("'old'") && said.err.contains("closed"), "{said:?}");
            assert!(said.err.contains("Permission denied"), "{said:?}");
        }
        Who::Root | Who::Namespace => assert_eq!((said.code, said.err.as_str()), (1, "")),
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    fs::create_dir(place.path("full")).unwrap();
    for n in 0..5000 {
        fs::write(place.path(format!("full/{:0>100}", n)), "").unwrap();
    }
    let mut child =
        place.command("diff", &["empty", "full"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1), "it is different all the same");
}

/// What a tree has at each path, from the root: type, and what counts as a difference.
type Seen = BTreeMap<PathBuf, (u32, Vec<(&'static str, Vec<u8>)>)>;

fn seen(root: &Path) -> Seen {
    let mut all = Seen::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        let here = root.join(&path);
        let meta = here.symlink_metadata().unwrap();
        let kind = meta.mode() & libc::S_IFMT;
        let file_type = meta.file_type();
        let mut facts = Vec::new();
        if file_type.is_file() {
            facts.push(("content", fs::read(&here).unwrap()));
        }
        if file_type.is_symlink() {
            facts.push(("target", fs::read_link(&here).unwrap().as_os_str().as_bytes().to_vec()));
        } else {
            facts.push(("mode", (meta.mode() & 0o7777).to_le_bytes().to_vec()));
        }
        if file_type.is_char_device() {
            facts.push(("device", meta.rdev().to_le_bytes().to_vec()));
        }
        facts.push(("owner", [meta.uid(), meta.gid()].map(u32::to_le_bytes).concat()));
        let mut xattrs = Vec::new();
        if file_type.is_file() || file_type.is_dir() {
            for name in sys::list_xattr(&here).unwrap().into_iter().filter(|name| name.starts_with(b"user."))
            {
                let value = sys::get_xattr(&here, &name).unwrap();
                xattrs.push([&name[..], b"=", &value].concat());
            }
        }
        xattrs.sort();
        facts.push(("xattr", xattrs.join(&b'\0')));
        if file_type.is_dir() {
            for entry in fs::read_dir(&here).unwrap() {
                waiting.push(path.join(entry.unwrap().file_name()));
            }
        }
        all.insert(path, (kind, facts));
    }
    all
}

/// What the differences of two trees are, by looking at all of both.
fn expected(before: &Seen, after: &Seen) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, (kind, facts)) in after {
        let shown = format!("/{}", path.display());
        match before.get(path) {
            None => lines.push(format!("A {shown}")),
            Some((was, _)) if was != kind => lines.push(format!("C {shown} (type)")),
            Some((_, old)) => {
                let what: Vec<&str> =
                    old.iter().zip(facts).filter(|(old, new)| old != new).map(|(old, _)| old.0).collect();
                if !what.is_empty() {
                    lines.push(format!("C {shown} ({})", what.join(" ")));
                }
            }
        }
    }
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        if path.parent().is_some_and(|parent| after.contains_key(parent)) {
            let held = before.keys().filter(|other| other.starts_with(path)).count() - 1;
            lines.push(match held {
                0 => format!("D /{}", path.display()),
                1 => format!("D /{} (with 1 path in it)", path.display()),
                held => format!("D /{} (with {held} paths in it)", path.display()),
            });
        }
    }
    lines.sort();
    lines
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn path(&mut self) -> String {
        let names = ["a", "b", "c", "d"];
        let depth = 1 + self.below(3);
        (0..depth).map(|_| names[self.below(4)]).collect::<Vec<_>>().join("/")
    }
}

/// Does something to the tree; that much of it is refused is part of it.
fn change(rng: &mut Rng, mounted: &Mounted) {
    let (path, other) = (mounted.at(rng.path()), mounted.at(rng.path()));
    // A fifo would wait for its reader.
    let write = || {
        let mut options = fs::OpenOptions::new();
        options.write(true).custom_flags(libc::O_NONBLOCK);
        options
    };
    let _refused = match rng.below(14) {
        0 => {
            let content = ["1", "2", "333"][rng.below(3)];
            write()
                .create(true)
                .truncate(true)
                .open(&path)
                .and_then(|mut file| file.write_all(content.as_bytes()))
        }
        1 => write().append(true).open(&path).and_then(|mut file| file.write_all(b"more")),
        2 => write().open(&path).and_then(|file| file.set_len(rng.below(4) as u64)),
        3 | 4 => fs::remove_file(&path),
        5 => fs::remove_dir_all(&path),
        6 | 7 => fs::create_dir(&path),
        8 | 9 => fs::rename(&path, &other),
        10 if !path.is_symlink() => {
            fs::set_permissions(&path, PermissionsExt::from_mode([0o700, 0o755, 0o744][rng.below(3)]))
        }
        11 => symlink(["a", "b/c"][rng.below(2)], &path),
        12 if !path.is_symlink() => {
            sys::set_xattr(&path, b"user.x", &[b'0' + rng.below(2) as u8], sys::SetXattr::Always)
                .map_err(Into::into)
        }
        13 => nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o644)).map_err(Into::into),
        _ => Ok(()),
    };
}

#[test]
fn what_is_changed_in_a_mount_is_what_two_looks_at_it_tell() {
    let mut changes = 0;
    for seed in 1..=12_u64 {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let place = Place::new();
        let mut layers = Vec::new();
        for layer in 0..3 {
            let mut entries = BTreeMap::new();
            for _ in 0..25 {
                let path = rng.path();
                let above = Path::new(&path).ancestors().skip(1);
                if above.clone().any(|dir| entries.get(dir).is_some_and(Option::is_some))
                    || entries.keys().any(|below: &PathBuf| below.starts_with(&path))
                {
                    continue;
                }
                for dir in above.filter(|dir| !dir.as_os_str().is_empty()) {
                    entries.entry(dir.to_owned()).or_insert(None);
                }
                let entry = match rng.below(8) {
                    0 if layer > 0 => Entry::whiteout(&path),
                    1 => Entry::symlink(&path, "a"),
                    2 => Entry::file(&path, "x").mode(0o755).xattr("user.x", "0"),
                    _ => Entry::file(&path, format!("layer {layer}").as_bytes()),
                };
                entries.insert(PathBuf::from(path), Some(entry));
            }
            let entry = |(path, entry): (PathBuf, Option<Entry>)| {
                entry.unwrap_or_else(|| Entry::dir(path.as_os_str().as_bytes()))
            };
            layers.push(tar_of(entries.into_iter().map(entry)));
        }
        place.archive("image.tar", &image_of(layers, Compression::None));
        fs::create_dir(place.path("upper")).unwrap();
        let arguments: [&OsStr; 3] = ["--upper".as_ref(), "upper".as_ref(), "image.tar".as_ref()];
        let mounted = place.mount(&arguments);
        let point = mounted.at("");
        let before = seen(&point);
        for round in 0..4 {
            let after = seen(&point);
            let said = place.run("diff", &[&point]);
            let mut found: Vec<String> = said.out.lines().map(str::to_owned).collect();
            found.sort();
            let expected = expected(&before, &after);
            assert_eq!(found, expected, "seed {seed}, round {round}");
            assert_eq!((said.code, said.err.as_str()), (i32::from(!expected.is_empty()), ""), "seed {seed}");
            let quiet = place.run("diff", &["-q".as_ref(), point.as_os_str()]);
            assert_eq!((quiet.code, quiet.out.as_str()), (said.code, ""), "seed {seed}, round {round}");
            // The same by the name of the image.
            let whole = place.run("diff", &["image.tar".as_ref(), point.as_os_str()]);
            assert_eq!(whole.out, said.out, "seed {seed}, round {round}");
            changes += expected.len();
            for _ in 0..30 {
                change(&mut rng, &mounted);
            }
        }
    }
    assert!(changes > 300, "what was seen too seldom proves nothing: {changes}");
}
