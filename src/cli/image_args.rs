//! Words and options that all commands about images share.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueHint;

use super::Failure;
use super::progress::Shown;
use crate::config::LowerSpec;
use crate::error::{Error, LayerRef};
use crate::image::store::{Prepare, PreparedLayer, Store};
use crate::image::{self, Image, ImageRef, LayerSource, Platform, Select};
use crate::tarball::Summary;

/// Explains IMAGE.
pub const IMAGE: &str = "\
The image: an archive or a layout by its path, or with its transport

What docker save, podman save and skopeo copy write is told apart by its content. With a transport, as for skopeo and \
podman: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REF]`, `dir:DIR`, and `containers-storage:NAME`, an image \
that podman holds. A path that begins like one of these is written with ./ before it.";

/// One image.
#[derive(Debug, Clone, clap::Args)]
pub struct ImageArgs {
    /// The image, as the caller writes it.
    #[arg(value_name = "IMAGE", value_hint = ValueHint::AnyPath, help = "The image: an archive or a layout by its path, or with its transport", long_help = IMAGE)]
    pub image: OsString,
    /// Which of several it is.
    #[command(flatten)]
    pub select: SelectArgs,
}

impl ImageArgs {
    /// Opens the image: its documents are read and checked, its layers are not.
    pub fn open(&self) -> Result<Image, Failure> {
        let reference = ImageRef::parse(&self.image)
            .map_err(|error| Failure::usage(error.to_string()).hint(error.hint()))?;
        Ok(image::open(&reference, &self.select.select())?)
    }
}

/// Which of several images.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SelectArgs {
    /// Which of several images: its tag or name, or the beginning of its digest
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// Which of several platforms, as linux/arm64 [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
}

impl SelectArgs {
    /// The option that was given, if any was; the first of two.
    pub fn given(&self) -> Option<&'static str> {
        match self {
            SelectArgs { tag: Some(_), .. } => Some("--tag"),
            SelectArgs { platform: Some(_), .. } => Some("--platform"),
            SelectArgs { tag: None, platform: None } => None,
        }
    }

    /// For opening the image.
    pub fn select(&self) -> Select {
        Select { tag: self.tag.clone(), platform: self.platform.clone() }
    }
}

/// Where the layer store is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct StoreDirArgs {
    /// Layers are kept in DIR [default: lamina's directory in $XDG_DATA_HOME; root: /var/lib/lamina]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub store: Option<PathBuf>,
}

impl StoreDirArgs {
    /// The store's directory.
    pub fn dir(&self) -> Result<PathBuf, Failure> {
        match &self.store {
            Some(dir) => Ok(dir.clone()),
            None => Ok(Store::default_dir()?),
        }
    }

    /// The bytes of all files of an image, where the store knows all its layers; it is not made, nothing is read into it.
    pub fn known_unpacked(&self, image: &Image) -> Result<Option<u64>, Failure> {
        let known = || -> Result<Option<u64>, Failure> {
            let store = Store::open_existing(&self.dir()?)?;
            let summaries = store.and_then(|store| store.summaries(image));
            let sum = |summaries: Vec<Summary>| {
                summaries.iter().fold(0_u64, |sum, summary| sum.saturating_add(summary.unpacked_bytes))
            };
            Ok(summaries.map(sum))
        };
        match (known(), &self.store) {
            // Nobody has asked for this store.
            (Err(failure), None) => {
                log::debug!("the store is not asked: {failure:?}");
                Ok(None)
            }
            (known, _) => known,
        }
    }
}

/// The layer store, and the work of filling it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct StoreArgs {
    /// Where it is.
    #[command(flatten)]
    pub place: StoreDirArgs,
    /// Refuse an image whose compressed layers unpack to more than SIZE in all, as 20G or 512MiB [default: 64GiB]
    #[arg(long, value_name = "SIZE")]
    pub max_unpacked: Option<Bytes>,
    /// Show no progress
    #[arg(short, long)]
    pub quiet: bool,
}

impl StoreArgs {
    /// Verifies an image's layers and makes them ready, base first. What podman holds is used in place: no store is
    /// needed, and none is made.
    pub fn prepare(&self, image: &Image) -> Result<Vec<PreparedLayer>, Failure> {
        let directories = image.layers.iter().map(|layer| match &layer.source {
            LayerSource::Directory(path) => Some(PreparedLayer {
                lower: LowerSpec::Directory(path.clone()),
                diff_id: layer.diff_id,
                lease: None,
            }),
            LayerSource::Blob(_) => None,
        });
        if let Some(prepared) = directories.collect() {
            return Ok(prepared);
        }
        Ok(Store::open(&self.dir()?)?.prepare(image, &self.options(), &self.progress())?)
    }

    /// The store's directory.
    pub fn dir(&self) -> Result<PathBuf, Failure> {
        self.place.dir()
    }

    /// What may be done to make layers ready.
    pub fn options(&self) -> Prepare {
        self.max_unpacked.map_or_else(Prepare::default, |Bytes(most)| Prepare::with_max_unpacked(most))
    }

    /// Who is told of the work.
    pub fn progress(&self) -> Shown {
        Shown::new(self.quiet)
    }
}

/// What went wrong in a layer of an image, with the image's name and the layer's digest.
pub fn layer_failure(image: &Image, error: &Error) -> Failure {
    let digest = match error.layer() {
        Some(LayerRef::Lower(number)) => {
            usize::from(number).checked_sub(1).and_then(|index| image.layers.get(index)).map(|layer| {
                format!(" (layer {number} is sha256:{})", layer.digest.unwrap_or(layer.diff_id).short())
            })
        }
        _ => None,
    };
    Failure::trouble(format!("image '{}': {error}{}", image.name, digest.unwrap_or_default()))
}

/// A number of bytes, as people write it: `1000`, `20G`, `20GB` (units of a thousand), `512M`, `512MiB` (of 1024).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// Why a text is no number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it must be a whole number of bytes, with or without a unit: 20G, 512MiB")]
pub struct NoBytes;

impl FromStr for Bytes {
    type Err = NoBytes;

    fn from_str(text: &str) -> Result<Self, NoBytes> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or(NoBytes)?;
        let number: u64 = number.parse().map_err(|_| NoBytes)?;
        let unit = unit.to_ascii_lowercase();
        let unit = unit.strip_suffix('b').unwrap_or(&unit);
        let (unit, base) = unit.strip_suffix('i').map_or((unit, 1000_u64), |unit| (unit, 1024));
        let power = match (unit, base) {
            ("", 1000) => 0,
            ("k", _) => 1,
            ("m", _) => 2,
            ("g", _) => 3,
            ("t", _) => 4,
            _ => return Err(NoBytes),
        };
        base.checked_pow(power).and_then(|unit| number.checked_mul(unit)).map(Bytes).ok_or(NoBytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("7b", 7),
            ("20G", 20_000_000_000),
            ("20gb", 20_000_000_000),
            ("512MiB", 512 << 20),
            ("1Ki", 1024),
            ("3T", 3_000_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "G", "-1", "1.5G", "1 G", "1X", "1iB", "1i", "99999999999999999999", "20000000T"] {
            assert_eq!(text.parse::<Bytes>(), Err(NoBytes), "{text}");
        }
    }
}
