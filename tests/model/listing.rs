//! A directory listing's reader with little room.

use lamina::overlay::{DirEntry, DirSink, Entry, FileKind, SinkAnswer};

use super::run::{Check, ensure};

/// An entry that was taken.
#[derive(Debug, Clone)]
pub struct Seen {
    pub name: Vec<u8>,
    pub cookie: u64,
    pub ino: u64,
    pub kind: Option<FileKind>,
    pub entry: Option<Entry>,
}

/// Takes at most `room` entries.
pub struct Batch {
    room: usize,
    seen: Vec<Seen>,
    refused: usize,
}

impl Batch {
    pub fn new(room: usize) -> Self {
        Batch { room, seen: Vec::new(), refused: 0 }
    }

    /// What was taken, if the listing stopped when it was told that there was no room.
    pub fn finish(self) -> Check<Vec<Seen>> {
        ensure!(self.refused <= 1, "the listing went on after there was no room");
        Ok(self.seen)
    }
}

impl DirSink for Batch {
    fn push(&mut self, dirent: DirEntry<'_>, entry: Option<&Entry>) -> SinkAnswer {
        if self.seen.len() == self.room {
            self.refused += 1;
            return SinkAnswer::Full;
        }
        let DirEntry { name, cookie, ino, kind } = dirent;
        self.seen.push(Seen { name: name.to_vec(), cookie, ino, kind, entry: entry.copied() });
        SinkAnswer::Taken
    }
}
