//! A directory as a layer.
//!
//! Every access is one name below a directory descriptor, without following symlinks: no symlink in a layer leads out
//! of it.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

mod listing;

use self::listing::is_meta;
pub use self::listing::{ByName, Listed, OciMarks, RawListing};
use super::found::{Attributes, Found, FoundDir, FoundLeaf};
use super::unionfs::{Hidden, Which};
use crate::config::{Namespace, StatOverride};
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::marker::{
    FUSE_OVERLAYFS_OPAQUE, Marker, MarkersRead, Metacopy, OCI_OPAQUE, OciName, OpaqueMark, RecordedType,
    Redirect, SYMLINK_OWNER, StatRecord, XattrRules, decode_symlink_owner, encode_symlink_owner,
    literal_xattr, oci_whiteout, override_xattrs_read,
};
use crate::path::{Name, RelPath};
use crate::sys::fs::{At, Stat};
use crate::sys::xattr::SetMode;
use crate::sys::{dirents, fs, handle, identity, xattr};

/// How a layer's markers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerRules {
    /// The namespaces whose attributes are markers.
    pub markers: MarkersRead,
    /// Are `.wh.` names whiteouts?
    pub oci: bool,
    /// Where owners and modes are recorded.
    pub stat_override: StatOverride,
}

/// A directory as a layer.
#[derive(Debug)]
pub struct Layer {
    /// Which layer of the stack it is.
    pub id: LayerRef,
    /// Where it is, as it was given.
    pub path: PathBuf,
    /// `st_dev` of its root.
    pub dev: u64,
    /// The uuid of its file system, zeroes where it has none.
    pub uuid: [u8; 16],
    /// How its markers are read.
    pub rules: LayerRules,
    root: OwnedFd,
    root_io: OwnedFd,
    /// The whiteouts of unionfs-fuse, where they are read.
    hidden: Option<Hidden>,
    /// Whose the symlinks are that nothing is recorded of, if the layer says so.
    symlinks: Option<Symlinks>,
}

/// The owner of symlinks: records cannot be had for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Symlinks {
    /// User and group of those that have made the layer, as the inodes have them here.
    makers: (u32, u32),
    /// User and group that these are in the layer.
    shown: (u32, u32),
}

impl Layer {
    /// Opens the layer's root.
    ///
    /// # Errors
    /// Where it is missing, not a directory or not readable.
    pub fn open(path: &Path, id: LayerRef, mut rules: LayerRules) -> Result<Layer> {
        use std::os::unix::ffi::OsStrExt;
        let context = |error: Error| error.at(path.as_os_str().as_bytes()).in_layer(id);
        let root = fs::open_dir_path(path).op("open layer").map_err(context)?;
        let root_io = fs::reopen_dir(root.as_fd(), libc::O_RDONLY).op("open layer").map_err(context)?;
        let stat = fs::stat(At::Fd(root.as_fd())).op("stat layer").map_err(context)?;
        // A layer that others made says by its root whether owners are recorded in it (as fuse-overlayfs reads them).
        for mode in [StatOverride::Containers, StatOverride::Privileged] {
            if rules.stat_override == StatOverride::Off && is_recorded(root.as_fd(), mode) {
                rules.stat_override = mode;
            }
        }
        let symlinks = match rules.stat_override {
            StatOverride::Containers => symlinks(root.as_fd(), &stat).map_err(context)?,
            StatOverride::Off | StatOverride::Privileged => None,
        };
        Ok(Layer {
            id,
            path: path.to_path_buf(),
            dev: stat.dev,
            // Zeroes are what the kernel's overlay records for a file system without a uuid.
            uuid: identity::fs_uuid(root_io.as_fd()).unwrap_or_default(),
            rules,
            root,
            root_io,
            hidden: None,
            symlinks,
        })
    }

    /// Notes on the root of a directory that is to be an upper with records, and is empty still, whose the symlinks in it are
    /// that belong to who has made it.
    ///
    /// # Errors
    /// It cannot be read, or takes no attributes.
    pub fn note_symlink_owner(path: &Path, uid: u32, gid: u32) -> Result<()> {
        use std::os::unix::ffi::OsStrExt;
        let note = || {
            let root = fs::reopen_dir(fs::open_dir_path(path)?.as_fd(), libc::O_RDONLY)?;
            let mut entries = 0_usize;
            dirents::for_each::<Errno>(&root, |_| {
                entries += 1;
                Ok(())
            })?;
            if entries > 0 {
                return Ok(());
            }
            let value = encode_symlink_owner(uid, gid);
            xattr::set(At::Fd(root.as_fd()), SYMLINK_OWNER.to_bytes(), &value, SetMode::Any)
        };
        let context = |error: Error| error.at(path.as_os_str().as_bytes()).in_layer(LayerRef::Upper);
        note().op("note the owner of symlinks").map_err(context)
    }

