//! A whole tree as a value, and how two of them differ.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::exec::bytes;
use crate::sys::{self, Stat, Sys};

/// Everything built before the first operation is older than this moment; what the operations touch is younger.
///
/// Two sides never touch a file in the same nanosecond, so times are compared exactly where they are older, and only
/// as "touched" where they are not. Operations that set times set old ones.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pub start: (i64, u32),
}

impl Clock {
    fn say(self, time: (i64, u32)) -> String {
        if time >= self.start { "touched".to_owned() } else { format!("{}.{:09}", time.0, time.1) }
    }
}

/// One object, as facts that can be compared as text, and numbers that can only be compared with one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub facts: Vec<(&'static str, String)>,
    pub ino: u64,
    pub dev: (u32, u32),
    /// In units of 512 bytes; the kernel's copy-up fills small holes, so this is an upper bound only.
    pub blocks: u64,
    /// Which directory entries' `d_ino` is the `st_ino` of what they name: the entry's own, and for a directory `.`
    /// and `..`.
    pub d_ino: Vec<(&'static str, bool)>,
}

/// A tree by paths; the root is `/`.
pub type Tree = BTreeMap<PathBuf, Node>;

/// The contents of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    len: u64,
    hash: u64,
    head: Vec<u8>,
    /// Whether a byte other than 0 lies in what SEEK_HOLE calls a hole.
    hole_with_data: bool,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes #{:016x} head {:02x?}", self.len, self.hash, self.head)?;
        if self.hole_with_data { write!(f, ", with data in a hole") } else { Ok(()) }
    }
}

/// FNV-1a.
pub fn hash(data: &[u8]) -> u64 {
    hash_on(0xcbf2_9ce4_8422_2325, data)
}

fn hash_on(start: u64, data: &[u8]) -> u64 {
    data.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Reads a regular file; the descriptor's own position may move.
pub fn content(fd: BorrowedFd<'_>) -> Sys<Content> {
    let mut data = Vec::new();
    let mut buf = vec![0; 128 * 1024];
    loop {
        let got = sys::pread(fd, &mut buf, data.len() as u64)?;
        if got == 0 {
            break;
        }
        data.extend_from_slice(&buf[..got]);
    }
    let position = sys::lseek(fd, 0, libc::SEEK_CUR)?;
    let mut hole_with_data = false;
    let mut at = 0;
    while at < data.len() {
        let next = match sys::lseek(fd, at as i64, libc::SEEK_DATA) {
            Ok(next) => next as usize,
            Err(nix::errno::Errno::ENXIO) => data.len(),
            Err(errno) => return Err(errno),
        };
        hole_with_data |= data[at..next.min(data.len())].iter().any(|byte| *byte != 0);
        if next >= data.len() {
            break;
        }
        at = sys::lseek(fd, next as i64, libc::SEEK_HOLE)? as usize;
    }
    sys::lseek(fd, position as i64, libc::SEEK_SET)?;
    let head = data.iter().take(8).copied().collect();
    // Zeros are the bulk of sparse files; hashing 8 bytes at a time would be faster, but no seed needs it.
    Ok(Content { len: data.len() as u64, hash: hash(&data), head, hole_with_data })
}

fn attributes(stat: &Stat, clock: Clock) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("mode", format!("{:#o}", stat.mode)),
        ("nlink", stat.nlink.to_string()),
        ("owner", format!("{}:{}", stat.uid, stat.gid)),
        ("mtime", clock.say(stat.mtime)),
        ("atime", clock.say(stat.atime)),
        ("ctime", clock.say(stat.ctime)),
        ("btime", stat.btime.map_or("none".to_owned(), |time| clock.say(time))),
        ("rdev", format!("{}:{}", stat.rdev.0, stat.rdev.1)),
    ];
    // A directory's size is what its storage needs, whiteouts and all.
    if !stat.is_dir() {
        facts.push(("size", stat.size.to_string()));
    }
    facts
}

