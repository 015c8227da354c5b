//! A tar as a layer.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::data::TarData;
use super::index::{Child, Index, What, io_error};
use super::links::Links;
use crate::config::TarSpec;
use crate::digest::Digest;
use crate::error::{Error, ErrorContext, Kind, LayerRef, Result};
use crate::layer::{EntryId, Found, FoundDir, FoundLeaf, Listed, RawListing};
use crate::path::{Name, RelPath};
use crate::stamp::FileStamp;
use crate::sys::fs::Stat;

/// A layer that is served from a tar, by its index. What would be a marker in a directory (an attribute of the overlay's
/// namespaces, a recorded owner, a device 0:0) is ordinary data here: only `.wh.` entries are markers.
#[derive(Debug)]
pub struct TarLayer {
    /// Which layer of the stack it is.
    pub id: LayerRef,
    /// What it was opened from.
    pub spec: TarSpec,
    /// What stands for `st_dev` of its objects: no file system has it, and no other layer.
    pub dev: u64,
    /// What stands for the uuid of its file system: the beginning of its diff_id.
    pub uuid: [u8; 16],
    content: Arc<Content>,
    links: Links,
}

/// What a tar's objects are read from.
#[derive(Debug)]
pub(super) struct Content {
    pub id: LayerRef,
    pub diff_id: Digest,
    pub dev: u64,
    pub index: Index,
    pub file: Arc<OwnedFd>,
    /// Where the tar begins in the file, and how long it is, bytes.
    pub offset: u64,
    pub len: u64,
}

/// An object, and the content of the layer that has it.
type Object<'a> = (&'a Arc<Content>, EntryId);

