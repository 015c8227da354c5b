//! A directory listing as the kernel reads it: records of `fuse_dirent`, or `fuse_direntplus`, padded to 8 bytes.

use zerocopy::{FromZeros, IntoBytes};

use super::abi;
use super::reply::entry_out;
use crate::overlay::{DirEntry, DirSink, Entry, Listing, SinkAnswer, Validity};

/// Fills a buffer with as many whole records as fit.
#[derive(Debug)]
pub struct DirBuffer<'b> {
    buffer: &'b mut [u8],
    used: usize,
    listing: Listing,
    validity: Validity,
}

impl<'b> DirBuffer<'b> {
    /// All of `buffer` is room for records.
    pub fn new(buffer: &'b mut [u8], listing: Listing, validity: Validity) -> Self {
        DirBuffer { buffer, used: 0, listing, validity }
    }

    /// The records.
    pub fn finish(self) -> &'b [u8] {
        self.buffer.get(..self.used).unwrap_or_default()
    }

    fn append(&mut self, parts: &[&[u8]]) -> SinkAnswer {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        let padded = len.next_multiple_of(8);
        let Some(room) = self.buffer.get_mut(self.used..).and_then(|rest| rest.get_mut(..padded)) else {
            return SinkAnswer::Full;
        };
        let mut rest = room;
        for part in parts {
            let Some((to, after)) = rest.split_at_mut_checked(part.len()) else { return SinkAnswer::Full };
            to.copy_from_slice(part);
            rest = after;
        }
        rest.fill(0);
        self.used += padded;
        SinkAnswer::Taken
    }
}

impl DirSink for DirBuffer<'_> {
    fn push(&mut self, dirent: DirEntry<'_>, entry: Option<&Entry>) -> SinkAnswer {
        // A name that no request could have named; the overlay has none such.
        let Ok(namelen) = u32::try_from(dirent.name.len()) else { return SinkAnswer::Full };
        let record = abi::Dirent {
            ino: dirent.ino,
            off: dirent.cookie,
            namelen,
            kind: dirent.kind.map_or(0, |kind| kind.mode_bits() >> 12),
        };
        match self.listing {
            Listing::Names => self.append(&[record.as_bytes(), dirent.name]),
            Listing::Plus => {
                // Without an entry the node id stays 0: the kernel then lists the name and links nothing.
                let plus = match entry {
                    Some(entry) => entry_out(entry, &self.validity),
                    None => abi::EntryOut::new_zeroed(),
                };
                self.append(&[plus.as_bytes(), record.as_bytes(), dirent.name])
            }
        }
    }
}
