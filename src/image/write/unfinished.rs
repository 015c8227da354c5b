//! Files in the making, beside what they become: without a name where the file system can do that (then a killed writer
//! leaves nothing), and else locked by who writes them, so that those of a killed writer can be told.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use tempfile::NamedTempFile;

use crate::image::commit::CommitError;
use crate::path::Name;
use crate::sys::fs::{self as names, At, lock_exclusive};

/// What the names of unfinished files begin with.
pub(super) const UNFINISHED: &str = ".lamina-unfinished-";
/// Their mode, which the umask is applied to: that of other files of this user.
const MODE: u32 = 0o666;

/// A file in the making, gone when it is dropped.
#[derive(Debug)]
pub struct Unfinished {
    dir: PathBuf,
    file: Form,
}

#[derive(Debug)]
enum Form {
    /// It has a name only while it becomes what it is for.
    Nameless(File),
    /// It is locked until it is closed: locks go with the process, and [`clear`] removes what nobody has locked. Where the
    /// file system has no locks, nobody gets one, and nothing is removed.
    Named(NamedTempFile),
}

/// A file with the mode that other files of this user get, in a directory.
pub(super) fn temporary(dir: &Path) -> Result<Unfinished, CommitError> {
    let file = match nameless(dir) {
        Some(file) => Form::Nameless(file),
        None => Form::Named(named(dir, |path| {
            OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(path)
        })?),
    };
    Ok(Unfinished { dir: dir.to_owned(), file })
}

/// `None` where the file system has no such files, or /proc is not there, which gives them their name. What else is wrong
/// shows with a name, too.
fn nameless(dir: &Path) -> Option<File> {
    let dir = names::open_dir_path(dir).ok()?;
    let file = names::open_tmpfile(dir.as_fd(), MODE).ok()?;
    fs::metadata(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    // Before it has a name: whoever clears must not take that for an abandoned one. It could not be given another.
    if let Err(errno) = lock_exclusive(file.as_fd()) {
        log::debug!("no locks here, so nobody clears either: {errno}");
    }
    Some(File::from(file))
}

/// A file under a name of its own, which `make` gives it, locked.
fn named(dir: &Path, make: impl Fn(&Path) -> io::Result<File>) -> Result<NamedTempFile, CommitError> {
    let failed = |error| CommitError::File { op: "make a file in", path: dir.to_owned(), error };
    loop {
        let file = tempfile::Builder::new().prefix(UNFINISHED).make_in(dir, &make).map_err(failed)?;
        let swept = match lock_exclusive(file.as_file().as_fd()) {
            Ok(()) => file.as_file().metadata().map_err(failed)?.nlink() == 0,
            // Somebody clears, and found it before it was locked.
            Err(errno) => errno == Errno::EWOULDBLOCK,
        };
        if !swept {
            return Ok(file);
        }
    }
}

impl Unfinished {
    /// The directory it is in.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn as_file(&self) -> &File {
        match &self.file {
            Form::Nameless(file) => file,
            Form::Named(file) => file.as_file(),
        }
    }

    /// Opened once more, to be read from its beginning.
    pub(super) fn reopen(&self) -> io::Result<File> {
        match &self.file {
            Form::Nameless(file) => Ok(names::reopen(file.as_fd(), libc::O_RDONLY)?.into()),
            Form::Named(file) => file.reopen(),
        }
    }

    /// Syncs it and gives it its name, under which there may be one.
    pub(super) fn persist(self, path: &Path) -> Result<(), CommitError> {
        let failed = |op| move |error| CommitError::File { op, path: path.to_owned(), error };
        self.as_file().sync_all().map_err(failed("write"))?;
        let file = match self.file {
            Form::Named(file) => file,
            // A rename replaces, a link does not.
            Form::Nameless(file) => named(&self.dir, |path| {
                link(&file, path)?;
                file.try_clone()
            })?,
        };
        file.persist(path).map(drop).map_err(|error| failed("rename to")(error.error))
    }
}

/// Gives a nameless file a name.
fn link(file: &File, path: &Path) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::EINVAL.into());
    };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let name = Name::new(name.as_bytes()).map_err(|_| io::Error::from(Errno::EINVAL))?;
    Ok(names::link(At::Fd(file.as_fd()), names::open_dir_path(dir)?.as_fd(), name)?)
}

impl Write for Unfinished {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.as_file().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.as_file().flush()
    }
}

