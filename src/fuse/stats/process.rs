//! What the process that serves takes: of the system's own accounts.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{SysconfVar, sysconf};

use crate::control::snapshot::{Process, Used};

/// As of now; zeros where /proc is not to be had.
pub(super) fn now() -> Process {
    // The listing's own descriptor is among them.
    let open = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1));
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or_default();
    Process {
        resident_bytes: resident().unwrap_or(0),
        descriptors: Used { open: super::number(open), limit },
    }
}

/// The second field of statm (proc_pid_statm(5)), in pages.
fn resident() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
    pages.checked_mul(u64::try_from(page).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let Process { resident_bytes, descriptors } = now();
        assert!(resident_bytes > 1 << 16, "{resident_bytes}");
        assert!((3..=descriptors.limit).contains(&descriptors.open), "{descriptors:?}");
    }
}
