//! The tree that a tar makes, while it is read: small, since a layer may have millions of names.
//!
//! Objects are the index's own records. Names hang in one table, found by their directory and bytes. What is replaced
//! stays behind as garbage that no name leads to; whoever writes the index walks from the root and does not meet it.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use super::problem::Problem;
use crate::tarball::index::format::{ExtentRecord, Inode, XattrRecord};

/// No object, no name.
pub const NONE: u32 = u32::MAX;
/// The root, as an object.
pub const ROOT: u32 = 0;

/// Names, attributes and link targets together, bytes.
const MAX_TEXT: usize = 1 << 29;
/// Pieces of all sparse files together.
const MAX_EXTENTS: usize = 1 << 22;

/// A name in a directory.
#[derive(Debug, Clone, Copy)]
pub struct Dirent {
    /// The directory, as an object.
    pub parent: u32,
    /// Where the bytes are among the names.
    at: u32,
    /// The object; [`NONE`] where there is only a whiteout.
    pub inode: u32,
    /// The next of the same place in the table.
    next: u32,
    len: u8,
    /// The name is deleted in the layers below.
    pub whiteout: bool,
}

/// A hard link to an object of a layer below, while the tar is read.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// What stands for the object.
    pub inode: u32,
    /// The link's path, and the target's: places and lengths among the texts.
    pub path: (u32, u32),
    pub target: (u32, u32),
}

/// The tree.
#[derive(Debug)]
pub struct Tree {
    /// Of a directory, `place` is the number of its name (the root has none).
    pub inodes: Vec<Inode>,
    pub dirents: Vec<Dirent>,
    pub xattrs: Vec<XattrRecord>,
    pub extents: Vec<ExtentRecord>,
    pub links: Vec<Link>,
    pub texts: Vec<u8>,
    names: Vec<u8>,
    /// The first name of each place of the table; its length is a power of two.
    heads: Vec<u32>,
    hasher: RandomState,
    /// Sets of attributes by their hash: first and count.
    sets: HashMap<u64, (u32, u16)>,
    /// How many objects and names there may be.
    limit: u64,
    counted: u64,
}

impl Tree {
    /// A root, without an entry of its own.
    pub fn new(root: Inode, limit: u64) -> Self {
        Tree {
            inodes: vec![root],
            dirents: Vec::new(),
            xattrs: Vec::new(),
            extents: Vec::new(),
            links: Vec::new(),
            texts: Vec::new(),
            names: Vec::new(),
            heads: vec![NONE; 1024],
            hasher: RandomState::new(),
            sets: HashMap::new(),
            limit: limit.min(u64::from(NONE - 1)),
            counted: 0,
        }
    }

    /// Gives back what is needed only to add names.
    pub fn forget_table(&mut self) {
        self.heads = vec![NONE];
        self.sets = HashMap::new();
    }

    /// Counts an entry, or a directory that only exists since something is in it.
    pub fn count(&mut self) -> Result<(), Problem> {
        self.counted += 1;
        if self.counted > self.limit {
            return Err(Problem::TooManyEntries { limit: self.limit });
        }
        Ok(())
    }

    /// The bytes of a name.
    pub fn name(&self, dirent: &Dirent) -> &[u8] {
        let at = dirent.at as usize;
        self.names.get(at..at + usize::from(dirent.len)).unwrap_or_default()
    }

    /// A name of a directory.
    pub fn find(&self, dir: u32, name: &[u8]) -> Option<u32> {
        let mut at = self.heads.get(self.place(dir, name)).copied().unwrap_or(NONE);
        loop {
            let dirent = self.dirents.get(at as usize)?;
            if dirent.parent == dir && self.name(dirent) == name {
                return Some(at);
            }
            at = dirent.next;
        }
    }

    /// A name of a directory, made where it is not there. `name` has 1 to 255 bytes.
    pub fn find_or_make(&mut self, dir: u32, name: &[u8]) -> Result<u32, Problem> {
        if let Some(found) = self.find(dir, name) {
            return Ok(found);
        }
        if self.dirents.len() >= self.heads.len() {
            self.grow();
        }
        let at = self.room(self.names.len(), name.len())?;
        self.names.extend_from_slice(name);
        let number = number(self.dirents.len())?;
        let place = self.place(dir, name);
        let next = match self.heads.get_mut(place) {
            Some(head) => std::mem::replace(head, number),
            None => NONE,
        };
        let len = u8::try_from(name.len()).unwrap_or(u8::MAX);
        self.dirents.push(Dirent { parent: dir, at, inode: NONE, next, len, whiteout: false });
        Ok(number)
    }

    /// Adds an object.
    pub fn add(&mut self, inode: Inode) -> Result<u32, Problem> {
        let number = number(self.inodes.len())?;
        self.inodes.push(inode);
        Ok(number)
    }

