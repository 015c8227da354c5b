//! A thread's place in the world: root directory, identity and umask, each put back by `Drop`.

use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::RwLock;

use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};

use crate::op::Who;
use crate::sys::{self, Sys};

/// Gives this thread a root directory, working directory and umask of its own; once a thread, before [`within`].
pub fn detach_thread() -> Sys<()> {
    unshare(CloneFlags::CLONE_FS)?;
    umask(Mode::empty());
    Ok(())
}

/// A child has copies of all descriptors of the process until its exec, the other workers' among them: a mount would be
/// busy and a lock held for that long. So whoever works with descriptors reads this, and whoever starts a child writes.
static CHILDREN: RwLock<()> = RwLock::new(());

/// Runs `act` while no child is being started.
pub fn undisturbed<T>(act: impl FnOnce() -> T) -> T {
    let _guard = CHILDREN.read().unwrap();
    act()
}

/// Starts a child while nobody works with descriptors.
pub fn spawn(command: &mut Command) -> std::io::Result<Child> {
    let _guard = CHILDREN.write().unwrap();
    command.spawn()
}

struct Back(std::os::fd::OwnedFd);

impl Drop for Back {
    fn drop(&mut self) {
        nix::unistd::fchdir(self.0.as_fd()).expect("the host's root is still there");
        sys::chroot(Path::new(".")).expect("back to the host's root");
    }
}

/// Runs `act` with `root` as the root directory, so that no symlink of a random tree can lead out of it. Not within
/// itself.
pub fn within<T>(root: &Path, act: impl FnOnce() -> T) -> Sys<T> {
    let _guard = CHILDREN.read().unwrap();
    let back = Back(sys::open(Path::new("/"), libc::O_PATH | libc::O_DIRECTORY, 0)?);
    sys::chroot(root)?;
    nix::unistd::chdir("/")?;
    let result = act();
    drop(back);
    Ok(result)
}

struct Root(Mode);

impl Drop for Root {
    fn drop(&mut self) {
        umask(self.0);
        sys::become_root().expect("root again");
    }
}

/// Runs `act` as `who`, without any capability unless that is root.
pub fn as_who<T>(who: Who, act: impl FnOnce() -> T) -> Sys<T> {
    let _root = Root(umask(Mode::from_bits_truncate(who.umask)));
    if who.uid != 0 {
        sys::become_user(who.uid, who.gid, who.groups)?;
    }
    Ok(act())
}
