//! Where an entry goes: names taken apart and checked, symlinks followed within the tree, objects put under their names.

use std::borrow::Cow;

use super::member::{Kind, Member};
use super::problem::{MAX_SYMLINKS, NameOf, NameProblem, Problem};
use super::tree::{Link, NONE, ROOT, Tree};
use crate::marker::OciName;
use crate::path::{InvalidName, Name};
use crate::tarball::index::format::{ExtentRecord, FLAG_IMPLIED, FLAG_OPAQUE, FLAG_SPARSE, Inode};

/// The longest path, bytes.
const MAX_PATH: usize = 4096;
/// The longest target of a symlink, bytes (`PATH_MAX` without its NUL).
const MAX_TARGET: usize = 4095;

/// Where the content of a file is.
#[derive(Debug)]
pub enum Data {
    /// In one piece, this far into the tar.
    At(u64),
    /// In pieces, with holes between them.
    Pieces {
        /// The size with all holes, bytes.
        size: u64,
        /// Where they are.
        extents: Vec<ExtentRecord>,
    },
}

/// What a directory on the way that is not there means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// It is there since something is in it.
    Implied,
    /// The layers below may have it.
    Below,
}

/// Where a way leads.
enum Reached {
    /// To this directory.
    Directory(u32),
    /// To this path, which is not in this tar.
    Below(Vec<u8>),
}

/// A directory that nothing is said of.
pub fn implied_directory() -> Inode {
    Inode { mode: (libc::S_IFDIR | 0o755).into(), flags: FLAG_IMPLIED.into(), ..Inode::default() }
}

/// Puts an object where its name says.
pub fn put(tree: &mut Tree, mut member: Member, data: Data) -> Result<(), Problem> {
    tree.count()?;
    let name = std::mem::take(&mut member.name);
    let parts = parts_of(NameOf::Entry, &name)?;
    let Some((last, parents)) = parts.split_last() else {
        return put_root(tree, member);
    };
    let Reached::Directory(dir) = walk(tree, NameOf::Entry, parents, Missing::Implied)? else {
        // Implied directories are always there.
        return Err(Problem::RootNotDirectory);
    };
    match OciName::of(*last) {
        OciName::Plain(_) | OciName::AufsMeta => put_object(tree, dir, *last, member, data),
        OciName::Whiteout(name) => {
            let number = tree.find_or_make(dir, name.as_bytes())?;
            if let Some(dirent) = tree.dirents.get_mut(number as usize) {
                dirent.whiteout = true;
            }
            Ok(())
        }
        OciName::Opaque => {
            if let Some(inode) = tree.inodes.get_mut(dir as usize) {
                inode.flags = (inode.flags.get() | FLAG_OPAQUE).into();
            }
            Ok(())
        }
        OciName::Invalid => Err(Problem::WhiteoutOfNothing),
    }
}

fn put_root(tree: &mut Tree, member: Member) -> Result<(), Problem> {
    if !matches!(member.kind, Kind::Directory | Kind::DumpDirectory) {
        return Err(Problem::RootNotDirectory);
    }
    let inode = inode_of(tree, member, Data::At(0))?;
    change_directory(tree, ROOT, inode);
    Ok(())
}

fn put_object(tree: &mut Tree, dir: u32, name: Name<'_>, member: Member, data: Data) -> Result<(), Problem> {
    let inode = match member.kind {
        Kind::HardLink => link_target(tree, dir, name, &member.target)?,
        Kind::Directory | Kind::DumpDirectory => {
            let number = tree.find_or_make(dir, name.as_bytes())?;
            let mut inode = inode_of(tree, member, data)?;
            let known = tree.dirents.get(number as usize).map_or(NONE, |dirent| dirent.inode);
            if is_directory(tree, known) {
                change_directory(tree, known, inode);
                return Ok(());
            }
            inode.place = u64::from(number).into();
            tree.add(inode)?
        }
        _ => {
            let inode = inode_of(tree, member, data)?;
            tree.add(inode)?
        }
    };
    let number = tree.find_or_make(dir, name.as_bytes())?;
    if let Some(dirent) = tree.dirents.get_mut(number as usize) {
        dirent.inode = inode;
    }
    Ok(())
}

