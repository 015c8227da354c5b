//! Files in the making, beside what they become: locked by who writes them, so that those of a killed writer can be told.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use tempfile::NamedTempFile;

use crate::image::commit::CommitError;
use crate::sys::fs::lock_exclusive;

/// What the names of unfinished files begin with.
pub(super) const UNFINISHED: &str = ".lamina-unfinished-";

/// A file with the mode that other files of this user get, in a directory, gone when it is dropped.
///
/// It is locked until it is closed: locks go with the process, and [`clear`] removes what nobody has locked. Where the file
/// system has no locks, nobody gets one, and nothing is removed.
pub(super) fn temporary(dir: &Path) -> Result<NamedTempFile, CommitError> {
    let failed = |error| CommitError::File { op: "make a file in", path: dir.to_owned(), error };
    loop {
        let file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            // The umask is applied to it.
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(dir)
            .map_err(failed)?;
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

    #[test]
    fn what_is_being_written_stays_and_what_a_killed_process_left_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let ours = temporary(dir.path()).unwrap();
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
    fn a_file_that_is_cleared_before_it_is_locked_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..500).for_each(|_| clear(dir.path())));
            for _ in 0..200 {
                let file = temporary(dir.path()).unwrap();
                assert!(file.path().exists());
            }
        });
    }
}
