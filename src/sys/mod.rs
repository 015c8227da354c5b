//! Safe wrappers of system calls; the only room with `unsafe`.
#![allow(unsafe_code)]

#[cfg(feature = "fuse")]
pub mod fuse_dev;
