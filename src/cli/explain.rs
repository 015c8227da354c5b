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
use text::Look;

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
               it is hidden. DIFFERS says what is otherwise than in the next one above. Where contents differ, CONTENT has their \
               digests (sha256, 12 digits). Sizes, modes and owners are those in the layer. \
               Symlinks on the way are followed and named; one at the end is not, unless a slash follows. \
               What is missing never existed, was deleted, is hidden by an opaque directory, or lies below something that is no \
               directory. A path that cannot be explained (a name that is too long, a loop of symlinks, a layer that cannot be \
               read) is told on standard error, the others are explained, and the exit code is 1; that nothing is there is an answer.",
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
    let mut explained = Vec::with_capacity(args.paths.len());
    let mut failed: Option<Failure> = None;
    for path in &args.paths {
        match Explained::of(&opened, path.as_bytes(), Contents::All) {
            Ok(one) => explained.push(one),
            Err(error) => {
                let path = terminal::shown_bytes(path.as_bytes());
                let failure = Failure::trouble(format!("'{path}' cannot be explained: {error}"));
                if let Some(before) = failed.replace(failure) {
                    eprintln!("{before}");
                }
            }
        }
    }
    let text = match args.json {
        true => terminal::json(&explained.iter().map(|one| json::of(&opened, one)).collect::<Vec<_>>())?,
        false => {
            let look = Look { width: terminal::width(), colours: terminal::colours() };
            let texts: Vec<String> = explained.iter().map(|one| text::of(&opened, one, look)).collect();
            texts.join("\n")
        }
    };
    terminal::print(text.as_bytes())?;
    failed.map_or(Ok(()), Err)
}

/// How much of files is read to tell whether their contents differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// All of it.
    All,
    /// Nothing, where the files at a path have more bytes than this together.
    UpTo(u64),
}

/// The explanation of a path for people, without colours; `width` in cells.
pub fn plain_text(opened: &Opened, path: &[u8], width: usize, contents: Contents) -> Result<String, Error> {
    let explained = Explained::of(opened, path, contents)?;
    Ok(text::of(opened, &explained, Look { width: Some(width), colours: false }))
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
    /// What a regular file has in it, where layers differ in that.
    content: Content,
    /// Where a symlink leads.
    target: Option<Vec<u8>>,
    /// What a hidden object has otherwise than the one above that hides it.
    differs: Vec<&'static str>,
}

/// What a regular file has in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// There is no file, or nothing to tell it from.
    Untold,
    /// Its digest.
    Is(Digest),
    /// The layer does not let it be read: to who is not root, files of others may be closed.
    Unreadable,
    /// It is more than is read unasked.
    TooLong,
}

impl<'s> Explained<'s> {
    fn of(opened: &'s Opened, path: &[u8], contents: Contents) -> Result<Self, Error> {
        let trace = opened.overlay.trace(path)?;
        let sizes: Vec<u64> = trace.layers.iter().filter(|said| is_file(said)).map(size).collect();
        let is_read = match contents {
            Contents::All => true,
            Contents::UpTo(most) => sizes.iter().fold(0_u64, |sum, size| sum.saturating_add(*size)) <= most,
        };
        let mut details = Vec::with_capacity(trace.layers.len());
        for said in &trace.layers {
            let content = match sizes.len() > 1 && is_file(said) {
                true if is_read => content(said),
                true => Content::TooLong,
                false => Content::Untold,
            };
            details.push(Detail { content, target: said.target()?, differs: Vec::new() });
        }
        let mut told = details.iter().map(|detail| detail.content).filter(|one| *one != Content::Untold);
        if told.next().is_some_and(|first| matches!(first, Content::Is(_)) && told.all(|one| one == first)) {
            details.iter_mut().for_each(|detail| detail.content = Content::Untold);
        }
        let mut above: Option<usize> = None;
        let mut content_above = Content::Untold;
        for index in 0..trace.layers.len() {
            let Some(said) = trace.layers.get(index).filter(|said| said.stat().is_some()) else { continue };
            let mut differs = match above.and_then(|above| trace.layers.get(above).zip(details.get(above))) {
                Some((other, detail)) => differences((said, details.get(index)), (other, detail)),
                None => Vec::new(),
            };
            // A copy of the metadata only has the content of the one below.
            let own = details.get(index).map_or(Content::Untold, |detail| detail.content);
            if let (Content::Is(above), Content::Is(own)) = (content_above, own)
                && above != own
                && !differs.contains(&"type")
            {
                differs.insert(0, "content");
            }
            if own != Content::Untold {
                content_above = own;
            }
            if let Some(detail) = details.get_mut(index) {
                detail.differs = differs;
            }
            above = Some(index);
        }
        Ok(Explained { asked: path.to_vec(), trace, details })
    }
}

/// Has the layer a regular file there, with its data?
pub fn is_file(said: &Said<'_>) -> bool {
    matches!(&said.found, Found::Leaf(leaf) if leaf.stat.is_regular() && leaf.metacopy.is_none())
}

fn size(said: &Said<'_>) -> u64 {
    said.stat().map_or(0, |stat| stat.size)
}

/// What a file has in it: it is read.
pub fn content(said: &Said<'_>) -> Content {
    let mut hasher = Sha256::new();
    match said.read(|piece| hasher.update(piece)) {
        Ok(()) => Content::Is(Digest::from_bytes(hasher.finalize().into())),
        Err(error) => {
            log::debug!("{error}");
            Content::Unreadable
        }
    }
}

/// What an object has otherwise than the next one above it, but for a file's content. What cannot be read is not compared.
fn differences(
    (below, own): (&Said<'_>, Option<&Detail>),
    (above, detail): (&Said<'_>, &Detail),
) -> Vec<&'static str> {
    let (Some(lower), Some(upper)) = (below.stat(), above.stat()) else { return Vec::new() };
    let is_type = |mode: u32| mode & libc::S_IFMT;
    if is_type(lower.mode) != is_type(upper.mode) {
        return vec!["type"];
    }
    let (Some(lower), Some(upper)) = (below.own_stat(), above.own_stat()) else { return Vec::new() };
    let xattrs = || matches!((below.xattrs(), above.xattrs()), (Ok(below), Ok(above)) if below != above);
    let others = [
        ("target", own.is_some_and(|own| own.target != detail.target)),
        ("mode", lower.mode != upper.mode),
        ("owner", (lower.uid, lower.gid) != (upper.uid, upper.gid)),
        ("device", (lower.rdev_major, lower.rdev_minor) != (upper.rdev_major, upper.rdev_minor)),
        ("xattrs", xattrs()),
    ];
    others.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
}
