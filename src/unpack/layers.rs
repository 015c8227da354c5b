//! Each layer as a directory of its own, in the form that overlays take.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nix::errno::Errno;

use super::below::attributes_below;
use super::form::{Deletions, Form, OpaqueMarks};
use super::links::{Linked, Links};
use super::object::{Attributes, Content, Maker, Sort};
use super::{Written, WrittenLayer};
use crate::config::LowerSpec;
use crate::error::{Error, ErrorContext, Kind, OpContext, Result};
use crate::layer::{Attributes as Whose, Found, FoundDir, FoundLeaf};
use crate::marker::{Marker, OCI_OPAQUE, OpaqueMark, oci_whiteout};
use crate::overlay::{AnyLayer, DirIn, InLayer, Layers, Object};
use crate::path::{Name, NameBuf, RelPath};
use crate::resolve::Depth;
use crate::sys::fs::{self, At, Stat};
use crate::sys::xattr::{self, SetMode};
use crate::tarball::TarLayer;

/// Writes each layer into a new directory in `into`, several at a time.
///
/// `base_first` are tars, or directories in any of the overlay's forms, each with the name of its directory; the answers are in the same order.
///
/// # Errors
/// Names layer (1 is the base), entry and operation. What was written stays: the caller removes all of it.
pub fn layers(
    base_first: &[(LowerSpec, NameBuf)],
    into: BorrowedFd<'_>,
    form: Form,
    written: Written<'_>,
) -> Result<Vec<WrittenLayer>> {
    if base_first.is_empty() {
        return Ok(Vec::new());
    }
    let specs: Vec<LowerSpec> = base_first.iter().map(|(spec, _)| spec.clone()).collect();
    let layers = &Layers::open(&specs)?;
    let work_on: Vec<(Depth, Name<'_>)> =
        layers.base_first().zip(base_first).map(|(depth, (_, name))| (depth, name.as_name())).collect();
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<WrittenLayer>)>> = Mutex::default();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((depth, name)) = work_on.get(index) else { return };
            let result = layer(layers, *depth, into, *name, form, written);
            if result.is_err() {
                // The others need not go on.
                next.store(work_on.len(), Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, result));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(work_on.len());
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Writes one layer into the new directory `name`.
fn layer(
    layers: &Layers,
    depth: Depth,
    into: BorrowedFd<'_>,
    name: Name<'_>,
    form: Form,
    written: Written<'_>,
) -> Result<WrittenLayer> {
    let source = layers.get(depth)?;
    let make_root = || {
        fs::mkdir(into, name, 0o700).op("make directory")?;
        fs::open_at(into, name, libc::O_PATH | libc::O_DIRECTORY, 0).op("open directory")
    };
    let root = make_root().at(name.as_bytes()).in_layer(source.id())?;
    let mut writer = LayerWriter {
        layers,
        depth,
        source,
        root: root.as_fd(),
        maker: Maker::new(form),
        links: Links::new(),
        written,
    };
    writer.write().in_layer(source.id())
}

/// A directory of which the content is to be written, or was.
struct Dir {
    path: RelPath,
    place: InLayer,
    stat: Stat,
    whose: Whose,
    opaque: bool,
    /// A directory above it in its own layer hides what is below: nothing there gives attributes.
    cut_off: bool,
    /// Empty files in it may be deletions by an attribute, where it is read.
    xwhiteouts: bool,
    /// It has such deletions where it is written.
    has_xwhiteouts: bool,
}

struct LayerWriter<'a> {
    layers: &'a Layers,
    depth: Depth,
    /// The layer at that depth.
    source: AnyLayer<'a>,
    root: BorrowedFd<'a>,
    maker: Maker,
    /// The first name of each object that has several.
    links: Links<(u64, u64)>,
    written: Written<'a>,
}

