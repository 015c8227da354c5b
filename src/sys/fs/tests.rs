use std::os::unix::fs::{MetadataExt, symlink};

use super::*;

#[test]
fn a_directory_is_reached_over_paths_of_any_length() {
    let top = tempfile::tempdir().unwrap();
    let start: OwnedFd = std::fs::File::open(top.path()).unwrap().into();
    let name = "n".repeat(254);
    let mut path = String::new();
    let mut here = start.try_clone().unwrap();
    // 254 bytes and a slash: the 16th name ends one byte before what a system call takes, the 17th after it.
    for _ in 0..40 {
        mkdir(here.as_fd(), Name::new(name.as_bytes()).unwrap(), 0o755).unwrap();
        here = open_at(here.as_fd(), Name::new(name.as_bytes()).unwrap(), libc::O_DIRECTORY, 0).unwrap();
        path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        let found = open_dir_below(start.as_fd(), path.as_bytes()).unwrap();
        assert_eq!(stat(At::Fd(found.as_fd())).unwrap().ino, stat(At::Fd(here.as_fd())).unwrap().ino);
    }
    assert_eq!(open_dir_below(start.as_fd(), format!("{path}/none").as_bytes()).err(), Some(Errno::ENOENT));
}

#[test]
fn no_path_leaves_the_start() {
    let top = tempfile::tempdir().unwrap();
    std::fs::create_dir(top.path().join("start")).unwrap();
    symlink("..", top.path().join("start/link")).unwrap();
    let start: OwnedFd = std::fs::File::open(top.path().join("start")).unwrap().into();
    for path in ["..", "link", "link/start", "/"] {
        assert!(open_dir_below(start.as_fd(), path.as_bytes()).is_err(), "{path}");
    }
    let itself = open_dir_below(start.as_fd(), b"").unwrap();
    let ino = std::fs::metadata(top.path().join("start")).unwrap().ino();
    assert_eq!(stat(At::Fd(itself.as_fd())).unwrap().ino, ino);
}