fn node(stat: &Stat, clock: Clock) -> Node {
    Node {
        facts: attributes(stat, clock),
        ino: stat.ino,
        dev: stat.dev,
        blocks: if stat.is_file() { stat.blocks } else { 0 },
        d_ino: Vec::new(),
    }
}

fn failed(what: &'static str, errno: nix::errno::Errno) -> Node {
    Node { facts: vec![(what, format!("{errno:?}"))], ino: 0, dev: (0, 0), blocks: 0, d_ino: Vec::new() }
}

/// What one path is, by its attributes alone.
pub fn describe_path(path: &Path, clock: Clock) -> Node {
    sys::lstat(path).map_or_else(|errno| failed("lstat", errno), |stat| node(&stat, clock))
}

/// What is held open, by its attributes, and its contents where it can be read.
pub fn describe_fd(fd: BorrowedFd<'_>, clock: Clock) -> Node {
    let stat = match sys::fstat(fd) {
        Ok(stat) => stat,
        Err(errno) => return failed("fstat", errno),
    };
    let mut node = node(&stat, clock);
    node.facts.push(("xattrs", xattrs_of(fd)));
    if stat.is_file() {
        node.facts.push(("content", content(fd).map_or_else(|e| format!("{e:?}"), |c| c.to_string())));
    }
    node
}

/// Names and values of the extended attributes of an open file.
pub fn xattrs_of(fd: BorrowedFd<'_>) -> String {
    say_xattrs(sys::flistxattr(fd), |name| sys::fgetxattr(fd, name, 65536))
}

fn say_xattrs(names: Sys<Vec<OsString>>, value: impl Fn(&OsString) -> Sys<Vec<u8>>) -> String {
    let say = |name: &OsString| {
        format!("{name:?}={}", value(name).map_or_else(|e| format!("{e:?}"), |v| bytes(&v)))
    };
    names.map_or_else(|e| format!("{e:?}"), |names| names.iter().map(say).collect::<Vec<_>>().join(", "))
}

/// The tree below the root directory of this thread.
pub fn snapshot(clock: Clock) -> Tree {
    let mut tree = Tree::new();
    let root = Path::new("/");
    match sys::lstat(root) {
        Ok(stat) => {
            let parent = stat.ino;
            add(&mut tree, root, stat, None, parent, clock);
        }
        Err(errno) => {
            tree.insert(root.to_owned(), failed("lstat", errno));
        }
    }
    name_groups(&mut tree);
    tree
}

fn add(tree: &mut Tree, path: &Path, stat: Stat, entry: Option<&sys::Dirent>, parent: u64, clock: Clock) {
    let mut node = node(&stat, clock);
    if let Some(entry) = entry {
        node.facts.push((
            "d_type",
            if u32::from(entry.kind) << 12 == stat.kind() { "right" } else { "wrong" }.into(),
        ));
        node.d_ino.push(("d_ino", entry.ino == stat.ino));
    }
    let xattrs = say_xattrs(sys::listxattr(path), |name| sys::getxattr(path, name, 65536));
    node.facts.push(("xattrs", xattrs));
    if stat.is_symlink() {
        node.facts.push(("target", format!("{:?}", sys::readlink(path))));
    }
    if stat.is_file() {
        let read = sys::open(path, libc::O_RDONLY | libc::O_NOFOLLOW, 0).and_then(|fd| content(fd.as_fd()));
        node.facts.push(("content", read.map_or_else(|e| format!("{e:?}"), |c| c.to_string())));
    }
    if stat.is_dir() {
        let listed = sys::open(path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW, 0)
            .and_then(|dir| sys::getdents(dir.as_fd(), 32768));
        let mut entries = match listed {
            Ok(entries) => entries,
            Err(errno) => {
                node.facts.push(("listing", format!("{errno:?}")));
                Vec::new()
            }
        };
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let twice: Vec<_> = entries.windows(2).filter(|pair| pair[0].name == pair[1].name).collect();
        if !twice.is_empty() {
            node.facts.push(("listed twice", format!("{twice:?}")));
        }
        for entry in &entries {
            if entry.name == "." {
                node.d_ino.push(("d_ino of .", entry.ino == stat.ino));
            } else if entry.name == ".." {
                // Above the root lies another file system.
                if path != Path::new("/") {
                    node.d_ino.push(("d_ino of ..", entry.ino == parent));
                }
            } else {
                let below = path.join(&entry.name);
                match sys::lstat(&below) {
                    Ok(child) => add(tree, &below, child, Some(entry), stat.ino, clock),
                    Err(errno) => {
                        tree.insert(below, failed("listed, but lstat gives", errno));
                    }
                }
            }
        }
    }
    tree.insert(path.to_owned(), node);
}