/// Removes the unfinished files of a directory whose writers were killed. What cannot be removed does not keep anybody from
/// writing beside it.
pub(super) fn clear(dir: &Path) {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => return log::debug!("'{}' is not cleared: {error}", dir.display()),
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            continue;
        }
        let path = entry.path();
        if let Some(_lock) = abandoned(&path)
            && let Err(error) = fs::remove_file(&path)
        {
            log::debug!("'{}' stays: {error}", path.display());
        }
    }
}

/// A file that nobody writes, locked; `None` where somebody does, or it is something else.
fn abandoned(path: &Path) -> Option<File> {
    // Anybody may have put anything there: no link is followed, and no pipe waited for.
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let of = |metadata: fs::Metadata| (metadata.dev(), metadata.ino(), metadata.is_file());
    let opened = of(file.metadata().ok()?);
    lock_exclusive(file.as_fd()).ok()?;
    // It may have got its own name meanwhile.
    let named = of(path.symlink_metadata().ok()?);
    (opened == named && opened.2).then_some(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::process::{Command, Stdio};

    use super::*;

    fn names_in(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_killed_writer_leaves_nothing_where_files_can_be_nameless() {
        let dir = tempfile::tempdir().unwrap();
        let can_be = names::open_tmpfile(names::open_dir_path(dir.path()).unwrap().as_fd(), 0o600).is_ok();
        let mut file = temporary(dir.path()).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(names_in(dir.path()).len(), usize::from(!can_be));
        drop(file);
        assert_eq!(names_in(dir.path()), [""; 0]);
    }

    #[test]
    fn a_file_replaces_what_has_its_name_with_or_without_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("done");
        let create = |path: &Path| OpenOptions::new().read(true).write(true).create_new(true).open(path);
        let with_name = Form::Named(named(dir.path(), create).unwrap());
        let with_name = Unfinished { dir: dir.path().to_owned(), file: with_name };
        fs::write(&path, "old").unwrap();
        let expected = path.metadata().unwrap().permissions();
        for mut file in [temporary(dir.path()).unwrap(), with_name] {
            file.write_all(b"new").unwrap();
            let mut read = String::new();
            file.reopen().unwrap().read_to_string(&mut read).unwrap();
            assert_eq!(read, "new");
            file.persist(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "new");
            assert_eq!(path.metadata().unwrap().permissions(), expected);
            fs::write(&path, "old").unwrap();
        }
        assert_eq!(names_in(dir.path()), ["done"]);
    }

    #[test]
    fn what_is_being_written_stays_and_what_a_killed_process_left_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let ours = named(dir.path(), |path| File::create_new(path)).unwrap();
        // Another process writes one, is killed, and cannot clean up.
        let theirs = path(".lamina-unfinished-theirs");
        let mut child = Command::new("flock")
            .arg("--no-fork")
            .arg(&theirs)
            .args(["sh", "-c", "echo locked; read end"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut locked = [0; 7];
        child.stdout.as_mut().unwrap().read_exact(&mut locked).unwrap();
        fs::write(path("other"), "").unwrap();
        symlink("other", path(".lamina-unfinished-link")).unwrap();
        fs::create_dir(path(".lamina-unfinished-dir")).unwrap();
        nix::unistd::mkfifo(&path(".lamina-unfinished-pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();

        clear(dir.path());
        assert!(ours.path().exists() && theirs.exists());

        child.kill().unwrap();
        child.wait().unwrap();
        clear(dir.path());
        assert!(ours.path().exists() && !theirs.exists());
        for name in ["other", ".lamina-unfinished-link", ".lamina-unfinished-dir", ".lamina-unfinished-pipe"]
        {
            assert!(path(name).symlink_metadata().is_ok(), "{name}");
        }
        // A finished file is nobody's to clear.
        ours.persist(path("done")).unwrap();
        clear(dir.path());
        assert!(path("done").exists());
    }

    #[test]
    fn a_file_that_gets_its_name_is_not_cleared() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..500).for_each(|_| clear(dir.path())));
            for _ in 0..200 {
                temporary(dir.path()).unwrap().persist(&dir.path().join("done")).unwrap();
            }
        });
        assert_eq!(names_in(dir.path()), ["done"]);
    }

    #[test]
    fn a_file_that_is_cleared_before_it_is_locked_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..500).for_each(|_| clear(dir.path())));
            for _ in 0..200 {
                let file = named(dir.path(), |path| File::create_new(path)).unwrap();
                assert!(file.path().exists());
            }
        });
    }
}
