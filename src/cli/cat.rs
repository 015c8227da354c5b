//! `lamina cat`: files of a SOURCE, byte for byte.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::Failure;
use super::epilogue::{Epilogue, Example, Note};
use super::explain::SOURCE;
use super::image_args::{SelectArgs, StoreArgs};
use super::opened::{self, AtEnd, Opened, SelectionArgs};
use super::shell::quoted;
use super::terminal::{Out, Reader, shown_bytes};
use crate::error::ErrorContext;
use crate::overlay::{Access, FileKind, HandleId, OpenMode, Truncate};
use crate::path::RelPath;

/// One read, bytes.
const CHUNK: usize = 256 << 10;

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example { what: "a file of an image", command: "lamina cat app.tar /etc/os-release" },
        Example {
            what: "a file as it was before layer 3 changed it",
            command: "lamina cat app.tar /etc/passwd --up-to 2",
        },
    ],
    notes: &[Note {
        heading: "What is printed",
        text: "The bytes of each file, one after the other, holes as zeros. Symlinks are followed within the source. Of several files, \
               those that cannot be printed are told on standard error, and the exit code is 1.",
    }],
};

/// `lamina cat`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct CatArgs {
    #[arg(value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath, help = "An image, a directory, overlay:TOP:...:BASE, or the mount point of a live mount", long_help = SOURCE)]
    source: OsString,
    /// Files in it, from its root
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<OsString>,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Prints the files.
pub fn run(args: &CatArgs) -> Result<(), Failure> {
    let opened = opened::open_selected(&args.source, &args.select, &args.store, args.selection.selection())?;
    let mut out = Out::new();
    let mut failed: Option<Failure> = None;
    for path in &args.paths {
        match file(&opened, path.as_bytes(), &mut out) {
            Ok(Reader::There) => {}
            Ok(Reader::Gone) => break,
            Err(failure) => {
                if let Some(before) = failed.replace(failure) {
                    eprintln!("{before}");
                }
            }
        }
    }
    out.finish()?;
    failed.map_or(Ok(()), Err)
}

fn file(opened: &Opened, path: &[u8], out: &mut Out) -> Result<Reader, Failure> {
    let found = opened.resolve(path, AtEnd::Follow)?;
    let what = match found.entry.attr.kind {
        FileKind::Regular => None,
        FileKind::Directory => Some("a directory"),
        FileKind::Symlink => Some("a symlink"),
        FileKind::CharDevice | FileKind::BlockDevice => Some("a device"),
        FileKind::Fifo => Some("a fifo"),
        FileKind::Socket => Some("a socket"),
    };
    if let Some(what) = what {
        let shown = shown_bytes(path);
        let failure = Failure::trouble(format!("'{shown}' in '{}' is {what}, not a file", opened.name));
        return Err(match found.entry.attr.kind {
            FileKind::Directory => {
                failure.hint(format!("lamina ls {} {} lists it", opened.pasted(), quoted(path)))
            }
            _ => failure,
        });
    }
    let overlay = &opened.overlay;
    let mode = OpenMode { access: Access::Read, truncate: Truncate::Keep };
    let failure = |error| opened.failure(&error);
    let handle = overlay.open(found.entry.node, mode).at(found.path.as_bytes()).map_err(failure)?.handle;
    let copied = copy(opened, handle, &found.path, out);
    overlay.release(handle);
    overlay.forget(found.entry.node, 1);
    copied
}

fn copy(opened: &Opened, handle: HandleId, path: &RelPath, out: &mut Out) -> Result<Reader, Failure> {
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        let read = opened.overlay.read(handle, offset, &mut buffer).at(path.as_bytes());
        let read = read.map_err(|error| opened.failure(&error))?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if out.write(bytes)? == Reader::Gone {
            return Ok(Reader::Gone);
        }
        if read == 0 {
            return Ok(Reader::There);
        }
        offset += read as u64;
    }
}
