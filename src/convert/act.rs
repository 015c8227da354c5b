//! Doing what a plan says.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;

use super::Target;
use super::plan::{Blocked, Step, Whiteout};
use super::walk::{Object, Sink};
use crate::error::{Error, Kind, OpContext, Result};
use crate::marker::{Marker, OCI_OPAQUE, OpaqueMark, YES};
use crate::path::{Name, NameBuf, RelPath};
use crate::sys::fs::{self, At, RenameFlag};
use crate::sys::times::KeptTimes;
use crate::sys::xattr::{self, SetMode};

/// Does what is planned, as it comes.
pub(super) struct Act<'a> {
    pub target: &'a Target,
    pub before: &'a mut dyn FnMut(&RelPath, &Step) -> Result<()>,
}

impl Sink for Act<'_> {
    fn object(&mut self, object: &Object<'_>, steps: std::result::Result<Vec<Step>, Blocked>) -> Result<()> {
        let steps = steps.map_err(|blocked| Error::new("convert", Kind::Corrupt(blocked.to_string())))?;
        for step in &steps {
            (self.before)(object.path, step)?;
            self.target.step(object.at, step)?;
        }
        Ok(())
    }
}

impl Target {
    fn step(&self, at: At<'_>, step: &Step) -> Result<()> {
        let beside = || match at {
            At::Name(dir, name) => Ok((dir, name)),
            At::Fd(_) => Err(Error::new("convert", Kind::Invalid("the root has no name"))),
        };
        match step {
            Step::SetMarker(name, value) => {
                xattr::set(at, name.to_bytes(), value, SetMode::Any).op("write marker")
            }
            Step::RemoveMarker(name) => match xattr::remove(at, name.to_bytes()) {
                Ok(()) | Err(Errno::ENODATA) => Ok(()),
                Err(errno) => Err(Error::new("remove marker", errno)),
            },
            Step::MakeOpaqueFile => {
                let (dir, name) = beside()?;
                let inner = fs::open_at(dir, name, libc::O_PATH | libc::O_DIRECTORY, 0).op("mark opaque")?;
                let _times = KeptTimes::of(inner.as_fd()).op("mark opaque")?;
                let mark = Name::new(OCI_OPAQUE).map_err(|_| Error::new("mark opaque", Kind::NameTooLong))?;
                make_file(inner.as_fd(), mark)
            }
            Step::Announce(name) => {
                let (dir, _) = beside()?;
                let value = OpaqueMark::XWhiteouts.encode();
                xattr::set(At::Fd(dir), name.to_bytes(), value, SetMode::Any).op("write marker")
            }
            Step::PutWhiteout(name) => {
                let (dir, _) = beside()?;
                // A mount shows the directory's times.
                let _times = KeptTimes::of(dir).op("write a whiteout")?;
                self.put_whiteout(dir, name)
            }
            Step::SetOpaqueBeside(marker, name) => {
                let (dir, _) = beside()?;
                let at = At::Name(dir, name.as_name());
                xattr::set(at, marker.to_bytes(), OpaqueMark::Opaque.encode(), SetMode::Any)
                    .op("write marker")
            }
            Step::Remove => {
                let (dir, name) = beside()?;
                let _times = KeptTimes::of(dir).op("remove the old marker")?;
                match fs::unlink(dir, name) {
                    Ok(()) | Err(Errno::ENOENT) => Ok(()),
                    Err(errno) => Err(Error::new("remove the old marker", errno)),
                }
            }
        }
    }

    /// Puts a whiteout in place by one rename, over what has the name.
    fn put_whiteout(&self, dir: BorrowedFd<'_>, name: &NameBuf) -> Result<()> {
        let staged = self.fresh_name()?;
        let staged = staged.as_name();
        match self.to.whiteout {
            Whiteout::Name => return make_file(dir, name.as_name()),
            Whiteout::Device => {
                fs::mknod(self.work(), staged, libc::S_IFCHR, 0, 0).op("write a whiteout")?;
            }
            Whiteout::Attribute(namespace) => {
                make_file(self.work(), staged)?;
                let marker = Marker::Whiteout.xattr(namespace);
                xattr::set(At::Name(self.work(), staged), marker.to_bytes(), YES, SetMode::Any)
                    .op("write a whiteout")?;
            }
        }
        // What stays behind after a failure is cleared by the next mount.
        fs::rename((self.work(), staged), (dir, name.as_name()), RenameFlag::Replace).op("write a whiteout")
    }
}

/// An empty file, unless there is one. What else has the name is no marker: then the old one must stay.
fn make_file(dir: BorrowedFd<'_>, name: Name<'_>) -> Result<()> {
    let is_file = || fs::stat(At::Name(dir, name)).is_ok_and(|stat| stat.is_regular());
    match fs::open_at(dir, name, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, 0o600) {
        Ok(_) => Ok(()),
        Err(Errno::EEXIST) if is_file() => Ok(()),
        Err(errno) => Err(Error::new("write a whiteout", errno)),
    }
}
