//! The index of a tar, as it is read: where everything is, found by binary search, from a file that is touched only where it is asked.
//!
//! Nothing of it is believed: every number is checked where it is used, so that a damaged index is an error of the
//! request that meets the damage.

mod entry;
pub(super) mod format;

use std::fmt;
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

pub use entry::{Entry, Extent, Extents, What};
use format::{
    ExtentRecord, Header, Inode, LinkRecord, MAGIC, NameRecord, Section, VERSION, WHITEOUT, XattrRecord,
};

use crate::error::{Error, Kind, Result, errno_of};
use crate::layer::EntryId;
use crate::path::Name;
use crate::sys::map::Map;

/// The index of a tar.
#[derive(Debug)]
pub struct Index {
    bytes: Bytes,
    header: Header,
    sections: [Range<usize>; Section::ALL.len()],
}

enum Bytes {
    Mapped(Map),
    Owned(Vec<u8>),
}

impl Bytes {
    fn give_back(&self) {
        match self {
            Bytes::Mapped(map) => map.give_back(),
            Bytes::Owned(_) => {}
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

/// What a name of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Child {
    /// This object.
    Entry(EntryId),
    /// Deleted in the layers below.
    Whiteout,
}

/// What is in a tar, counted. Names that are not shown (what was replaced, AUFS's own) are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Names that are not whiteouts, the root among them.
    pub entries: u64,
    /// Regular files, hard links of one counted once.
    pub files: u64,
    /// Directories, the root and those without an entry of their own among them.
    pub directories: u64,
    /// Symlinks.
    pub symlinks: u64,
    /// Devices and fifos.
    pub others: u64,
    /// Names that are deleted in the layers below.
    pub whiteouts: u64,
    /// Directories that hide their place in the layers below.
    pub opaque: u64,
    /// Hard links to objects of layers below.
    pub links_below: u64,
    /// Directories without an entry of their own.
    pub implied: u64,
    /// The sizes of all files, bytes. Holes count, hard links do not.
    pub unpacked_bytes: u64,
}

/// A hard link to an object of a layer below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkBelow<'a> {
    /// What stands for the object in this layer.
    pub entry: EntryId,
    /// The path of the link.
    pub path: &'a [u8],
    /// The path of the object, from the root; symlinks on the way are followed.
    pub target: &'a [u8],
}

impl Index {
    /// What is mapped of it leaves this process's memory until it is asked for again.
    pub fn give_back(&self) {
        self.bytes.give_back();
    }

    /// Opens an index. The file must stay as it is while it is open: see [`Map`].
    ///
    /// # Errors
    /// Those of open(2); [`Kind::Archive`] where it is not an index, or cut short.
    pub fn open(path: &Path) -> Result<Index> {
        let open = || {
            let file = File::open(path).map_err(|e| io_error("open the index", &e))?;
            let map = Map::of(&file).map_err(|errno| Error::new("map the index", errno))?;
            Index::new(Bytes::Mapped(map))
        };
        open().map_err(|error| error.at(path.as_os_str().as_encoded_bytes()))
    }

