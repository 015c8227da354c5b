//! What commands share that look at an upper, or change it, while nothing is mounted.

use std::fs;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::control::{kernel_overlay, table};
use crate::error::describe;
use crate::source::preflight::{Refusal, Role};

/// A directory, by its absolute path without symbolic links.
pub fn directory(path: &Path, what: &str) -> Result<PathBuf, Failure> {
    let cannot = |why: &str| Failure::trouble(format!("{what} '{}' cannot be used: {why}", path.display()));
    let real = fs::canonicalize(path).map_err(|error| cannot(&describe(&error)).hint("check the path"))?;
    match real.is_dir() {
        true => Ok(real),
        false => {
            Err(cannot("it is not a directory").hint("give the directory that --upper (upperdir=) names"))
        }
    }
}

/// The kernel's overlay must not have the upper or the work directory: no lock of ours meets it.
pub fn refuse_the_kernels(upper: &Path, work: Option<&Path>) -> Result<(), Failure> {
    let mounts = table::read().map_err(|error| {
        Failure::trouble(format!("the table of mounts cannot be read: {}", describe(&error)))
            .hint("mount /proc: lamina looks there for other users of the upper")
    })?;
    for (role, path) in [(Role::Upper, Some(upper)), (Role::Work, work)] {
        if let Some(path) = path
            && let Some(mountpoint) = kernel_overlay::user_of(&mounts, path)
        {
            let (path, mountpoint) = (path.to_owned(), mountpoint.to_owned());
            return Err(Refusal::InUseByKernel { role, path, mountpoint }.into());
        }
    }
    Ok(())
}
