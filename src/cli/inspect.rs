//! `lamina inspect`.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::epilogue::{Epilogue, Example, Note};
use super::image_args::{ImageArgs, StoreDirArgs};
use super::{Failure, human, terminal};
use crate::image::{Image, ImageConfig};

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example { what: "what is in an archive", command: "lamina inspect app.tar" },
        Example {
            what: "one of several images in a layout",
            command: "lamina inspect images/ --tag app:v2 --platform linux/arm64",
        },
        Example {
            what: "the entry point, for a script",
            command: "lamina inspect app.tar --json | jq .entrypoint",
        },
    ],
    notes: &[Note {
        heading: "The unpacked size",
        text: "It is shown where the layer store knows all layers already: once the image was mounted, or lamina layers was \
               run. Nothing is read for it.",
    }],
};

/// `lamina inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct InspectArgs {
    #[command(flatten)]
    image: ImageArgs,
    /// Print JSON: one object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreDirArgs,
}

/// Prints what an image says of itself.
pub fn run(args: &InspectArgs) -> Result<(), Failure> {
    let image = args.image.open()?;
    let unpacked = args.store.known_unpacked(&image)?;
    let text = match args.json {
        true => terminal::json(&Inspected::of(&image, unpacked))?,
        false => described(&image, unpacked, Timestamp::now()),
    };
    terminal::print(text.as_bytes())
}

/// The JSON output. The field names are a format: see `docs/cli.md`.
#[derive(Debug, Serialize)]
struct Inspected<'a> {
    name: &'a str,
    tags: &'a [String],
    manifest_digest: Option<String>,
    config_digest: String,
    created: Option<Timestamp>,
    author: Option<&'a str>,
    platform: PlatformFields<'a>,
    user: Option<&'a str>,
    working_dir: Option<&'a str>,
    env: &'a [String],
    entrypoint: &'a [String],
    cmd: &'a [String],
    labels: &'a BTreeMap<String, String>,
    exposed_ports: &'a [String],
    volumes: &'a [String],
    stop_signal: Option<&'a str>,
    stored_bytes: u64,
    unpacked_bytes: Option<u64>,
    layers: Vec<LayerFields>,
}

#[derive(Debug, Serialize)]
struct PlatformFields<'a> {
    os: &'a str,
    architecture: &'a str,
    variant: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct LayerFields {
    number: usize,
    digest: Option<String>,
    diff_id: String,
    stored_bytes: u64,
}

impl<'a> Inspected<'a> {
    fn of(image: &'a Image, unpacked_bytes: Option<u64>) -> Self {
        let config = &image.config;
        Inspected {
            name: &image.name,
            tags: &image.tags,
            manifest_digest: image.manifest_digest.map(|digest| digest.to_string()),
            config_digest: image.config_digest.to_string(),
            created: config.created,
            author: config.author.as_deref(),
            platform: PlatformFields {
                os: &config.platform.os,
                architecture: &config.platform.architecture,
                variant: config.platform.variant.as_deref(),
            },
            user: config.user.as_deref(),
            working_dir: config.working_dir.as_deref(),
            env: &config.env,
            entrypoint: &config.entrypoint,
            cmd: &config.cmd,
            labels: &config.labels,
            exposed_ports: &config.exposed_ports,
            volumes: &config.volumes,
            stop_signal: config.stop_signal.as_deref(),
            stored_bytes: stored(image),
            unpacked_bytes,
            layers: (1..)
                .zip(&image.layers)
                .map(|(number, layer)| LayerFields {
                    number,
                    digest: layer.digest.map(|digest| digest.to_string()),
                    diff_id: layer.diff_id.to_string(),
                    stored_bytes: layer.stored,
                })
                .collect(),
        }
    }
}

/// Bytes of all layers as they are stored.
fn stored(image: &Image) -> u64 {
    image.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.stored))
}

/// For people: a line for each thing that the image says, and none for what it does not say.
fn described(image: &Image, unpacked: Option<u64>, now: Timestamp) -> String {
    let mut fields = Fields::default();
    fields.one("image", Some(&image.name));
    fields.many("tags", &image.tags);
    fields.one("manifest", image.manifest_digest.map(|digest| digest.to_string()).as_deref());
    fields.one("config", Some(&image.config_digest.to_string()));
    configured(&mut fields, &image.config, now);
    fields.one("layers", Some(&image.layers.len().to_string()));
    fields.one("stored", Some(&human::size(stored(image))));
    let not_known = || "not known yet; lamina layers finds it out".to_owned();
    fields.one("unpacked", Some(&unpacked.map_or_else(not_known, human::size)));
    fields.text()
}

fn configured(fields: &mut Fields, config: &ImageConfig, now: Timestamp) {
    let created = config.created.map(|created| {
        let age = human::age(now.as_second().saturating_sub(created.as_second()));
        let ago = if created > now { "" } else { " ago" };
        format!("{} ({age}{ago})", created.strftime("%Y-%m-%d %H:%M:%S UTC"))
    });
    fields.one("created", created.as_deref());
    fields.one("platform", Some(&config.platform.to_string()));
    fields.one("author", config.author.as_deref());
    fields.one("user", config.user.as_deref());
    fields.one("working dir", config.working_dir.as_deref());
    fields.many("env", &config.env);
    fields.words("entrypoint", &config.entrypoint);
    fields.words("cmd", &config.cmd);
    fields.many("ports", &config.exposed_ports);
    fields.many("volumes", &config.volumes);
    fields.one("stop signal", config.stop_signal.as_deref());
    let labels: Vec<String> = config.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    fields.many("labels", &labels);
}

/// Names and values, in two columns.
#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn one(&mut self, name: &'static str, value: Option<&str>) {
        // What an image says is not trusted to be one line.
        self.0.extend(value.map(|value| (name, terminal::shown(Path::new(value)))));
    }

    /// A line for each; the name is on the first.
    fn many(&mut self, name: &'static str, values: &[String]) {
        for (index, value) in values.iter().enumerate() {
            self.one(if index == 0 { name } else { "" }, Some(value));
        }
    }

    /// As an instruction of a Dockerfile has it, so that spaces within words can be told from those between them.
    fn words(&mut self, name: &'static str, words: &[String]) {
        if !words.is_empty() {
            let quoted: Vec<String> =
                words.iter().map(|word| serde_json::Value::from(word.as_str()).to_string()).collect();
            self.one(name, Some(&format!("[{}]", quoted.join(", "))));
        }
    }

    fn text(&self) -> String {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        self.0.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
    }
}

#[cfg(test)]
mod tests;
