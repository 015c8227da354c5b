//! Writes a tar: the same bytes for the same entries, whoever runs it and wherever.
//!
//! The form is POSIX.1-2001 (pax(1)): a ustar header, and before it an extended one where ustar cannot say something: names
//! and link targets over 100 bytes, sizes of 8 GiB and more, ids of 2,097,152 and more, times with a fraction or outside
//! 1970 to 2242, and extended attributes. Those are `SCHILY.xattr.NAME`, the value as it is, which all container tools read;
//! ACLs go the same way, as `system.posix_acl_access` and `_default`. Names are bytes and are written as such. What depends on
//! the machine or the moment (names of owners, times of access and of attribute changes, the writer's process) is never
//! written. Holes are written as zeroes: not every container tool reads sparse entries.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use tar::{EntryType, Header};

use crate::path::RelPath;

/// The unit of a tar, bytes.
const BLOCK: usize = 512;
/// The longest name or link target of a ustar header, bytes.
const NAME_FIELD: usize = 100;
/// The largest number that fits into seven octal digits (modes, ids, device numbers).
const SEVEN_DIGITS: u64 = 0o7_777_777;
/// The largest number that fits into eleven octal digits (sizes, times).
const ELEVEN_DIGITS: u64 = 0o77_777_777_777;
/// The name that every extended header has: it is nobody's name, and the same everywhere.
const PAX_NAME: &[u8] = b"././@PaxHeader";

/// An object to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Where it is; the root is written as `./`.
    pub path: &'a RelPath,
    /// What it is.
    pub what: What<'a>,
    /// Permission bits, with suid, sgid and sticky: 0..=0o7777.
    pub perm: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the content: seconds since 1970 (negative before) and nanoseconds above them (0..1,000,000,000).
    pub mtime: (i64, u32),
    /// Extended attributes by their whole names.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What an entry is. Sockets are not among them: a tar has no type for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum What<'a> {
    Directory,
    /// A file of so many bytes, which are given with it.
    Regular(u64),
    Symlink(&'a [u8]),
    /// Another name of an entry that was written before.
    HardLink(&'a RelPath),
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
}

impl<'a> Entry<'a> {
    /// A regular file that stands for itself: root's, 0644, of 1970. Markers and the parts of an archive are such files.
    pub fn plain(path: &'a RelPath, size: u64) -> Self {
        Entry {
            path,
            what: What::Regular(size),
            perm: 0o644,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            xattrs: BTreeMap::new(),
        }
    }
}

/// Why an entry was not written. After an error the tar is not complete, and what was written of it is worthless.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum WriteError {
    #[error("it cannot be written: {}", crate::error::describe(.0))]
    Write(io::Error),
    #[error("its content cannot be read: {}", crate::error::describe(.0))]
    Content(io::Error),
    #[error("it became smaller while it was read: {expected} bytes were expected, and {found} came")]
    Shrunk { expected: u64, found: u64 },
    #[error("a tar cannot hold the device number {major}:{minor}")]
    Device { major: u32, minor: u32 },
    #[error("a tar cannot hold an attribute whose name has '=': '{}'", .0.escape_ascii())]
    XattrName(Vec<u8>),
}

/// A tar that is being written. It ends with [`TarWriter::finish`]; without, it is cut short.
#[derive(Debug)]
pub struct TarWriter<W> {
    out: W,
}

impl<W: Write> TarWriter<W> {
    /// Begins a tar.
    pub fn new(out: W) -> Self {
        TarWriter { out }
    }

    /// Writes an entry without content: anything but a file that has bytes.
    ///
    /// # Errors
    /// [`WriteError::Shrunk`] for such a file.
    pub fn entry(&mut self, entry: &Entry<'_>) -> Result<(), WriteError> {
        self.file(entry, io::empty())
    }

    /// Writes an entry with its content; exactly as many bytes as the entry says are read.
    ///
    /// # Errors
    /// As [`WriteError`] has them; entries are checked before anything of them is written.
    pub fn file(&mut self, entry: &Entry<'_>, content: impl Read) -> Result<(), WriteError> {
        let size = match entry.what {
            What::Regular(size) => size,
            _ => 0,
        };
        let (header, records) = headers(entry)?;
        let written = (|| {
            if !records.is_empty() {
                self.out.write_all(pax_header(records.len() as u64).as_bytes())?;
                self.out.write_all(&records)?;
                self.pad(records.len() as u64)?;
            }
            self.out.write_all(header.as_bytes())
        })();
        written.map_err(WriteError::Write)?;
        self.copy(content, size)?;
        self.pad(size).map_err(WriteError::Write)
    }

    fn copy(&mut self, mut content: impl Read, size: u64) -> Result<(), WriteError> {
        let mut buf = vec![0; usize::try_from(size).unwrap_or(usize::MAX).min(1 << 17)];
        let mut left = size;
        while left > 0 {
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
            let Some(room) = buf.get_mut(..room) else { break };
            let n = match content.read(room) {
                Ok(0) => return Err(WriteError::Shrunk { expected: size, found: size - left }),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(WriteError::Content(error)),
            };
            self.out.write_all(room.get(..n).unwrap_or_default()).map_err(WriteError::Write)?;
            left -= n as u64;
        }
        Ok(())
    }