/// What stands for `st_dev`: above all that the kernel has (12 bits of major, 20 of minor), and never the same twice.
fn new_dev() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 48);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl TarLayer {
    /// What is mapped of its index leaves this process's memory until it is asked for again.
    pub fn give_back(&self) {
        self.content.index.give_back();
    }

    /// Opens the tar's file, which must be what it was when it was verified, and the index.
    ///
    /// # Errors
    /// [`Kind::Archive`] where the file has changed, does not have the tar, or the index is not that of the tar; those of
    /// open(2).
    pub fn open(spec: &TarSpec, id: LayerRef) -> Result<TarLayer> {
        let content = Content::open(spec, id)
            .map_err(|error| error.at(spec.file.as_os_str().as_bytes()).in_layer(id))?;
        let mut uuid = [0; 16];
        for (to, from) in uuid.iter_mut().zip(spec.diff_id.as_bytes()) {
            *to = *from;
        }
        let dev = content.dev;
        Ok(TarLayer {
            id,
            spec: spec.clone(),
            dev,
            uuid,
            content: Arc::new(content),
            links: Links::default(),
        })
    }

    /// Finds the targets of hard links that are not in this layer in those below, top first. To be called from the base
    /// up, also with nothing below: until then such links cannot be read.
    ///
    /// # Errors
    /// Names the entry whose target is in none of them.
    pub fn link_below(&mut self, below: &[&TarLayer]) -> Result<()> {
        self.links = Links::find(&self.content, below).in_layer(self.id)?;
        Ok(())
    }

    /// The index the layer is served by.
    pub fn index(&self) -> &Index {
        &self.content.index
    }

    /// The object itself: of a link below, that of the layer below.
    pub(super) fn object(&self, entry: EntryId) -> Object<'_> {
        self.links.get(entry).unwrap_or((&self.content, entry))
    }

    /// Where an object itself is: of a link below, in the layer below. What is at the same place of a tar with the same digest is
    /// the same, whichever file holds the tar.
    pub fn place(&self, entry: EntryId) -> (Digest, EntryId) {
        let (content, entry) = self.object(entry);
        (content.diff_id, entry)
    }

    /// What the root is. Its `entry` is [`EntryId::ROOT`].
    pub fn look_root(&self) -> Result<FoundDir> {
        match self.found(EntryId::ROOT)? {
            Found::Dir(dir) => Ok(dir),
            _ => Err(Error::new("look at the root", Kind::NotADirectory).in_layer(self.id)),
        }
    }

    /// What the layer says of a name. `entry` is always there for a leaf or directory.
    pub fn look(&self, dir: EntryId, name: Name<'_>) -> Result<Found> {
        match self.content.index.find(dir, name).at(name.as_bytes()).in_layer(self.id)? {
            None => Ok(Found::Absent),
            Some(Child::Whiteout) => Ok(Found::Whiteout),
            Some(Child::Entry(entry)) => self.found(entry).at(name.as_bytes()),
        }
    }

    /// What an object of the layer is.
    pub fn found(&self, entry: EntryId) -> Result<Found> {
        let (stat, what) = self.look_at(entry)?;
        Ok(match what {
            What::Directory { opaque, attributes } => Found::Dir(FoundDir {
                stat,
                opaque,
                xwhiteouts: false,
                redirect: None,
                attributes,
                entry: Some(entry),
            }),
            _ => Found::Leaf(FoundLeaf { stat, metacopy: None, entry: Some(entry) }),
        })
    }

    /// The directory at a path.
    ///
    /// # Errors
    /// [`Kind::NotFound`] and [`Kind::NotADirectory`].
    pub fn directory_at(&self, path: &RelPath) -> Result<EntryId> {
        let walk = || {
            let mut dir = EntryId::ROOT;
            for name in path.names() {
                match self.content.index.find(dir, name)? {
                    Some(Child::Entry(entry)) => dir = entry,
                    None | Some(Child::Whiteout) => return Err(Error::new("look up", Kind::NotFound)),
                }
            }
            match self.content.index.attributes(dir)?.what {
                What::Directory { .. } => Ok(dir),
                _ => Err(Error::new("look up", Kind::NotADirectory)),
            }
        };
        walk().map_err(|error: Error| error.at(path.as_bytes()).in_layer(self.id))
    }

    /// Hands every name of a directory to `each`, whiteouts among them (`kind` 0, as for `.wh.` names).
    pub fn list(&self, dir: EntryId, mut each: impl FnMut(Listed<'_>)) -> Result<()> {
        for child in self.content.index.listing(dir).in_layer(self.id)? {
            let (name, child, kind) = child.in_layer(self.id)?;
            each(match child {
                Child::Whiteout => Listed { name, kind: 0, whiteout: true },
                Child::Entry(entry) => {
                    let kind = self.links.get(entry).map_or(kind, |(content, entry)| {
                        // Where the index is damaged, the type is not said; a lookup says what is wrong.
                        let what = content.index.attributes(entry).map(|entry| entry.what.type_bits() >> 12);
                        what.ok().and_then(|kind| u8::try_from(kind).ok()).unwrap_or(0)
                    });
                    Listed { name, kind, whiteout: false }
                }
            });
        }
        Ok(())
    }

    /// Hands the names of a directory to `each`, whiteouts among them, up to `limit` names.
    pub fn list_some(
        &self,
        dir: EntryId,
        limit: usize,
        mut each: impl FnMut(Name<'_>),
    ) -> Result<RawListing> {
        for (count, child) in self.content.index.listing(dir).in_layer(self.id)?.enumerate() {
            if count >= limit {
                return Ok(RawListing::Cut);
            }
            each(child.in_layer(self.id)?.0);
        }
        Ok(RawListing::Complete)
    }

    /// An object's attributes. All times are that of the last change, which is the only one a tar has.
    pub fn stat(&self, entry: EntryId) -> Result<Stat> {
        Ok(self.look_at(entry)?.0)
    }

    fn look_at(&self, entry: EntryId) -> Result<(Stat, What<'_>)> {
        let (content, object) = self.object(entry);
        let (mut stat, what) = content.stat(object)?;
        if Arc::ptr_eq(content, &self.content) {
            stat.nlink = stat.nlink.saturating_add(self.links.more_names(object));
        }
        Ok((stat, what))
    }

    /// The value of an attribute, by its name as users see it.
    ///
    /// # Errors
    /// [`Kind::NoAttribute`].
    pub fn xattr(&self, entry: EntryId, name: &[u8]) -> Result<&[u8]> {
        let (content, object) = self.object(entry);
        for xattr in content.index.xattrs(object).in_layer(content.id)? {
            let (known, value) = xattr.in_layer(content.id)?;
            if known == name {
                return Ok(value);
            }
        }
        Err(Error::new("read attribute", Kind::NoAttribute).in_layer(content.id))
    }

    /// The names of all attributes, as users see them.
    pub fn xattr_names(&self, entry: EntryId) -> Result<Vec<&[u8]>> {
        let (content, object) = self.object(entry);
        let xattrs = content.index.xattrs(object).in_layer(content.id)?;
        xattrs.map(|xattr| Ok(xattr.in_layer(content.id)?.0)).collect()
    }

    /// Where a symlink leads.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for anything else.
    pub fn readlink(&self, entry: EntryId) -> Result<&[u8]> {
        let (content, object) = self.object(entry);
        match content.index.attributes(object).in_layer(content.id)?.what {
            What::Symlink { target } => Ok(target),
            _ => Err(Error::new("read symlink", Kind::Invalid("it is not a symlink")).in_layer(content.id)),
        }
    }

    /// The content of a regular file.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for anything else; [`Kind::Archive`] where the index leads out of the tar.
    pub fn data(&self, entry: EntryId) -> Result<TarData> {
        let (content, object) = self.object(entry);
        TarData::of(content, object).in_layer(content.id)
    }

    /// The file that holds the tar: for statfs.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.content.file.as_fd()
    }
}

