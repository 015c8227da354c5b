//! All layers merged into one tree, or a part of it: what a mount of them shows, because it is read from the same union.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;

use super::form::Form;
use super::links::{Linked, Links};
use super::object::{Attributes, Content, Maker, Sort};
use super::{Losses, Written};
use crate::error::{Error, ErrorContext, OpContext, Result};
use crate::overlay::{
    Access, Attr, DirEntry, DirSink, Entry, FileKind, HandleId, Listing, NodeId, OpenMode, Overlay, Seek,
    SinkAnswer, Timestamp, Truncate, Trusted,
};
use crate::path::{Name, NameBuf, RelPath};
use crate::sys::file;
use crate::sys::fs::{self, At};

/// One read, bytes.
const CHUNK: usize = 1 << 20;

/// Writes the whole union into an empty directory, and gives that the attributes of its root.
///
/// # Errors
/// Names the path and the operation. What was written stays: the caller removes all of it.
pub fn flat(
    union: &Overlay,
    names: Names,
    into: BorrowedFd<'_>,
    form: Form,
    written: Written<'_>,
) -> Result<Losses> {
    tree(union, NodeId::ROOT, names, into, form, written)
}

/// Writes what is in a directory of the union into an empty directory, and gives that the directory's attributes. The node,
/// which is held, is let go.
///
/// # Errors
/// As [`flat`]. Paths in them are from the directory on.
pub fn tree(
    union: &Overlay,
    from: NodeId,
    names: Names,
    into: BorrowedFd<'_>,
    form: Form,
    written: Written<'_>,
) -> Result<Losses> {
    let mut writer = TreeWriter::new(union, names, into, form, written);
    writer.write(from)?;
    Ok(writer.maker.losses)
}

/// Writes anything but a directory, by a name in a directory. The node, which is held, is let go.
///
/// # Errors
/// As [`flat`].
pub fn leaf(
    union: &Overlay,
    entry: &Entry,
    into: BorrowedFd<'_>,
    name: Name<'_>,
    form: Form,
    written: Written<'_>,
) -> Result<Losses> {
    let mut writer = TreeWriter::new(union, Names::ByCount, into, form, written);
    let path = RelPath::root().join(name);
    let made = writer.leaf(into, name, &path, entry.node, &entry.attr).at(path.as_bytes());
    union.forget(entry.node, 1);
    made?;
    Ok(writer.maker.losses)
}

/// Which files may have several names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Those whose link count says so.
    ByCount,
    /// Any: a layer has hard links to files of layers below, whose count does not know of them.
    Any,
}

/// A directory of which the content is to be written, or was. Its node is held.
struct Dir {
    path: RelPath,
    node: NodeId,
}

struct TreeWriter<'a> {
    union: &'a Overlay,
    names: Names,
    root: BorrowedFd<'a>,
    maker: Maker,
    /// The first name of each object that has several, by its inode number. A file of the upper may show the number of
    /// the one it was copied from, and is another: hence the second.
    links: Links<(u64, bool)>,
    buffer: Vec<u8>,
    written: Written<'a>,
}

impl<'a> TreeWriter<'a> {
    fn new(union: &'a Overlay, names: Names, root: BorrowedFd<'a>, form: Form, written: Written<'a>) -> Self {
        let maker = Maker::new(form);
        TreeWriter { union, names, root, maker, links: Links::new(), buffer: Vec::new(), written }
    }

    fn write(&mut self, from: NodeId) -> Result<()> {
        let mut waiting = vec![Dir { path: RelPath::root(), node: from }];
        let mut made = Vec::new();
        while let Some(dir) = waiting.pop() {
            self.fill(&dir, &mut waiting).at(dir.path.as_bytes())?;
            made.push(dir);
        }
        // Whatever is in a directory was made after it: from the end, each is complete when its turn comes.
        for dir in made.iter().rev() {
            self.finish(dir).at(dir.path.as_bytes())?;
            self.union.forget(dir.node, 1);
        }
        Ok(())
    }

    /// Makes everything in a directory, and the directories in it, still empty.
    fn fill(&mut self, dir: &Dir, waiting: &mut Vec<Dir>) -> Result<()> {
        let fd = fs::open_dir_below(self.root, dir.path.as_bytes()).op("open directory")?;
        let mut names = Collected::default();
        self.union.readdir(dir.node, 0, Listing::Names, &mut names)?;
        for name in &names.0 {
            let name = name.as_name();
            let path = dir.path.join(name);
            // What is listed is there; a name with a corrupt marker is an error.
            let Some(Entry { node, attr }) = self.union.lookup(dir.node, name).at(path.as_bytes())? else {
                continue;
            };
            if attr.kind == FileKind::Directory {
                fs::mkdir(fd.as_fd(), name, 0o700).op("make directory").at(path.as_bytes())?;
                waiting.push(Dir { path, node });
                continue;
            }
            let made = self.leaf(fd.as_fd(), name, &path, node, &attr).at(path.as_bytes());
            self.union.forget(node, 1);
            made?;
        }
        Ok(())
    }

