//! What commands share that look at an upper, or change it, while nothing is mounted.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::Failure;
use super::image_args::{SelectArgs, StoreArgs};
use super::opened::{self, Known};
use crate::control::mounts::{self, State};
use crate::control::table::Mount;
use crate::control::{kernel_overlay, table};
use crate::error::describe;
use crate::source::preflight::{Refusal, Role};

/// A directory, by its absolute path without symbolic links.
pub fn directory(path: &Path, role: Role) -> Result<PathBuf, Failure> {
    let cannot = |why: &str| Failure::trouble(format!("{role} '{}' cannot be used: {why}", path.display()));
    let real = fs::canonicalize(path).map_err(|error| cannot(&describe(&error)).hint("check the path"))?;
    match real.is_dir() {
        true => Ok(real),
        false => Err(cannot("it is not a directory").hint(match role {
            Role::Work => "give the directory that --work (workdir=) names",
            Role::Upper | Role::Layer | Role::DataLayer => {
                "give the directory that --upper (upperdir=) names"
            }
        })),
    }
}

/// An upper directory; not the mount that has one.
pub fn upper(path: &Path) -> Result<PathBuf, Failure> {
    let real = directory(path, Role::Upper)?;
    let mounts = mount_table()?;
    let mount = table::at(&mounts, &real).filter(|mount| mounts::is_fuse(&mount.fs_type));
    match mount.map(mounts::ask) {
        Some(State::Live(info)) => {
            let failure = Failure::usage(format!("'{}' is a mount, not an upper directory", path.display()));
            Err(match &info.upper {
                Some(upper) => failure.hint(format!(
                    "unmount it with lamina umount, then name its upper: '{}'",
                    PathBuf::from(upper).display()
                )),
                None => failure.hint("it is read-only and has no upper"),
            })
        }
        _ => Ok(real),
    }
}

/// What an upper lies over: several sources, the top first, as one stack.
pub fn lowers(
    sources: &[OsString],
    select: &SelectArgs,
    store: &StoreArgs,
) -> Result<Option<Known>, Failure> {
    let mut below: Option<Known> = None;
    for source in sources.iter().rev() {
        let found = opened::find(source, select, store)?;
        below = Some(match below {
            None => found,
            Some(below) => found.over(below)?,
        });
    }
    Ok(below)
}

fn mount_table() -> Result<Vec<Mount>, Failure> {
    table::read().map_err(|error| {
        Failure::trouble(format!("the table of mounts cannot be read: {}", describe(&error)))
            .hint("mount /proc: lamina looks there for other users of the upper")
    })
}

/// The kernel's overlay must not have the upper or the work directory: no lock of ours meets it.
pub fn refuse_the_kernels(upper: &Path, work: Option<&Path>) -> Result<(), Failure> {
    let mounts = mount_table()?;
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
