//! What a tar says of one object: its header, with what extended headers before it say instead.
//!
//! Sources: POSIX pax ("ustar Interchange Format"); GNU tar's manual ("Basic Tar Format"); star(5) for its prefix.

use tar::Header;

use super::number;
use super::pax::Pax;
use super::problem::{NameOf, NameProblem, Problem};

/// What extended headers say of the next entry.
#[derive(Debug, Default)]
pub struct Extensions {
    pub pax: Option<Pax>,
    pub long_name: Option<Vec<u8>>,
    pub long_link: Option<Vec<u8>>,
    /// How large the extended headers are together, bytes.
    pub bytes: u64,
}

impl Extensions {
    /// Is there any?
    pub fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }
}

/// What a header begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// An object.
    Object(Kind),
    /// PAX records for the next entry.
    Pax,
    /// PAX records for all entries behind it.
    GlobalPax,
    /// GNU's long name for the next entry.
    LongName,
    /// GNU's long link target for the next entry.
    LongLink,
    /// The name of the volume: nothing of the tree.
    Label,
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A regular file with a map in the GNU header.
    GnuSparse,
    /// Another name.
    HardLink,
    /// A symlink.
    Symlink,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A directory.
    Directory,
    /// A directory, with the list of its names as data (GNU incremental).
    DumpDirectory,
    /// A fifo.
    Fifo,
}

impl Type {
    /// By the header's type flag.
    pub fn of(header: &Header) -> Result<Type, Problem> {
        Ok(match header.entry_type().as_byte() {
            // Contiguous files ('7') are files.
            b'0' | 0 | b'7' => Type::Object(Kind::File),
            b'1' => Type::Object(Kind::HardLink),
            b'2' => Type::Object(Kind::Symlink),
            b'3' => Type::Object(Kind::Character),
            b'4' => Type::Object(Kind::Block),
            b'5' => Type::Object(Kind::Directory),
            b'6' => Type::Object(Kind::Fifo),
            b'D' => Type::Object(Kind::DumpDirectory),
            b'S' => Type::Object(Kind::GnuSparse),
            // 'X' is Solaris's for what became 'x'.
            b'x' | b'X' => Type::Pax,
            b'g' => Type::GlobalPax,
            b'L' => Type::LongName,
            b'K' => Type::LongLink,
            b'V' => Type::Label,
            b'M' => return Err(Problem::Volume),
            other => return Err(Problem::Type(other)),
        })
    }
}

