//! `lamina commit`.

mod source;

use std::ffi::OsString;

use clap::ValueHint;
use jiff::Timestamp;

use self::source::{Under, Upper};
use super::epilogue::{Epilogue, Example, Note};
use super::image_args::StoreArgs;
use super::{Failure, human, terminal};
use crate::config::LowerSpec;
use crate::image::commit::{CommitError, Committed, Request, commit};
use crate::image::compression::Compression;
use crate::image::store::PreparedLayer;
use crate::image::write::{Replace, Target};
use crate::image::{self, Image, ImageRef, Platform, Select};

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example {
            what: "mount an image, change something, and make an image of it",
            command: "lamina mount app.tar /mnt --upper changes && cp tool /mnt/usr/bin/",
        },
        Example {
            what: "the image is known from the mount",
            command: "lamina commit /mnt oci:images:app-v2 -m 'with tool'",
        },
        Example {
            what: "the changes alone, and the image they were made over",
            command: "lamina commit changes docker-archive:new.tar:app:v2 --base app.tar",
        },
        Example { what: "load that into podman", command: "podman load -i new.tar" },
    ],
    notes: &[
        Note {
            heading: "Without --base",
            text: "A mount whose layers are those of one image is committed over that image. An upper directory becomes an \
                   image of one layer.",
        },
        Note {
            heading: "The same bytes",
            text: "The layer depends on nothing but the tree and the base. With SOURCE_DATE_EPOCH set (seconds since 1970), \
                   so does the whole image.",
        },
        Note {
            heading: "A mount in use",
            text: "What is written while the commit runs may be in the image or not. What was written before is.",
        },
    ],
};

const SOURCE: &str = "\
What is committed: an upper directory, or a mount of lamina that has one

Nothing of it is changed.";

const TARGET: &str = "\
Where the image goes: oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]

A layout (oci:DIR) is made when it is not there, and added to when it is; an image that has the tag already loses it. An \
archive holds this image only.";

const BASE: &str = "\
The image that the changes were made over

An archive or a layout by its path, or with its transport, as for lamina mount.";

const COMPRESSION: &str = "\
How the new layer is compressed [default: gzip; docker-archive: none]

The layers of the base stay as they are. zstd is smaller and much faster, and not read by tools from before 2021 or so. A \
docker-archive holds layers uncompressed.";

/// `lamina commit`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct CommitArgs {
    #[arg(value_name = "SOURCE", value_hint = ValueHint::DirPath, help = "What is committed: an upper directory, or a mount of lamina that has one", long_help = SOURCE)]
    source: std::path::PathBuf,
    #[arg(value_name = "TARGET", help = "Where the image goes: oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]", long_help = TARGET)]
    target: OsString,
    #[arg(short, long, value_name = "IMAGE", value_hint = ValueHint::AnyPath, help = "The image that the changes were made over", long_help = BASE)]
    base: Option<OsString>,
    /// Which of several images the base is: its tag or name, or the beginning of its digest
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Which of several platforms of the base, as linux/arm64 [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// What the history says of this commit
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Who the image says made it
    #[arg(short, long, value_name = "TEXT")]
    author: Option<String>,
    #[arg(long, value_enum, value_name = "HOW", help = "How the new layer is compressed [default: gzip; docker-archive: none]", long_help = COMPRESSION)]
    compression: Option<How>,
    /// Replace an archive that exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// The values of `--compression`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs)] // the names say it
pub enum How {
    Gzip,
    Zstd,
    None,
}

/// Commits, and prints the image's id.
pub fn run(args: &CommitArgs) -> Result<(), Failure> {
    let reference = ImageRef::parse(&args.target)
        .map_err(|error| Failure::usage(error.to_string()).hint(error.hint()))?;
    let target =
        Target::new(reference).map_err(|error| Failure::usage(error.to_string()).hint(error.hint()))?;
    let compression = compression(args.compression, &target)?;
    let created = created(std::env::var_os("SOURCE_DATE_EPOCH"))?;
    let source = source::find(&args.source)?;
    let base = match (&args.base, &source.under) {
        (Some(word), _) => Some(open(args, word)?),
        (None, Under::Image { name, diff_ids }) => Some(source::reopen(name, diff_ids, &select(args))?),
        (None, Under::Layers) => return Err(source::no_base(&args.source, &source.upper)),
        (None, Under::Unknown) => None,
    };
    let base = match base {
        Some(image) => {
            let prepared = args.store.prepare(&image)?;
            Some((image, prepared))
        }
        None => None,
    };
    let committed = write(args, &source, &target, compression, created, base.as_ref())?;
    for warning in &committed.written.warnings {
        log::warn!("{warning}");
    }
    if !args.store.quiet {
        eprintln!("lamina: {}", told(&committed, base.as_ref().map(|(image, _)| image)));
    }
    terminal::print(format!("{}\n", committed.image.config).as_bytes())
}

fn write(
    args: &CommitArgs,
    source: &Upper,
    target: &Target,
    compression: Compression,
    created: Timestamp,
    base: Option<&(Image, Vec<PreparedLayer>)>,
) -> Result<Committed, Failure> {
    let lowers: Vec<LowerSpec> =
        base.iter().flat_map(|(_, prepared)| prepared).map(|layer| layer.lower.clone()).collect();
    let request = Request {
        upper: &source.upper,
        whiteouts: source.whiteouts,
        stat_override: source.stat_override,
        base: base.map(|(image, _)| (image, lowers.as_slice())),
        target,
        replace: if args.force { Replace::Allow } else { Replace::Refuse },
        compression,
        created,
        author: args.author.as_deref(),
        message: args.message.as_deref(),
    };
    commit(&request, &args.store.progress()).map_err(|error| failure(&error))
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        failure(&error)
    }
}

