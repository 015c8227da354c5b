//! `lamina layers`.

pub(super) mod instruction;
mod rows;

use jiff::Timestamp;

use self::rows::Row;
use super::epilogue::{Epilogue, Example, Note};
use super::image_args::{self, ImageArgs, StoreArgs};
use super::{Failure, terminal};
use crate::changes::{self, Counted};
use crate::config::LowerSpec;
use crate::image::store::PreparedLayer;
use crate::image::{HistoryFit, Image};
use crate::source::preflight;

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example { what: "which instruction made the image so large", command: "lamina layers app.tar" },
        Example {
            what: "the instructions that delete what an earlier one has brought",
            command: "lamina layers app.tar --json | jq '.[] | select(.deleted > 0)'",
        },
    ],
    notes: &[Note {
        heading: "What is counted",
        text: "Unpacked: the bytes of the layer's files. Added: paths that the layers below do not have. Changed: paths that they have and this layer has too; a \
               directory only where its owner, mode or attributes are others. Deleted: paths that they have and that are \
               gone with this layer, each in a deleted directory. An instruction without a layer (ENV, CMD) has no number.",
    }],
};

/// `lamina layers`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct LayersArgs {
    #[command(flatten)]
    image: ImageArgs,
    /// Print JSON: an array with an object for each instruction
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Prints the instructions and what they made.
pub fn run(args: &LayersArgs) -> Result<(), Failure> {
    let image = args.image.open()?;
    let prepared = args.store.prepare(&image)?;
    let rows = Row::of_image(&image, &counted(&image, &prepared)?);
    let text = match args.json {
        true => terminal::json(&rows)?,
        false => {
            rows::table(&rows, Timestamp::now(), terminal::width())
                + &misfit(image.history_fit, image.layers.len())
        }
    };
    terminal::print(text.as_bytes())
}

/// The layers, counted, base first: tars by their indexes, directories (podman's) by what is in them.
fn counted(image: &Image, prepared: &[PreparedLayer]) -> Result<Vec<Counted>, Failure> {
    let lowers: Vec<LowerSpec> = prepared.iter().map(|layer| layer.lower.clone()).collect();
    // Each may be open three times: for itself, in the union with the layer that is counted, and in the one without.
    preflight::raise_descriptor_limit(lowers.len().saturating_mul(3))?;
    changes::count(&lowers).map_err(|error| image_args::layer_failure(image, &error))
}

/// What is said below the table where the history does not account for the layers.
fn misfit(fit: HistoryFit, layers: usize) -> String {
    match fit {
        HistoryFit::Exact => String::new(),
        HistoryFit::Short(count) if count == layers => {
            "\nThe image does not say by what its layers were made.\n".to_owned()
        }
        HistoryFit::Short(1) => "\nThe image does not say by what its topmost layer was made.\n".to_owned(),
        HistoryFit::Short(count) => {
            format!("\nThe image does not say by what its {count} topmost layers were made.\n")
        }
        HistoryFit::Long(count) => format!(
            "\nBy the image's history there should be more layers than there are ({count}): which instruction made which \
             layer is a guess.\n"
        ),
    }
}
