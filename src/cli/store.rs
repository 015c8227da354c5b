//! `lamina store`.

mod check;
mod gc;
mod ls;
mod rm;

use std::path::PathBuf;

use clap::ValueHint;

use super::Failure;
use super::epilogue::{Epilogue, Example, Note};
use crate::digest::Digest;
use crate::image::store::Store;

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example { what: "what is stored, and for which images", command: "lamina store ls" },
        Example { what: "read all of it again", command: "lamina store verify" },
        Example {
            what: "what could go: layers of images that are gone, or not used for a month",
            command: "lamina store gc --older-than 30 --dry-run",
        },
        Example {
            what: "one layer goes, by the beginning of its diff_id",
            command: "lamina store rm 4d5cf1",
        },
    ],
    notes: &[Note {
        heading: "The store",
        text: "Layers that are compressed in their image are decompressed into the store, once; of others it has an index \
               only. All of it can be made again from the images, and nothing that is mounted is ever removed. lamina store \
               ls has in brackets the images whose file is gone or has changed. Its sizes are those of whole tars, with their \
               headers; lamina layers and inspect count the bytes of the files.",
    }],
};

/// `lamina store`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help(), arg_required_else_help = true, disable_help_subcommand = true)]
pub struct StoreCommand {
    /// What to do
    #[command(subcommand)]
    action: Action,
    /// The store's directory [default: lamina's directory in $XDG_DATA_HOME; root: /var/lib/lamina]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    store: Option<PathBuf>,
}

/// What is done with the store.
#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the layers in the store
    Ls(ls::LsArgs),
    /// Read the layers again, and compare them with what they should be
    Verify(check::VerifyArgs),
    /// Remove layers
    Rm(rm::RmArgs),
    /// Remove what no image needs any more
    Gc(gc::GcArgs),
}

/// Does it.
pub fn run(args: &StoreCommand) -> Result<(), Failure> {
    let dir = match &args.store {
        Some(dir) => dir.clone(),
        None => Store::default_dir()?,
    };
    let store = Store::open_existing(&dir)?;
    match (&args.action, store) {
        (Action::Ls(args), store) => ls::run(args, store.as_ref(), &dir),
        (_, None) => Err(Failure::trouble(format!("there is no layer store in '{}'", dir.display()))
            .hint("lamina makes one when it mounts an image; another place is given with --store DIR")),
        (Action::Verify(args), Some(store)) => check::run(args, &store),
        (Action::Rm(args), Some(store)) => rm::run(args, &store),
        (Action::Gc(args), Some(store)) => gc::run(args, &store),
    }
}

/// The one layer that a word names: its diff_id or the beginning of that.
fn named(store: &Store, word: &str) -> Result<Digest, Failure> {
    let hex = word.strip_prefix("sha256:").unwrap_or(word);
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if hex.is_empty() || !hex.bytes().all(is_hex) {
        return Err(Failure::usage(format!("'{}' is not the diff_id of a layer", word.escape_debug()))
            .hint("lamina store ls shows them; their beginning will do"));
    }
    match store.find(hex)?.as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::trouble(format!(
            "no layer in '{}' has a diff_id that begins with '{hex}'",
            store.dir().display()
        ))
        .hint("lamina store ls shows what is there")),
        several => {
            let list: Vec<String> = several.iter().map(Digest::to_string).collect();
            Err(Failure::trouble(format!("'{hex}' is the beginning of {} diff_ids", several.len()))
                .hint(format!("say which:\n        {}", list.join("\n        "))))
        }
    }
}
