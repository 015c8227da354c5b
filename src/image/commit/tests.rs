#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use tempfile::TempDir;

use super::*;
use crate::config::{LowerSpec, StatOverride, Whiteouts};
use crate::path::Name;
use crate::sys::fs::At;
use crate::sys::xattr::{self, SetMode};

/// An upper and one layer below it.
struct Case {
    temp: TempDir,
}

impl Case {
    fn new() -> Case {
        let temp = TempDir::new().unwrap();
        for dir in ["upper", "base"] {
            fs::create_dir(temp.path().join(dir)).unwrap();
            fs::set_permissions(temp.path().join(dir), fs::Permissions::from_mode(0o755)).unwrap();
        }
        Case { temp }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.temp.path().join(path)
    }

    fn dir(&self, path: &str) -> &Self {
        fs::create_dir_all(self.path(path)).unwrap();
        self
    }

    fn file(&self, path: &str, content: &str) -> &Self {
        self.dir(self.path(path).parent().unwrap().strip_prefix(self.temp.path()).unwrap().to_str().unwrap());
        fs::write(self.path(path), content).unwrap();
        self
    }

    fn whiteout(&self, path: &str) -> &Self {
        self.dir(self.path(path).parent().unwrap().strip_prefix(self.temp.path()).unwrap().to_str().unwrap());
        mknod(&self.path(path), SFlag::S_IFCHR, Mode::empty(), makedev(0, 0)).unwrap();
        self
    }

    fn xattr(&self, path: &str, name: &str, value: &[u8]) -> &Self {
        let path = self.path(path);
        let dir = fs::File::open(path.parent().unwrap()).unwrap();
        let at = At::Name(
            std::os::fd::AsFd::as_fd(&dir),
            Name::new(path.file_name().unwrap().as_bytes()).unwrap(),
        );
        xattr::set(at, name.as_bytes(), value, SetMode::Any).unwrap();
        self
    }

    fn write(&self, over: Over) -> Result<(Vec<String>, Written), CommitError> {
        for (dir, seconds) in [("base", 1_000), ("upper", 2_000)] {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            fs::File::open(self.path(dir)).unwrap().set_modified(time).unwrap();
        }
        let base = [LowerSpec::Directory(self.path("base"))];
        let upper = self.path("upper");
        let changes = Changes {
            upper: &upper,
            whiteouts: Whiteouts::Auto,
            stat_override: StatOverride::Off,
            base: match over {
                Over::Base => Some(&base),
                Over::Unknown => None,
            },
        };
        let mut tar = Vec::new();
        let written = write_layer(&changes, &mut tar)?;
        Ok((names(&tar), written))
    }

    fn over_base(&self) -> Vec<String> {
        self.write(Over::Base).unwrap().0
    }

    /// Without the root, which has another time than the base's.
    fn in_root(&self) -> Vec<String> {
        let mut names = self.over_base();
        assert_eq!(names.remove(0), "./");
        names
    }

    fn over_unknown(&self) -> Vec<String> {
        self.write(Over::Unknown).unwrap().0
    }
}

/// What the upper lies over.
enum Over {
    Base,
    Unknown,
}

/// The entries in order: names, `=TARGET` of hard links, `@TARGET` of symlinks, content of files in brackets.
fn names(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let mut names = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut name = entry.path_bytes().escape_ascii().to_string();
        let link = entry.link_name_bytes().unwrap_or_default().escape_ascii().to_string();
        match entry.header().entry_type() {
            tar::EntryType::Link => name = format!("{name}={link}"),
            tar::EntryType::Symlink => name = format!("{name}@{link}"),
            _ => {}
        }
        if entry.size() > 0 {
            let mut content = String::new();
            std::io::Read::read_to_string(&mut entry, &mut content).unwrap();
            name = format!("{name}[{content}]");
        }
        names.push(name);
    }
    names
}

#[test]
fn entries_come_sorted_and_deletions_by_their_oci_names() {
    let case = Case::new();
    case.file("base/b/gone", "").file("base/x", "").file("upper/b/new", "1").file("upper/a.b", "2");
    case.file("upper/a/c", "3").whiteout("upper/b/gone").whiteout("upper/x");
    symlink("../t", case.path("upper/l")).unwrap();
    assert_eq!(
        case.over_base(),
        ["./", "a/", "a/c[3]", "a.b[2]", "b/", "b/.wh.gone", "b/new[1]", "l@../t", ".wh.x"]
    );
    let (_, written) = case.write(Over::Base).unwrap();
    assert_eq!(written, Written { entries: 7, marks: 2, content: 3, warnings: Vec::new() });
}

#[test]
fn what_hides_nothing_of_the_base_is_not_written() {
    let case = Case::new();
    case.file("base/d/old", "").file("base/file", "");
    case.whiteout("upper/never").dir("upper/d").xattr("upper/d", "user.overlay.opaque", b"y");
    case.whiteout("upper/d/old").dir("upper/new").xattr("upper/new", "user.overlay.opaque", b"y");
    case.whiteout("upper/new/x").dir("upper/file").xattr("upper/file", "user.overlay.opaque", b"y");
    assert_eq!(case.in_root(), ["d/", "d/.wh..wh..opq", "file/", "new/"]);
    // Where the base is not known, all could hide something; only what is in an opaque directory cannot.
    assert_eq!(
        case.over_unknown(),
        ["./", "d/", "d/.wh..wh..opq", "file/", "file/.wh..wh..opq", ".wh.never", "new/", "new/.wh..wh..opq"]
    );
}

