//! `lamina explain`: which layer a path comes from, what it hides, and why something is missing.

mod json;
mod text;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::ValueHint;
use sha2::{Digest as _, Sha256};

pub use self::json::kind_name;
pub use self::text::absent;
use super::epilogue::{Epilogue, Example, Note};
use super::image_args::{SelectArgs, StoreArgs};
use super::opened::{self, Opened};
use super::{Failure, terminal};
use crate::digest::Digest;
use crate::error::Error;
use crate::layer::Found;
use crate::overlay::{Said, Trace};

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example {
            what: "which instruction wrote a file, and what it hides",
            command: "lamina explain app.tar /etc/passwd",
        },
        Example { what: "why a file is missing", command: "lamina explain app.tar /var/lib/apt/lists" },
        Example {
            what: "what a live mount shows, its upper included",
            command: "lamina explain /mnt /etc/motd --json",
        },
    ],
    notes: &[Note {
        heading: "What is shown",
        text: "A line for each layer, the top first: what it has at the path, marked with > where it counts, and in brackets where \
               it is hidden. Symlinks on the way are followed and named; one at the end is not, unless a slash follows. \
               What is missing never existed, was deleted, is hidden by an opaque directory, or lies below something that is no \
               directory. The digest of the content (sha256, 12 digits) is shown where layers differ in it.",
    }],
};

/// Explains SOURCE.
pub const SOURCE: &str = "\
An image, a directory, overlay:TOP:...:BASE, or the mount point of a live mount

A live mount of lamina, recognised by its daemon's answer, is its whole stack, the upper included; `overlay:DIR` means the \
directory itself. No mount is made.";

/// `lamina explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct ExplainArgs {
    #[arg(value_name = "SOURCE", value_hint = ValueHint::AnyPath, help = "An image, a directory, overlay:TOP:...:BASE, or the mount point of a live mount", long_help = SOURCE)]
    source: OsString,
    /// Paths in it, from its root
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<OsString>,
    /// Print JSON: an array with an object for each path
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Prints what each path is, and why.
pub fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let opened = opened::open(&args.source, &args.select, &args.store)?;
    let explained = args
        .paths
        .iter()
        .map(|path| Explained::of(&opened, path.as_bytes()))
        .collect::<Result<Vec<_>, Error>>()?;
    let text = match args.json {
        true => terminal::json(&explained.iter().map(|one| json::of(&opened, one)).collect::<Vec<_>>())?,
        false => {
            let texts: Vec<String> =
                explained.iter().map(|one| text::of(&opened, one, terminal::width())).collect();
            texts.join("\n")
        }
    };
    terminal::print(text.as_bytes())
}

/// A path with all that is said of it.
struct Explained<'s> {
    /// As the caller wrote it.
    asked: Vec<u8>,
    trace: Trace<'s>,
    /// What differs from layer to layer, for each layer of the trace.
    details: Vec<Detail>,
}

/// What a layer has besides its attributes.
struct Detail {
    /// The digest of a regular file's content, where more than one layer has one.
    content: Option<Digest>,
    /// Where a symlink leads.
    target: Option<Vec<u8>>,
    /// What a hidden object has otherwise than the one above that hides it.
    differs: Vec<&'static str>,
}

impl<'s> Explained<'s> {
    fn of(opened: &'s Opened, path: &[u8]) -> Result<Self, Error> {
        let trace = opened.overlay.trace(path)?;
        let files = trace.layers.iter().filter(|said| is_file(said)).count();
        let mut details = Vec::with_capacity(trace.layers.len());
        for said in &trace.layers {
            let content = if files > 1 && is_file(said) { Some(digest(said)?) } else { None };
            details.push(Detail { content, target: said.target()?, differs: Vec::new() });
        }
        let mut above: Option<usize> = None;
        for index in 0..trace.layers.len() {
            let Some(said) = trace.layers.get(index).filter(|said| said.stat().is_some()) else { continue };
            let differs = match above.and_then(|above| trace.layers.get(above).zip(details.get(above))) {
                Some((other, detail)) => {
                    let own = details.get(index);
                    differences((said, own), (other, detail))?
                }
                None => Vec::new(),
            };
            if let Some(detail) = details.get_mut(index) {
                detail.differs = differs;
            }
            above = Some(index);
        }
        Ok(Explained { asked: path.to_vec(), trace, details })
    }
}

fn is_file(said: &Said<'_>) -> bool {
    matches!(&said.found, Found::Leaf(leaf) if leaf.stat.is_regular() && leaf.metacopy.is_none())
}

fn digest(said: &Said<'_>) -> Result<Digest, Error> {
    let mut hasher = Sha256::new();
    said.read(|piece| hasher.update(piece))?;
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

/// What an object has otherwise than the next one above it.
fn differences(
    (below, own): (&Said<'_>, Option<&Detail>),
    (above, detail): (&Said<'_>, &Detail),
) -> Result<Vec<&'static str>, Error> {
    let (Some(lower), Some(upper)) = (below.stat(), above.stat()) else { return Ok(Vec::new()) };
    let is_type = |mode: u32| mode & libc::S_IFMT;
    if is_type(lower.mode) != is_type(upper.mode) {
        return Ok(vec!["type"]);
    }
    let own = own.map(|own| (own.content, &own.target));
    let others = [
        ("content", own != Some((detail.content, &detail.target))),
        ("mode", lower.mode != upper.mode),
        ("owner", (lower.uid, lower.gid) != (upper.uid, upper.gid)),
        ("device", (lower.rdev_major, lower.rdev_minor) != (upper.rdev_major, upper.rdev_minor)),
        ("xattrs", below.xattrs()? != above.xattrs()?),
    ];
    Ok(others.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect())
}
