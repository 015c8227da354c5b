//! The one error type of the library, and the one table from what went wrong to an errno.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// Shorthand for results of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Which layer of a stack something concerns.
///
/// Lowers are numbered from 1 at the base, wherever they are shown or asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerRef {
    /// A read-only layer; 1 is the base.
    Lower(u16),
    /// A data-only layer (`lowerdir=a::data`); 1 is the lowest.
    Data(u16),
    /// The writable layer.
    Upper,
}

impl fmt::Display for LayerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayerRef::Lower(n) => write!(f, "layer {n}"),
            LayerRef::Data(n) => write!(f, "data layer {n}"),
            LayerRef::Upper => f.write_str("upper"),
        }
    }
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Kind {
    /// A system call failed.
    #[error("{}", .0.desc())]
    Os(Errno),
    /// The stack has no upper, or was mounted read-only.
    #[error("the stack is read-only")]
    ReadOnly,
    /// No such name.
    #[error("no such file or directory")]
    NotFound,
    /// The name exists already.
    #[error("it exists already")]
    Exists,
    /// A directory was needed.
    #[error("not a directory")]
    NotADirectory,
    /// Anything but a directory was needed.
    #[error("it is a directory")]
    IsADirectory,
    /// The directory has entries.
    #[error("the directory is not empty")]
    NotEmpty,
    /// A marker in a layer cannot be understood.
    #[error("corrupt marker: {0}")]
    Corrupt(String),
    /// An image's archive, or the index of a layer in it, is not what it was.
    #[error("{0}")]
    Archive(String),
    /// A directory with parts in lower layers cannot be moved without a redirect.
    #[error("a merged directory cannot be moved: {0}")]
    CrossDevice(&'static str),
    /// A node or handle the kernel named is not known.
    #[error("the kernel named an unknown node or handle")]
    Stale,
    /// Another mount has the directory.
    #[error("another mount is using it")]
    InUse,
    /// A volatile mount was there, whose end may have lost data (`work/incompat`).
    #[error("it has the mark of a volatile mount")]
    Volatile,
    /// Not allowed, whoever asks.
    #[error("not permitted: {0}")]
    NotPermitted(&'static str),
    /// The caller lacks a right.
    #[error("permission denied")]
    AccessDenied,
    /// The argument makes no sense.
    #[error("invalid argument: {0}")]
    Invalid(&'static str),
    /// The file system or configuration cannot do this.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
    /// A name or value is longer than what can be stored.
    #[error("the name is too long")]
    NameTooLong,
    /// No such extended attribute.
    #[error("no such attribute")]
    NoAttribute,
    /// The caller's buffer is too small.
    #[error("the buffer is too small")]
    BufferTooSmall,
    /// A request the kernel sent cannot be decoded.
    #[error("malformed request: {0}")]
    Protocol(&'static str),
    /// An operation nobody answers: the kernel stops asking.
    #[error("not implemented")]
    NotImplemented,
}

impl Kind {
    /// The errno a caller of the file system sees. The only table of its kind.
    pub fn errno(&self) -> Errno {
        match self {
            Kind::Os(errno) => *errno,
            Kind::ReadOnly => Errno::EROFS,
            Kind::NotFound => Errno::ENOENT,
            Kind::Exists => Errno::EEXIST,
            Kind::NotADirectory => Errno::ENOTDIR,
            Kind::IsADirectory => Errno::EISDIR,
            Kind::NotEmpty => Errno::ENOTEMPTY,
            Kind::Corrupt(_) | Kind::Archive(_) => Errno::EIO,
            Kind::CrossDevice(_) => Errno::EXDEV,
            Kind::Stale => Errno::ESTALE,
            Kind::InUse => Errno::EBUSY,
            Kind::NotPermitted(_) | Kind::Volatile => Errno::EPERM,
            Kind::AccessDenied => Errno::EACCES,
            Kind::Invalid(_) | Kind::Protocol(_) => Errno::EINVAL,
            Kind::Unsupported(_) => Errno::EOPNOTSUPP,
            Kind::NameTooLong => Errno::ENAMETOOLONG,
            Kind::NoAttribute => Errno::ENODATA,
            Kind::BufferTooSmall => Errno::ERANGE,
            Kind::NotImplemented => Errno::ENOSYS,
        }
    }
}

impl From<Errno> for Kind {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENOENT => Kind::NotFound,
            Errno::EEXIST => Kind::Exists,
            Errno::ENOTDIR => Kind::NotADirectory,
            Errno::EISDIR => Kind::IsADirectory,
            Errno::ENOTEMPTY => Kind::NotEmpty,
            Errno::ENODATA => Kind::NoAttribute,
            Errno::ERANGE => Kind::BufferTooSmall,
            Errno::ENAMETOOLONG => Kind::NameTooLong,
            other => Kind::Os(other),
        }
    }
}

/// An error with its whole context: `open /usr/bin/tool in layer 3: permission denied`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Context>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Context {
    op: &'static str,
    path: Option<Vec<u8>>,
    layer: Option<LayerRef>,
    kind: Kind,
}

impl Error {
    /// `op` is the operation as a person would name it (`copy up`, `read marker`, `openat2`).
    pub fn new(op: &'static str, kind: impl Into<Kind>) -> Self {
        Error(Box::new(Context { op, path: None, layer: None, kind: kind.into() }))
    }

    /// Names the path, unless a deeper call named one already.
    pub fn at(mut self, path: impl AsRef<[u8]>) -> Self {
        self.0.path.get_or_insert_with(|| path.as_ref().to_vec());
        self
    }

    /// Names `dir`, or puts the relative path that a deeper call named below it.
    pub fn below(mut self, dir: impl AsRef<[u8]>) -> Self {
        self.0.path = Some(match self.0.path.take() {
            None => dir.as_ref().to_vec(),
            Some(path) => [dir.as_ref(), b"/", &path].concat(),
        });
        self
    }

    /// Names the layer, unless a deeper call named one already.
    pub fn in_layer(mut self, layer: LayerRef) -> Self {
        self.0.layer.get_or_insert(layer);
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// The errno a caller of the file system sees.
    pub fn errno(&self) -> Errno {
        self.0.kind.errno()
    }

    /// The path it concerns, where known.
    pub fn path(&self) -> Option<&[u8]> {
        self.0.path.as_deref()
    }

    /// The layer it concerns, where known.
    pub fn layer(&self) -> Option<LayerRef> {
        self.0.layer
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op)?;
        if let Some(path) = &self.0.path {
            write!(f, " {}", path.escape_ascii())?;
        }
        if let Some(layer) = &self.0.layer {
            write!(f, " in {layer}")?;
        }
        write!(f, ": {}", self.0.kind)
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::new(io::Error::from(error.errno()).kind(), error)
    }
}

/// An I/O error in the system's words, without the number that the standard library adds.
pub fn describe(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

/// The errno of an I/O error. A library that wraps errors, as tempfile does, keeps the kind of them only: then it is the errno that
/// such an error most often has, and EIO where the kind says nothing.
pub fn errno_of(error: &io::Error) -> Errno {
    use io::ErrorKind;
    if let Some(number) = error.raw_os_error() {
        return Errno::from_raw(number);
    }
    match error.kind() {
        ErrorKind::NotFound => Errno::ENOENT,
        ErrorKind::PermissionDenied => Errno::EACCES,
        ErrorKind::AlreadyExists => Errno::EEXIST,
        ErrorKind::NotADirectory => Errno::ENOTDIR,
        ErrorKind::ReadOnlyFilesystem => Errno::EROFS,
        ErrorKind::StorageFull => Errno::ENOSPC,
        ErrorKind::QuotaExceeded => Errno::EDQUOT,
        _ => Errno::EIO,
    }
}

/// Gives an errno its context: `call.op("mkdirat", path)`.
pub trait OpContext<T> {
    /// Names the operation.
    fn op(self, op: &'static str) -> Result<T>;
}

impl<T> OpContext<T> for std::result::Result<T, Errno> {
    fn op(self, op: &'static str) -> Result<T> {
        self.map_err(|errno| Error::new(op, errno))
    }
}

/// Adds a path or layer to a result's error.
pub trait ErrorContext {
    /// Names the path, unless a deeper call named one already.
    fn at(self, path: impl AsRef<[u8]>) -> Self;
    /// Names the layer, unless a deeper call named one already.
    fn in_layer(self, layer: LayerRef) -> Self;
}

impl<T> ErrorContext for Result<T> {
    fn at(self, path: impl AsRef<[u8]>) -> Self {
        self.map_err(|error| error.at(path))
    }

    fn in_layer(self, layer: LayerRef) -> Self {
        self.map_err(|error| error.in_layer(layer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_error_keeps_its_errno() {
        assert_eq!(errno_of(&Errno::EACCES.into()), Errno::EACCES);
        assert_eq!(errno_of(&io::Error::other("no errno")), Errno::EIO);
        let missing = tempfile::tempdir().unwrap().path().join("missing");
        assert_eq!(errno_of(&tempfile::tempdir_in(missing).unwrap_err()), Errno::ENOENT);
    }

    #[test]
    fn an_error_prints_the_whole_call() {
        let error = Error::new("read marker", Kind::Corrupt("opaque is \"q\"".into()))
            .at("usr/lib")
            .in_layer(LayerRef::Lower(3));
        assert_eq!(error.to_string(), "read marker usr/lib in layer 3: corrupt marker: opaque is \"q\"");
        assert_eq!(error.errno(), Errno::EIO);
    }

    #[test]
    fn a_relative_path_is_told_with_its_directory() {
        let error = Error::new("clear", Errno::EPERM).at("work/stale").below("/w");
        assert_eq!(error.to_string(), "clear /w/work/stale: Operation not permitted");
        assert_eq!(Error::new("clear", Errno::EPERM).below("/w").path(), Some(&b"/w"[..]));
    }

    #[test]
    fn the_deepest_context_wins() {
        let error = Error::new("open", Errno::EACCES).at("deep").at("shallow");
        assert_eq!(error.to_string(), "open deep: Permission denied");
    }
}