    /// Fills the last block of so many bytes.
    fn pad(&mut self, len: u64) -> io::Result<()> {
        let over = (len % BLOCK as u64) as usize;
        match over {
            0 => Ok(()),
            _ => self.out.write_all(&[0; BLOCK][over..]),
        }
    }

    /// Ends the tar, and gives back what it was written to.
    ///
    /// # Errors
    /// Those of writing.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }
}

/// The ustar header of an entry, and the records of the extended header before it.
fn headers(entry: &Entry<'_>) -> Result<(Header, Vec<u8>), WriteError> {
    let mut header = Header::new_ustar();
    let mut records = Vec::new();
    let (kind, link, size) = match entry.what {
        What::Directory => (EntryType::Directory, &b""[..], 0),
        What::Regular(size) => (EntryType::Regular, &b""[..], size),
        What::Symlink(target) => (EntryType::Symlink, target, 0),
        What::HardLink(path) => (EntryType::Link, path.as_bytes(), 0),
        What::CharDevice { .. } => (EntryType::Char, &b""[..], 0),
        What::BlockDevice { .. } => (EntryType::Block, &b""[..], 0),
        What::Fifo => (EntryType::Fifo, &b""[..], 0),
    };
    header.set_entry_type(kind);
    let name = written_name(entry);
    if let Some(ustar) = header.as_ustar_mut() {
        text(&mut ustar.name, "path", &name, &mut records);
        text(&mut ustar.linkname, "linkpath", link, &mut records);
    }
    header.set_size(number("size", size, ELEVEN_DIGITS, &mut records));
    header.set_uid(number("uid", entry.uid.into(), SEVEN_DIGITS, &mut records));
    header.set_gid(number("gid", entry.gid.into(), SEVEN_DIGITS, &mut records));
    header.set_mode(entry.perm & 0o7777);
    header.set_mtime(time(entry.mtime, &mut records));
    if let What::CharDevice { major, minor } | What::BlockDevice { major, minor } = entry.what {
        if u64::from(major.max(minor)) > SEVEN_DIGITS {
            return Err(WriteError::Device { major, minor });
        }
        // Both fields are there in a ustar header.
        header.set_device_major(major).map_err(WriteError::Write)?;
        header.set_device_minor(minor).map_err(WriteError::Write)?;
    }
    for (name, value) in &entry.xattrs {
        if name.contains(&b'=') {
            return Err(WriteError::XattrName(name.clone()));
        }
        record(&[b"SCHILY.xattr.", name.as_slice()].concat(), value, &mut records);
    }
    header.set_cksum();
    Ok((header, records))
}

/// Directories are told from files by a slash, too, in all old tars and most new ones.
fn written_name(entry: &Entry<'_>) -> Vec<u8> {
    let mut name = entry.path.as_bytes().to_vec();
    if entry.path.is_root() {
        name.push(b'.');
    }
    if entry.what == What::Directory {
        name.push(b'/');
    }
    name
}

/// Puts text into a field, and into a record where the field is too short; what fits of it is in the field then, too, for a
/// reader that knows no records.
fn text(field: &mut [u8; NAME_FIELD], key: &str, value: &[u8], records: &mut Vec<u8>) {
    for (byte, from) in field.iter_mut().zip(value) {
        *byte = *from;
    }
    if value.len() > field.len() {
        record(key.as_bytes(), value, records);
    }
}

/// What stands in a number's field: the number, or 0 where it is too large and a record has it.
fn number(key: &str, value: u64, most: u64, records: &mut Vec<u8>) -> u64 {
    if value <= most {
        return value;
    }
    record(key.as_bytes(), value.to_string().as_bytes(), records);
    0
}

/// As [`number`], for a time. A record is a decimal fraction, exact to the nanosecond.
fn time((sec, nsec): (i64, u32), records: &mut Vec<u8>) -> u64 {
    let fits = u64::try_from(sec).ok().filter(|sec| *sec <= ELEVEN_DIGITS);
    if nsec != 0 || fits.is_none() {
        // A time before 1970 is as far below zero as its seconds say, less its nanoseconds.
        let (sign, sec, nsec) = match (sec < 0, nsec) {
            (false, nsec) => ("", sec.unsigned_abs(), nsec),
            (true, 0) => ("-", sec.unsigned_abs(), 0),
            (true, nsec) => ("-", sec.unsigned_abs() - 1, 1_000_000_000_u32.saturating_sub(nsec)),
        };
        let fraction = match nsec {
            0 => String::new(),
            _ => format!(".{nsec:09}").trim_end_matches('0').to_owned(),
        };
        record(b"mtime", format!("{sign}{sec}{fraction}").as_bytes(), records);
    }
    fits.unwrap_or(0)
}

/// A record: its own length in decimal digits (these among it), a space, `key=value` and a newline.
fn record(key: &[u8], value: &[u8], records: &mut Vec<u8>) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + digits(len) > len {
        len += 1;
    }
    records.extend_from_slice(format!("{len} ").as_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

/// The header of an extended header with so many bytes of records.
fn pax_header(len: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    if let Some(ustar) = header.as_ustar_mut() {
        for (byte, from) in ustar.name.iter_mut().zip(PAX_NAME) {
            *byte = *from;
        }
    }
    // The records of one object are far below 8 GiB: names below 5,000 bytes, attributes below 64 KiB each.
    header.set_size(len);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    header
}

#[cfg(test)]
mod tests;
