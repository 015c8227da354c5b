//! Who runs a test, and doing something as somebody else.

use std::fmt;
use std::panic::resume_unwind;

use super::fixtures::Powers;
use super::sys;

/// Who runs this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Root of the first user namespace.
    Root,
    /// An ordinary user, who mounts through fusermount3.
    User,
    /// Root of a user namespace of its own, who mounts by mount(2).
    Namespace,
}

impl Who {
    pub fn current() -> Self {
        match (Powers::detect(), nix::unistd::geteuid().is_root()) {
            (Powers::Root, _) => Who::Root,
            (Powers::Ordinary, true) => Who::Namespace,
            (Powers::Ordinary, false) => Who::User,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Who::Root => "root",
            Who::User => "an ordinary user",
            Who::Namespace => "root of a user namespace",
        })
    }
}

/// Is this a run that another test started, under another identity?
pub fn rerun() -> Option<String> {
    std::env::var("LAMINA_TEST_WHO").ok()
}

/// A user and group that own nothing on any sane machine.
pub const STRANGER: u32 = 64_321;

/// Does `f` as an ordinary user with these ids, no groups, no capabilities, and a umask of 022 of its own. Needs root.
/// It runs in a thread of its own, since the kernel keeps credentials per thread.
pub fn as_user<T: Send>(uid: u32, gid: u32, f: impl FnOnce() -> T + Send) -> T {
    in_thread(move || {
        sys::own_umask(0o022).expect("a umask of the thread's own");
        sys::become_user(uid, gid).expect("becoming an ordinary user");
        f()
    })
}

/// Does `f` under another umask, which in this process would otherwise be shared by all tests.
pub fn with_umask<T: Send>(umask: u32, f: impl FnOnce() -> T + Send) -> T {
    in_thread(move || {
        sys::own_umask(umask).expect("a umask of the thread's own");
        f()
    })
}

fn in_thread<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(f).join().unwrap_or_else(|panic| resume_unwind(panic)))
}
