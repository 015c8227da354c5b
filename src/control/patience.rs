//! Asking a mount that may never answer.
//!
//! Whoever waits for a daemon that is stopped cannot even be killed, and a process with a thread that cannot be killed
//! never ends. So a child asks; when it takes too long it is left behind, and ends with the daemon's next breath.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;

use crate::sys::daemon::{self, Side};
use crate::sys::live;

/// An extended attribute of a mount's root; the outer error is about asking, the inner one is the mount's answer. Works
/// in a process with one thread only.
pub(super) fn attribute(path: &Path, name: &CStr, patience: Duration) -> io::Result<io::Result<Vec<u8>>> {
    let (mut reader, writer) = io::pipe()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    match daemon::fork()? {
        Side::Child => {
            // Our caller's pipes must not stay open for as long as this child waits.
            let answered = daemon::detach(&null).and_then(|()| answer(writer, path, name));
            daemon::leave(u8::from(answered.is_err()));
        }
        Side::Parent(child) => {
            drop(writer);
            let told = read_until_end(&mut reader, patience);
            // Either it has ended by itself, or it cannot end now and must not be waited for.
            match told {
                Ok(_) => drop(waitpid(child, None)),
                Err(_) => drop(kill(child, Signal::SIGKILL)),
            }
            decode(&told?)
        }
    }
}

/// An errno, 0 for none, and the value.
fn answer(mut writer: impl Write, path: &Path, name: &CStr) -> io::Result<()> {
    let (errno, value) = match live::get_xattr(path, name) {
        Ok(value) => (0, value),
        Err(errno) => (errno as i32, Vec::new()),
    };
    writer.write_all(&errno.to_ne_bytes())?;
    writer.write_all(&value)
}

fn decode(told: &[u8]) -> io::Result<io::Result<Vec<u8>>> {
    let (errno, value) = told.split_first_chunk::<4>().ok_or_else(|| io::Error::other("it was not asked"))?;
    Ok(match i32::from_ne_bytes(*errno) {
        0 => Ok(value.to_vec()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    })
}

fn read_until_end(reader: &mut PipeReader, patience: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + patience;
    let mut told = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], timeout) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(0) => return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer")),
            Ok(_) => match reader.read(&mut chunk)? {
                0 => return Ok(told),
                read => told.extend_from_slice(chunk.get(..read).unwrap_or_default()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_child_says_is_what_it_was_told() {
        let mut said = Vec::new();
        answer(&mut said, Path::new("/"), c"user.lamina.mount").unwrap();
        let told = decode(&said).unwrap();
        let errno = told.unwrap_err().raw_os_error();
        assert!(matches!(errno, Some(libc::ENODATA | libc::ENOTSUP)), "{errno:?}");
        said = 0_i32.to_ne_bytes().to_vec();
        said.extend_from_slice(b"value");
        assert_eq!(decode(&said).unwrap().unwrap(), b"value");
        assert!(decode(b"").is_err());
    }

    #[test]
    fn patience_ends() {
        let (mut reader, writer) = io::pipe().unwrap();
        let silent = read_until_end(&mut reader, Duration::from_millis(1));
        assert_eq!(silent.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(writer);
        assert_eq!(read_until_end(&mut reader, Duration::from_secs(60)).unwrap(), b"");
    }
}
