//! Renames that are refused, and renames onto names that were deleted.

use lamina::error::Kind;
use lamina::overlay::*;

use super::stack::*;

#[test]
fn a_refused_rename_leaves_an_empty_target_as_it_was() {
    let stack = Stack::new(1);
    let far: Vec<String> = ["a", "b", "c"].map(|letter| letter.repeat(100)).into();
    put(stack.lower(0), &format!("{}/moving/file", far.join("/")), "");
    put(stack.lower(0), "target/file", "");
    let overlay = stack.open();
    let target = find(&overlay, "target");
    overlay.unlink(at(target, "file")).unwrap();
    overlay.setxattr(target, b"user.mark", b"kept", XattrMode::Set, AclSgid::Keep).unwrap();
    let from = find(&overlay, &far.join("/"));
    // Its redirect would be too long.
    let refused =
        overlay.rename(at(from, "moving"), at(NodeId::ROOT, "target"), RenameMode::Replace).unwrap_err();
    assert!(matches!(refused.kind(), Kind::CrossDevice(_)), "{refused}");
    assert_eq!(overlay.getxattr(target, b"user.mark").unwrap(), b"kept");
    overlay.mknod(&caller(), at(target, "made"), SpecialKind::Regular, 0o644).unwrap();
    drop(overlay);
    let overlay = stack.open();
    assert_eq!(overlay.getxattr(find(&overlay, "target"), b"user.mark").unwrap(), b"kept");
    assert_eq!(list(&overlay, find(&overlay, "target")).len(), 1);
}

#[test]
fn a_merged_directory_moved_onto_a_name_deleted_by_a_file_stays_merged() {
    let stack = Stack::new(1);
    put(stack.lower(0), "from/moving/file", "");
    put(stack.lower(0), "to/name", "deleted");
    put(&stack.upper(), "to/.wh.name", "");
    let overlay = stack.open();
    // Listed, so that nobody needs to look into the upper to know that the name is free.
    let to = find(&overlay, "to");
    assert!(list(&overlay, to).is_empty());
    overlay.rename(at(find(&overlay, "from"), "moving"), at(to, "name"), RenameMode::Replace).unwrap();
    assert!(walk(&overlay, "to/name/file").unwrap().is_some());
    drop(overlay);
    assert!(walk(&stack.open(), "to/name/file").unwrap().is_some(), "after opening it again");
}

#[test]
fn a_rename_without_room_leaves_a_moved_directory_merged() {
    let Some(full) = Full::mount("size=4m,nr_inodes=40") else { return };
    let mut stack = Stack::new(1);
    stack.put_upper_on(&full);
    put(stack.lower(0), "home/moved/file", "");
    std::fs::create_dir_all(stack.lower(0).join("away/name")).unwrap();
    let overlay = stack.open();
    let (home, away) = (find(&overlay, "home"), find(&overlay, "away"));
    overlay.rename(at(home, "moved"), at(away, "name"), RenameMode::Replace).unwrap();
    let mut fills = 0;
    while overlay.mknod(&caller(), at(home, &format!("fill{fills}")), SpecialKind::Regular, 0o644).is_ok() {
        fills += 1;
    }
    // On its way home it would have to leave a whiteout, for which there is no inode.
    let refused = overlay.rename(at(away, "name"), at(home, "back"), RenameMode::Replace).unwrap_err();
    assert_eq!(refused.errno(), nix::errno::Errno::ENOSPC);
    for n in 0..fills {
        overlay.unlink(at(home, &format!("fill{n}"))).unwrap();
    }
    drop(overlay);
    assert!(walk(&stack.open(), "away/name/file").unwrap().is_some());
}
