//! From the tree to the index's bytes.

use std::io::{self, BufWriter, Write};

use zerocopy::IntoBytes;

use super::problem::Problem;
use super::tree::{NONE, ROOT, Tree};
use crate::marker::OciName;
use crate::path::Name;
use crate::tarball::index::Index;
use crate::tarball::index::format::{
    FLAG_IMPLIED, FLAG_OPAQUE, Header, Inode, LinkRecord, MAGIC, NameRecord, SummaryRecord, VERSION, WHITEOUT,
};

/// A tar that was read to its end: what is in it.
#[derive(Debug)]
pub struct Scanned {
    tree: Tree,
    tar_len: u64,
    /// The objects that have names, in the order of the index: directory by directory, from the root, by name.
    objects: Vec<u32>,
    /// The number of each object in the index.
    numbers: Vec<u32>,
    /// The names that are shown, in the order of the index.
    names: Vec<u32>,
    /// The links below, in the order of the index.
    links: Vec<u32>,
    name_bytes: u32,
    summary: SummaryRecord,
}

impl Scanned {
    pub(super) fn new(mut tree: Tree, tar_len: u64) -> Result<Scanned, Problem> {
        tree.forget_table();
        let (by_directory, starts) = sorted(&tree);
        let mut scanned = Scanned {
            objects: vec![ROOT],
            numbers: vec![NONE; tree.inodes.len()],
            names: Vec::new(),
            links: Vec::new(),
            name_bytes: 0,
            summary: SummaryRecord::default(),
            tree,
            tar_len,
        };
        if let Some(root) = scanned.numbers.get_mut(ROOT as usize) {
            *root = 0;
        }
        let mut next = 0;
        while let Some(object) = scanned.objects.get(next).copied() {
            next += 1;
            let Some(inode) = scanned.tree.inodes.get(object as usize) else { continue };
            if is_directory(inode) {
                let range = starts
                    .get(object as usize)
                    .zip(starts.get(object as usize + 1))
                    .map(|(start, end)| *start as usize..*end as usize);
                let names = range.and_then(|range| by_directory.get(range)).unwrap_or_default();
                scanned.directory(object, names)?;
            }
        }
        drop((by_directory, starts));
        scanned.number_links();
        scanned.sum_up();
        Ok(scanned)
    }

    /// Settles what a directory's names are, and numbers its objects.
    fn directory(&mut self, directory: u32, names: &[u32]) -> Result<(), Problem> {
        let first = self.names.len();
        let mut subdirectories = 0u32;
        for number in names {
            let Some(dirent) = self.tree.dirents.get(*number as usize).copied() else { continue };
            let bytes = self.tree.name(&dirent);
            // What AUFS keeps for itself is not part of the tree.
            if Name::new(bytes).is_ok_and(|name| OciName::of(name) == OciName::AufsMeta) {
                continue;
            }
            let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            if dirent.inode == NONE {
                if !dirent.whiteout {
                    // A name that was looked for, and never got an object.
                    continue;
                }
                bump(&mut self.summary.whiteouts);
            } else if let Some(inode) = self.tree.inodes.get_mut(dirent.inode as usize) {
                if is_directory(inode) {
                    subdirectories = subdirectories.saturating_add(1);
                    if dirent.whiteout {
                        // What is below is deleted, so there is nothing below whose attributes it could have.
                        inode.flags = ((inode.flags.get() | FLAG_OPAQUE) & !FLAG_IMPLIED).into();
                    }
                } else {
                    inode.nlink = inode.nlink.get().saturating_add(1).into();
                }
                if let Some(object) = self.numbers.get_mut(dirent.inode as usize)
                    && *object == NONE
                {
                    // There are fewer objects than u32::MAX.
                    *object = self.objects.len() as u32;
                    self.objects.push(dirent.inode);
                }
            }
            self.name_bytes = self
                .name_bytes
                .checked_add(len)
                .ok_or(Problem::TooMuch { what: "bytes of names", limit: u32::MAX.into() })?;
            self.names.push(*number);
        }
        if let Some(inode) = self.tree.inodes.get_mut(directory as usize) {
            inode.nlink = subdirectories.saturating_add(2).into();
            inode.place = (first as u64).into();
            inode.count = ((self.names.len() - first) as u32).into();
        }
        Ok(())
    }

    fn number_links(&mut self) {
        let object_of = |link: &u32| self.tree.links.get(*link as usize).map(|link| link.inode);
        let number_of = |link: &u32| {
            object_of(link).and_then(|object| self.numbers.get(object as usize)).copied().unwrap_or(NONE)
        };
        let mut links: Vec<u32> =
            (0..self.tree.links.len() as u32).filter(|link| number_of(link) != NONE).collect();
        links.sort_by_key(number_of);
        for (number, link) in links.iter().enumerate() {
            let object = self.tree.links.get(*link as usize).map_or(NONE, |link| link.inode);
            if let Some(inode) = self.tree.inodes.get_mut(object as usize) {
                inode.place = (number as u64).into();
            }
        }
        self.links = links;
    }