impl LayerWriter<'_> {
    fn write(&mut self) -> Result<WrittenLayer> {
        let found = self.source.look_root()?;
        let hides_all_below = found.opaque;
        let root = Dir::new(RelPath::root(), InLayer::root(self.source), &found, false);
        let mut waiting = vec![root];
        let mut made = Vec::new();
        while let Some(mut dir) = waiting.pop() {
            self.fill(&mut dir, &mut waiting).map_err(|error| error.at(dir.path.as_bytes()))?;
            made.push(dir);
        }
        let any_xwhiteouts = made.iter().any(|dir| dir.has_xwhiteouts);
        // Whatever is in a directory was made after it: from the end, each is complete when its turn comes.
        for dir in made.iter().rev() {
            self.finish(dir, any_xwhiteouts).at(dir.path.as_bytes())?;
        }
        Ok(WrittenLayer { hides_all_below, losses: self.maker.losses })
    }

    /// Makes everything in a directory, and the directories in it, still empty.
    fn fill(&mut self, dir: &mut Dir, waiting: &mut Vec<Dir>) -> Result<()> {
        let fd = fs::open_dir_below(self.root, dir.path.as_bytes()).op("open directory")?;
        let source = DirIn::open(self.source, &dir.place)?;
        let oci = source.oci_marks()?;
        let is_base = self.depth.0.saturating_add(1) == self.layers.depths().ordinary;
        let mut names = BTreeSet::new();
        source.list(dir.xwhiteouts, |listed| {
            names.insert(listed.name.to_owned());
        })?;
        for name in &names {
            let name = name.as_name();
            let path = dir.path.join(name);
            match source.look(oci.as_deref(), name)? {
                Found::Absent => {}
                // What the directory hides as a whole needs no deletions, and the base has nothing to delete.
                Found::Whiteout if dir.opaque || is_base => {}
                Found::Whiteout => self.whiteout(dir, fd.as_fd(), name).at(path.as_bytes())?,
                Found::Leaf(FoundLeaf { metacopy: Some(_), .. }) => {
                    return Err(not_whole().at(path.as_bytes()));
                }
                Found::Leaf(leaf) => {
                    let object = source.leaf(name, &leaf)?;
                    self.leaf(fd.as_fd(), name, &path, &object, &leaf.stat).at(path.as_bytes())?;
                }
                Found::Dir(FoundDir { redirect: Some(_), .. }) => return Err(not_whole().at(path.as_bytes())),
                Found::Dir(found) => {
                    let place = dir.place.child(name, found.entry)?;
                    fs::mkdir(fd.as_fd(), name, 0o700).op("make directory").at(path.as_bytes())?;
                    waiting.push(Dir::new(path, place, &found, dir.cut_off || dir.opaque));
                }
            }
        }
        Ok(())
    }

    fn whiteout(&mut self, dir: &mut Dir, fd: BorrowedFd<'_>, name: Name<'_>) -> Result<()> {
        const OP: &str = "write a deletion";
        let create = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
        match self.maker.form.deletions {
            Deletions::Device => fs::mknod(fd, name, libc::S_IFCHR, 0, 0).op(OP),
            Deletions::Attribute(namespace) => {
                drop(fs::open_at(fd, name, create, 0o600).op(OP)?);
                dir.has_xwhiteouts = true;
                let marker = Marker::Whiteout.xattr(namespace).to_bytes();
                xattr::set(At::Name(fd, name), marker, b"", SetMode::Any).op(OP)
            }
            Deletions::OciFile => {
                let mark = oci_whiteout(name).map_err(|kind| Error::new(OP, kind))?;
                fs::open_at(fd, mark.as_name(), create, 0o600).op(OP).map(drop)
            }
        }
    }

    fn leaf(
        &mut self,
        dir: BorrowedFd<'_>,
        name: Name<'_>,
        path: &RelPath,
        object: &Object<'_>,
        stat: &Stat,
    ) -> Result<()> {
        // The count of an object does not know of links that came before it in the tar, or are in a layer above it.
        let has_links = |tar: &TarLayer| tar.index().summary().links_below > 0;
        let has_names = stat.nlink > 1 || matches!(self.source, AnyLayer::Tar(tar) if has_links(tar));
        if has_names {
            let object = (stat.dev, stat.ino);
            if self.links.link(self.root, (dir, name), path, object)? == Linked::ToFirst {
                return Ok(());
            }
        }
        let type_bits = stat.mode & libc::S_IFMT;
        let attributes = attributes(object, stat)?;
        let target;
        let mut write = |file: BorrowedFd<'_>| object.open()?.copy_to(file, stat.size);
        let content = match type_bits {
            libc::S_IFREG => Content::Regular(&mut write),
            libc::S_IFLNK => {
                target = object.readlink()?;
                Content::Symlink(&target)
            }
            libc::S_IFCHR if (stat.rdev_major, stat.rdev_minor) == (0, 0) && self.maker.records_nothing() => {
                self.maker.losses.null_devices += 1;
                return fs::mknod(dir, name, libc::S_IFCHR, 0, 0).op("make device");
            }
            _ => Content::Special { type_bits, major: stat.rdev_major, minor: stat.rdev_minor },
        };
        self.maker.make(dir, name, content, &attributes)?;
        (self.written)(stat.size);
        Ok(())
    }

    /// Gives a directory its mark and attributes.
    fn finish(&mut self, dir: &Dir, any_xwhiteouts: bool) -> Result<()> {
        let fd = fs::open_dir_below(self.root, dir.path.as_bytes()).op("open directory")?;
        let at = At::Fd(fd.as_fd());
        let is_root = dir.path.is_root();
        // The root is told apart by the caller: there the mark would mean nothing.
        let hides = dir.opaque && !is_root;
        let xwhiteouts = dir.has_xwhiteouts || (is_root && any_xwhiteouts);
        let mark = match (hides, xwhiteouts) {
            (true, _) => Some(OpaqueMark::Opaque),
            (false, true) => Some(OpaqueMark::XWhiteouts),
            (false, false) => None,
        };
        let below = match dir.whose {
            Whose::Below if !dir.cut_off => attributes_below(self.layers, self.depth, &dir.path)?,
            _ => None,
        };
        let attributes = match below {
            Some(object) => attributes(&object, &object.stat()?)?,
            None => attributes(&DirIn::open(self.source, &dir.place)?.into_object(), &dir.stat)?,
        };
        if let Some(mark) = mark {
            self.mark(fd.as_fd(), mark)?;
        }
        self.maker.finish(at, if is_root { Sort::Root } else { Sort::Directory }, &attributes)
    }

    fn mark(&self, dir: BorrowedFd<'_>, mark: OpaqueMark) -> Result<()> {
        const OP: &str = "mark opaque";
        match self.maker.form.opaque {
            OpaqueMarks::Attribute(namespace) => {
                let name = Marker::Opaque.xattr(namespace).to_bytes();
                xattr::set(At::Fd(dir), name, mark.encode(), SetMode::Any).op(OP)
            }
            OpaqueMarks::OciFile => {
                let name = Name::new(OCI_OPAQUE).map_err(|_| Error::new(OP, Kind::Invalid("not a name")))?;
                fs::open_at(dir, name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, 0o600).op(OP).map(drop)
            }
        }
    }
}