/// An object as the tar has it.
#[derive(Debug)]
pub struct Member {
    pub name: Vec<u8>,
    pub kind: Kind,
    /// Of a hard link or symlink; else empty.
    pub target: Vec<u8>,
    /// 0 to 0o7777.
    pub permissions: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: (i64, u32),
    /// How many bytes of data follow the header. Only files and dump directories have any: what others say is a
    /// matter of tradition, and both GNU tar and Go's reader pass over none.
    pub stored: u64,
    /// Major and minor; of a device.
    pub device: (u32, u32),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Member {
    /// The name, without anything else: for errors.
    pub fn name_of(header: &Header, extensions: &Extensions) -> Vec<u8> {
        let pax = extensions.pax.as_ref();
        let name = extensions
            .long_name
            .as_ref()
            .or_else(|| pax?.sparse.name.as_ref())
            .or_else(|| pax?.path.as_ref());
        match name {
            Some(name) => name.clone(),
            None => header_name(header),
        }
    }

    /// Puts together what header and extensions say.
    pub fn new(header: &Header, kind: Kind, extensions: Extensions, global: &Pax) -> Result<Member, Problem> {
        let name = Member::name_of(header, &extensions);
        let Extensions { pax, long_link, .. } = extensions;
        let pax = pax.unwrap_or_default();
        let old = header.as_old();
        let size = |limit: Option<u64>| limit.map_or_else(|| number::count("size", &old.size), Ok);
        let mut member = Member {
            name,
            kind,
            target: Vec::new(),
            permissions: permissions(number::header("mode", &old.mode)?),
            uid: owner("user id", pax.uid.or(global.uid), &old.uid)?,
            gid: owner("group id", pax.gid.or(global.gid), &old.gid)?,
            mtime: match pax.mtime.or(global.mtime) {
                Some(mtime) => mtime,
                None => (number::header("mtime", &old.mtime)?, 0),
            },
            stored: 0,
            device: (0, 0),
            xattrs: pax.xattrs,
        };
        match kind {
            Kind::File => {
                member.stored = size(pax.size)?;
                // Before there was a type for directories, a slash was it.
                if member.name.ends_with(b"/") {
                    if member.stored > 0 {
                        return Err(Problem::DataOfDirectory(member.stored));
                    }
                    member.kind = Kind::Directory;
                }
            }
            Kind::GnuSparse | Kind::DumpDirectory => member.stored = size(pax.size)?,
            Kind::HardLink | Kind::Symlink => {
                let subject =
                    if kind == Kind::HardLink { NameOf::HardLinkTarget } else { NameOf::SymlinkTarget };
                let target = long_link.or(pax.linkpath);
                member.target = target.unwrap_or_else(|| text(&old.linkname).to_vec());
                if member.target.is_empty() {
                    return Err(Problem::Name { subject, problem: NameProblem::Empty });
                }
                if kind == Kind::Symlink {
                    // No file system has other permissions of a symlink.
                    member.permissions = 0o777;
                }
            }
            Kind::Character | Kind::Block => member.device = device(header, pax.device)?,
            Kind::Directory | Kind::Fifo => {}
        }
        Ok(member)
    }
}

/// A long name of GNU's: text that ends at its NUL.
pub fn long_text(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

/// Does a header say its own checksum? Old programs summed signed bytes.
pub fn checksum(header: &Header) -> Result<(), Problem> {
    let says = number::header("checksum", &header.as_old().cksum).ok();
    let bytes = header.as_bytes();
    // The checksum itself counts as spaces.
    let (before, rest) = bytes.split_at(148);
    let behind = rest.get(8..).unwrap_or_default();
    let summed = || before.iter().chain(behind);
    let spaces = 8 * i64::from(b' ');
    let unsigned = spaces + i64::from(summed().map(|byte| u32::from(*byte)).sum::<u32>());
    if says == Some(unsigned) {
        return Ok(());
    }
    let signed = spaces + i64::from(summed().map(|byte| i32::from(byte.cast_signed())).sum::<i32>());
    if says == Some(signed) {
        return Ok(());
    }
    Err(Problem::Checksum { expected: says, found: unsigned })
}

fn header_name(header: &Header) -> Vec<u8> {
    let name = text(&header.as_old().name);
    let prefix = match header.as_ustar() {
        // star has times where the prefix would end.
        Some(ustar) if ustar.pad.ends_with(b"tar\0") => ustar.prefix.get(..131).unwrap_or_default(),
        Some(ustar) => &ustar.prefix[..],
        None => &[],
    };
    match text(prefix) {
        [] => name.to_vec(),
        prefix => [prefix, b"/", name].concat(),
    }
}

/// A field up to its NUL, or all of it.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn permissions(mode: i64) -> u32 {
    // Some programs put the type there, too.
    u32::try_from(mode & 0o7777).unwrap_or_default()
}

fn owner(field: &'static str, pax: Option<u64>, header: &[u8]) -> Result<u32, Problem> {
    let value = match pax {
        Some(value) => i64::try_from(value).unwrap_or(i64::MAX),
        None => number::header(field, header)?,
    };
    // chown(2) takes the largest number for "leave it as it is".
    match u32::try_from(value) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(Problem::Owner { field, value }),
    }
}

fn device(header: &Header, pax: (Option<u64>, Option<u64>)) -> Result<(u32, u32), Problem> {
    // Both fields are at the same place in ustar and GNU headers.
    let fields = header
        .as_ustar()
        .map(|header| (&header.dev_major, &header.dev_minor))
        .or_else(|| header.as_gnu().map(|header| (&header.dev_major, &header.dev_minor)));
    let half = |pax: Option<u64>, field: Option<&[u8; 8]>, limit: u32| {
        let value = match (pax, field) {
            (Some(value), _) => value,
            (None, Some(field)) => number::count("device number", field)?,
            (None, None) => 0,
        };
        let number = u32::try_from(value).ok().filter(|number| *number <= limit);
        number.ok_or_else(|| Problem::Number { field: "device number", text: value.to_string().into_bytes() })
    };
    // What Linux has room for.
    let (major, minor) = fields.unzip();
    Ok((half(pax.0, major, 0xfff)?, half(pax.1, minor, 0xf_ffff)?))
}