/// What is said again of a directory changes its attributes only.
fn change_directory(tree: &mut Tree, number: u32, new: Inode) {
    if let Some(inode) = tree.inodes.get_mut(number as usize) {
        let flags = inode.flags.get() & FLAG_OPAQUE;
        *inode = Inode { place: inode.place, flags: flags.into(), ..new };
    }
}

fn inode_of(tree: &mut Tree, member: Member, data: Data) -> Result<Inode, Problem> {
    let (xattr_first, xattr_count) = tree.keep_xattrs(member.xattrs)?;
    let mut inode = Inode {
        uid: member.uid.into(),
        gid: member.gid.into(),
        mtime: member.mtime.0.into(),
        mtime_nsec: member.mtime.1.into(),
        xattr_first: xattr_first.into(),
        xattr_count: xattr_count.into(),
        ..Inode::default()
    };
    let kind = match member.kind {
        Kind::File | Kind::GnuSparse => {
            match data {
                Data::At(at) => {
                    inode.size = member.stored.into();
                    inode.place = at.into();
                }
                Data::Pieces { size, extents } => {
                    inode.size = size.into();
                    inode.flags = FLAG_SPARSE.into();
                    let count = u32::try_from(extents.len()).unwrap_or(u32::MAX);
                    inode.count = count.into();
                    inode.place = u64::from(tree.keep_extents(extents.into_iter())?).into();
                }
            }
            libc::S_IFREG
        }
        Kind::Symlink => {
            let problem = match &member.target {
                target if target.contains(&0) => Some(NameProblem::Nul),
                target if target.len() > MAX_TARGET => Some(NameProblem::TooLong),
                _ => None,
            };
            if let Some(problem) = problem {
                return Err(Problem::Name { subject: NameOf::SymlinkTarget, problem });
            }
            inode.size = (member.target.len() as u64).into();
            inode.place = u64::from(tree.keep(&member.target)?).into();
            libc::S_IFLNK
        }
        Kind::Character | Kind::Block => {
            inode.count = member.device.0.into();
            inode.place = u64::from(member.device.1).into();
            if member.kind == Kind::Character { libc::S_IFCHR } else { libc::S_IFBLK }
        }
        Kind::Fifo => libc::S_IFIFO,
        Kind::Directory | Kind::DumpDirectory => libc::S_IFDIR,
        Kind::HardLink => 0,
    };
    inode.mode = (kind | member.permissions).into();
    Ok(inode)
}

/// The object that a hard link names: one of this tar, or one that stands for what is in a layer below.
fn link_target(tree: &mut Tree, dir: u32, name: Name<'_>, target: &[u8]) -> Result<u32, Problem> {
    let parts = parts_of(NameOf::HardLinkTarget, target)?;
    let directory = || Problem::HardLinkToDirectory { target: target.to_vec() };
    let (last, parents) = parts.split_last().ok_or_else(directory)?;
    if matches!(OciName::of(*last), OciName::Whiteout(_) | OciName::Opaque | OciName::Invalid) {
        return Err(Problem::HardLinkToWhiteout { target: target.to_vec() });
    }
    let below = match walk(tree, NameOf::HardLinkTarget, parents, Missing::Below)? {
        Reached::Directory(found) => {
            let known = tree.find(found, last.as_bytes()).and_then(|at| tree.dirents.get(at as usize));
            match known.map(|dirent| dirent.inode) {
                Some(inode) if is_directory(tree, inode) => return Err(directory()),
                Some(inode) if inode != NONE => return Ok(inode),
                _ => joined(tree.path(found), last.as_bytes()),
            }
        }
        Reached::Below(path) => joined(path, last.as_bytes()),
    };
    let path = joined(tree.path(dir), name.as_bytes());
    let inode = tree.add(Inode::default())?;
    let link = Link { inode, path: keep_path(tree, &path)?, target: keep_path(tree, &below)? };
    if let Some(inode) = tree.inodes.get_mut(inode as usize) {
        inode.place = (tree.links.len() as u64).into();
    }
    tree.links.push(link);
    Ok(inode)
}

fn keep_path(tree: &mut Tree, path: &[u8]) -> Result<(u32, u32), Problem> {
    Ok((tree.keep(path)?, u32::try_from(path.len()).unwrap_or(u32::MAX)))
}

