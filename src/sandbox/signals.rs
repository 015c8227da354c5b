//! Signals as values: blocked in all of lamina's processes, read from a descriptor, and handed on to the command.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::AsFd;
use std::time::Duration;

/// Those that are handed on. Ctrl-Z stops all of them together, and stays with the kernel.
const HANDED_ON: [Signal; 8] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGWINCH,
];

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A child changed its state.
    Child,
    /// Somebody sent a signal.
    Sent(Signal),
    /// The kernel sent a signal to all processes on a terminal: the command has it already.
    FromTerminal(Signal),
    /// Nothing, for as long as was to be waited.
    Nothing,
}

/// The signals that come from now on.
#[derive(Debug)]
pub struct Inbox {
    descriptor: SignalFd,
    /// What was blocked before: for the command.
    pub before: SigSet,
}

impl Inbox {
    /// Blocks the signals; for the thread that calls, and all that it makes.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn open() -> Result<Self, Errno> {
        let mut before = SigSet::empty();
        let set = watched();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut before))?;
        Ok(Inbox { descriptor: descriptor(&set)?, before })
    }

    /// The next one.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn next(&self, patience: Option<Duration>) -> Result<Event, Errno> {
        let patience = match patience {
            None => PollTimeout::NONE,
            Some(time) => PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX),
        };
        let mut waiting = [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut waiting, patience) {
                Ok(0) => return Ok(Event::Nothing),
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            }
            let Some(info) = self.descriptor.read_signal()? else { continue };
            let signal =
                i32::try_from(info.ssi_signo).map_err(|_| Errno::EINVAL).and_then(Signal::try_from)?;
            return Ok(match (signal, info.ssi_code) {
                (Signal::SIGCHLD, _) => Event::Child,
                // A terminal that goes away tells the leader of its session, which may be lamina, and nobody else.
                (Signal::SIGHUP, _) => Event::Sent(Signal::SIGHUP),
                (signal, SI_KERNEL) => Event::FromTerminal(signal),
                (signal, _) => Event::Sent(signal),
            });
        }
    }
}

/// `ssi_code` of what the terminal sends (sigaction(2)).
const SI_KERNEL: i32 = 0x80;

fn watched() -> SigSet {
    HANDED_ON.into_iter().chain([Signal::SIGCHLD]).collect()
}

/// A descriptor for the signals that are blocked already: a process that was forked needs its own.
///
/// # Errors
/// Those of signalfd(2).
pub fn inherited(before: SigSet) -> Result<Inbox, Errno> {
    Ok(Inbox { descriptor: descriptor(&watched())?, before })
}

/// As [`inherited`], with SIGCONT: for who has stopped something, and must continue it.
///
/// # Errors
/// Those of the calls.
pub fn inherited_and_continued(before: SigSet) -> Result<Inbox, Errno> {
    let mut set = watched();
    set.add(Signal::SIGCONT);
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    Ok(Inbox { descriptor: descriptor(&set)?, before })
}

fn descriptor(set: &SigSet) -> Result<SignalFd, Errno> {
    SignalFd::with_flags(set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}
