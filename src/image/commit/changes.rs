//! The walk over an upper.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use super::shown::{self, Content};
use super::upper::{Mark, Upper};
use super::{CommitError, EntryProblem, filter};
use crate::config::{Behaviour, LowerSpec, StackSpec, StatOverride, UpperSpec, Whiteouts};
use crate::error::{Kind, Result};
use crate::marker::{OCI_OPAQUE, OciName, oci_whiteout};
use crate::overlay::{Attr, FileKind, NodeId, Overlay, Timestamp};
use crate::path::{Name, NameBuf, RelPath};
use crate::tarball::write::{Entry, TarWriter, What, WriteError};

/// Changes that are to become a layer.
#[derive(Debug)]
pub struct Changes<'a> {
    /// The upper directory.
    pub upper: &'a Path,
    /// What `.wh.` names mean in it.
    pub whiteouts: Whiteouts,
    /// Where owners and modes are recorded in it; its root may say so itself.
    pub stat_override: StatOverride,
    /// The layers it lies over, top first; `None` where they are not known: then every mark it has is written, and what
    /// depends on a layer below is refused.
    pub base: Option<&'a [LowerSpec]>,
}

/// What was written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Objects, and names of hard links.
    pub entries: u64,
    /// Deletions and opaque marks.
    pub marks: u64,
    /// Bytes of the content of files.
    pub content: u64,
    /// What is not in the layer as it is in the mount, in whole sentences.
    pub warnings: Vec<String>,
}

impl Written {
    /// Is there nothing in the layer?
    pub fn is_empty(&self) -> bool {
        self.entries == 0 && self.marks == 0
    }
}

/// Writes the changes as a tar: the same bytes for the same tree.
///
/// Entries come depth first, a directory before what is in it, in the order of their names' bytes. Deletions are written where
/// something is there below to be deleted, and directories are marked opaque where there is one below. A renamed directory
/// is written whole. Of hard links the first name has the content. The root has an entry where it is not as the base's is; where
/// only its time is another and nothing is in it, it is the same.
///
/// # Errors
/// As [`CommitError`] has them; what was written of the tar is worthless then.
pub fn write_layer(changes: &Changes<'_>, out: impl Write) -> Result<Written, CommitError> {
    let mut walk = Walk::new(changes, TarWriter::new(out))?;
    walk.root()?;
    while let Some(visit) = walk.next() {
        walk.visit(visit)?;
    }
    let Walk { tar, written, .. } = walk;
    match tar.finish() {
        Ok(_) => Ok(written),
        Err(error) => Err(at(&RelPath::root(), WriteError::Write(error).into())),
    }
}

pub(super) fn at(path: &RelPath, problem: EntryProblem) -> CommitError {
    CommitError::Entry { path: path.clone(), problem }
}

/// What lies below a directory of the layer once the layer is applied.
#[derive(Debug, Clone, Copy)]
enum Below {
    /// Nothing that could show.
    Nothing,
    /// Nobody knows.
    Unknown,
    /// This directory of the base.
    Dir(NodeId),
}

/// Which names of a directory go into the layer.
#[derive(Debug, Clone, Copy)]
enum Names {
    /// Those that the upper has.
    Upper,
    /// All that the union shows: the directory was moved here.
    All,
}

/// A directory whose names are being written.
#[derive(Debug)]
struct Frame {
    path: RelPath,
    node: NodeId,
    below: Below,
    names: Names,
    /// The names that are left, in reverse.
    left: Vec<(NameBuf, Mark)>,
}

/// A name to be written, and what is known of where it is.
#[derive(Debug)]
struct Visit {
    path: RelPath,
    name: NameBuf,
    mark: Mark,
    parent: NodeId,
    below: Below,
    names: Names,
}

/// What the names of one object have in common. The number alone would do but for layers that were copied with the origins of
/// their files: then a copy and what it was made from have one number.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Linked {
    ino: u64,
    links: u32,
    size: u64,
    mtime: Timestamp,
    ctime: Timestamp,
}

