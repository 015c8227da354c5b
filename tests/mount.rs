//! Mount tests: lamina through the kernel, a file for each operation.
//!
//! What they share, and the environment they listen to, is in `support/`. With `LAMINA_TEST_BACKEND=kernel` the same
//! expectations are checked against the kernel's overlay.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

mod mount {
    mod acl;
    mod allocate;
    mod attributes;
    mod compatible;
    mod concurrency;
    mod copy_up;
    mod corrupt;
    mod create;
    mod data;
    mod durability;
    mod file_systems;
    mod formats;
    mod fuse_overlayfs;
    mod hard_links;
    mod identities;
    mod inodes;
    mod kernel;
    mod lifecycle;
    mod locks;
    mod lookup;
    mod mapped;
    mod mount8;
    mod nameless;
    mod oci_upper;
    mod open;
    mod options;
    mod privileges;
    mod read_only;
    mod readdir;
    mod refresh;
    mod remove;
    mod rename;
    mod requests;
    mod special;
    mod statfs;
    mod systemd;
    mod unionfs_fuse;
    mod upkeep;
    mod xattrs;
}
