//! Who opens files: the kernel by itself, once OPEN was answered with ENOSYS, or we each time.

use super::mount::AccessPolicy;
use crate::config::Io;
use crate::overlay::Validity;

/// Who opens files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opens {
    /// We are told of each opening and closing.
    Told,
    /// The kernel does by itself: its requests name files by their nodes, and a file whose pages it has costs none.
    ByKernel,
}

/// Decides from what was asked. We must be told where others change the layers, since what was read of a file is checked when it
/// is opened; and where each caller is looked at, as the kernel does not do that for us (`allow_root`).
pub(super) fn who_opens(io: Io, validity: Validity, access: AccessPolicy) -> Opens {
    let must_be_told = validity.attr.is_zero() || access == AccessPolicy::AllowRoot;
    match io {
        Io::Auto | Io::Cached if !must_be_told => Opens::ByKernel,
        Io::Auto | Io::Cached | Io::Open => Opens::Told,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_kernel_opens_files_where_nobody_else_has_to_look() {
        let validity = |seconds| {
            let time = Duration::from_secs(seconds);
            Validity { entry: time, negative: time, attr: time }
        };
        for (io, seconds, access, expected) in [
            (Io::Auto, 60, AccessPolicy::Owner, Opens::ByKernel),
            (Io::Auto, 60, AccessPolicy::AllowOther, Opens::ByKernel),
            (Io::Auto, 60, AccessPolicy::AllowRoot, Opens::Told),
            (Io::Auto, 0, AccessPolicy::AllowOther, Opens::Told),
            (Io::Cached, 60, AccessPolicy::Owner, Opens::ByKernel),
            (Io::Cached, 60, AccessPolicy::AllowOther, Opens::ByKernel),
            (Io::Cached, 60, AccessPolicy::AllowRoot, Opens::Told),
            (Io::Cached, 0, AccessPolicy::AllowOther, Opens::Told),
            (Io::Open, 60, AccessPolicy::AllowOther, Opens::Told),
        ] {
            assert_eq!(who_opens(io, validity(seconds), access), expected, "{io:?} {seconds} {access:?}");
        }
    }
}
