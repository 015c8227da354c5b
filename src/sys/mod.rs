//! Safe wrappers of system calls; the only room with `unsafe`.
#![allow(unsafe_code)]

#[cfg(feature = "cli")]
pub mod daemon;
#[cfg(feature = "cli")]
pub mod live;