impl Linked {
    /// `None` for an object of one name.
    fn of(attr: &Attr) -> Option<Self> {
        let Attr { ino, nlink: links, size, mtime, ctime, .. } = *attr;
        (links > 1).then_some(Linked { ino, links, size, mtime, ctime })
    }
}

struct Walk<'a, W> {
    upper: Upper,
    /// The upper over the base.
    union: Overlay,
    /// The base alone.
    base: Option<Overlay>,
    upper_path: &'a Path,
    tar: TarWriter<W>,
    frames: Vec<Frame>,
    /// Objects of several names, and the first of them.
    links: HashMap<Linked, RelPath>,
    written: Written,
}

impl<'a, W: Write> Walk<'a, W> {
    fn new(changes: &Changes<'a>, tar: TarWriter<W>) -> Result<Self, CommitError> {
        let upper = Upper::open(changes)?;
        let behaviour = Behaviour {
            // The upper may be that of a live mount: nothing is locked, cleared or written.
            read_only: true,
            whiteouts: changes.whiteouts,
            stat_override: changes.stat_override,
            ..Behaviour::default()
        };
        let lowers = changes.base.unwrap_or_default();
        // Without changes there is no work directory in use.
        let spec = UpperSpec { upper: changes.upper.to_owned(), work: changes.upper.to_owned() };
        let stack = StackSpec { lowers: lowers.to_vec(), data_only: Vec::new(), upper: Some(spec) };
        let union = Overlay::open_stack(&stack, &behaviour)?;
        let base = match changes.base {
            None | Some([]) => None,
            Some(_) => Some(Overlay::open_stack(&StackSpec { upper: None, ..stack }, &behaviour)?),
        };
        Ok(Walk {
            upper,
            union,
            base,
            upper_path: changes.upper,
            tar,
            frames: Vec::new(),
            links: HashMap::new(),
            written: Written::default(),
        })
    }

    fn root(&mut self) -> Result<(), CommitError> {
        let path = RelPath::root();
        let attr = self.union.getattr(NodeId::ROOT)?;
        let xattrs = filter::xattrs(&self.union, NodeId::ROOT)?;
        let below = match &self.base {
            None => None,
            Some(base) => Some((base.getattr(NodeId::ROOT)?, filter::xattrs(base, NodeId::ROOT)?)),
        };
        if let Some((under, _)) = &below
            && (under.uid, under.gid) != (attr.uid, attr.gid)
        {
            self.written.warnings.push(format!(
                "'{}' belongs to {}:{}, and so will the image's root: the base's belongs to {}:{}",
                self.upper_path.display(),
                attr.uid,
                attr.gid,
                under.uid,
                under.gid
            ));
        }
        let names = self.upper.names(&path, &mut self.written.warnings)?;
        let changed = below.as_ref().is_none_or(|(under, under_xattrs)| {
            let same = (under.perm, under.uid, under.gid) == (attr.perm, attr.uid, attr.gid);
            // An upper is always younger than what it lies over: that alone is no change.
            !same || *under_xattrs != xattrs || (!names.is_empty() && under.mtime != attr.mtime)
        });
        if changed {
            self.write(&path, entry(&path, &attr, What::Directory, xattrs))?;
        }
        let below = below.map_or(Below::Unknown, |_| Below::Dir(NodeId::ROOT));
        self.enter(Frame { path, node: NodeId::ROOT, below, names: Names::Upper, left: names });
        Ok(())
    }

    /// The next name. A directory that is done is let go.
    fn next(&mut self) -> Option<Visit> {
        loop {
            let frame = self.frames.last_mut()?;
            if let Some((name, mark)) = frame.left.pop() {
                return Some(Visit {
                    path: frame.path.join(name.as_name()),
                    name,
                    mark,
                    parent: frame.node,
                    below: frame.below,
                    names: frame.names,
                });
            }
            let done = self.frames.pop()?;
            self.union.forget(done.node, 1);
            if let (Below::Dir(node), Some(base)) = (done.below, &self.base) {
                base.forget(node, 1);
            }
        }
    }

