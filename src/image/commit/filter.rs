//! Which extended attributes belong into an image.

use std::collections::BTreeMap;

use super::CommitError;
use crate::error::Kind;
use crate::overlay::{NodeId, Overlay, Trusted};

/// What an image takes along: users' own attributes, and those that a kernel on any machine understands. Labels of security
/// modules and measurements (`security.selinux`, `security.ima`, ...) are about the machine they were made on, and what else is
/// in `system.` is a file system's own.
const EXACT: [&[u8]; 3] = [b"security.capability", b"system.posix_acl_access", b"system.posix_acl_default"];
const PREFIXES: [&[u8]; 2] = [b"user.", b"trusted."];

/// Does an attribute mean the same on another machine?
pub fn is_portable(name: &[u8]) -> bool {
    EXACT.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The attributes of an object that go into its entry.
pub fn xattrs(union: &Overlay, node: NodeId) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, CommitError> {
    let names = union.listxattr(node, Trusted::Shown)?;
    let names = names.split(|b| *b == 0).filter(|name| is_portable(name));
    let mut xattrs = BTreeMap::new();
    for name in names {
        match union.getxattr(node, name) {
            Ok(value) => {
                xattrs.insert(name.to_vec(), value);
            }
            // Removed since it was listed, under a live mount.
            Err(error) if *error.kind() == Kind::NoAttribute => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(xattrs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_takes_along_what_means_the_same_elsewhere() {
        for (name, taken) in [
            (&b"user.a"[..], true),
            (b"user.overlay.x", true),
            (b"trusted.a", true),
            (b"security.capability", true),
            (b"system.posix_acl_access", true),
            (b"system.posix_acl_default", true),
            (b"security.selinux", false),
            (b"security.ima", false),
            (b"security.capability2", false),
            (b"system.nfs4_acl", false),
            (b"", false),
        ] {
            assert_eq!(is_portable(name), taken, "{}", name.escape_ascii());
        }
    }
}