    /// The directory that a directory is in; the root is in itself.
    pub fn parent(&self, dir: u32) -> u32 {
        self.name_of(dir).map_or(ROOT, |dirent| dirent.parent)
    }

    /// The path of a directory from the root, without a leading slash.
    pub fn path(&self, mut dir: u32) -> Vec<u8> {
        let mut names = Vec::new();
        while let Some(dirent) = self.name_of(dir) {
            names.push(self.name(dirent));
            dir = dirent.parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    fn name_of(&self, dir: u32) -> Option<&Dirent> {
        if dir == ROOT {
            return None;
        }
        let inode = self.inodes.get(dir as usize)?;
        self.dirents.get(usize::try_from(inode.place.get()).ok()?)
    }

    /// Keeps bytes that are no names, and says where.
    pub fn keep(&mut self, text: &[u8]) -> Result<u32, Problem> {
        let at = self.room(self.texts.len(), text.len())?;
        self.texts.extend_from_slice(text);
        Ok(at)
    }

    /// Text that [`Self::keep`] has kept.
    pub fn text(&self, at: u32, len: usize) -> &[u8] {
        let at = at as usize;
        self.texts.get(at..at.saturating_add(len)).unwrap_or_default()
    }

    /// Keeps extents, and says which is the first.
    pub fn keep_extents(&mut self, extents: impl Iterator<Item = ExtentRecord>) -> Result<u32, Problem> {
        let first = number(self.extents.len())?;
        self.extents.extend(extents);
        if self.extents.len() > MAX_EXTENTS {
            return Err(Problem::TooMuch { what: "pieces of sparse files", limit: MAX_EXTENTS as u64 });
        }
        Ok(first)
    }

    /// Keeps a set of attributes, once for all objects that have it: first and count.
    pub fn keep_xattrs(&mut self, mut xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(u32, u16), Problem> {
        if xattrs.is_empty() {
            return Ok((0, 0));
        }
        // Of those with one name the last counts. Sorting keeps their order, so it is the first when turned around.
        xattrs.reverse();
        xattrs.sort_by(|a, b| a.0.cmp(&b.0));
        xattrs.dedup_by(|a, b| a.0 == b.0);
        let hash = self.hasher.hash_one(&xattrs);
        if let Some(set) = self.sets.get(&hash)
            && self.is_set(*set, &xattrs)
        {
            return Ok(*set);
        }
        let first = number(self.xattrs.len())?;
        let count = u16::try_from(xattrs.len())
            .map_err(|_| Problem::TooMuch { what: "attributes of one entry", limit: u16::MAX.into() })?;
        for (name, value) in &xattrs {
            let record = XattrRecord {
                name: self.keep(name)?.into(),
                value: self.keep(value)?.into(),
                value_len: number(value.len())?.into(),
                name_len: number(name.len())?.into(),
            };
            self.xattrs.push(record);
        }
        self.sets.insert(hash, (first, count));
        Ok((first, count))
    }

    fn is_set(&self, (first, count): (u32, u16), xattrs: &[(Vec<u8>, Vec<u8>)]) -> bool {
        let first = first as usize;
        let records = self.xattrs.get(first..first + usize::from(count)).unwrap_or_default();
        records.len() == xattrs.len()
            && records.iter().zip(xattrs).all(|(record, (name, value))| {
                self.text(record.name.get(), record.name_len.get() as usize) == name
                    && self.text(record.value.get(), record.value_len.get() as usize) == value
            })
    }

    fn room(&self, len: usize, more: usize) -> Result<u32, Problem> {
        if len.saturating_add(more) > MAX_TEXT {
            return Err(Problem::TooMuch { what: "bytes of names and attributes", limit: MAX_TEXT as u64 });
        }
        number(len)
    }

    /// A table for twice as many names. Both lists grow together, so that all of it stays linear.
    fn grow(&mut self) {
        self.heads = vec![NONE; self.heads.len() * 2];
        for number in 0..self.dirents.len() {
            let Some(dirent) = self.dirents.get(number).copied() else { continue };
            let place = self.place(dirent.parent, self.name(&dirent));
            if let (Some(head), Some(dirent)) = (self.heads.get_mut(place), self.dirents.get_mut(number)) {
                dirent.next = *head;
                // There are fewer than u32::MAX names.
                *head = number as u32;
            }
        }
    }

    fn place(&self, dir: u32, name: &[u8]) -> usize {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u32(dir);
        hasher.write(name);
        // A power of two; a mask takes what fits.
        hasher.finish() as usize & (self.heads.len() - 1)
    }
}

/// A place in a list, where the list is not too long for an index.
fn number(len: usize) -> Result<u32, Problem> {
    u32::try_from(len)
        .ok()
        .filter(|number| *number < NONE)
        .ok_or(Problem::TooManyEntries { limit: u64::from(NONE) })
}
