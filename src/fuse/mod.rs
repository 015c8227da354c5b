//! The kernel's side of a mount: the only room that knows FUSE.
//!
//! fuser answers INIT and sends notifications. The requests themselves are read, decoded and encoded here:
//! [`wire`] is the codec, the [`Adapter`] turns a request value into one call of the union and its result into a reply
//! value, a [`Mounted`] session carries both over /dev/fuse. `docs/protocol.md` says which requests come and why.

mod adapter;
mod forget;
mod label;
mod mount;
mod negotiate;
mod opens;
mod session;
mod stats;
mod turns;
pub mod wire;

pub use adapter::{Adapter, Scratch};
pub use label::{Label, LabelOption};
pub use mount::{AccessPolicy, MountError, MountSpec, PermissionChecks, Unmounter, VfsFlags};
pub use session::{Mounted, mount};
pub use stats::Observer;
