//! statfs(2).

use nix::sys::statvfs::{FsFlags, statvfs};

use crate::support::{Mount, Setup};

#[test]
fn it_is_the_uppers_file_system() {
    let m = Mount::of("layer 1\nfile f \"x\"\n");
    let (shown, below) = (statvfs(&m.root()).unwrap(), statvfs(&m.upper("")).unwrap());
    assert_eq!(shown.blocks(), below.blocks());
    assert_eq!(shown.files(), below.files());
    assert_eq!(shown.fragment_size(), below.fragment_size());
    assert_eq!(shown.block_size(), below.block_size());
    assert!(shown.blocks_free() > 0 && shown.blocks_available() <= shown.blocks_free());
    assert!(shown.name_max() == 255, "{}", shown.name_max());
    assert!(!shown.flags().contains(FsFlags::ST_RDONLY));
    assert_eq!(statvfs(&m.at("f")).unwrap().blocks(), shown.blocks());
}

#[test]
fn without_an_upper_it_is_the_top_layers() {
    let m = Setup::text("layer 1\nfile f \"x\"\nlayer 2\nfile g \"x\"\n").read_only().mount();
    let (shown, below) = (statvfs(&m.root()).unwrap(), statvfs(&m.lower(2, "")).unwrap());
    assert_eq!((shown.blocks(), shown.files()), (below.blocks(), below.files()));
    assert!(shown.flags().contains(FsFlags::ST_RDONLY));
}
