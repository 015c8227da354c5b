//! `lamina ls`: what is in a SOURCE, with the layer that each name comes from.

mod json;
mod rows;
mod text;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

pub use self::json::Device;
use self::json::Json;
use self::rows::{Deleted, Depth, Lister, Row};
pub use self::text::mode;
use self::text::{Form, Text};
use super::Failure;
use super::epilogue::{Epilogue, Example, Note};
use super::explain::SOURCE;
use super::image_args::{SelectArgs, StoreArgs};
use super::opened::{self, AtEnd, SelectionArgs};
use super::terminal::Reader;
use crate::overlay::FileKind;

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example { what: "a directory of an image, with the layers", command: "lamina ls -l app.tar /etc" },
        Example {
            what: "all that layer 3 brings, and all that it deletes",
            command: "lamina ls -R --deleted --layer 3 app.tar",
        },
        Example {
            what: "the ten largest files, for a script",
            command: "lamina ls -R --json app.tar | jq -r 'sort_by(.size)[-10:][] | .path'",
        },
    ],
    notes: &[Note {
        heading: "What is shown",
        text: "A line for each name, sorted by bytes: all names, those that begin with a dot among them. The layer is the one that \
               supplies it (1 is the base), of a directory the one that its attributes come from. With -l: type and mode, links, owner, \
               size in bytes or device number, time of change in UTC, name. With -R, each name is the path from PATH. \
               Control characters and what is not UTF-8 are escaped. A symlink as PATH is followed where it leads \
               to a directory; with -l or --json only if a slash comes after it. A deleted name is shown with the layer that \
               deletes it; what an opaque directory hides is not shown.",
    }],
};

/// `lamina ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct LsArgs {
    #[arg(value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath, help = "An image, a directory, overlay:TOP:...:BASE, or the mount point of a live mount", long_help = SOURCE)]
    source: OsString,
    /// A directory or anything else in it, from its root [default: /]
    #[arg(value_name = "PATH")]
    path: Option<OsString>,
    /// Show type, mode, links, owner, size and time, and where symlinks lead
    #[arg(short)]
    long: bool,
    /// Show the directories in it, too, with all below them
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Nothing: all names are shown in any case
    #[arg(short, long, hide = true)]
    all: bool,
    /// Show the names, too, that a layer deletes
    #[arg(long)]
    deleted: bool,
    /// Print JSON: an array with an object for each name
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// When rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// All of a directory before the first of them: for the widths of columns.
    Ahead,
    /// One after the other.
    InTurn,
}

/// Where rows go.
trait Sink {
    /// When it wants to know rows.
    fn wants(&self) -> Wants;
    /// These rows come next, though others may come between them: where they are wanted ahead.
    fn announce(&mut self, rows: &mut dyn Iterator<Item = &Row>);
    /// The next row.
    fn row(&mut self, row: &Row) -> Result<Reader, Failure>;
    /// There are no more.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// Prints the names.
pub fn run(args: &LsArgs) -> Result<(), Failure> {
    let opened = opened::open_selected(&args.source, &args.select, &args.store, args.selection.selection())?;
    let path = args.path.as_deref().map_or(&b"/"[..], OsStrExt::as_bytes);
    let mut found = opened.resolve(path, AtEnd::Stay)?;
    if found.entry.attr.kind == FileKind::Symlink && !args.long && !args.json {
        // One that leads nowhere, or to no directory, is shown itself.
        match opened.resolve(path, AtEnd::Follow) {
            Ok(target) if target.entry.attr.kind == FileKind::Directory => found = target,
            Ok(_) | Err(_) => {}
        }
    }
    let form = if args.long { Form::Long } else { Form::Short };
    let mut sink: Box<dyn Sink> = match args.json {
        true => Box::new(Json::new()),
        false => Box::new(Text::new(form, &found.path, path, opened.layers.len())),
    };
    let lister = Lister {
        opened: &opened,
        depth: if args.recursive { Depth::Whole } else { Depth::One },
        deleted: if args.deleted { Deleted::Shown } else { Deleted::LeftOut },
    };
    let listed = lister.list(found, &mut *sink)?;
    sink.finish()?;
    listed.map_or(Ok(()), Err)
}
