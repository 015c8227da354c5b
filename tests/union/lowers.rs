//! What must not change in a lower layer, and what a copy-up must not change in what is seen.

use std::fs::FileTimes;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use lamina::overlay::*;

use super::stack::*;

#[test]
fn looking_does_not_move_a_lower_time_of_access() {
    let stack = Stack::new(1);
    put(stack.lower(0), "dir/file", "content");
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let paths = ["dir/file", "dir", ""].map(|path| stack.lower(0).join(path));
    for path in &paths {
        std::fs::File::open(path).unwrap().set_times(FileTimes::new().set_accessed(then)).unwrap();
    }
    let overlay = stack.open();
    assert_eq!(list(&overlay, NodeId::ROOT).len(), 1);
    assert_eq!(list(&overlay, find(&overlay, "dir")).len(), 1);
    assert_eq!(read_all(&overlay, find(&overlay, "dir/file")).unwrap(), b"content");
    overlay.setattr(find(&overlay, "dir/file"), None, &CHMOD).unwrap();
    for path in &paths {
        assert_eq!(std::fs::metadata(path).unwrap().atime(), 1_000_000_000, "{}", path.display());
    }
}

#[test]
fn bare_whiteouts_are_listed_until_a_copy_up_makes_the_directory_a_merged_one() {
    let stack = Stack::new(1);
    put(stack.lower(0), "dir/file", "");
    let whiteout = stack.lower(0).join("dir/whiteout");
    nix::sys::stat::mknod(&whiteout, nix::sys::stat::SFlag::S_IFCHR, nix::sys::stat::Mode::empty(), 0)
        .unwrap();
    let overlay = stack.open();
    let dir = find(&overlay, "dir");
    let names =
        |overlay: &Overlay, dir| list(overlay, dir).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(&overlay, dir), ["file", "whiteout"]);
    overlay.setattr(dir, None, &CHMOD).unwrap();
    assert_eq!(names(&overlay, dir), ["file"]);
}
