//! The archive that an image comes in: a tar whose members are the image's files. Its headers are read, and the data between
//! them is skipped: layers stay unread until somebody wants them.

use std::collections::HashMap;
use std::path::Path;

use tar::{EntryType, Header, PaxExtensions};

use super::blob::Blob;
use super::error::Problem;
use super::files::bytes;

/// The unit of a tar, bytes.
const BLOCK: u64 = 512;
/// The most members: an image has a few for each layer.
const MOST_MEMBERS: usize = 100_000;
/// The largest long name or extended header, bytes.
const LARGEST_EXTENSION: u64 = 1 << 20;
/// How many bytes the names of all members, and what their links lead to, may have together.
const MOST_NAMES: usize = 32 << 20;
/// How many links in a row are followed, as by the kernel.
const MOST_LINKS: usize = 40;

/// An archive and where its members are.
#[derive(Debug)]
pub struct Archive {
    members: HashMap<Vec<u8>, Member>,
}

#[derive(Debug, Clone)]
enum Member {
    /// A regular file's data.
    File(Blob),
    /// Another member's name, normal; `None` when it leads out of the archive.
    Link(Option<Vec<u8>>),
    /// A file that is stored with holes, which no image's tool does.
    Sparse,
    /// A directory, a device.
    Other,
}

/// What headers before a member's own say of it.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl Archive {
    /// Reads all headers of a tar.
    pub fn open(path: &Path) -> Result<Archive, Problem> {
        let whole = Blob::open(path)?;
        if let Some(problem) = compressed(&whole)? {
            return Err(problem);
        }
        let members = scan(&whole)?;
        Ok(Archive { members })
    }

    /// Whether there is a member with that name, of whatever kind.
    pub fn has(&self, name: &str) -> bool {
        member_name(name.as_bytes()).is_some_and(|name| self.members.contains_key(&name))
    }

    /// The data of a member, by a name as documents write it; links within the archive are followed.
    pub fn find(&self, name: &str) -> Result<Option<Blob>, Problem> {
        let leads_out =
            || Problem::Malformed(format!("the name '{}' leads out of the archive", name.escape_debug()));
        let mut at = member_name(name.as_bytes()).ok_or_else(leads_out)?;
        for _ in 0..MOST_LINKS {
            match self.members.get(&at) {
                Some(Member::File(blob)) => return Ok(Some(blob.clone())),
                Some(Member::Link(target)) => at = target.clone().ok_or_else(leads_out)?,
                Some(Member::Sparse) => {
                    return Err(Problem::Unsupported {
                        problem: format!("'{}' is stored as a sparse file", at.escape_ascii()),
                        hint: "make the archive again without --sparse".to_owned(),
                    });
                }
                Some(Member::Other) => {
                    return Err(Problem::Malformed(format!("'{}' is not a file", at.escape_ascii())));
                }
                None => return Ok(None),
            }
        }
        Err(Problem::Malformed(format!("'{}' is a link to itself", name.escape_debug())))
    }
}

/// Tells a file that is compressed as a whole, by its first bytes.
fn compressed(whole: &Blob) -> Result<Option<Problem>, Problem> {
    let mut first = [0; 6];
    whole.read_at(&mut first, 0).map_err(|error| Problem::io("read", &whole.path, &error))?;
    let (program, cat) = match first {
        [0x1f, 0x8b, ..] => ("gzip", "zcat"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("zstd", "zstdcat"),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => ("xz", "xzcat"),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41] => ("bzip2", "bzcat"),
        [0x04, 0x22, 0x4d, 0x18, ..] => ("lz4", "lz4cat"),
        _ => return Ok(None),
    };
    Ok(Some(Problem::CompressedArchive { program, cat, path: whole.path.clone() }))
}

fn scan(whole: &Blob) -> Result<HashMap<Vec<u8>, Member>, Problem> {
    let mut members = HashMap::new();
    let mut extensions = Extensions::default();
    let mut at: u64 = 0;
    let mut names = 0;
    while let Some(header) = header_at(whole, at)? {
        let kind = header.entry_type();
        let stated = match extensions.size {
            Some(size) if !is_extension(kind) => size,
            _ => header.entry_size().map_err(|_| damaged(at, "its size is not a number"))?,
        };
        // What has no data may state a size all the same; Go's reader, which docker and podman use, skips none either.
        let size = if has_data(kind) { stated } else { 0 };
        let start = at.checked_add(BLOCK).ok_or_else(|| damaged(at, "it is too far away"))?;
        let data = whole.part(start, size).ok_or_else(|| Problem::Mismatch {
            what: format!("the archive's member at byte {at}"),
            expected: bytes(size),
            found: format!("{}: the archive is truncated", bytes(whole.len.saturating_sub(start))),
        })?;
        at =
            size.checked_next_multiple_of(BLOCK).and_then(|size| start.checked_add(size)).unwrap_or(u64::MAX);
        match kind {
            EntryType::GNULongName => extensions.name = Some(long_name(&data, start)?),
            EntryType::GNULongLink => extensions.link = Some(long_name(&data, start)?),
            EntryType::XHeader => extensions.read_pax(&extension(&data, start)?, start)?,
            EntryType::XGlobalHeader => {}
            _ => {
                let said = std::mem::take(&mut extensions);
                let name = said.name.unwrap_or_else(|| header.path_bytes().into_owned());
                let Some(normal_name) = member_name(&name) else {
                    return Err(Problem::Malformed(format!(
                        "the archive's member '{}' has '..' in its name",
                        name.escape_ascii()
                    )));
                };
                let link = || match said.link {
                    Some(link) => link,
                    None => header.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default(),
                };
                let member = match kind {
                    _ if said.sparse => Member::Sparse,
                    EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => Member::Other,
                    EntryType::Regular | EntryType::Continuous => Member::File(data),
                    EntryType::GNUSparse => Member::Sparse,
                    EntryType::Link => Member::Link(member_name(&link())),
                    EntryType::Symlink => Member::Link(target(parent(&normal_name), &link())),
                    _ => Member::Other,
                };
                let target = if let Member::Link(Some(target)) = &member { target.len() } else { 0 };
                names += normal_name.len() + target;
                if names > MOST_NAMES {
                    return Err(Problem::TooLarge {
                        what: "the archive".to_owned(),
                        found: format!("more than {} of members' names", bytes(MOST_NAMES as u64)),
                        limit: bytes(MOST_NAMES as u64),
                    });
                }
                // A name that comes again is meant to replace what it was.
                members.insert(normal_name, member);
                if members.len() > MOST_MEMBERS {
                    return Err(Problem::TooLarge {
                        what: "the archive".to_owned(),
                        found: format!("more than {MOST_MEMBERS} members"),
                        limit: format!("{MOST_MEMBERS} members"),
                    });
                }
            }
        }
    }
    Ok(members)
}

