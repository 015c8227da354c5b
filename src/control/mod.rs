//! Talking to live mounts: which there are, which stack each has, and taking one away.
//!
//! A live mount answers a [`MountInfo`] as JSON, as the value of the extended attribute [`MOUNT_XATTR`] of its root.

#[cfg(feature = "cli")]
mod info;
#[cfg(feature = "cli")]
pub mod kernel_overlay;
#[cfg(feature = "cli")]
pub mod mounts;
#[cfg(feature = "cli")]
mod patience;
#[cfg(feature = "cli")]
mod reach;
#[cfg(feature = "cli")]
pub mod refresh;
pub mod snapshot;
#[cfg(feature = "cli")]
pub mod stats;
#[cfg(feature = "cli")]
pub mod table;
#[cfg(feature = "cli")]
pub mod unmount;

#[cfg(feature = "cli")]
pub use info::{LayerInfo, MountInfo, PathText};
#[cfg(feature = "cli")]
pub use reach::ReachError;

use std::ffi::CStr;

/// With this the names of all attributes begin that a mount's root answers by itself. Nobody sets or removes one.
pub const OWN_XATTRS: &[u8] = b"user.lamina.";

/// The attribute of a mount's root that describes the mount. It is never listed.
pub const MOUNT_XATTR: &CStr = c"user.lamina.mount";

/// Asking for this attribute of a mount's root makes the mount forget what it knows of its lowers; the answer is
/// [`REFRESHED`]. A name to get, and not one to set, because that is what a read-only mount lets through. Never listed.
pub const REFRESH_XATTR: &CStr = c"user.lamina.refresh";

/// What a mount answers when it has forgotten.
pub const REFRESHED: &[u8] = b"refreshed";

/// The attribute of a mount's root that tells what the mount has done and what it holds ([`snapshot::Snapshot`], as JSON). Never
/// listed.
pub const STATS_XATTR: &CStr = c"user.lamina.stats";

/// The type of our mounts in /proc/mounts.
pub const FS_TYPE: &str = "fuse.lamina";
