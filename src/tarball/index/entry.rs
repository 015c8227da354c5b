//! One object of an index.

use super::format::{ExtentRecord, FLAG_IMPLIED, FLAG_OPAQUE, FLAG_SPARSE, Inode, LinkRecord, Section};
use super::{Index, damaged};
use crate::error::{Error, Kind, Result};
use crate::layer::{Attributes, EntryId};

/// An object of a tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Permissions, 0 to 0o7777.
    pub permissions: u32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Last change of the content: seconds and nanoseconds since 1970.
    pub mtime: (i64, u32),
    /// Bytes of a file, holes among them, or of a symlink's target; 0 for anything else.
    pub size: u64,
    /// How many names it has in this tar; of a directory 2 and its subdirectories.
    pub nlink: u32,
    /// What it is.
    pub what: What<'a>,
}

/// What an object of a tar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What<'a> {
    /// A regular file.
    File,
    /// A directory.
    Directory {
        /// It hides everything at its place in the layers below.
        opaque: bool,
        /// [`Attributes::Below`]: the tar has no entry for it.
        attributes: Attributes,
    },
    /// A symlink.
    Symlink {
        /// Where it leads.
        target: &'a [u8],
    },
    /// A character device.
    Character {
        /// Its driver.
        major: u32,
        /// Its number there.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Its driver.
        major: u32,
        /// Its number there.
        minor: u32,
    },
    /// A fifo.
    Fifo,
    /// A hard link to an object of a layer below; nothing else is known of it here.
    LinkBelow {
        /// The path of that object.
        target: &'a [u8],
    },
}

impl What<'_> {
    /// The type bits as in `st_mode`; 0 for a link below.
    pub fn type_bits(&self) -> u32 {
        match self {
            What::File => libc::S_IFREG,
            What::Directory { .. } => libc::S_IFDIR,
            What::Symlink { .. } => libc::S_IFLNK,
            What::Character { .. } => libc::S_IFCHR,
            What::Block { .. } => libc::S_IFBLK,
            What::Fifo => libc::S_IFIFO,
            What::LinkBelow { .. } => 0,
        }
    }
}

/// A piece of a file's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it is in the file.
    pub offset: u64,
    /// Where it is in the tar.
    pub at: u64,
    /// Bytes.
    pub len: u64,
}

impl Extent {
    /// Where it ends in the file.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

/// The pieces of a file's data, in order and without overlap; between them are holes.
#[derive(Debug, Clone, Copy)]
pub enum Extents<'a> {
    /// All in one piece, or nothing where it is empty.
    One(Extent),
    /// A sparse file's.
    Sparse(&'a [ExtentRecord]),
}

impl Extents<'_> {
    /// How many pieces there are.
    pub fn len(&self) -> usize {
        match self {
            Extents::One(extent) => usize::from(extent.len > 0),
            Extents::Sparse(records) => records.len(),
        }
    }

    /// Whether there is no data.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The piece of this number.
    pub fn get(&self, number: usize) -> Option<Extent> {
        match self {
            Extents::One(extent) => (number == 0 && extent.len > 0).then_some(*extent),
            Extents::Sparse(records) => records.get(number).map(|record| Extent {
                offset: record.offset.get(),
                at: record.at.get(),
                len: record.len.get(),
            }),
        }
    }

    /// All pieces.
    pub fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        (0..self.len()).map_while(|number| self.get(number))
    }

    /// The first piece that ends behind `offset`: it holds `offset`, or a hole before it does.
    pub fn from(&self, offset: u64) -> Option<Extent> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle)?.end() <= offset { low = middle + 1 } else { high = middle }
        }
        self.get(low)
    }

    /// How many bytes there are in all pieces together.
    pub fn bytes(&self) -> u64 {
        self.iter().fold(0, |sum: u64, extent| sum.saturating_add(extent.len))
    }
}

pub(super) fn is_directory(inode: &Inode) -> bool {
    inode.mode.get() & libc::S_IFMT == libc::S_IFDIR
}

impl Index {
    /// An object's attributes, but for the extended ones.
    ///
    /// # Errors
    /// [`Kind::Archive`] where the index is damaged.
    pub fn attributes(&self, entry: EntryId) -> Result<Entry<'_>> {
        let inode = self.inode(entry)?;
        let (mode, flags) = (inode.mode.get(), inode.flags.get());
        let minor =
            || u32::try_from(inode.place.get()).map_err(|_| damaged("a device's number is too large"));
        let what = match mode & libc::S_IFMT {
            libc::S_IFREG => What::File,
            libc::S_IFDIR => What::Directory {
                opaque: flags & FLAG_OPAQUE != 0,
                attributes: if flags & FLAG_IMPLIED != 0 { Attributes::Below } else { Attributes::Own },
            },
            libc::S_IFLNK => What::Symlink { target: self.text(inode.place.get(), inode.size.get())? },
            libc::S_IFCHR => What::Character { major: inode.count.get(), minor: minor()? },
            libc::S_IFBLK => What::Block { major: inode.count.get(), minor: minor()? },
            libc::S_IFIFO => What::Fifo,
            0 => What::LinkBelow { target: self.link_target(inode)? },
            _ => return Err(damaged("an object has a type that no tar has")),
        };
        Ok(Entry {
            permissions: mode & 0o7777,
            uid: inode.uid.get(),
            gid: inode.gid.get(),
            mtime: (inode.mtime.get(), inode.mtime_nsec.get()),
            size: inode.size.get(),
            nlink: inode.nlink.get(),
            what,
        })
    }

    /// An object's extended attributes, sorted by name.
    ///
    /// # Errors
    /// [`Kind::Archive`] where the index is damaged.
    pub fn xattrs(
        &self,
        entry: EntryId,
    ) -> Result<impl ExactSizeIterator<Item = Result<(&[u8], &[u8])>> + '_> {
        let records = self.xattr_records(self.inode(entry)?)?;
        Ok(records.iter().map(|record| {
            let name = self.text(record.name.get().into(), record.name_len.get().into())?;
            Ok((name, self.text(record.value.get().into(), record.value_len.get().into())?))
        }))
    }

    /// Where a regular file's data is.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for anything else; [`Kind::Archive`] where the index is damaged.
    pub fn extents(&self, entry: EntryId) -> Result<Extents<'_>> {
        let inode = self.inode(entry)?;
        if inode.mode.get() & libc::S_IFMT != libc::S_IFREG {
            return Err(Error::new("find the data", Kind::Invalid("it is not a regular file")));
        }
        if inode.flags.get() & FLAG_SPARSE != 0 {
            return self.extent_records(inode).map(Extents::Sparse);
        }
        Ok(Extents::One(Extent { offset: 0, at: inode.place.get(), len: inode.size.get() }))
    }

    fn link_target(&self, inode: &Inode) -> Result<&[u8]> {
        let [record]: &[LinkRecord] = self.slice(Section::Links, inode.place.get(), 1)? else {
            return Err(damaged("a link is missing"));
        };
        self.text(record.target.get().into(), record.target_len.get().into())
    }
}