/// The header at an offset; `None` at the end, which is a block of zeros or the file's.
fn header_at(whole: &Blob, at: u64) -> Result<Option<Header>, Problem> {
    let mut header = Header::new_old();
    let block = header.as_mut_bytes();
    let read = whole.read_at(block, at).map_err(|error| Problem::io("read", &whole.path, &error))?;
    let zeros = block.iter().take(read).all(|byte| *byte == 0);
    if zeros && (at > 0 || read == block.len()) {
        return Ok(None);
    }
    let no_tar = || Problem::NotAnImage("it is neither a directory nor a tar".to_owned());
    if read < block.len() {
        return Err(if at == 0 { no_tar() } else { damaged(at, "the archive is truncated") });
    }
    let sum: u32 = block
        .iter()
        .enumerate()
        // The checksum's own field counts as spaces.
        .map(|(n, byte)| if (148..156).contains(&n) { u32::from(b' ') } else { u32::from(*byte) })
        .sum();
    match header.cksum() {
        Ok(stated) if stated == sum => Ok(Some(header)),
        _ if at == 0 => Err(no_tar()),
        _ => Err(damaged(at, "its checksum is wrong")),
    }
}

fn damaged(at: u64, how: &str) -> Problem {
    Problem::Malformed(format!("the archive's header at byte {at} is damaged: {how}"))
}

fn is_extension(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader
    )
}

fn has_data(kind: EntryType) -> bool {
    !matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    )
}

/// The data of an extension, if it is not too large to be one.
fn extension(data: &Blob, at: u64) -> Result<Vec<u8>, Problem> {
    let len = usize::try_from(data.len).ok().filter(|_| data.len <= LARGEST_EXTENSION);
    let Some(len) = len else {
        return Err(Problem::TooLarge {
            what: format!("the archive's extended header at byte {at}"),
            found: bytes(data.len),
            limit: bytes(LARGEST_EXTENSION),
        });
    };
    let mut content = vec![0; len];
    data.read_at(&mut content, 0).map_err(|error| Problem::io("read", &data.path, &error))?;
    Ok(content)
}

fn long_name(data: &Blob, at: u64) -> Result<Vec<u8>, Problem> {
    let mut name = extension(data, at)?;
    let len = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    name.truncate(len);
    Ok(name)
}

impl Extensions {
    fn read_pax(&mut self, records: &[u8], at: u64) -> Result<(), Problem> {
        for record in PaxExtensions::new(records) {
            let record = record.map_err(|_| damaged(at, "an extended header's record is malformed"))?;
            match record.key_bytes() {
                b"path" => self.name = Some(record.value_bytes().to_vec()),
                b"linkpath" => self.link = Some(record.value_bytes().to_vec()),
                b"size" => {
                    let size = record.value().ok().and_then(|text| text.parse().ok());
                    self.size = Some(size.ok_or_else(|| damaged(at, "its size is not a number"))?);
                }
                key if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                _ => {}
            }
        }
        Ok(())
    }
}

/// A member's name from the archive's root, without `.`; `None` when it has `..`.
fn member_name(name: &[u8]) -> Option<Vec<u8>> {
    match name.split(|b| *b == b'/').any(|part| part == b"..") {
        true => None,
        false => target(b"", name),
    }
}

/// What a link in a directory of the archive points to, as a name from the archive's root; `None` when it leads out. A leading
/// slash means the root.
fn target(dir: &[u8], link: &[u8]) -> Option<Vec<u8>> {
    let dir = if link.starts_with(b"/") { &b""[..] } else { dir };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in dir.split(|b| *b == b'/').chain(link.split(|b| *b == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

/// The directory of a normal name.
fn parent(name: &[u8]) -> &[u8] {
    match name.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => name.get(..slash).unwrap_or_default(),
        None => b"",
    }
}

#[cfg(test)]
mod tests;
