//! The caller's terminal.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp, ttyname};

/// The path of the terminal that one of the standard streams is, the first of them. `None` also where it has no path here, as
/// the machine's in a container.
pub fn of_this_process() -> Option<PathBuf> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].into_iter().find_map(|stream| ttyname(stream).ok())
}

/// The terminal whose foreground a group is in, this process's as a rule. Dropped, it is in the foreground again: a shell in a pid namespace cannot
/// give it back, for it has no number for our group.
#[derive(Debug)]
pub struct Foreground {
    terminal: File,
    group: Pid,
}

impl Foreground {
    /// `None` where there is no terminal, or another group is in the foreground.
    pub fn note() -> Option<Self> {
        Foreground::of(getpgrp())
    }

    /// That of another group of this session, if it is in the foreground.
    pub fn of(group: Pid) -> Option<Self> {
        let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
        // Made only if it is so: dropped, it takes the terminal.
        (tcgetpgrp(&terminal).ok()? == group).then(|| Foreground { terminal, group })
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        if tcgetpgrp(&self.terminal) == Ok(self.group) {
            return;
        }
        let stop: SigSet = [Signal::SIGTTOU].into_iter().collect();
        let mut before = SigSet::empty();
        // Who is in the background may take the foreground only with this signal blocked. Where any of it fails there is no
        // terminal any more, and nothing to be given back.
        if pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&stop), Some(&mut before)).is_ok() {
            let _ = tcsetpgrp(&self.terminal, self.group);
            let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
        }
    }
}
