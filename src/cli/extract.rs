//! `lamina extract`: a file or a subtree of a SOURCE, copied out of it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::ValueHint;

use super::epilogue::{Epilogue, Example, Note};
use super::explain::SOURCE;
use super::image_args::{SelectArgs, StoreArgs};
use super::opened::{self, AtEnd, Opened, Resolved, Role, SelectionArgs};
use super::progress::Writing;
use super::terminal::shown;
use super::{Failure, unpack as told};
use crate::error::{Error, Kind, describe};
use crate::overlay::FileKind;
use crate::path::{NameBuf, RelPath};
use crate::unpack::{self, Form, Names, Staging, Written};

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example {
            what: "one file, into the current directory",
            command: "lamina extract app.tar /etc/passwd .",
        },
        Example { what: "a directory with all in it", command: "lamina extract app.tar /usr/share/doc docs" },
        Example { what: "what layer 3 alone brings", command: "lamina extract app.tar / layer-3 --layer 3" },
    ],
    notes: &[Note {
        heading: "What is copied",
        text: "As cp -a does: types, modes, times, extended attributes, hard links within the copy, holes; owners and devices as \
               far as this user may. What cannot be set is warned of once, with its number. A symlink is copied as one, unless a slash \
               comes after PATH. Nothing is ever replaced: all is made in .NAME.lamina-unpack beside the target, and one \
               rename makes it visible.",
    }],
};

const DEST: &str = "\
What the copy is called, or the directory that it goes into

As with cp: if DEST is a directory, the copy goes into it under its own name; if there is nothing, DEST is the name of the copy. \
The whole source (PATH /) becomes DEST itself, which is not there yet, or is an empty directory.";

/// `lamina extract`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct ExtractArgs {
    #[arg(value_name = "SOURCE", value_hint = ValueHint::AnyPath, help = "An image, a directory, overlay:TOP:...:BASE, or the mount point of a live mount", long_help = SOURCE)]
    source: OsString,
    /// A file or directory in it, from its root
    #[arg(value_name = "PATH")]
    path: OsString,
    #[arg(value_name = "DEST", value_hint = ValueHint::AnyPath, help = "What the copy is called, or the directory that it goes into", long_help = DEST)]
    dest: PathBuf,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Copies.
pub fn run(args: &ExtractArgs) -> Result<(), Failure> {
    let opened = opened::open_selected(&args.source, &args.select, &args.store, args.selection.selection())?;
    let path = args.path.as_bytes();
    let found = opened.resolve(path, AtEnd::Stay)?;
    let is_dir = found.entry.attr.kind == FileKind::Directory;
    if !is_dir && args.dest.as_os_str().as_bytes().ends_with(b"/") && !args.dest.is_dir() {
        return Err(Failure::trouble(format!("'{}' is not a directory", shown(&args.dest)))
            .hint("leave the slash out if the copy is to be called so"));
    }
    let target = target(&args.dest, own_name(path, &found.path).as_ref())?;
    let staging = Staging::begin(&target).map_err(|error| target_failure(&target, &error))?;
    // How much is below a directory, only a walk of it would tell.
    let size = (!is_dir).then_some(found.entry.attr.size);
    let bar = Writing::new(args.store.quiet, size);
    let losses = copy(&opened, &found, &staging, &|bytes| bar.advance(bytes))?;
    drop(bar);
    let published = if is_dir { staging.publish() } else { staging.publish_file() };
    published.map_err(|error| target_failure(&target, &error))?;
    for line in told::warnings(&losses) {
        log::warn!("{line}");
    }
    Ok(())
}

fn copy(
    opened: &Opened,
    found: &Resolved,
    staging: &Staging,
    written: Written<'_>,
) -> Result<unpack::Losses, Failure> {
    let (union, form) = (&opened.overlay, Form::copy());
    let copied = match found.entry.attr.kind {
        FileKind::Directory => {
            // The count of a file in an upper is right; that of one in a tar does not know of links from layers above.
            let has_upper = opened.layers.iter().any(|layer| layer.role == Role::Upper);
            let names = if has_upper { Names::ByCount } else { Names::Any };
            unpack::tree(union, found.entry.node, names, staging.dir(), form, written)
        }
        _ => {
            let name = staging.file_name();
            unpack::leaf(union, &found.entry, staging.dir(), name.as_name(), form, written)
        }
    };
    copied.map_err(|error| opened.failure(&error))
}

