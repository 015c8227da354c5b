//! Looking at the objects of an upper: their facts, one by one.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::facts::{Announced, Beneath, Beside, Facts, Kind, Marked, NameSays};
use crate::config::Namespace;
use crate::error::{Error, ErrorContext, OpContext, Result};
use crate::marker::{Marker, MarkersRead, OciName, OpaqueMark, Redirect, Spelled, literal_xattr};
use crate::path::{Name, NameBuf};
use crate::sys::fs::{self, At, Stat};
use crate::sys::{dirents, xattr};

/// The names of a directory, and what each of them says.
pub(crate) struct Names<'d> {
    fd: BorrowedFd<'d>,
    names: HashSet<&'d [u8]>,
}

impl<'d> Names<'d> {
    /// `names`: all of the directory's.
    pub(crate) fn new(fd: BorrowedFd<'d>, names: &'d [NameBuf]) -> Self {
        Names { fd, names: names.iter().map(NameBuf::as_bytes).collect() }
    }

    /// What a name says; `None` where there is no such name. Only regular files that are not marked as ordinary names say
    /// something; AUFS has directories, too.
    pub(crate) fn says(&self, name: &[u8]) -> Result<Option<NameSays>> {
        let Ok(name) = Name::new(name) else { return Ok(None) };
        if !self.names.contains(name.as_bytes()) {
            return Ok(None);
        }
        let meaning = OciName::of(name);
        if matches!(meaning, OciName::Plain(_)) {
            return Ok(Some(NameSays::Ordinary));
        }
        let at = At::Name(self.fd, name);
        let stat = fs::stat(at).op("stat").at(name.as_bytes())?;
        // fuse-overlayfs has a whiteout device of such a name beside the file that makes a directory opaque.
        if kind(&stat) == Kind::Whiteout {
            return Ok(Some(NameSays::Nobodys));
        }
        let marks = stat.is_regular() || (stat.is_dir() && meaning == OciName::AufsMeta);
        let is_literal = |namespace: &Namespace| xattr::get(at, literal_xattr(*namespace).to_bytes()).is_ok();
        if !marks || MarkersRead::Both.namespaces().iter().any(is_literal) {
            return Ok(Some(NameSays::Ordinary));
        }
        Ok(Some(match meaning {
            OciName::Plain(_) => NameSays::Ordinary,
            OciName::Whiteout(hidden) => NameSays::Whiteout(self.beside(hidden)?),
            OciName::Opaque => NameSays::Opaque,
            OciName::AufsMeta | OciName::Invalid => NameSays::Nobodys,
        }))
    }

    fn beside(&self, name: Name<'_>) -> Result<Beside> {
        let at = At::Name(self.fd, name);
        let stat = match fs::stat(at) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(Beside::Nothing),
            Err(errno) => return Err(Error::new("stat", errno).at(name.as_bytes())),
        };
        Ok(match kind(&stat) {
            Kind::Whiteout => Beside::Whiteout,
            Kind::Directory => Beside::Directory,
            Kind::Regular { size: 0 } if has_whiteout_mark(at)? => Beside::Whiteout,
            Kind::Regular { .. } | Kind::Other => Beside::Other,
        })
    }
}

/// What is true of an object by itself.
pub(crate) fn facts(at: At<'_>, stat: &Stat) -> Result<Facts> {
    let mut markers = Vec::new();
    for name in xattr::list(at).op("list attributes")?.iter() {
        let what = Spelled::of(name);
        if what == Spelled::Other {
            continue;
        }
        match xattr::get(at, name) {
            Ok(value) => markers.push(Marked { what, value }),
            // It went in the meantime.
            Err(Errno::ENODATA) => {}
            Err(errno) => return Err(Error::new("read marker", errno)),
        }
    }
    Ok(Facts {
        kind: kind(stat),
        name: NameSays::Ordinary,
        markers,
        nlink: stat.nlink,
        parent: None,
        beneath: Beneath::Unknown,
        target: None,
        origin: None,
    })
}

impl Facts {
    /// Where it goes on, as its redirect says; `None` without one, and where that cannot be read.
    pub(crate) fn redirect(&self) -> Option<Redirect> {
        Redirect::decode(&self.marker(Marker::Redirect)?.value).ok()
    }

    /// What it says of what is below; `None` where it says nothing, or nothing that can be read.
    pub(crate) fn opaque(&self) -> Option<OpaqueMark> {
        let fuse_overlayfs =
            || self.markers.iter().find(|marked| marked.what == Spelled::FuseOverlayfsOpaque);
        let marked = self.marker(Marker::Opaque).or_else(fuse_overlayfs)?;
        OpaqueMark::decode(Some(&marked.value)).ok().flatten()
    }

    /// Does it say that it has whiteouts by attribute?
    pub(crate) fn announces_xwhiteouts(&self) -> Announced {
        match self.opaque() {
            Some(OpaqueMark::XWhiteouts) => Announced::Yes,
            Some(OpaqueMark::Opaque) | None => Announced::No,
        }
    }

    /// Is it a whiteout by attribute?
    pub(crate) fn is_xwhiteout(&self) -> bool {
        self.kind == Kind::Regular { size: 0 } && self.marker(Marker::Whiteout).is_some()
    }

    /// The namespaces in which it has a marker.
    pub(crate) fn namespaces_of(&self, marker: Marker) -> Vec<Namespace> {
        let markers = self.markers.iter().filter_map(|marked| match marked.what {
            Spelled::Marker(namespace, found) if found == marker => Some(namespace),
            _ => None,
        });
        markers.collect()
    }
}

/// What an object is.
pub(crate) fn kind(stat: &Stat) -> Kind {
    match stat.mode & libc::S_IFMT {
        libc::S_IFDIR => Kind::Directory,
        libc::S_IFREG => Kind::Regular { size: stat.size },
        libc::S_IFCHR if (stat.rdev_major, stat.rdev_minor) == (0, 0) => Kind::Whiteout,
        _ => Kind::Other,
    }
}

fn has_whiteout_mark(at: At<'_>) -> Result<bool> {
    let names = xattr::list(at).op("list attributes")?;
    Ok(names.iter().any(|name| matches!(Spelled::of(name), Spelled::Marker(_, Marker::Whiteout))))
}

/// The names in a directory, sorted.
pub(crate) fn names(dir: BorrowedFd<'_>) -> Result<Vec<NameBuf>> {
    let dir = fs::reopen_dir(dir, libc::O_RDONLY).op("open directory")?;
    let mut names = Vec::new();
    dirents::for_each::<Error>(&dir, |entry| {
        names.extend(NameBuf::new(entry.name));
        Ok(())
    })?;
    names.sort_unstable();
    Ok(names)
}