    /// Goes into a directory.
    fn enter(&mut self, mut frame: Frame) {
        frame.left.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        self.frames.push(frame);
    }

    fn visit(&mut self, visit: Visit) -> Result<(), CommitError> {
        if visit.mark == Mark::Whiteout {
            return self.delete(&visit);
        }
        if OciName::check_ordinary(visit.name.as_name()).is_err() {
            return Err(at(&visit.path, EntryProblem::Reserved));
        }
        let Some(found) = self.union.lookup(visit.parent, visit.name.as_name())? else {
            // Gone since it was listed, under a live mount.
            return Ok(());
        };
        if found.attr.kind == FileKind::Directory {
            return self.directory(visit, found.node, &found.attr);
        }
        self.leaf(&visit, found.node, &found.attr)?;
        self.union.forget(found.node, 1);
        Ok(())
    }

    /// What is below a name of the base's directory `below`; the lookup is to be forgotten.
    fn under(&self, below: Below, name: &NameBuf) -> Result<Option<(NodeId, FileKind)>, CommitError> {
        let (Below::Dir(dir), Some(base)) = (below, &self.base) else { return Ok(None) };
        Ok(base.lookup(dir, name.as_name())?.map(|found| (found.node, found.attr.kind)))
    }

    /// Writes a deletion where there is something to be deleted.
    fn delete(&mut self, visit: &Visit) -> Result<(), CommitError> {
        match visit.below {
            Below::Nothing => return Ok(()),
            Below::Unknown => {}
            Below::Dir(_) => match (self.under(visit.below, &visit.name)?, &self.base) {
                (Some((node, _)), Some(base)) => base.forget(node, 1),
                _ => return Ok(()),
            },
        }
        let name = oci_whiteout(visit.name.as_name()).map_err(|kind| match kind {
            Kind::NameTooLong => at(&visit.path, EntryProblem::LongWhiteout),
            _ => at(&visit.path, EntryProblem::Reserved),
        })?;
        let parent = visit.path.split_last().map(|(parent, _)| parent).unwrap_or_default();
        self.marker(&parent.join(name.as_name()))
    }

    fn marker(&mut self, path: &RelPath) -> Result<(), CommitError> {
        self.tar.entry(&Entry::plain(path, 0)).map_err(|error| at(path, error.into()))?;
        self.written.marks += 1;
        Ok(())
    }

    fn directory(&mut self, visit: Visit, node: NodeId, attr: &Attr) -> Result<(), CommitError> {
        let under = match (self.under(visit.below, &visit.name)?, visit.below) {
            (Some((node, FileKind::Directory)), _) => Below::Dir(node),
            (Some((other, _)), _) => {
                if let Some(base) = &self.base {
                    base.forget(other, 1);
                }
                Below::Nothing
            }
            (None, Below::Unknown) => Below::Unknown,
            (None, _) => Below::Nothing,
        };
        let xattrs = filter::xattrs(&self.union, node)?;
        self.write(&visit.path, entry(&visit.path, attr, What::Directory, xattrs))?;
        let hides = matches!(visit.mark, Mark::Opaque | Mark::Renamed);
        if hides && !matches!(under, Below::Nothing) {
            self.marker(&opaque_mark(&visit.path)?)?;
        }
        let names = if visit.mark == Mark::Renamed { Names::All } else { visit.names };
        let below = if hides { Below::Nothing } else { under };
        if let (true, Below::Dir(hidden), Some(base)) = (hides, under, &self.base) {
            base.forget(hidden, 1);
        }
        let left = match names {
            Names::All => {
                shown::names(&self.union, node)?.into_iter().map(|name| (name, Mark::Plain)).collect()
            }
            Names::Upper => self.upper.names(&visit.path, &mut self.written.warnings)?,
        };
        self.enter(Frame { path: visit.path, node, below, names, left });
        Ok(())
    }