fn joined(mut path: Vec<u8>, name: &[u8]) -> Vec<u8> {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// The names of a path. A leading slash, doubled ones and `.` say nothing.
fn parts_of(subject: NameOf, path: &[u8]) -> Result<Vec<Name<'_>>, Problem> {
    let wrong = |problem| Problem::Name { subject, problem };
    if path.is_empty() {
        return Err(wrong(NameProblem::Empty));
    }
    if path.contains(&0) {
        return Err(wrong(NameProblem::Nul));
    }
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, [] | b".")) {
        parts.push(Name::new(part).map_err(|invalid| wrong(problem_of(invalid)))?);
    }
    if path.len() > MAX_PATH {
        return Err(wrong(NameProblem::TooLong));
    }
    Ok(parts)
}

fn problem_of(invalid: InvalidName) -> NameProblem {
    match invalid {
        InvalidName::Empty => NameProblem::Empty,
        InvalidName::Dots => NameProblem::DotDot,
        InvalidName::TooLong => NameProblem::PartTooLong,
        InvalidName::Separator => NameProblem::Nul,
    }
}

/// Goes from the root down through directories and symlinks. Targets of symlinks stay within the root, however many
/// `..` they have.
fn walk(
    tree: &mut Tree,
    subject: NameOf,
    parents: &[Name<'_>],
    missing: Missing,
) -> Result<Reached, Problem> {
    let mut dir = ROOT;
    let (mut symlinks, mut steps) = (0, 0);
    let mut rest: Vec<Cow<'_, [u8]>> = parents.iter().rev().map(|name| name.as_bytes().into()).collect();
    while let Some(part) = rest.pop() {
        steps += 1;
        // So that symlinks of long targets do not make every name a long way.
        if steps + rest.len() > MAX_PATH {
            return Err(Problem::Name { subject, problem: NameProblem::TooLong });
        }
        match &*part {
            b"" | b"." => continue,
            b".." => {
                dir = tree.parent(dir);
                continue;
            }
            _ => {}
        }
        let name = Name::new(&part).map_err(|invalid| Problem::Name {
            subject: NameOf::SymlinkTarget,
            problem: problem_of(invalid),
        })?;
        if matches!(OciName::of(name), OciName::Whiteout(_) | OciName::Opaque | OciName::Invalid) {
            return Err(Problem::BelowWhiteout { subject, whiteout: part.to_vec() });
        }
        let known = tree.find(dir, &part).and_then(|at| tree.dirents.get(at as usize));
        let inode = known.map_or(NONE, |dirent| dirent.inode);
        let Some(record) = tree.inodes.get(inode as usize) else {
            if missing == Missing::Below {
                let mut path = joined(tree.path(dir), &part);
                for part in rest.iter().rev() {
                    path = joined(path, part);
                }
                return Ok(Reached::Below(path));
            }
            dir = imply(tree, dir, &part)?;
            continue;
        };
        match record.mode.get() & libc::S_IFMT {
            libc::S_IFDIR => dir = inode,
            libc::S_IFLNK => {
                symlinks += 1;
                if symlinks > MAX_SYMLINKS {
                    return Err(Problem::SymlinkLoop { subject });
                }
                let at = u32::try_from(record.place.get()).unwrap_or(NONE);
                let target = tree.text(at, usize::try_from(record.size.get()).unwrap_or_default());
                if target.starts_with(b"/") {
                    dir = ROOT;
                }
                rest.extend(target.rsplit(|byte| *byte == b'/').map(|part| Cow::Owned(part.to_vec())));
            }
            _ => {
                return Err(Problem::ParentNotDirectory { parent: joined(tree.path(dir), &part) });
            }
        }
    }
    // Symlinks can lead deeper than any name: paths stay as long as paths may be.
    if symlinks > 0 && tree.path(dir).len() > MAX_PATH {
        return Err(Problem::Name { subject, problem: NameProblem::TooLong });
    }
    Ok(Reached::Directory(dir))
}

fn imply(tree: &mut Tree, dir: u32, name: &[u8]) -> Result<u32, Problem> {
    tree.count()?;
    let number = tree.find_or_make(dir, name)?;
    let inode = tree.add(Inode { place: u64::from(number).into(), ..implied_directory() })?;
    if let Some(dirent) = tree.dirents.get_mut(number as usize) {
        dirent.inode = inode;
    }
    Ok(inode)
}

fn is_directory(tree: &Tree, inode: u32) -> bool {
    let record = tree.inodes.get(inode as usize);
    record.is_some_and(|inode| inode.mode.get() & libc::S_IFMT == libc::S_IFDIR)
}