    /// Takes bytes as an index.
    ///
    /// # Errors
    /// [`Kind::Archive`] where they are not one.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Index> {
        Index::new(Bytes::Owned(bytes))
    }

    fn new(bytes: Bytes) -> Result<Index> {
        let (header, _) =
            Header::read_from_prefix(&bytes).map_err(|_| damaged("it is shorter than its header"))?;
        if header.magic != MAGIC {
            return Err(damaged("it does not begin as an index does"));
        }
        if header.version.get() != VERSION {
            return Err(Error::new(
                "open the index",
                Kind::Archive(format!(
                    "the index has version {}, this program reads version {VERSION}",
                    header.version
                )),
            ));
        }
        let mut at = size_of::<Header>();
        let mut sections = [const { 0..0 }; Section::ALL.len()];
        for (range, section) in sections.iter_mut().zip(Section::ALL) {
            let end = usize::try_from(header.len(section)).ok().and_then(|len| at.checked_add(len));
            let end = end.filter(|end| *end <= bytes.len()).ok_or_else(|| damaged("it is cut short"))?;
            *range = at..end;
            at = end;
        }
        if at != bytes.len() {
            return Err(damaged("it is longer than what its header says"));
        }
        Ok(Index { bytes, header, sections })
    }

    /// How long the tar is, bytes.
    pub fn tar_len(&self) -> u64 {
        self.header.tar_len.get()
    }

    /// How many objects there are; their numbers are below this.
    pub fn len(&self) -> u32 {
        self.header.inodes.get()
    }

    /// Whether there is no object, not even a root: no index that was made from a tar is so.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is in the tar, counted.
    pub fn summary(&self) -> Summary {
        let summary = &self.header.summary;
        let whiteouts = u64::from(summary.whiteouts.get());
        Summary {
            // The root has no name in a directory.
            entries: (u64::from(self.header.names.get()) + 1).saturating_sub(whiteouts),
            files: summary.files.get().into(),
            directories: summary.directories.get().into(),
            symlinks: summary.symlinks.get().into(),
            others: summary.others.get().into(),
            whiteouts,
            opaque: summary.opaque.get().into(),
            links_below: self.header.links.get().into(),
            implied: summary.implied.get().into(),
            unpacked_bytes: summary.unpacked_bytes.get(),
        }
    }

    /// What a name of a directory is; `None` where the directory has no such name.
    ///
    /// # Errors
    /// [`Kind::NotADirectory`]; [`Kind::Archive`] where the index is damaged.
    pub fn find(&self, dir: EntryId, name: Name<'_>) -> Result<Option<Child>> {
        let names = self.names_of(dir)?;
        let (mut low, mut high) = (0, names.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let record = names.get(middle).ok_or_else(|| damaged("a name is missing"))?;
            match self.name_bytes(record)?.cmp(name.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return self.child(dir, record).map(Some),
            }
        }
        Ok(None)
    }

    /// The names of a directory, sorted by their bytes.
    ///
    /// # Errors
    /// [`Kind::NotADirectory`]; [`Kind::Archive`] where the index is damaged.
    pub fn children(
        &self,
        dir: EntryId,
    ) -> Result<impl ExactSizeIterator<Item = Result<(Name<'_>, Child)>> + '_> {
        Ok(self.names_of(dir)?.iter().map(move |record| {
            let name = Name::new(self.name_bytes(record)?).map_err(|_| damaged("a name cannot be one"))?;
            Ok((name, self.child(dir, record)?))
        }))
    }

    /// As [`Self::children`], with the types as in `d_type`: 0 for a whiteout and for a link below.
    pub(super) fn listing(
        &self,
        dir: EntryId,
    ) -> Result<impl Iterator<Item = Result<(Name<'_>, Child, u8)>> + '_> {
        let kinds = self.names_of(dir)?.iter().map(|record| record.kind);
        Ok(self.children(dir)?.zip(kinds).map(|(child, kind)| child.map(|(name, child)| (name, child, kind))))
    }

    /// The hard links to objects of layers below, in the order of their numbers.
    ///
    /// # Errors
    /// [`Kind::Archive`] for those that are damaged.
    pub fn links_below(&self) -> Result<impl ExactSizeIterator<Item = Result<LinkBelow<'_>>> + '_> {
        Ok(self.table::<LinkRecord>(Section::Links)?.iter().map(|record| {
            Ok(LinkBelow {
                entry: EntryId(record.inode.get()),
                path: self.text(record.path.get().into(), record.path_len.get().into())?,
                target: self.text(record.target.get().into(), record.target_len.get().into())?,
            })
        }))
    }

    fn child(&self, dir: EntryId, record: &NameRecord) -> Result<Child> {
        let number = record.inode.get();
        if number == WHITEOUT {
            return Ok(Child::Whiteout);
        }
        let inode = self.inode(EntryId(number))?;
        // So that no directory is below itself.
        if entry::is_directory(inode) && number <= dir.0 {
            return Err(damaged("a directory is not below its parent"));
        }
        Ok(Child::Entry(EntryId(number)))
    }

    fn names_of(&self, dir: EntryId) -> Result<&[NameRecord]> {
        let inode = self.inode(dir)?;
        if !entry::is_directory(inode) {
            return Err(Error::new("look up in the index", Kind::NotADirectory));
        }
        self.slice(Section::Names, inode.place.get(), inode.count.get().into())
    }

    fn name_bytes(&self, record: &NameRecord) -> Result<&[u8]> {
        let at = record.at.get() as usize;
        self.section(Section::NameBytes)
            .get(at..at.saturating_add(record.len.into()))
            .ok_or_else(|| damaged("a name is beyond its end"))
    }

    fn inode(&self, entry: EntryId) -> Result<&Inode> {
        self.table::<Inode>(Section::Inodes)?
            .get(entry.0 as usize)
            .ok_or_else(|| damaged("an object is beyond its end"))
    }

    fn xattr_records(&self, inode: &Inode) -> Result<&[XattrRecord]> {
        self.slice(Section::Xattrs, inode.xattr_first.get().into(), inode.xattr_count.get().into())
    }

    fn extent_records(&self, inode: &Inode) -> Result<&[ExtentRecord]> {
        self.slice(Section::Extents, inode.place.get(), inode.count.get().into())
    }

    fn text(&self, at: u64, len: u64) -> Result<&[u8]> {
        let range = usize::try_from(at).ok().zip(at.checked_add(len).and_then(|e| usize::try_from(e).ok()));
        range
            .and_then(|(start, end)| self.section(Section::Texts).get(start..end))
            .ok_or_else(|| damaged("a text is beyond its end"))
    }

    fn slice<T>(&self, section: Section, first: u64, count: u64) -> Result<&[T]>
    where
        T: FromBytes + Immutable + KnownLayout + Unaligned,
    {
        let end = first.checked_add(count).and_then(|end| usize::try_from(end).ok());
        let range = usize::try_from(first).ok().zip(end).map(|(first, end)| first..end);
        range
            .and_then(|range| self.table::<T>(section).ok()?.get(range))
            .ok_or_else(|| damaged("a list goes beyond its end"))
    }

    fn table<T>(&self, section: Section) -> Result<&[T]>
    where
        T: FromBytes + Immutable + KnownLayout + Unaligned,
    {
        <[T]>::ref_from_bytes(self.section(section)).map_err(|_| damaged("a table has half a record"))
    }

    fn section(&self, section: Section) -> &[u8] {
        // The ranges were checked against the length, which does not change; nothing is a safe answer all the same.
        self.sections
            .get(section as usize)
            .and_then(|range| self.bytes.get(range.clone()))
            .unwrap_or_default()
    }
}

/// The index cannot be what was written.
fn damaged(how: &'static str) -> Error {
    Error::new(
        "read the index",
        Kind::Archive(format!(
            "the index is damaged, {how}; 'lamina store verify' finds and removes such files"
        )),
    )
}

pub(super) fn io_error(op: &'static str, error: &std::io::Error) -> Error {
    Error::new(op, errno_of(error))
}