/// What the copy is called in a directory: the last name that the caller has written, or, where that says nothing, the one
/// that the object has. The root has none.
fn own_name(asked: &[u8], found: &RelPath) -> Option<NameBuf> {
    let last = asked.split(|byte| *byte == b'/').rfind(|part| !part.is_empty()).map(<[u8]>::to_vec);
    let asked = last.and_then(|last| NameBuf::new(last).ok());
    let (_, own) = found.split_last()?;
    Some(asked.unwrap_or_else(|| own.to_owned()))
}

/// Where the copy will be.
fn target(dest: &Path, name: Option<&NameBuf>) -> Result<PathBuf, Failure> {
    let there = |path: &Path| {
        Failure::trouble(format!("'{}' is there already", shown(path)))
            .hint("nothing is replaced: remove it, or give another DEST")
    };
    match (fs::metadata(dest), name) {
        (Ok(meta), Some(name)) if meta.is_dir() => {
            let target = dest.join(name.as_name().as_os_str());
            match target.symlink_metadata() {
                Ok(_) => Err(there(&target)),
                // What else is wrong with it shows when it is made.
                Err(_) => Ok(target),
            }
        }
        // It must be empty, which is looked at when it is replaced.
        (Ok(meta), None) if meta.is_dir() => Ok(dest.to_owned()),
        (Ok(_), _) => Err(there(dest)),
        (Err(error), _) if error.kind() == io::ErrorKind::NotFound => match dest.symlink_metadata() {
            Ok(_) => Err(there(dest)),
            Err(_) => Ok(dest.to_owned()),
        },
        (Err(error), _) => Err(Failure::trouble(format!("'{}': {}", shown(dest), describe(&error)))),
    }
}

fn target_failure(target: &Path, error: &Error) -> Failure {
    let shown = shown(target);
    match error.kind() {
        Kind::NotEmpty => Failure::trouble(format!("directory '{shown}' is not empty"))
            .hint("the whole source becomes DEST itself: give one that is empty, or is not there yet"),
        Kind::Exists => Failure::trouble(format!("'{shown}' is there already"))
            .hint("nothing is replaced: remove it, or give another DEST"),
        Kind::InUse => Failure::trouble(format!("another lamina is writing '{shown}'"))
            .hint("wait for it, or give another DEST"),
        kind => Failure::trouble(format!("'{shown}' cannot be made: {kind}"))
            .hint("check that the directory above it is there, and that you may write to it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_called_as_the_caller_has_named_it() {
        let path = |text: &str| RelPath::new(text.as_bytes()).unwrap();
        for (asked, found, name) in [
            ("/etc/passwd", "etc/passwd", Some("passwd")),
            ("latest/", "releases/v3", Some("latest")),
            ("etc/..", "", None),
            ("/", "", None),
            ("a/b/..", "a", Some("a")),
            ("a/.", "a", Some("a")),
        ] {
            let name = name.map(|name| NameBuf::new(name.as_bytes()).unwrap());
            assert_eq!(own_name(asked.as_bytes(), &path(found)), name, "{asked}");
        }
    }

    #[test]
    fn the_target_is_in_a_directory_that_is_there_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
        let name = NameBuf::new(&b"name"[..]).unwrap();
        assert_eq!(target(&at("new"), Some(&name)), Ok(at("new")));
        assert_eq!(target(dir.path(), Some(&name)), Ok(at("name")));
        assert_eq!(target(dir.path(), None), Ok(dir.path().to_owned()));
        let file = NameBuf::new(&b"file"[..]).unwrap();
        for (dest, name) in [(at("file"), &name), (at("dangling"), &name), (dir.path().to_owned(), &file)] {
            let said = target(&dest, Some(name)).unwrap_err();
            assert!(said.message.ends_with("' is there already"), "{said:?}");
        }
    }
}