    fn leaf(
        &mut self,
        dir: BorrowedFd<'_>,
        name: Name<'_>,
        path: &RelPath,
        node: NodeId,
        attr: &Attr,
    ) -> Result<()> {
        let has_names = attr.nlink > 1 || self.names == Names::Any;
        if has_names {
            let object = (attr.ino, self.union.is_of_upper(node)?);
            if self.links.link(self.root, (dir, name), path, object)? == Linked::ToFirst {
                return Ok(());
            }
        }
        let attributes = self.attributes(node, attr)?;
        let target;
        let (union, buffer) = (self.union, &mut self.buffer);
        let mut write = |file: BorrowedFd<'_>| copy(union, node, attr.size, file, buffer);
        let content = match attr.kind {
            FileKind::Regular => Content::Regular(&mut write),
            FileKind::Symlink => {
                target = self.union.readlink(node)?;
                Content::Symlink(&target)
            }
            _ => Content::Special {
                type_bits: attr.kind.mode_bits(),
                major: attr.rdev.major,
                minor: attr.rdev.minor,
            },
        };
        self.maker.make(dir, name, content, &attributes)?;
        (self.written)(attr.size);
        Ok(())
    }

    fn finish(&mut self, dir: &Dir) -> Result<()> {
        let fd = fs::open_dir_below(self.root, dir.path.as_bytes()).op("open directory")?;
        let attributes = self.attributes(dir.node, &self.union.getattr(dir.node)?)?;
        let sort = if dir.path.is_root() { Sort::Root } else { Sort::Directory };
        self.maker.finish(At::Fd(fd.as_fd()), sort, &attributes)
    }

    fn attributes(&self, node: NodeId, attr: &Attr) -> Result<Attributes> {
        let mut xattrs = Vec::new();
        let names = self.union.listxattr(node, Trusted::Shown)?;
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            match self.union.getxattr(node, name) {
                Ok(value) => xattrs.push((name.to_vec(), value)),
                // Listed, but nothing that this user could read.
                Err(error) if matches!(error.errno(), Errno::ENODATA | Errno::ENOTSUP | Errno::EPERM) => {}
                Err(error) => return Err(error),
            }
        }
        let time = |Timestamp { sec, nsec }| (sec, nsec);
        Ok(Attributes {
            perm: attr.perm,
            uid: attr.uid,
            gid: attr.gid,
            atime: time(attr.atime),
            mtime: time(attr.mtime),
            xattrs,
        })
    }
}

/// Copies a file's content; holes stay holes.
fn copy(union: &Overlay, node: NodeId, size: u64, to: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> Result<()> {
    if size == 0 {
        return Ok(());
    }
    let handle = union.open(node, OpenMode { access: Access::Read, truncate: Truncate::Keep })?.handle;
    let copied = copy_open(union, handle, size, to, buffer);
    union.release(handle);
    copied
}

fn copy_open(
    union: &Overlay,
    handle: HandleId,
    size: u64,
    to: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
) -> Result<()> {
    buffer.resize(CHUNK, 0);
    let mut offset = 0;
    while offset < size {
        let start = match union.seek(handle, offset, Seek::Data) {
            Ok(start) => start,
            // No data to the end.
            Err(error) if error.errno() == Errno::ENXIO => break,
            // The file system does not know holes.
            Err(_) => offset,
        };
        let end = union.seek(handle, start, Seek::Hole).unwrap_or(size).min(size);
        offset = start;
        while offset < end {
            let want = usize::try_from(end - offset).unwrap_or(CHUNK).min(CHUNK);
            let Some(chunk) = buffer.get_mut(..want) else { break };
            let read = union.read(handle, offset, chunk)?;
            if read == 0 {
                // Shorter than it was: the layer is changing under us.
                return Err(Error::new("read", Errno::EIO));
            }
            let chunk = chunk.get(..read).unwrap_or(chunk);
            if file::write_full_at(to, chunk, offset).op("write")? < read {
                return Err(Error::new("write", Errno::ENOSPC));
            }
            offset += read as u64;
        }
        if end <= start {
            return Err(Error::new("look for holes", Errno::EIO));
        }
    }
    // A hole at the end is only a size.
    file::truncate(to, size).op("set size")
}

/// The names of a directory, `.` and `..` aside.
#[derive(Default)]
struct Collected(Vec<NameBuf>);

impl DirSink for Collected {
    fn push(&mut self, dirent: DirEntry<'_>, _: Option<&Entry>) -> SinkAnswer {
        // `.` and `..` are no names.
        self.0.extend(NameBuf::new(dirent.name));
        SinkAnswer::Taken
    }
}
