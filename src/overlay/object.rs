//! Objects of any layer, to be read: in a directory by descriptors, in a tar by its index.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;

use super::address::Held;
use super::open_file::OpenFile;
use super::stack::AnyLayer;
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::layer::{ByName, EntryId, Found, FoundDir, Layer, Listed, OciMarks, RawListing};
use crate::marker::Redirect;
use crate::path::{Name, RelPath};
use crate::resolve::{Redirects, Walked, moved_on_the_way};
use crate::sys::fs::{self, Stat};
use crate::sys::{SysResult, file, handle, xattr};
use crate::tarball::TarLayer;

/// An object of a layer.
#[derive(Debug, Clone)]
pub(crate) enum Object<'s> {
    /// In a directory.
    Held(Held, &'s Layer),
    /// In a tar.
    Entry(EntryId, &'s TarLayer),
}

impl<'s> Object<'s> {
    pub(crate) fn layer(&self) -> AnyLayer<'s> {
        match self {
            Object::Held(_, layer) => AnyLayer::Directory(layer),
            Object::Entry(_, layer) => AnyLayer::Tar(layer),
        }
    }

    fn id(&self) -> LayerRef {
        self.layer().id()
    }

    /// The attributes, with a recorded owner and mode applied.
    pub(crate) fn stat(&self) -> Result<Stat> {
        match self {
            Object::Held(held, layer) => layer.stat(held.at()),
            Object::Entry(entry, layer) => layer.stat(*entry),
        }
    }

    /// The value of an extended attribute, by the name that users see.
    pub(crate) fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        match self {
            Object::Held(held, layer) => {
                let stored =
                    layer.xattr_rules().stored(name).map_err(|kind| Error::new("get attribute", kind))?;
                xattr::get(held.at(), &stored).op("get attribute").in_layer(layer.id)
            }
            Object::Entry(entry, layer) => layer.xattr(*entry, name).map(<[u8]>::to_vec),
        }
    }

    /// The names of the extended attributes that users see.
    pub(crate) fn xattr_names(&self) -> Result<Vec<Vec<u8>>> {
        match self {
            Object::Held(held, layer) => {
                let names = xattr::list(held.at()).op("list attributes").in_layer(layer.id)?;
                let rules = layer.xattr_rules();
                Ok(names.iter().filter_map(|name| rules.shown(name)).map(Into::into).collect())
            }
            Object::Entry(entry, layer) => {
                Ok(layer.xattr_names(*entry)?.into_iter().map(<[u8]>::to_vec).collect())
            }
        }
    }

    /// A symlink's target; where types are recorded, it may be the content of a regular file.
    pub(crate) fn readlink(&self) -> Result<Vec<u8>> {
        match self {
            Object::Held(held, _) => read_target(held).in_layer(self.id()),
            Object::Entry(entry, layer) => layer.readlink(*entry).map(<[u8]>::to_vec),
        }
    }

    /// Opens a regular file for reading.
    pub(crate) fn open(&self) -> Result<OpenFile> {
        match self {
            Object::Held(held, layer) => open_lower(held).op("open").in_layer(layer.id).map(OpenFile::from),
            Object::Entry(entry, layer) => layer.data(*entry).map(OpenFile::Tar),
        }
    }

    /// Its file handle, where its file system has them.
    pub(crate) fn handle(&self) -> Option<handle::FileHandle> {
        match self {
            Object::Held(held, layer) => layer.handle(held.at()),
            Object::Entry(..) => None,
        }
    }
}

