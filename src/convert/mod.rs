//! Another form of an upper on disk: the same changes, said with other markers.
//!
//! Each object has a plan of steps, a value, in which what is new comes before what is old goes: whatever ends a conversion,
//! the union shows the same, and the next run does what is left. An object that the new form cannot say stops it before
//! anything is changed.

mod act;
mod bring_up;
mod plan;
mod walk;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

pub use bring_up::bring_up;
pub use plan::{Blocked, Form, In, Step, To, Whiteout};

use self::act::Act;
use self::walk::{Object, Sink, Visit, walk};
use crate::config::{Namespace, StatOverride};
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::layer::{self, Layer, LayerRules};
use crate::marker::{Marker, MarkersRead, OpaqueMark};
use crate::path::{NameBuf, RelPath};
use crate::sys::fs::{self, At};
use crate::sys::xattr::{self, SetMode};

/// An upper with its work directory, taken as a mount takes them.
#[derive(Debug)]
pub struct Target {
    upper: Layer,
    work_root: OwnedFd,
    work: OwnedFd,
    next_name: AtomicU64,
    to: To,
}

impl Target {
    /// Opens and locks both, clears what an earlier mount left in the work directory, and finds out what can be written.
    ///
    /// # Errors
    /// A mount has one of them; a volatile mount was there; they are not on one file system; the form's markers cannot be written.
    pub fn open(upper: &Path, work: &Path, form: Form) -> Result<Target> {
        let (upper_bytes, work_bytes) = (upper.as_os_str().as_bytes(), work.as_os_str().as_bytes());
        let rules = LayerRules { markers: MarkersRead::Both, oci: true, stat_override: StatOverride::Off };
        let layer = Layer::open(upper, LayerRef::Upper, rules)?;
        layer::lock(layer.root_io(), "use upper").at(upper_bytes).in_layer(LayerRef::Upper)?;
        let open = || {
            let work_root = fs::open_dir_path(work).op("open work directory")?;
            let work_root = fs::reopen_dir(work_root.as_fd(), libc::O_RDONLY).op("open work directory")?;
            layer::lock(work_root.as_fd(), "use work directory")?;
            if fs::stat(At::Fd(work_root.as_fd())).op("stat work directory")?.dev != layer.dev {
                let why = Kind::Invalid("it must be on the same file system as the upper");
                return Err(Error::new("use work directory", why));
            }
            Ok(work_root)
        };
        let work_root = open().at(work_bytes)?;
        let work = layer::open_work(work_root.as_fd()).map_err(|error| error.below(work_bytes))?;
        let to = To { form, whiteout: Whiteout::Name };
        let mut target = Target { upper: layer, work_root, work, next_name: AtomicU64::new(0), to };
        target.to.whiteout = target.probe().at(work_bytes)?;
        Ok(target)
    }

    /// How deletions can be written in the form.
    fn probe(&self) -> Result<Whiteout> {
        let Some(namespace) = self.to.form.namespace() else { return Ok(Whiteout::Name) };
        let name = self.fresh_name()?;
        fs::mkdir(self.work(), name.as_name(), 0o700).op("make a work directory")?;
        let opaque = (Marker::Opaque.xattr(namespace), OpaqueMark::Opaque.encode());
        let at = At::Name(self.work(), name.as_name());
        let written = xattr::set(at, opaque.0.to_bytes(), opaque.1, SetMode::Any);
        fs::rmdir(self.work(), name.as_name()).op("remove from the work directory")?;
        written.map_err(|_| {
            Error::new(
                "write overlay marks",
                Kind::Unsupported(match namespace {
                    Namespace::Trusted => {
                        "trusted. attributes can be written by root only, and not on every file system"
                    }
                    Namespace::User => "the file system takes no user. attributes",
                }),
            )
        })?;
        match fs::mknod(self.work(), name.as_name(), libc::S_IFCHR, 0, 0) {
            Ok(()) => {
                fs::unlink(self.work(), name.as_name()).op("remove from the work directory")?;
                Ok(Whiteout::Device)
            }
            Err(_) if self.to.form == Form::User => Ok(Whiteout::Attribute(namespace)),
            Err(errno) => Err(Error::new("write a whiteout", errno)),
        }
    }

