//! SELinux: whether there is one.

use std::path::Path;

/// Does SELinux label files here? So it does where its file system is mounted in its place and a policy is loaded, which
/// is what libselinux asks, too.
pub fn is_enabled() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}