/// A directory in one layer.
#[derive(Debug, Clone)]
pub(crate) enum DirIn<'s> {
    /// By its descriptor.
    Fd(Arc<OwnedFd>, &'s Layer),
    /// By its entry.
    Entry(EntryId, &'s TarLayer),
}

impl<'s> DirIn<'s> {
    /// The root of a layer.
    pub(crate) fn root(layer: AnyLayer<'s>) -> Result<Self> {
        match layer {
            AnyLayer::Directory(layer) => {
                let fd =
                    fs::reopen_dir(layer.root(), libc::O_PATH).op("open directory").in_layer(layer.id)?;
                Ok(DirIn::Fd(Arc::new(fd), layer))
            }
            AnyLayer::Tar(layer) => Ok(DirIn::Entry(EntryId::ROOT, layer)),
        }
    }

    pub(crate) fn id(&self) -> LayerRef {
        match self {
            DirIn::Fd(_, layer) => layer.id,
            DirIn::Entry(_, layer) => layer.id,
        }
    }

    /// The names that `.wh.` files in it delete. An index has them as whiteouts already.
    pub(crate) fn oci_marks(&self) -> Result<Option<Box<OciMarks>>> {
        match self {
            DirIn::Fd(fd, layer) => layer.oci_marks(fd.as_fd()),
            DirIn::Entry(..) => Ok(None),
        }
    }

    /// What the layer says of a name in it.
    pub(crate) fn look(&self, oci: Option<&OciMarks>, name: Name<'_>) -> Result<Found> {
        match self {
            DirIn::Fd(fd, layer) => layer.look(fd.as_fd(), oci, name),
            DirIn::Entry(entry, layer) => layer.look(*entry, name),
        }
    }

    /// As [`DirIn::look`], where nothing is known of the directory.
    pub(crate) fn look_alone(&self, name: Name<'_>) -> Result<Found> {
        match self {
            DirIn::Fd(fd, layer) => layer.look_alone(fd.as_fd(), name),
            DirIn::Entry(entry, layer) => layer.look(*entry, name),
        }
    }

    /// Can a name be deleted by another name?
    pub(super) fn deletes_by_names(&self) -> bool {
        match self {
            DirIn::Fd(_, layer) => layer.deletes_by_names(),
            DirIn::Entry(..) => false,
        }
    }

    /// Hands every name that there may be anything to say of to `each`, up to about `limit` names.
    pub(super) fn list_raw(
        &self,
        limit: usize,
        mut each: impl FnMut(Name<'_>, ByName),
    ) -> Result<RawListing> {
        match self {
            DirIn::Fd(fd, layer) => layer.list_raw(fd.as_fd(), limit, each),
            DirIn::Entry(entry, layer) => layer.list_some(*entry, limit, |name| each(name, ByName::No)),
        }
    }

    /// Hands every name to `each`, whiteouts as such.
    pub(crate) fn list(&self, xwhiteouts: bool, each: impl FnMut(Listed<'_>)) -> Result<()> {
        match self {
            DirIn::Fd(fd, layer) => layer.list(fd.as_fd(), xwhiteouts, each),
            DirIn::Entry(entry, layer) => layer.list(*entry, each),
        }
    }

    /// A directory in it, of which the layer has said what it is.
    pub(crate) fn enter(&self, name: Name<'_>, found: &FoundDir) -> Result<Self> {
        match (self, found.entry) {
            (DirIn::Fd(fd, layer), _) => Ok(DirIn::Fd(Arc::new(layer.enter(fd.as_fd(), name)?), layer)),
            (DirIn::Entry(_, layer), Some(entry)) => Ok(DirIn::Entry(entry, layer)),
            (DirIn::Entry(_, layer), None) => {
                Err(Error::new("open directory", Kind::Stale).at(name.as_bytes()).in_layer(layer.id))
            }
        }
    }

    /// An object in it, of which the layer has said what it is.
    pub(super) fn object(&self, name: Name<'_>, entry: Option<EntryId>) -> Option<Object<'s>> {
        match (self, entry) {
            (DirIn::Fd(fd, layer), _) => {
                Some(Object::Held(Held::InDir(Arc::clone(fd), name.to_owned()), layer))
            }
            (DirIn::Entry(_, layer), Some(entry)) => Some(Object::Entry(entry, layer)),
            (DirIn::Entry(..), None) => None,
        }
    }

    /// Walks down one layer from its root, where a redirect leads.
    pub(crate) fn walk(layer: AnyLayer<'s>, path: &RelPath, redirects: Redirects) -> Result<Walked> {
        let mut dir = DirIn::root(layer)?;
        let mut walked = Walked { found: Found::Absent, stop: false, moved: None };
        let total = path.names().count();
        for (index, name) in path.names().enumerate() {
            let found = dir.look_alone(name)?;
            let left = total - index - 1;
            if let (Found::Dir(FoundDir { redirect: Some(Redirect::Absolute(_)), .. }), Redirects::Follow) =
                (&found, redirects)
            {
                // It leads out of what an opaque directory above has cut off.
                walked.stop = false;
            }
            if left == 0 {
                walked.found = found;
                return Ok(walked);
            }
            match found {
                Found::Absent => return Ok(walked),
                Found::Whiteout | Found::Leaf(_) => {
                    walked.stop = true;
                    return Ok(walked);
                }
                Found::Dir(found) => {
                    walked.stop |= found.opaque;
                    dir = dir.enter(name, &found)?;
                    if let (Some(redirect), Redirects::Follow) = (found.redirect, redirects) {
                        let so_far = walked.moved.as_ref().unwrap_or(path);
                        let at = so_far.names().count() - left;
                        walked.moved = Some(moved_on_the_way(so_far, at, &redirect));
                    }
                }
            }
        }
        Ok(walked)
    }

    /// It as an object.
    pub(crate) fn into_object(self) -> Object<'s> {
        match self {
            DirIn::Fd(fd, layer) => Object::Held(Held::Itself(fd), layer),
            DirIn::Entry(entry, layer) => Object::Entry(entry, layer),
        }
    }
}

/// Opens a lower file for reading, without changing its time of last access where this user may ask for that.
fn open_lower(held: &Held) -> SysResult<OwnedFd> {
    match held.open(libc::O_RDONLY | libc::O_NOATIME) {
        Err(Errno::EPERM) => held.open(libc::O_RDONLY),
        other => other,
    }
}

fn read_target(held: &Held) -> Result<Vec<u8>> {
    match fs::readlink(held.at()) {
        Err(Errno::EINVAL) => {
            let fd = open_lower(held).op("read link")?;
            let mut target = vec![0; libc::PATH_MAX as usize];
            let len = file::read_full_at(fd.as_fd(), &mut target, 0).op("read link")?;
            target.truncate(len);
            Ok(target)
        }
        other => other.op("read link"),
    }
}