#[test]
fn every_form_of_a_mark_is_the_same_mark() {
    let forms = |form: &dyn Fn(&Case)| {
        let case = Case::new();
        case.file("base/d/old", "").file("base/gone", "").dir("upper/d");
        form(&case);
        case.in_root()
    };
    let expected = ["d/", "d/.wh..wh..opq", ".wh.gone"];
    assert_eq!(
        forms(&|case| {
            case.xattr("upper/d", "user.overlay.opaque", b"y").whiteout("upper/gone");
        }),
        expected
    );
    assert_eq!(
        forms(&|case| {
            case.file("upper/d/.wh..wh..opq", "").file("upper/.wh.gone", "");
        }),
        expected
    );
    assert_eq!(
        forms(&|case| {
            case.xattr("upper/d", "user.fuseoverlayfs.opaque", b"y").file("upper/gone", "");
            case.xattr("upper/gone", "user.overlay.whiteout", b"");
        }),
        expected
    );
}

#[test]
fn a_renamed_directory_is_written_whole() {
    let case = Case::new();
    case.file("base/a/sub/f", "1").file("base/a/sub/g", "2").file("base/a/h", "3").file("base/b/x", "");
    fs::hard_link(case.path("base/a/h"), case.path("base/a/sub/i")).unwrap();
    case.dir("upper/b").xattr("upper/b", "user.overlay.redirect", b"/a").whiteout("upper/a");
    case.file("upper/b/sub/g", "new").whiteout("upper/b/sub/f");
    assert_eq!(
        case.in_root(),
        [".wh.a", "b/", "b/.wh..wh..opq", "b/h[3]", "b/sub/", "b/sub/g[new]", "b/sub/i=b/h"]
    );
    let error = case.write(Over::Unknown).unwrap_err();
    assert!(error.to_string().starts_with("'/b' cannot be put into a layer: it is a renamed directory"));
    assert!(error.hint().unwrap().contains("--base"));
}

#[test]
fn a_metacopy_has_the_data_from_below() {
    let case = Case::new();
    case.file("base/f", "data").file("upper/f", "");
    fs::File::options().write(true).open(case.path("upper/f")).unwrap().set_len(4).unwrap();
    case.xattr("upper/f", "user.overlay.metacopy", b"");
    assert_eq!(case.in_root(), ["f[data]"]);
    assert!(matches!(
        case.write(Over::Unknown),
        Err(CommitError::Entry { problem: EntryProblem::DataBelow, .. })
    ));
}

#[test]
fn names_that_would_be_deletions_are_refused() {
    let case = Case::new();
    case.dir("upper/d/.wh.dir");
    let error = case.write(Over::Base).unwrap_err();
    assert_eq!(
        error.to_string(),
        "'/d/.wh.dir' cannot be put into a layer: names that begin with .wh. mean deletions there"
    );
    let case = Case::new();
    let long = "x".repeat(253);
    case.file(&format!("base/{long}"), "").whiteout(&format!("upper/{long}"));
    assert!(matches!(
        case.write(Over::Base),
        Err(CommitError::Entry { problem: EntryProblem::LongWhiteout, .. })
    ));
}

#[test]
fn a_socket_is_left_out_and_hides_what_it_hid() {
    let case = Case::new();
    case.file("base/s", "");
    let _socket = std::os::unix::net::UnixListener::bind(case.path("upper/s")).unwrap();
    let _new = std::os::unix::net::UnixListener::bind(case.path("upper/t")).unwrap();
    let (names, written) = case.write(Over::Base).unwrap();
    assert_eq!(names, ["./", ".wh.s"]);
    assert_eq!(written.warnings.len(), 2);
    assert!(written.warnings[0].starts_with("'/s' is a socket"), "{:?}", written.warnings);
}

#[test]
fn the_root_is_an_entry_when_it_is_another() {
    let case = Case::new();
    assert!(case.over_base().is_empty());
    assert_eq!(case.over_unknown(), ["./"]);
    fs::set_permissions(case.path("upper"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(case.over_base(), ["./"]);
    assert_eq!(fs::metadata(case.path("upper")).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn overlay_attributes_stay_and_users_own_go_along() {
    let case = Case::new();
    case.file("upper/f", "").xattr("upper/f", "user.mine", b"\0=").xattr(
        "upper/f",
        "user.overlay.origin",
        b"",
    );
    case.xattr("upper/f", "user.overlay.overlay.opaque", b"n").xattr("upper/f", "user.a=b", b"");
    let upper = case.path("upper");
    let changes = Changes {
        upper: &upper,
        whiteouts: Whiteouts::Auto,
        stat_override: StatOverride::Off,
        base: Some(&[]),
    };
    let mut tar = Vec::new();
    let written = write_layer(&changes, &mut tar).unwrap();
    let text = tar.escape_ascii().to_string();
    assert!(text.contains(r"SCHILY.xattr.user.mine=\x00=\n"));
    assert!(text.contains(r"SCHILY.xattr.user.overlay.opaque=n\n"));
    assert!(!text.contains("origin") && !text.contains("user.a"));
    assert_eq!(written.warnings.len(), 1);
}