/// Which paths are one inode, by the first of them.
fn name_groups(tree: &mut Tree) {
    let mut first: BTreeMap<((u32, u32), u64), PathBuf> = BTreeMap::new();
    for (path, node) in tree.iter_mut() {
        let group = first.entry((node.dev, node.ino)).or_insert_with(|| path.clone());
        if group != path {
            node.facts.push(("same inode as", format!("{group:?}")));
        }
    }
}

/// One way in which two trees differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub path: String,
    pub what: &'static str,
    pub expected: String,
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}: {}: {} / {}", self.path, self.what, self.expected, self.found);
        f.write_str(&crate::op::squeeze(&text))
    }
}

/// How far two nodes agree in what can be compared as text and in the two inequalities that hold for numbers.
pub fn compare_nodes(path: &str, expected: &Node, found: &Node, out: &mut Vec<Difference>) {
    let mut say = |what, expected: &str, found: &str| {
        out.push(Difference {
            path: path.to_owned(),
            what,
            expected: expected.to_owned(),
            found: found.to_owned(),
        });
    };
    let names = expected.facts.iter().chain(&found.facts).map(|(name, _)| *name);
    let mut seen = Vec::new();
    for name in names {
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let value = |node: &Node| {
            node.facts.iter().find(|(n, _)| *n == name).map_or("-".to_owned(), |(_, v)| v.clone())
        };
        let (left, right) = (value(expected), value(found));
        if left != right {
            say(name, &left, &right);
        }
    }
    if found.blocks > expected.blocks {
        say("blocks", &format!("at most {}", expected.blocks), &found.blocks.to_string());
    }
    for (entry, right) in &expected.d_ino {
        if *right && found.d_ino.contains(&(*entry, false)) {
            say(entry, "st_ino", "another number");
        }
    }
}

/// All differences of two trees, `expected` first.
pub fn compare(expected: &Tree, found: &Tree) -> Vec<Difference> {
    let mut out = Vec::new();
    let mut paths: Vec<&PathBuf> = expected.keys().chain(found.keys()).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        let name = path.display().to_string();
        match (expected.get(path), found.get(path)) {
            (Some(left), Some(right)) => compare_nodes(&name, left, right, &mut out),
            (left, right) => {
                let say =
                    |node: Option<&Node>| node.map_or("absent".to_owned(), |node| node.facts[0].1.clone());
                out.push(Difference {
                    path: name,
                    what: "existence",
                    expected: say(left),
                    found: say(right),
                });
            }
        }
    }
    out
}

/// Inode numbers must stay on the side under test wherever they stay on the reference: `old` and `new` are pairs of
/// (reference, under test).
pub fn compare_inodes(old: (&Tree, &Tree), new: (&Tree, &Tree)) -> Vec<Difference> {
    let mut out = Vec::new();
    for (path, now) in new.0 {
        let (Some(before), Some(our_before), Some(our_now)) =
            (old.0.get(path), old.1.get(path), new.1.get(path))
        else {
            continue;
        };
        if before.ino == now.ino && our_before.ino != our_now.ino {
            out.push(Difference {
                path: path.display().to_string(),
                what: "st_ino",
                expected: "as before".to_owned(),
                found: format!("{} after {}", our_now.ino, our_before.ino),
            });
        }
    }
    out
}