    /// Writes anything but a directory.
    fn leaf(&mut self, visit: &Visit, node: NodeId, attr: &Attr) -> Result<(), CommitError> {
        let path = &visit.path;
        let linked = Linked::of(attr);
        if let Some(first) = linked.as_ref().and_then(|linked| self.links.get(linked)) {
            let link = entry(path, attr, What::HardLink(first), Default::default());
            self.tar.entry(&link).map_err(|error| at(path, error.into()))?;
            self.written.entries += 1;
            return Ok(());
        }
        let target;
        let what = match attr.kind {
            FileKind::Regular => What::Regular(attr.size),
            FileKind::Symlink => {
                target = self.union.readlink(node)?;
                What::Symlink(&target)
            }
            FileKind::CharDevice => What::CharDevice { major: attr.rdev.major, minor: attr.rdev.minor },
            FileKind::BlockDevice => What::BlockDevice { major: attr.rdev.major, minor: attr.rdev.minor },
            FileKind::Fifo => What::Fifo,
            FileKind::Socket => return self.socket(visit),
            FileKind::Directory => return Ok(()),
        };
        let xattrs = filter::xattrs(&self.union, node)?;
        self.write_content(path, entry(path, attr, what, xattrs), node)?;
        if let Some(linked) = linked {
            self.links.insert(linked, path.clone());
        }
        Ok(())
    }

    /// A socket is nothing without the process that listens at it, and a tar has no type for it. What it hides below stays
    /// hidden.
    fn socket(&mut self, visit: &Visit) -> Result<(), CommitError> {
        let path = &visit.path;
        self.written.warnings.push(format!("'{path}' is a socket, and is left out: a layer cannot hold one"));
        match visit.below {
            Below::Dir(_) => self.delete(visit),
            Below::Nothing | Below::Unknown => Ok(()),
        }
    }

    fn write(&mut self, path: &RelPath, entry: Entry<'_>) -> Result<(), CommitError> {
        let entry = self.checked(path, entry);
        self.tar.entry(&entry).map_err(|error| at(path, error.into()))?;
        self.written.entries += 1;
        Ok(())
    }

    fn checked<'e>(&mut self, path: &RelPath, mut entry: Entry<'e>) -> Entry<'e> {
        let warnings = &mut self.written.warnings;
        entry.xattrs.retain(|name, _| {
            let fits = !name.contains(&b'=');
            if !fits {
                warnings.push(format!(
                    "attribute '{}' of '{path}' is left out: a layer cannot hold a name with '='",
                    name.escape_ascii()
                ));
            }
            fits
        });
        entry
    }

    fn write_content(&mut self, path: &RelPath, entry: Entry<'_>, node: NodeId) -> Result<(), CommitError> {
        let What::Regular(size @ 1..) = entry.what else { return self.write(path, entry) };
        let entry = self.checked(path, entry);
        let content = Content::open(&self.union, node)?;
        self.tar.file(&entry, content).map_err(|error| at(path, error.into()))?;
        self.written.entries += 1;
        self.written.content = self.written.content.saturating_add(size);
        Ok(())
    }
}

fn entry<'e>(
    path: &'e RelPath,
    attr: &Attr,
    what: What<'e>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
) -> Entry<'e> {
    let mtime = (attr.mtime.sec, attr.mtime.nsec);
    Entry { path, what, perm: attr.perm, uid: attr.uid, gid: attr.gid, mtime, xattrs }
}

fn opaque_mark(dir: &RelPath) -> Result<RelPath, CommitError> {
    let name = Name::new(OCI_OPAQUE).map_err(|_| at(dir, EntryProblem::Reserved))?;
    Ok(dir.join(name))
}
