//! INIT: which capabilities a mount asks for. `docs/protocol.md` has the reason of each.

use std::io;
use std::time::Duration;

use fuser::{InitFlags, KernelConfig, Request, Version};

use super::opens::Opens;
use super::wire::{MAX_IO, OLDEST_ABI};
use crate::config::Acl;

/// Without these the adapter would answer wrongly. All are older than [`OLDEST_ABI`].
const NEEDED: InitFlags = InitFlags::FUSE_DONT_MASK
    .union(InitFlags::FUSE_BIG_WRITES)
    .union(InitFlags::FUSE_MAX_PAGES)
    .union(InitFlags::FUSE_NO_OPENDIR_SUPPORT)
    .union(InitFlags::FUSE_HANDLE_KILLPRIV_V2)
    .union(InitFlags::FUSE_SETXATTR_EXT);

/// These make it faster where the kernel has them.
const WELCOME: InitFlags = InitFlags::FUSE_ASYNC_READ
    .union(InitFlags::FUSE_ASYNC_DIO)
    .union(InitFlags::FUSE_DO_READDIRPLUS)
    .union(InitFlags::FUSE_PARALLEL_DIROPS);

/// Requests that the kernel sends ahead of their need, before it makes callers wait.
const MAX_BACKGROUND: u16 = 64;

/// When the kernel throws away what it has read of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataCache {
    /// When it is told so: nobody but us changes files.
    UntilTold,
    /// When size or time of change are others than before (`timeout=0`).
    WhileUnchanged,
}

/// Answers INIT, and nothing else: fuser's own loop never runs.
#[derive(Debug)]
pub(super) struct Negotiator {
    pub(super) acl: Acl,
    pub(super) data: DataCache,
    pub(super) opens: Opens,
}

impl fuser::Filesystem for Negotiator {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let abi = config.kernel_abi();
        if abi < Version(OLDEST_ABI.0, OLDEST_ABI.1) {
            return Err(unsuitable(format!(
                "its interface is {abi}, and the oldest that works is {}.{} (Linux 5.17)",
                OLDEST_ABI.0, OLDEST_ABI.1
            )));
        }
        let acl = match self.acl {
            Acl::On => InitFlags::FUSE_POSIX_ACL,
            Acl::Off => InitFlags::empty(),
        };
        let data = match self.data {
            DataCache::UntilTold => InitFlags::FUSE_EXPLICIT_INVAL_DATA | InitFlags::FUSE_CACHE_SYMLINKS,
            DataCache::WhileUnchanged => InitFlags::FUSE_AUTO_INVAL_DATA,
        };
        let opens = match self.opens {
            Opens::Told => InitFlags::empty(),
            Opens::ByKernel => InitFlags::FUSE_NO_OPEN_SUPPORT,
        };
        config
            .add_capabilities(NEEDED | acl | opens)
            .map_err(|missing| unsuitable(format!("it cannot do {missing:?}")))?;
        config
            .add_capabilities((WELCOME | data) & config.capabilities())
            .map_err(|missing| unsuitable(format!("it cannot do {missing:?}")))?;
        // Each setter answers with the nearest value that it would take.
        config.set_max_write(MAX_IO).map_err(|most| unsuitable(format!("it writes {most} bytes at most")))?;
        config
            .set_max_background(MAX_BACKGROUND)
            .map_err(|least| unsuitable(format!("it wants {least} background requests")))?;
        config
            .set_time_granularity(Duration::from_nanos(1))
            .map_err(|nearest| unsuitable(format!("its times are in units of {nearest:?}")))?;
        // max_readahead stays as fuser starts it: the most that the kernel allows.
        Ok(())
    }
}

fn unsuitable(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}
