//! What is true of the objects of an upper: looked up by the walk, judged by [`super::judge`].

use crate::config::Namespace;
use crate::marker::Spelled;
use crate::overlay::OriginFound;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular {
        /// Bytes.
        size: u64,
    },
    /// A character device 0:0.
    Whiteout,
    /// Anything else.
    Other,
}

/// An attribute that is a marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Which.
    pub what: Spelled,
    /// Its value.
    pub value: Vec<u8>,
}

/// What the layers below have at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beneath {
    /// They are not known.
    Unknown,
    /// Nothing.
    Nothing,
    /// A directory.
    Directory,
    /// A regular file.
    Regular,
    /// Something else.
    Other,
}

/// What is beside a `.wh.NAME`, under NAME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Beside {
    Nothing,
    Whiteout,
    Directory,
    Other,
}

/// What the name of an object says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameSays {
    /// Nothing: a `.wh.` name that is marked as ordinary, or is no regular file, among them.
    Ordinary,
    /// It hides a name.
    Whiteout(Beside),
    /// Its directory is opaque.
    Opaque,
    /// It is one of AUFS's or fuse-overlayfs's own, or `.wh.` and no name.
    Nobodys,
}

/// The directory that an object is in, as far as that matters to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// How it goes on below.
    pub merges: Merges,
    /// What it says of empty files with the whiteout attribute.
    pub xwhiteouts: Announced,
}

/// Does a directory go on in the layers below?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merges {
    /// It may, or does.
    Yes,
    /// It is opaque, or nothing is there.
    No,
}

/// Is something said?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Announced {
    Yes,
    No,
}

/// One object of the upper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub kind: Kind,
    /// What its name says.
    pub name: NameSays,
    /// Its markers, in the order of their names.
    pub markers: Vec<Marked>,
    /// How many names its inode has.
    pub nlink: u32,
    /// Its directory; `None` for the root.
    pub parent: Option<Parent>,
    /// What the layers below have under its own name.
    pub beneath: Beneath,
    /// What the layers below have where its redirect leads, if it has one that can be read.
    pub target: Option<Beneath>,
    /// Whether what it was copied from is there; `None` where it has no such mark that can be read.
    pub origin: Option<OriginFound>,
}

impl Facts {
    /// The value of a marker: `trusted.` before `user.`.
    pub fn marker(&self, marker: crate::marker::Marker) -> Option<&Marked> {
        let of = |namespace| self.markers.iter().find(move |m| m.what == Spelled::Marker(namespace, marker));
        of(Namespace::Trusted).or_else(|| of(Namespace::User))
    }
}

/// What is in a directory, as far as that matters to the directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The namespaces in which something in it is marked as copied up.
    pub origins: Vec<Namespace>,
    /// The namespaces in which the directory is marked as impure.
    pub impure: Vec<Namespace>,
}

/// An entry of the index of hard links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFacts {
    /// Its name.
    pub name: crate::path::NameBuf,
    /// What it is.
    pub kind: Kind,
    /// How many names its inode has, this one among them.
    pub nlink: u32,
    /// The recorded correction.
    pub recorded: Option<Vec<u8>>,
}
