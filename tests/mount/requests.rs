//! How many requests each operation costs, by kind: what makes lamina fast or slow, in numbers that no noise changes.
//!
//! A budget names all kinds of request that may come, and how many; every other kind must not come at all. Where a request is
//! not the operation's own, the reason stands beside it: the kernel's source is fs/fuse of Linux 6.18.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use lamina::control::STATS_XATTR;
use lamina::control::snapshot::Snapshot;
use nix::sys::stat::lstat;

use crate::needs;
use crate::support::guard::{told_of_opens, wait_for};
use crate::support::{Mount, Setup, say, sys};

/// So many requests of a kind.
type Budget<'a> = &'a [(&'a str, RangeInclusive<u64>)];

fn just(count: u64) -> RangeInclusive<u64> {
    count..=count
}

fn up_to(count: u64) -> RangeInclusive<u64> {
    0..=count
}

/// When these come is chance: nobody waits for the first three, and whoever looks at all mounts of this machine (`lamina list`, df)
/// sends the others.
const APART: [&str; 5] = ["FORGET", "BATCH_FORGET", "INTERRUPT", "user.lamina.*", STATFS];
const STATFS: &str = "STATFS";

fn snapshot(m: &Mount) -> Snapshot {
    Snapshot::decode(&sys::get_xattr(&m.root(), STATS_XATTR.to_bytes()).unwrap()).unwrap()
}

/// Once no file is open any more. RELEASE comes after close(2) has returned; it is counted before the file counts as closed.
#[track_caller]
fn settled(m: &Mount) -> Snapshot {
    wait_for("the last RELEASE", || Some(snapshot(m)).filter(|now| now.open_files == 0))
}

/// The requests that `operation` brings about, by kind.
#[track_caller]
fn requests(m: &Mount, operation: impl FnOnce()) -> BTreeMap<String, u64> {
    let before = settled(m);
    operation();
    let since = settled(m).since(&before);
    since.requests.into_iter().map(|of_kind| (of_kind.kind, of_kind.count)).collect()
}

#[track_caller]
fn budget(m: &Mount, what: &str, operation: impl FnOnce(), allowed: Budget<'_>) {
    let mut come = requests(m, operation);
    come.retain(|kind, _| !APART.contains(&kind.as_str()));
    let too_many = come.iter().any(|(kind, count)| {
        allowed.iter().find(|(known, _)| known == kind).is_none_or(|(_, range)| range.end() < count)
    });
    let too_few = allowed.iter().any(|(kind, range)| come.get(*kind).copied().unwrap_or(0) < *range.start());
    assert!(!too_many && !too_few, "{what}: these requests came: {come:?}\nand these may: {allowed:?}");
}

/// A program of this machine, which must succeed. It is not started in the mount.
#[track_caller]
fn tool(command: &str, args: &[&str], at: &Path) {
    let output = Command::new(command).args(args).arg(at).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
}

fn create(path: &Path) -> File {
    OpenOptions::new().write(true).create_new(true).open(path).unwrap()
}

/// Opens, reads and closes; without asking for the size, as [`fs::read`] does.
fn read(path: &Path) {
    let mut content = [0; 64];
    assert!(File::open(path).unwrap().read(&mut content).unwrap() > 0);
}

/// Five directories, four of which are merged, with ten files each.
fn tree() -> Mount {
    let mut text = String::new();
    for layer in 1..=2 {
        text += &format!("layer {layer}\n");
        for dir in 0..4 {
            for file in 0..5 {
                text += &format!("file d/s{dir}/l{layer}f{file} \"content\"\n");
            }
        }
    }
    Mount::of(&text)
}

/// Where the kernel opens files by itself, the first OPEN is answered with ENOSYS, and so is the first FLUSH.
fn settle_opens(m: &Mount, path: &str) {
    let come = requests(m, || read(&m.at(path)));
    assert_eq!(come.get("OPEN"), Some(&1), "{come:?}");
    assert_eq!(come.contains_key("FLUSH"), !told_of_opens(), "{come:?}");
}

const DIRECTORIES: u64 = 5;
const FILES: u64 = 40;

/// A directory of the lower with some files and a link, all of which the kernel knows.
fn known() -> Mount {
    let m = Mount::of(
        "layer 1\nfile w/a \"a\" mode=644\nfile w/b \"b\" mode=644\nfile w/c \"c\" mode=644\nsymlink w/link \"a\"\n",
    );
    fs::read_dir(m.at("w")).unwrap().for_each(|entry| assert!(lstat(&entry.unwrap().path()).is_ok()));
    // Reading the listing has changed the directory's atime.
    lstat(&m.at("w")).unwrap();
    settle_opens(&m, "w/c");
    lstat(&m.at("w")).unwrap();
    m
}

/// After each change of names in it the kernel asks for the directory's attributes when its path is next walked: Linux 6.18 takes
/// all of them for changed (`fuse_dir_changed`), mode and owner, too. Later kernels take the times and the size only.
const WALK_AFTER_CHANGE: (&str, RangeInclusive<u64>) = ("GETATTR", 0..=1);

/// Before the first write after attributes were fetched, and before chown(2): has the file capabilities? That it has none
/// cannot be told ahead, and nothing but ENOSYS to every GETXATTR ends the question.
const CAPABILITIES: &str = "GETXATTR";

#[test]
fn find_asks_less_each_time() {
    needs!(Lamina);
    let m = tree();
    let find = || tool("find", &[], &m.at("d"));
    // Of each directory its entries, and that there are no more.
    budget(
        &m,
        "find",
        find,
        &[("LOOKUP", just(1)), ("OPENDIR", just(1)), ("READDIRPLUS", just(2 * DIRECTORIES))],
    );
    // Reading a listing has changed the directory's atime.
    budget(&m, "find again", find, &[("GETATTR", up_to(DIRECTORIES))]);
    budget(&m, "find once more", find, &[]);
    // For the type of the file system; df, which may run at any time, asks as well.
    let fewest = (0..5).filter_map(|_| requests(&m, find).remove(STATFS)).min();
    assert!(
        fewest.is_none_or(|fewest| fewest <= 1),
        "find asks {fewest:?} times for the type of the file system"
    );
}

#[test]
fn a_second_ls_asks_nothing_of_a_file() {
    needs!(Lamina);
    if Path::new("/sys/fs/selinux/enforce").exists() {
        say(
            "SKIPPED a_second_ls_asks_nothing_of_a_file: security labels are in use, and ls asks for each file's",
        );
        return;
    }
    let m = tree();
    let ls = || tool("ls", &["-lR"], &m.at("d"));
    // ACLs are asked for once, two of a directory and one of a file; labels once of each file system.
    budget(
        &m,
        "ls -lR",
        ls,
        &[
            ("LOOKUP", just(1)),
            ("OPENDIR", just(1)),
            ("READDIRPLUS", just(2 * DIRECTORIES)),
            ("GETATTR", up_to(DIRECTORIES)),
            ("GETXATTR", up_to(2 * DIRECTORIES + FILES + 1)),
            ("LISTXATTR", up_to(DIRECTORIES + FILES)),
        ],
    );
    budget(
        &m,
        "ls -lR again",
        ls,
        &[("GETATTR", up_to(DIRECTORIES)), ("GETXATTR", up_to(1)), ("LISTXATTR", up_to(1))],
    );
    // What was fetched anew has lost its cached ACLs.
    budget(
        &m,
        "ls -lR once more",
        ls,
        &[("GETXATTR", up_to(2 * DIRECTORIES + 1)), ("LISTXATTR", up_to(DIRECTORIES + 1))],
    );
    budget(&m, "the last ls -lR", ls, &[("GETXATTR", up_to(1)), ("LISTXATTR", up_to(1))]);
}

#[test]
fn a_large_directory_comes_in_large_pieces() {
    needs!(Lamina);
    let mut text = String::from("layer 1\n");
    (0..10_000).for_each(|n| text += &format!("file big/name{n:05} \"\"\n"));
    let m = Mount::of(&text);
    let ls = || tool("ls", &[], &m.at("big"));
    // 6,000 names fit into a request; the third says that there are no more.
    budget(&m, "ls", ls, &[("LOOKUP", just(1)), ("OPENDIR", just(1)), ("READDIRPLUS", up_to(3))]);
    budget(&m, "ls again", ls, &[("GETATTR", up_to(1))]);
    budget(&m, "stat of what was listed", || assert!(lstat(&m.at("big/name09999")).is_ok()), &[]);
}

#[test]
fn what_is_known_is_not_asked_again() {
    needs!(Lamina);
    let m = Mount::of("layer 1\nfile d/f \"content\"\nfile d/g \"content\"\nsymlink d/link \"there\"\n");
    let stat = |path: &str| lstat(&m.at(path)).is_ok();
    budget(&m, "stat", || assert!(stat("d/f")), &[("LOOKUP", just(2))]);
    budget(&m, "stat again", || assert!(stat("d/f")), &[]);
    budget(&m, "a miss", || assert!(!stat("d/none")), &[("LOOKUP", just(1))]);
    budget(&m, "the same miss", || assert!(!stat("d/none")), &[]);
    let read_link = || drop(fs::read_link(m.at("d/link")).unwrap());
    budget(&m, "a link", read_link, &[("LOOKUP", just(1)), ("READLINK", just(1))]);
    budget(&m, "the same link", read_link, &[]);
    let opens = u64::from(told_of_opens());
    let again = [("OPEN", just(opens)), ("RELEASE", just(opens))];
    settle_opens(&m, "d/f");
    // The first opening has asked who opens.
    budget(&m, "read once", || read(&m.at("d/f")), &again);
    fs::metadata(m.at("d/g")).unwrap();
    let first = [("OPEN", just(opens)), ("READ", just(1)), ("RELEASE", just(opens))];
    budget(&m, "read", || read(&m.at("d/g")), &first);
    budget(&m, "read again", || read(&m.at("d/g")), &again);
}

#[test]
fn names_are_made_and_removed() {
    needs!(Lamina);
    let m = known();
    let made = [("LOOKUP", just(1)), ("CREATE", just(1)), ("RELEASE", up_to(1)), WALK_AFTER_CHANGE];
    budget(&m, "create", || drop(create(&m.at("w/new"))), &made);
    budget(&m, "create another", || drop(create(&m.at("w/more"))), &made);
    // An exclusive creation looks whether the name is still there.
    budget(
        &m,
        "mkdir",
        || fs::create_dir(m.at("w/dir")).unwrap(),
        &[("LOOKUP", just(1)), ("MKDIR", just(1)), WALK_AFTER_CHANGE],
    );
    // So does a rename, of its target.
    budget(
        &m,
        "rename",
        || fs::rename(m.at("w/new"), m.at("w/newer")).unwrap(),
        &[("LOOKUP", just(1)), ("RENAME", just(1)), WALK_AFTER_CHANGE],
    );
    budget(
        &m,
        "unlink",
        || fs::remove_file(m.at("w/newer")).unwrap(),
        &[("UNLINK", just(1)), WALK_AFTER_CHANGE],
    );
    budget(
        &m,
        "unlink of a lower file",
        || fs::remove_file(m.at("w/a")).unwrap(),
        &[("UNLINK", just(1)), WALK_AFTER_CHANGE],
    );
    budget(&m, "rmdir", || fs::remove_dir(m.at("w/dir")).unwrap(), &[("RMDIR", just(1)), WALK_AFTER_CHANGE]);
}

#[test]
fn files_are_written_and_copied_up() {
    needs!(Lamina);
    let m = known();
    let append = |path: &str| {
        let mut file = OpenOptions::new().append(true).open(m.at(path)).unwrap();
        file.write_all(b"more").unwrap();
    };
    let opens = u64::from(told_of_opens());
    let written = [
        ("OPEN", just(opens)),
        (CAPABILITIES, just(1)),
        ("WRITE", just(1)),
        ("RELEASE", just(opens)),
        WALK_AFTER_CHANGE,
    ];
    budget(&m, "append to a lower file", || append("w/a"), &written);
    // A copy-up has changed the ctime of both, the file and its directory, as the kernel's overlay has it.
    budget(
        &m,
        "append to it again",
        || append("w/a"),
        &[
            ("OPEN", just(opens)),
            (CAPABILITIES, up_to(1)),
            ("WRITE", just(1)),
            ("RELEASE", just(opens)),
            ("GETATTR", up_to(2)),
        ],
    );
    budget(
        &m,
        "100 writes",
        || {
            let mut file = create(&m.at("w/new"));
            (0..100).for_each(|_| file.write_all(b"some").unwrap());
        },
        &[
            ("LOOKUP", just(1)),
            ("CREATE", just(1)),
            (CAPABILITIES, just(1)),
            ("WRITE", up_to(100)),
            ("RELEASE", up_to(1)),
            WALK_AFTER_CHANGE,
        ],
    );
    let chmod = |path: &str, mode| fs::set_permissions(m.at(path), PermissionsExt::from_mode(mode)).unwrap();
    let changed = [("SETATTR", just(1)), WALK_AFTER_CHANGE];
    budget(&m, "chmod of a lower file", || chmod("w/b", 0o600), &changed);
    budget(&m, "chmod again", || chmod("w/b", 0o640), &changed);
}

/// By root, of files without directories: each file is made, written, and gets its times, owner and mode.
#[test]
fn an_archive_is_unpacked() {
    needs!(Lamina, Capabilities, GnuTar);
    const COUNT: u64 = 20;
    let m = Setup::text("layer 1\ndir w\n").mount();
    let source = m.dir().join("source");
    fs::create_dir(&source).unwrap();
    for n in 0..COUNT {
        fs::write(source.join(format!("f{n}")), "content").unwrap();
        fs::set_permissions(source.join(format!("f{n}")), PermissionsExt::from_mode(0o644)).unwrap();
    }
    let archive = m.dir().join("a.tar");
    let packed =
        Command::new("tar").arg("cf").arg(&archive).arg("-C").arg(&source).arg(".").status().unwrap();
    assert!(packed.success());
    fs::create_dir(m.at("w/to")).unwrap();
    let archive = archive.to_str().unwrap();
    budget(
        &m,
        "untar",
        || tool("tar", &["xf", archive, "-C"], &m.at("w/to")),
        &[
            ("LOOKUP", up_to(COUNT + 1)),
            ("OPENDIR", up_to(1)),
            ("CREATE", just(COUNT)),
            ("WRITE", up_to(COUNT)),
            // The last three are those of the directory.
            ("SETATTR", up_to(3 * COUNT + 3)),
            ("RELEASE", up_to(COUNT)),
            // Of the directory, when the next file's path is walked: WALK_AFTER_CHANGE.
            ("GETATTR", up_to(COUNT + 2)),
            // Before the write, and before chown(2). The last two are the ACLs of the directory.
            (CAPABILITIES, up_to(2 * COUNT + 2)),
        ],
    );
}

/// rm -rf: what a directory holds is listed once, and each name removed by one request.
#[test]
fn a_tree_is_removed() {
    needs!(Lamina);
    let m = tree();
    tool("find", &[], &m.at("d"));
    budget(
        &m,
        "rm -rf",
        || tool("rm", &["-rf"], &m.at("d/s0")),
        &[
            ("UNLINK", just(10)),
            ("RMDIR", just(1)),
            ("LOOKUP", up_to(1)),
            ("READDIRPLUS", up_to(2)),
            // Of the directory at every name in it but the first, and of the one that it is in.
            ("GETATTR", up_to(12)),
        ],
    );
}