impl Dir {
    fn new(path: RelPath, place: InLayer, found: &FoundDir, cut_off: bool) -> Self {
        Dir {
            path,
            place,
            stat: found.stat,
            whose: found.attributes,
            opaque: found.opaque,
            cut_off,
            xwhiteouts: found.xwhiteouts,
            has_xwhiteouts: false,
        }
    }
}

/// What an object is given when it is written.
fn attributes(object: &Object<'_>, stat: &Stat) -> Result<Attributes> {
    let mut xattrs = Vec::new();
    for name in object.xattr_names()? {
        match object.xattr(&name) {
            Ok(value) => xattrs.push((name, value)),
            // Listed, but nothing that this user could read.
            Err(error) if matches!(error.errno(), Errno::ENODATA | Errno::EPERM | Errno::EACCES) => {}
            Err(error) => return Err(error.at(name)),
        }
    }
    Ok(Attributes {
        perm: stat.mode & 0o7777,
        uid: stat.uid,
        gid: stat.gid,
        atime: stat.atime,
        mtime: stat.mtime,
        xattrs,
    })
}

/// No image has such in its layers, but what an overlay has written may be anywhere.
fn not_whole() -> Error {
    Error::new(
        "write as a layer of its own",
        Kind::Unsupported(
            "an overlay has left its content in a layer below; --flat makes one tree of all layers",
        ),
    )
}