    /// Has whiteouts read as unionfs-fuse writes them, too.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn with_unionfs_fuse(mut self) -> Result<Layer> {
        self.hidden = Hidden::open(self.root()).in_layer(self.id)?;
        Ok(self)
    }

    /// The root, as an O_PATH descriptor.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The root, open for reading: for statfs, handles and locks.
    pub fn root_io(&self) -> BorrowedFd<'_> {
        self.root_io.as_fd()
    }

    /// Do owners count as recorded here by whoever reads the layer, since that of the root is?
    pub fn says_that_owners_are_recorded(&self) -> bool {
        is_recorded(self.root(), self.rules.stat_override)
    }

    /// Which attributes are markers here.
    pub fn xattr_rules(&self) -> XattrRules {
        XattrRules::new(self.rules.markers, self.rules.stat_override)
    }

    /// A directory of the layer, as an O_PATH descriptor.
    pub fn open_dir(&self, path: &RelPath) -> Result<OwnedFd> {
        let stand_in = |errno| match (&self.hidden, errno) {
            (Some(hidden), Errno::ENOENT) => {
                hidden.stand_in(path)?.ok_or(Error::new("open directory", errno))
            }
            _ => Err(Error::new("open directory", errno)),
        };
        fs::open_dir_below(self.root(), path.as_bytes())
            .or_else(stand_in)
            .at(path.as_bytes())
            .in_layer(self.id)
    }

    /// A directory in a directory of the layer, as an O_PATH descriptor.
    pub fn enter(&self, dir: BorrowedFd<'_>, name: Name<'_>) -> Result<OwnedFd> {
        if let Some(hidden) = &self.hidden
            && let Which::StandIn(path) = hidden.which(dir)?
        {
            return self.open_dir(&path.join(name));
        }
        match (fs::open_at(dir, name, libc::O_PATH | libc::O_DIRECTORY, 0), &self.hidden) {
            (Err(Errno::ENOENT), Some(hidden)) => match hidden.which(dir)? {
                Which::Real(path) | Which::StandIn(path) => self.open_dir(&path.join(name)),
            },
            (opened, _) => opened.op("open directory").at(name.as_bytes()).in_layer(self.id),
        }
    }

    /// The attributes of an object, with a recorded owner and mode applied.
    pub fn stat(&self, at: At<'_>) -> Result<Stat> {
        let stat = fs::stat(at).op("stat").in_layer(self.id)?;
        self.apply_record(at, stat)
    }

    fn apply_record(&self, at: At<'_>, mut stat: Stat) -> Result<Stat> {
        for name in override_xattrs_read(self.rules.stat_override) {
            let value = match xattr::get(at, name.to_bytes()) {
                Ok(value) => value,
                // No record, or a type of object that cannot carry one: the inode is what it says.
                Err(Errno::ENODATA | Errno::ENOTSUP | Errno::EPERM) => continue,
                Err(errno) => return Err(Error::new("read owner record", errno).in_layer(self.id)),
            };
            let record = StatRecord::decode(&value).map_err(|c| self.corrupt("read owner record", c))?;
            stat.uid = record.uid;
            stat.gid = record.gid;
            stat.mode = (stat.mode & libc::S_IFMT) | record.perm;
            if let Some(kind) = record.kind {
                let (bits, major, minor) = match kind {
                    RecordedType::Regular => (libc::S_IFREG, 0, 0),
                    RecordedType::Directory => (libc::S_IFDIR, 0, 0),
                    RecordedType::Symlink => (libc::S_IFLNK, 0, 0),
                    RecordedType::Fifo => (libc::S_IFIFO, 0, 0),
                    RecordedType::Socket => (libc::S_IFSOCK, 0, 0),
                    RecordedType::BlockDevice { major, minor } => (libc::S_IFBLK, major, minor),
                    RecordedType::CharDevice { major, minor } => (libc::S_IFCHR, major, minor),
                };
                // Any type but a directory can be recorded, and only on a regular file: what is a device or a fifo here is
                // never opened as something else.
                if stat.is_regular() && bits != libc::S_IFDIR {
                    stat.mode = bits | record.perm;
                    (stat.rdev_major, stat.rdev_minor) = (major, minor);
                }
            }
            return Ok(stat);
        }
        if let Some(Symlinks { makers, shown }) = self.symlinks
            && stat.mode & libc::S_IFMT == libc::S_IFLNK
        {
            stat.uid = if stat.uid == makers.0 { shown.0 } else { stat.uid };
            stat.gid = if stat.gid == makers.1 { shown.1 } else { stat.gid };
        }
        Ok(stat)
    }

    /// Says what the layer has at `name` in `dir`. `oci` is what is known of that directory.
    ///
    /// # Errors
    /// Markers that cannot be understood ([`Kind::Corrupt`]), and failing system calls.
    pub fn look(&self, dir: BorrowedFd<'_>, oci: Option<&OciMarks>, name: Name<'_>) -> Result<Found> {
        let deleted_by_name = || Ok(oci.is_some_and(|oci| oci.whiteouts.contains(name.as_bytes())));
        self.look_inner(dir, deleted_by_name, name).at(name.as_bytes()).in_layer(self.id)
    }

    /// As [`Layer::look`], where nothing is known of the directory: whether a `.wh.` name deletes it is asked for this name
    /// alone, and nothing is listed.
    ///
    /// # Errors
    /// As [`Layer::look`].
    pub fn look_alone(&self, dir: BorrowedFd<'_>, name: Name<'_>) -> Result<Found> {
        self.look_inner(dir, || self.deletes_by_name(dir, name), name).at(name.as_bytes()).in_layer(self.id)
    }

    /// Can a name be deleted by another name, and not only by what it is itself?
    pub fn deletes_by_names(&self) -> bool {
        self.rules.oci || self.hidden.is_some()
    }

    /// Is this one of [`Layer::oci_marks`]?
    fn deletes_by_name(&self, dir: BorrowedFd<'_>, name: Name<'_>) -> Result<bool> {
        if let Some(hidden) = &self.hidden
            && hidden.deletes(&hidden.which(dir)?, name)?
        {
            return Ok(true);
        }
        // A name that no whiteout can be made for has none.
        let (true, Ok(mark)) = (self.rules.oci, oci_whiteout(name)) else { return Ok(false) };
        match fs::stat(At::Name(dir, mark.as_name())) {
            Ok(_) => Ok(self.oci_meaning(dir, mark.as_name())? == OciName::Whiteout(name)),
            Err(Errno::ENOENT | Errno::ENAMETOOLONG) => Ok(false),
            Err(errno) => Err(Error::new("look for a whiteout", errno)),
        }
    }

    fn look_inner(
        &self,
        dir: BorrowedFd<'_>,
        deleted_by_name: impl Fn() -> Result<bool>,
        name: Name<'_>,
    ) -> Result<Found> {
        let at = At::Name(dir, name);
        if !matches!(self.oci_meaning(dir, name)?, OciName::Plain(_)) {
            return Ok(Found::Absent);
        }
        let which = self.hidden.as_ref().map(|hidden| hidden.which(dir)).transpose()?;
        let stat = match fs::stat(at) {
            _ if matches!(which, Some(Which::StandIn(_))) || is_meta(which.as_ref(), name) => {
                return self.not_there(which.as_ref(), name, deleted_by_name()?);
            }
            Ok(stat) => stat,
            // A layer whose file system takes only shorter names cannot hold a longer one.
            Err(Errno::ENOENT | Errno::ENAMETOOLONG) => {
                return self.not_there(which.as_ref(), name, deleted_by_name()?);
            }
            Err(errno) => return Err(Error::new("look up", errno)),
        };
        match stat.mode & libc::S_IFMT {
            libc::S_IFCHR if stat.rdev_major == 0 && stat.rdev_minor == 0 => Ok(Found::Whiteout),
            libc::S_IFDIR => self.look_dir(dir, name, stat, deleted_by_name()?).map(Found::Dir),
            libc::S_IFREG => self.look_regular(at, stat),
            _ => {
                Ok(Found::Leaf(FoundLeaf { stat: self.apply_record(at, stat)?, metacopy: None, entry: None }))
            }
        }
    }

    /// What there is to say of a name that the layer does not have.
    fn not_there(&self, which: Option<&Which>, name: Name<'_>, deleted_by_name: bool) -> Result<Found> {
        if deleted_by_name {
            return Ok(Found::Whiteout);
        }
        let (Some(hidden), Some(Which::Real(dir) | Which::StandIn(dir))) = (&self.hidden, which) else {
            return Ok(Found::Absent);
        };
        if is_meta(which, name) {
            return Ok(Found::Absent);
        }
        let stat = hidden.stand_in_stat(&dir.join(name))?;
        Ok(stat.map_or(Found::Absent, |stat| {
            Found::Dir(FoundDir {
                stat,
                opaque: false,
                xwhiteouts: false,
                redirect: None,
                attributes: Attributes::Below,
                entry: None,
            })
        }))
    }

    fn look_regular(&self, at: At<'_>, stat: Stat) -> Result<Found> {
        let names = xattr::list(at).op("list attributes")?;
        if names.is_empty() {
            return Ok(Found::Leaf(FoundLeaf { stat, metacopy: None, entry: None }));
        }
        // Only listings ask whether the directory says that it has such whiteouts (as in the kernel's overlay).
        if stat.size == 0 && self.marker_name(&names, Marker::Whiteout).is_some() {
            return Ok(Found::Whiteout);
        }
        let metacopy = match self.marker_name(&names, Marker::Metacopy) {
            None => None,
            Some(name) => {
                let value = xattr::get(at, name.to_bytes()).op("read metacopy mark")?;
                Metacopy::decode(&value).map_err(|c| self.corrupt("read metacopy mark", c))?;
                Some(self.redirect(at, &names)?)
            }
        };
        Ok(Found::Leaf(FoundLeaf { stat: self.apply_record(at, stat)?, metacopy, entry: None }))
    }

    fn look_dir(
        &self,
        dir: BorrowedFd<'_>,
        name: Name<'_>,
        stat: Stat,
        deleted_by_name: bool,
    ) -> Result<FoundDir> {
        let at = At::Name(dir, name);
        let mut found = self.read_dir_marks(at, stat)?;
        // `.wh.NAME` beside a directory NAME deletes what is below it, whatever came first in the layer's tar.
        found.opaque |= deleted_by_name || (self.rules.oci && self.has_oci_opaque(dir, name)?);
        Ok(found)
    }

    /// Decodes the markers of a directory that are attributes.
    fn read_dir_marks(&self, at: At<'_>, stat: Stat) -> Result<FoundDir> {
        let names = xattr::list(at).op("list attributes")?;
        let mut found = FoundDir {
            stat,
            opaque: false,
            xwhiteouts: false,
            redirect: None,
            attributes: Attributes::Own,
            entry: None,
        };
        if names.is_empty() {
            return Ok(found);
        }
        let opaque = self.marker_name(&names, Marker::Opaque).or_else(|| {
            names.iter().any(|n| n == FUSE_OVERLAYFS_OPAQUE.to_bytes()).then_some(FUSE_OVERLAYFS_OPAQUE)
        });
        if let Some(name) = opaque {
            let value = xattr::get(at, name.to_bytes()).op("read opaque mark")?;
            match OpaqueMark::decode(Some(&value)).map_err(|c| self.corrupt("read opaque mark", c))? {
                Some(OpaqueMark::Opaque) => found.opaque = true,
                Some(OpaqueMark::XWhiteouts) => found.xwhiteouts = true,
                None => {}
            }
        }
        found.redirect = self.redirect(at, &names)?;
        found.stat = self.apply_record(at, stat)?;
        Ok(found)
    }

    /// What the layer says of its own root: opaque means nothing there, but the attributes and the kind of whiteouts
    /// do.
    pub fn look_root(&self) -> Result<FoundDir> {
        let at = At::Fd(self.root());
        let stat = fs::stat(at).op("stat").at("").in_layer(self.id)?;
        self.read_dir_marks(at, stat).at("").in_layer(self.id)
    }

    /// What a name means here: `.wh.` names are whiteouts where that is the rule, if they are regular files and not
    /// marked as ordinary names. Names that AUFS keeps for itself may be directories, too.
    fn oci_meaning<'n>(&self, dir: BorrowedFd<'_>, name: Name<'n>) -> Result<OciName<'n>> {
        let meaning = OciName::of(name);
        if !self.rules.oci || matches!(meaning, OciName::Plain(_)) {
            return Ok(OciName::Plain(name));
        }
        let at = At::Name(dir, name);
        let marks = match fs::stat(at) {
            Ok(stat) => stat.is_regular() || (stat.is_dir() && meaning == OciName::AufsMeta),
            Err(Errno::ENOENT) => false,
            Err(errno) => return Err(Error::new("look up", errno)),
        };
        let literal = |namespace: &Namespace| xattr::get(at, literal_xattr(*namespace).to_bytes()).is_ok();
        if !marks || self.rules.markers.namespaces().iter().any(literal) {
            return Ok(OciName::Plain(name));
        }
        Ok(meaning)
    }

    fn has_oci_opaque(&self, dir: BorrowedFd<'_>, name: Name<'_>) -> Result<bool> {
        let fd = fs::open_at(dir, name, libc::O_PATH | libc::O_DIRECTORY, 0).op("open directory")?;
        let Ok(mark) = Name::new(OCI_OPAQUE) else { return Ok(false) };
        match fs::stat(At::Name(fd.as_fd(), mark)) {
            Ok(_) => Ok(self.oci_meaning(fd.as_fd(), mark)? == OciName::Opaque),
            Err(Errno::ENOENT) => Ok(false),
            // A directory whose content this user may not reach is not opaque by a name nobody can see.
            Err(Errno::EACCES) => Ok(false),
            Err(errno) => Err(Error::new("look for an opaque mark", errno)),
        }
    }

    fn redirect(&self, at: At<'_>, names: &xattr::Names) -> Result<Option<Redirect>> {
        let Some(name) = self.marker_name(names, Marker::Redirect) else { return Ok(None) };
        let value = xattr::get(at, name.to_bytes()).op("read redirect")?;
        Redirect::decode(&value).map(Some).map_err(|c| self.corrupt("read redirect", c))
    }

    /// The attribute by which the object carries `marker`, if it does; `trusted.` before `user.`.
    fn marker_name(&self, names: &xattr::Names, marker: Marker) -> Option<&'static CStr> {
        self.rules.markers.namespaces().iter().map(|ns| marker.xattr(*ns)).find(|wanted| {
            let wanted = wanted.to_bytes();
            names.iter().any(|name| name == wanted)
        })
    }

    /// The value of a marker, where the object carries it.
    pub fn marker(&self, at: At<'_>, marker: Marker) -> Result<Option<Vec<u8>>> {
        for namespace in self.rules.markers.namespaces() {
            match xattr::get(at, marker.xattr(*namespace).to_bytes()) {
                Ok(value) => return Ok(Some(value)),
                Err(Errno::ENODATA | Errno::ENOTSUP | Errno::EPERM) => {}
                Err(errno) => return Err(Error::new("read marker", errno).in_layer(self.id)),
            }
        }
        Ok(None)
    }

    fn corrupt(&self, op: &'static str, corrupt: impl Into<Kind>) -> Error {
        Error::new(op, corrupt).in_layer(self.id)
    }

    /// The file handle of an object, where the file system has them.
    pub fn handle(&self, at: At<'_>) -> Option<handle::FileHandle> {
        handle::of(at).ok()
    }

    /// An object by its file handle; `None` where it is gone or this user may not.
    pub fn open_handle(&self, handle: &handle::FileHandle) -> Option<OwnedFd> {
        handle::open(self.root_io(), handle).ok()
    }
}

/// Has the root of a layer a record?
fn is_recorded(root: BorrowedFd<'_>, mode: StatOverride) -> bool {
    override_xattrs_read(mode).iter().any(|name| xattr::get(At::Fd(root), name.to_bytes()).is_ok())
}

/// What the root of a layer says of its symlinks.
fn symlinks(root: BorrowedFd<'_>, stat: &Stat) -> Result<Option<Symlinks>> {
    match xattr::get(At::Fd(root), SYMLINK_OWNER.to_bytes()) {
        Ok(value) => {
            let shown =
                decode_symlink_owner(&value).map_err(|c| Error::new("read owner record", Kind::from(c)))?;
            Ok(Some(Symlinks { makers: (stat.uid, stat.gid), shown }))
        }
        Err(Errno::ENODATA | Errno::ENOTSUP | Errno::EPERM) => Ok(None),
        Err(errno) => Err(Error::new("read owner record", errno)),
    }
}

#[cfg(test)]
mod tests;
