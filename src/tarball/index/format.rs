//! The bytes of an index: `docs/images.md`, "The index", has the same as a table.
//!
//! Everything is little-endian and needs no alignment. The sections follow each other in the order of [`Section`]
//! without gaps; their lengths are in the header.

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What an index begins with.
pub const MAGIC: [u8; 8] = *b"lamina-i";
/// The version of the format. One that differs is another format.
pub const VERSION: u32 = 1;

/// The beginning of an index.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    pub magic: [u8; 8],
    pub version: U32,
    /// Zero.
    pub reserved: U32,
    /// Length of the tar, bytes.
    pub tar_len: U64,
    /// How many inodes there are; the root is the first.
    pub inodes: U32,
    /// How many names.
    pub names: U32,
    /// How many attributes.
    pub xattrs: U32,
    /// How many extents of sparse files.
    pub extents: U32,
    /// How many hard links to objects of layers below.
    pub links: U32,
    /// Length of the names' bytes.
    pub name_bytes: U32,
    /// Length of the other texts' bytes.
    pub text_bytes: U32,
    pub summary: SummaryRecord,
}

/// [`super::Summary`] in an index.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct SummaryRecord {
    pub files: U32,
    pub directories: U32,
    pub symlinks: U32,
    pub others: U32,
    pub whiteouts: U32,
    pub opaque: U32,
    pub hard_links: U32,
    pub implied: U32,
    pub unpacked_bytes: U64,
}

/// An object. Its number is its place, from 0.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Inode {
    /// Type and permissions, as in `st_mode`; 0 for a hard link to an object of a layer below.
    pub mode: U32,
    pub uid: U32,
    pub gid: U32,
    /// How many names it has here; of a directory, as file systems count them.
    pub nlink: U32,
    /// Seconds since 1970.
    pub mtime: I64,
    pub mtime_nsec: U32,
    /// `FLAG_*`.
    pub flags: U16,
    /// How many attributes it has.
    pub xattr_count: U16,
    /// The first of them.
    pub xattr_first: U32,
    /// By type: a device's major; how many extents a sparse file has; how many names a directory has.
    pub count: U32,
    /// Bytes of a file, or of a symlink's target.
    pub size: U64,
    /// By type: where a file's data is in the tar; a sparse file's first extent; a directory's first name; where a
    /// symlink's target is in the texts; a device's minor; the number of a link below.
    pub place: U64,
}

/// A directory that hides its place in the layers below.
pub const FLAG_OPAQUE: u16 = 1;
/// A directory without an entry of its own.
pub const FLAG_IMPLIED: u16 = 2;
/// A file whose data is in extents.
pub const FLAG_SPARSE: u16 = 4;

/// A name in a directory. The names of one directory follow each other, sorted by their bytes.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct NameRecord {
    /// Where its bytes are among the names' bytes.
    pub at: U32,
    /// The object, or [`WHITEOUT`]. A directory's number is larger than that of the directory it is in.
    pub inode: U32,
    /// Bytes, 1 to 255.
    pub len: u8,
    /// The object's type as in `d_type`; 0 for a whiteout or a link below.
    pub kind: u8,
    pub reserved: U16,
}

/// In place of an object: the name is deleted in the layers below.
pub const WHITEOUT: u32 = u32::MAX;

/// An extended attribute. Those of one object follow each other, sorted by name; objects with the same ones share them.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct XattrRecord {
    /// Where its name is in the texts.
    pub name: U32,
    /// Where its value is in the texts.
    pub value: U32,
    /// Bytes.
    pub value_len: U32,
    /// Bytes.
    pub name_len: U32,
}

/// A piece of a sparse file's data. Those of one file follow each other, in order, without overlap.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct ExtentRecord {
    /// Where it is in the file.
    pub offset: U64,
    /// Where it is in the tar.
    pub at: U64,
    /// Bytes.
    pub len: U64,
}

/// A hard link to an object of a layer below, in the order of `inode`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct LinkRecord {
    /// The object that stands for it here.
    pub inode: U32,
    /// The path of its name, in the texts.
    pub path: U32,
    pub path_len: U32,
    /// The path of its target, in the texts.
    pub target: U32,
    pub target_len: U32,
}

/// The parts of an index behind its header, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Inodes,
    Names,
    Xattrs,
    Extents,
    Links,
    NameBytes,
    Texts,
}

impl Section {
    /// All of them, in order.
    pub const ALL: [Section; 7] = [
        Section::Inodes,
        Section::Names,
        Section::Xattrs,
        Section::Extents,
        Section::Links,
        Section::NameBytes,
        Section::Texts,
    ];
}

impl Header {
    /// How long a section is, bytes.
    pub fn len(&self, section: Section) -> u64 {
        let table = |count: U32, size: usize| u64::from(count.get()) * size as u64;
        match section {
            Section::Inodes => table(self.inodes, size_of::<Inode>()),
            Section::Names => table(self.names, size_of::<NameRecord>()),
            Section::Xattrs => table(self.xattrs, size_of::<XattrRecord>()),
            Section::Extents => table(self.extents, size_of::<ExtentRecord>()),
            Section::Links => table(self.links, size_of::<LinkRecord>()),
            Section::NameBytes => table(self.name_bytes, 1),
            Section::Texts => table(self.text_bytes, 1),
        }
    }
}
