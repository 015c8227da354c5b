//! How the scheduler treats the calling thread.

use nix::errno::Errno;

use super::SysResult;

/// While this lives, the calling thread gives way to any other: SCHED_IDLE of sched(7).
///
/// A processor on which only such threads run counts as free: whoever is woken from there runs there, at once, and is not
/// sent to another processor, which would have to be woken itself.
#[derive(Debug)]
pub struct GivingWay(());

impl GivingWay {
    /// Begins it.
    ///
    /// # Errors
    /// Those of sched_setscheduler(2).
    pub fn begin() -> SysResult<Self> {
        set_policy(libc::SCHED_IDLE)?;
        Ok(GivingWay(()))
    }

    /// May threads of this process end it again? That takes CAP_SYS_NICE or a limit (RLIMIT_NICE). Found out by a thread
    /// that does nothing else.
    pub fn can_end() -> bool {
        let trial = std::thread::Builder::new()
            .spawn(|| set_policy(libc::SCHED_IDLE).and_then(|()| set_policy(libc::SCHED_OTHER)).is_ok());
        trial.is_ok_and(|thread| thread.join().unwrap_or_default())
    }
}

impl Drop for GivingWay {
    fn drop(&mut self) {
        if let Err(errno) = set_policy(libc::SCHED_OTHER) {
            log::error!("a thread gives way to all others from now on: {}", errno.desc());
        }
    }
}

fn set_policy(policy: libc::c_int) -> SysResult<()> {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and the kernel reads a structure that outlives the call.
    Errno::result(unsafe { libc::sched_setscheduler(0, policy, &param) }).map(drop)
}