fn failure(error: &CommitError) -> Failure {
    Failure { hint: error.hint(), ..Failure::trouble(error.to_string()) }
}

fn select(args: &CommitArgs) -> Select {
    Select { tag: args.tag.clone(), platform: args.platform.clone() }
}

fn open(args: &CommitArgs, word: &OsString) -> Result<Image, Failure> {
    let reference =
        ImageRef::parse(word).map_err(|error| Failure::usage(error.to_string()).hint(error.hint()))?;
    Ok(image::open(&reference, &select(args))?)
}

fn compression(asked: Option<How>, target: &Target) -> Result<Compression, Failure> {
    let docker = matches!(target, Target::DockerArchive { .. });
    match (asked, docker) {
        (None | Some(How::None), true) | (Some(How::None), false) => Ok(Compression::None),
        (Some(_), true) => Err(Failure::usage("--compression: a docker-archive holds layers uncompressed")
            .hint("leave it out, or write to oci-archive:FILE:TAG, which podman load takes too")),
        (None | Some(How::Gzip), false) => Ok(Compression::Gzip),
        (Some(How::Zstd), false) => Ok(Compression::Zstd),
    }
}

/// When the image says it was made: now, or what the caller's build says.
/// Source: reproducible-builds.org, "SOURCE_DATE_EPOCH specification".
fn created(epoch: Option<OsString>) -> Result<Timestamp, Failure> {
    let Some(epoch) = epoch.filter(|epoch| !epoch.is_empty()) else { return Ok(Timestamp::now()) };
    let seconds = epoch.to_str().and_then(|text| text.parse().ok());
    seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or_else(|| {
        Failure::usage(format!("SOURCE_DATE_EPOCH is '{}', not a number of seconds", epoch.display()))
            .hint("set it to whole seconds since 1970, or unset it")
    })
}

/// What was done, in a line.
fn told(committed: &Committed, base: Option<&Image>) -> String {
    let number = base.map_or(0, |image| image.layers.len()) + 1;
    let Some(layer) = committed.layer else {
        return "nothing is changed: the image has a line of history more, and no layer".to_owned();
    };
    let plural = |count: u64, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let written = &committed.written;
    format!(
        "layer {number} (sha256:{}): {}, {}, {} stored",
        layer.digest.short(),
        plural(written.entries, "entry", "entries"),
        plural(written.marks, "deletion", "deletions"),
        human::size(layer.size)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docker_archive_is_never_compressed() {
        let docker = Target::DockerArchive { file: "x".into(), reference: None };
        let oci = Target::OciLayout { dir: "x".into(), tag: "t".into() };
        assert_eq!(compression(None, &docker), Ok(Compression::None));
        assert_eq!(compression(Some(How::None), &docker), Ok(Compression::None));
        assert!(compression(Some(How::Gzip), &docker).is_err());
        assert_eq!(compression(None, &oci), Ok(Compression::Gzip));
        assert_eq!(compression(Some(How::Zstd), &oci), Ok(Compression::Zstd));
        assert_eq!(compression(Some(How::None), &oci), Ok(Compression::None));
    }

    #[test]
    fn a_build_may_say_when_it_is() {
        let at = |text: &str| created(Some(text.into()));
        assert_eq!(at("1700000000").map(|t| t.to_string()), Ok("2023-11-14T22:13:20Z".to_owned()));
        assert!(at("now").unwrap_err().message.contains("SOURCE_DATE_EPOCH is 'now'"));
        assert!(at("99999999999999999").is_err());
        let now = Timestamp::now();
        assert!(at("").unwrap() >= now && created(None).unwrap() >= now);
    }
}