    /// What it is converted to.
    pub fn to(&self) -> To {
        self.to
    }

    fn work(&self) -> BorrowedFd<'_> {
        self.work.as_fd()
    }

    fn fresh_name(&self) -> Result<NameBuf> {
        let number = self.next_name.fetch_add(1, Ordering::Relaxed);
        NameBuf::new(format!("#c{number:x}").into_bytes())
            .map_err(|_| Error::new("name", Kind::Invalid("not a name")))
    }
}

/// What a conversion would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// How many objects it would change.
    pub objects: u64,
    /// Objects that cannot be said in the new form, by path.
    pub blocked: Vec<(RelPath, Blocked)>,
    /// Directories that go on elsewhere below, and files whose data are there.
    pub redirects: u64,
}

/// Looks at all of the upper; changes nothing.
///
/// # Errors
/// Something cannot be read.
pub fn survey(target: &Target) -> Result<Survey> {
    struct Count(Survey);
    impl Sink for Count {
        fn object(
            &mut self,
            object: &Object<'_>,
            steps: std::result::Result<Vec<Step>, Blocked>,
        ) -> Result<()> {
            let Visit::First { goes_on_elsewhere, unfinished } = object.visit else { return Ok(()) };
            match steps {
                Ok(steps) => self.0.objects += u64::from(unfinished || !steps.is_empty()),
                Err(blocked) => self.0.blocked.push((object.path.clone(), blocked)),
            }
            self.0.redirects += u64::from(goes_on_elsewhere);
            Ok(())
        }
    }
    let mut count = Count(Survey::default());
    walk(target, &mut count)?;
    Ok(count.0)
}

/// Has a directory, all of whose content is in the upper, go on nowhere: a file makes it opaque, and its redirect goes.
///
/// # Errors
/// There is no such directory; failing system calls.
pub fn seal(target: &Target, path: &RelPath) -> Result<()> {
    let Some((dir, name)) = path.split_last() else { return Ok(()) };
    let sealed = || {
        let dir = target.upper.open_dir(&dir)?;
        let at = At::Name(dir.as_fd(), name);
        let facts = crate::check::look::facts(at, &fs::stat(at).op("stat")?)?;
        let object = Object { path, at, visit: Visit::Again };
        Act { target, before: &mut |_, _| Ok(()) }.object(&object, Ok(plan::sealed(&facts)))
    };
    sealed().at(path.as_bytes()).in_layer(LayerRef::Upper)
}

/// Tells every step that a conversion would begin with; changes nothing.
///
/// # Errors
/// Something cannot be read.
pub fn plans(target: &Target, each: &mut dyn FnMut(&RelPath, &Step)) -> Result<()> {
    struct Tell<'t>(&'t mut dyn FnMut(&RelPath, &Step));
    impl Sink for Tell<'_> {
        fn object(
            &mut self,
            object: &Object<'_>,
            steps: std::result::Result<Vec<Step>, Blocked>,
        ) -> Result<()> {
            for step in steps.iter().flatten() {
                (self.0)(object.path, step);
            }
            Ok(())
        }
    }
    walk(target, &mut Tell(each))
}

/// Converts. `before` is told every step before it is done, and may end it there: with an error, which is the answer.
///
/// # Errors
/// An object cannot be said in the new form: [`survey`] tells of all. Failing system calls. What has been done stays done, and
/// can be done again.
pub fn convert(target: &Target, before: &mut dyn FnMut(&RelPath, &Step) -> Result<()>) -> Result<()> {
    walk(target, &mut Act { target, before })?;
    fs::syncfs(target.upper.root_io()).op("sync the upper").in_layer(LayerRef::Upper)
}