impl Content {
    fn open(spec: &TarSpec, id: LayerRef) -> Result<Content> {
        let archive = |what: &str| Error::new("open the archive", Kind::Archive(what.to_owned()));
        let file = File::open(&spec.file).map_err(|error| io_error("open the archive", &error))?;
        let metadata = file.metadata().map_err(|error| io_error("stat the archive", &error))?;
        if FileStamp::from(&metadata) != spec.stamp {
            return Err(archive(
                "the archive changed since it was verified; mount it again to have it verified anew",
            ));
        }
        if spec.offset.checked_add(spec.len).is_none_or(|end| end > spec.stamp.size) {
            return Err(archive("the tar goes beyond the end of the archive"));
        }
        let index = Index::open(&spec.index)?;
        if index.tar_len() != spec.len {
            return Err(archive("the index belongs to another tar").at(spec.index.as_os_str().as_bytes()));
        }
        Ok(Content {
            id,
            diff_id: spec.diff_id,
            dev: new_dev(),
            index,
            file: Arc::new(file.into()),
            offset: spec.offset,
            len: spec.len,
        })
    }

    /// An object's attributes, and what it is.
    pub(super) fn stat(&self, object: EntryId) -> Result<(Stat, What<'_>)> {
        const BLOCK: u64 = 512;
        /// What most file systems have, bytes.
        const DIRECTORY: u64 = 4096;
        let entry = self.index.attributes(object).in_layer(self.id)?;
        let (major, minor) = match entry.what {
            What::Character { major, minor } | What::Block { major, minor } => (major, minor),
            What::LinkBelow { .. } => {
                let what = "a hard link into a layer below was not resolved".to_owned();
                return Err(Error::new("stat", Kind::Archive(what)).in_layer(self.id));
            }
            _ => (0, 0),
        };
        let size = match entry.what {
            What::Directory { .. } => DIRECTORY,
            _ => entry.size,
        };
        let blocks = match entry.what {
            What::File => self.index.extents(object).in_layer(self.id)?.bytes().div_ceil(BLOCK),
            _ => 0,
        };
        let stat = Stat {
            dev: self.dev,
            // A root has 1: 0 is no inode number.
            ino: u64::from(object.0) + 1,
            mode: entry.what.type_bits() | entry.permissions,
            nlink: entry.nlink,
            uid: entry.uid,
            gid: entry.gid,
            rdev_major: major,
            rdev_minor: minor,
            size,
            blocks,
            blksize: 4096,
            atime: entry.mtime,
            mtime: entry.mtime,
            ctime: entry.mtime,
            btime: None,
        };
        Ok((stat, entry.what))
    }
}