    fn sum_up(&mut self) {
        let summary = &mut self.summary;
        let mut unpacked = 0u64;
        for object in &self.objects {
            let Some(inode) = self.tree.inodes.get(*object as usize) else { continue };
            let flags = inode.flags.get();
            match inode.mode.get() & libc::S_IFMT {
                libc::S_IFREG => {
                    bump(&mut summary.files);
                    unpacked = unpacked.saturating_add(inode.size.get());
                }
                libc::S_IFDIR => {
                    bump(&mut summary.directories);
                    if flags & FLAG_OPAQUE != 0 {
                        bump(&mut summary.opaque);
                    }
                    if flags & FLAG_IMPLIED != 0 {
                        bump(&mut summary.implied);
                    }
                }
                libc::S_IFLNK => bump(&mut summary.symlinks),
                0 => {}
                _ => bump(&mut summary.others),
            }
        }
        summary.unpacked_bytes = unpacked.into();
    }

    /// How long the tar is, bytes: all that was read.
    pub fn tar_len(&self) -> u64 {
        self.tar_len
    }

    /// Writes the index.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(256 * 1024, out);
        let out = &mut out;
        out.write_all(self.header().as_bytes())?;
        for inode in self.objects.iter().filter_map(|object| self.tree.inodes.get(*object as usize)) {
            out.write_all(inode.as_bytes())?;
        }
        let mut at = 0u32;
        for dirent in self.names.iter().filter_map(|name| self.tree.dirents.get(*name as usize)) {
            let inode = self.tree.inodes.get(dirent.inode as usize);
            // A byte has room for the length of a name.
            let len = self.tree.name(dirent).len() as u8;
            let record = NameRecord {
                at: at.into(),
                inode: self.numbers.get(dirent.inode as usize).map_or(WHITEOUT, |number| *number).into(),
                len,
                // The type bits as in `d_type`.
                kind: inode.map_or(0, |inode| (inode.mode.get() >> 12 & 0xf) as u8),
                reserved: 0.into(),
            };
            out.write_all(record.as_bytes())?;
            at = at.saturating_add(len.into());
        }
        out.write_all(self.tree.xattrs.as_bytes())?;
        out.write_all(self.tree.extents.as_bytes())?;
        for link in self.links.iter().filter_map(|link| self.tree.links.get(*link as usize)) {
            let number = self.numbers.get(link.inode as usize).copied().unwrap_or(NONE);
            let record = LinkRecord {
                inode: number.into(),
                path: link.path.0.into(),
                path_len: link.path.1.into(),
                target: link.target.0.into(),
                target_len: link.target.1.into(),
            };
            out.write_all(record.as_bytes())?;
        }
        for dirent in self.names.iter().filter_map(|name| self.tree.dirents.get(*name as usize)) {
            out.write_all(self.tree.name(dirent))?;
        }
        out.write_all(&self.tree.texts)?;
        out.flush()
    }

    /// The index, in memory.
    ///
    /// # Errors
    /// None that [`Index::from_bytes`] would not have of what was written: a mistake of ours.
    pub fn index(&self) -> io::Result<Index> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes)?;
        Index::from_bytes(bytes).map_err(io::Error::from)
    }

    fn header(&self) -> Header {
        // All lists are shorter than u32::MAX: whoever adds to them sees to it.
        let count = |len: usize| (len as u32).into();
        Header {
            magic: MAGIC,
            version: VERSION.into(),
            reserved: 0.into(),
            tar_len: self.tar_len.into(),
            inodes: count(self.objects.len()),
            names: count(self.names.len()),
            xattrs: count(self.tree.xattrs.len()),
            extents: count(self.tree.extents.len()),
            links: count(self.links.len()),
            name_bytes: self.name_bytes.into(),
            text_bytes: count(self.tree.texts.len()),
            summary: self.summary,
        }
    }
}

/// All names, directory by directory, each sorted; and where each directory's begin. Linear but for the sorting within a
/// directory.
fn sorted(tree: &Tree) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0u32; tree.inodes.len() + 1];
    for dirent in &tree.dirents {
        if let Some(start) = starts.get_mut(dirent.parent as usize) {
            *start += 1;
        }
    }
    // From counts to ends; each name then takes the last free place, and ends become beginnings.
    let mut end = 0;
    for start in &mut starts {
        end += *start;
        *start = end;
    }
    let mut order = vec![0u32; tree.dirents.len()];
    for (number, dirent) in tree.dirents.iter().enumerate() {
        if let Some(start) = starts.get_mut(dirent.parent as usize) {
            *start = start.saturating_sub(1);
            if let Some(place) = order.get_mut(*start as usize) {
                *place = number as u32;
            }
        }
    }
    let bytes =
        |number: &u32| tree.dirents.get(*number as usize).map_or(&b""[..], |dirent| tree.name(dirent));
    for bounds in starts.windows(2) {
        if let [start, end] = bounds
            && let Some(names) = order.get_mut(*start as usize..*end as usize)
        {
            names.sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)));
        }
    }
    (order, starts)
}

fn is_directory(inode: &Inode) -> bool {
    inode.mode.get() & libc::S_IFMT == libc::S_IFDIR
}

fn bump(number: &mut zerocopy::little_endian::U32) {
    *number = number.get().saturating_add(1).into();
}
