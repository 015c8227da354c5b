//! `lamina unpack`.

mod ready;

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::ValueHint;
use nix::sys::stat::{Mode, umask};

use self::ready::Ready;
use super::epilogue::{Epilogue, Example, Note};
use super::image_args::{self, ImageArgs, StoreArgs};
use super::progress::Writing;
use super::{Failure, terminal};
use crate::changes;
use crate::config::{Behaviour, LowerSpec, StackSpec};
use crate::error::{Error, Kind, OpContext};
use crate::image::Image;
use crate::image::store::PreparedLayer;
use crate::overlay::Overlay;
use crate::path::{Name, NameBuf};
use crate::source::facts::{Owners as Ids, Privilege};
use crate::source::preflight;
use crate::sys::fs;
use crate::tarball::Index;
use crate::unpack::{self, Form, Losses, Names, Owners, Product, Staging};

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example { what: "each layer as a directory", command: "lamina unpack app.tar app/" },
        Example {
            what: "and mount them with the kernel's overlay, as root",
            command: "mount -t overlay app -o \"$(lamina unpack app.tar app/)\" /mnt",
        },
        Example { what: "one root file system", command: "lamina unpack app.tar rootfs/ --flat" },
    ],
    notes: &[
        Note {
            heading: "Without root",
            text: "Everything belongs to you, and suid bits are off. The image's owners, modes and devices are recorded \
                   in the attribute user.containers.override_stat: lamina mount shows them, and fuse-overlayfs does.",
        },
        Note {
            heading: "Looking without unpacking",
            text: "lamina mount IMAGE MOUNTPOINT shows an image without unpacking it.",
        },
    ],
};

const DIR: &str = "\
Where it is unpacked to: it must be empty, or not there

Everything is made in .DIR.lamina-unpack beside it, which becomes DIR at the end: DIR is never half full.";

const FLAT: &str = "\
Make one root file system of all layers, in DIR itself

Without it, each layer becomes a directory of its own, DIR/layers/NUMBER-DIGEST, in the form that the kernel's overlayfs \
and lamina mount; what to mount is printed as lowerdir=TOP:...:BASE.";

/// `lamina unpack`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct UnpackArgs {
    #[command(flatten)]
    image: ImageArgs,
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath, help = "Where it is unpacked to: it must be empty, or not there", long_help = DIR)]
    dir: PathBuf,
    #[arg(long, help = "Make one root file system of all layers, in DIR itself", long_help = FLAT)]
    flat: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Unpacks.
pub fn run(args: &UnpackArgs) -> Result<(), Failure> {
    let image = args.image.open()?;
    // What cannot be unpacked into is told before the work begins.
    let staging = Staging::begin(&args.dir).map_err(|error| target_failure(&args.dir, &error))?;
    let prepared = args.store.prepare(&image)?;
    preflight::raise_descriptor_limit(prepared.len())?;
    let product = if args.flat { Product::Tree } else { Product::Layers };
    let owners = match Ids::of_this_process(Privilege::of_this_process()) {
        Ids::Any => Owners::Exact,
        Ids::Few => Owners::Recorded,
    };
    let form =
        Form::probe(staging.dir(), product, owners).map_err(|error| target_failure(&args.dir, &error))?;
    let unpacked = match args.flat {
        true => flat(args, &image, &prepared, staging, form).map(|losses| (losses, None)),
        false => layers(args, &image, &prepared, staging, form).map(|(losses, ready)| (losses, Some(ready))),
    };
    let (losses, ready) = unpacked?;
    for line in warnings(&losses) {
        log::warn!("{line}");
    }
    if form.owners == Owners::Recorded && !args.store.quiet {
        eprintln!(
            "lamina: owners and modes are recorded (user.containers.override_stat): lamina mount shows them"
        );
    }
    match ready {
        None => Ok(()),
        Some(ready) => {
            if !args.store.quiet {
                eprint!("{}", ready.commands());
            }
            terminal::print(&ready.lowerdir_line())
        }
    }
}

fn flat(
    args: &UnpackArgs,
    image: &Image,
    prepared: &[PreparedLayer],
    staging: Staging,
    form: Form,
) -> Result<Losses, Failure> {
    let lowers: Vec<LowerSpec> = prepared.iter().rev().map(|layer| layer.lower.clone()).collect();
    let spec = StackSpec { lowers, data_only: Vec::new(), upper: None };
    let write = || {
        let names = match links_below(prepared)? {
            true => Names::Any,
            false => Names::ByCount,
        };
        let union = Overlay::open_stack(&spec, &Behaviour::default())?;
        let bar = Writing::new(args.store.quiet, Some(size(prepared)?));
        let losses = unpack::flat(&union, names, staging.dir(), form, &|bytes| bar.advance(bytes))?;
        staging.publish()?;
        Ok(losses)
    };
    write().map_err(|error| image_args::layer_failure(image, &error))
}

fn layers(
    args: &UnpackArgs,
    image: &Image,
    prepared: &[PreparedLayer],
    staging: Staging,
    form: Form,
) -> Result<(Losses, Ready), Failure> {
    const LAYERS: &[u8] = b"layers";
    let named = named(prepared)?;
    let target = staging.target();
    let write = || {
        let bar = Writing::new(args.store.quiet, Some(size(prepared)?));
        let name = Name::new(LAYERS).map_err(|_| Error::new("name", Kind::Invalid("not a name")))?;
        fs::mkdir(staging.dir(), name, 0o700).op("make directory")?;
        let dir =
            fs::open_at(staging.dir(), name, libc::O_PATH | libc::O_DIRECTORY, 0).op("open directory")?;
        let written = unpack::layers(&named, dir.as_fd(), form, &|bytes| bar.advance(bytes))?;
        let perm = 0o777 & !umask_of_this_process().bits();
        fs::chmod(fs::At::Fd(dir.as_fd()), perm).op("set mode")?;
        staging.like_a_new_directory(perm)?;
        staging.publish()?;
        Ok(written)
    };
    let written = write().map_err(|error| image_args::layer_failure(image, &error))?;
    let mut losses = Losses::default();
    let mut visible = Vec::new();
    for ((_, name), layer) in named.iter().zip(&written) {
        losses += layer.losses;
        if layer.hides_all_below {
            visible.clear();
        }
        visible.push(target.join(OsStr::from_bytes(LAYERS)).join(name.as_name().as_os_str()));
    }
    visible.reverse();
    Ok((losses, Ready { top_first: visible, form }))
}

/// Does a layer have hard links to files of a layer below? Only tars can.
fn links_below(prepared: &[PreparedLayer]) -> Result<bool, Error> {
    for layer in prepared {
        if let LowerSpec::Tar(tar) = &layer.lower
            && Index::open(&tar.index)?.summary().links_below > 0
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Bytes of all files of all layers.
fn size(prepared: &[PreparedLayer]) -> Result<u64, Error> {
    let lowers: Vec<LowerSpec> = prepared.iter().map(|layer| layer.lower.clone()).collect();
    Ok(changes::unpacked(&lowers)?.into_iter().fold(0, u64::saturating_add))
}

/// The layers with the names of their directories, base first.
fn named(prepared: &[PreparedLayer]) -> Result<Vec<(LowerSpec, NameBuf)>, Failure> {
    let digits = prepared.len().to_string().len();
    let mut named = Vec::with_capacity(prepared.len());
    for (number, layer) in (1_usize..).zip(prepared) {
        let name = format!("{number:0digits$}-{}", layer.diff_id.short());
        let name = NameBuf::new(name.into_bytes())
            .map_err(|problem| Failure::trouble(format!("layer {number} cannot be named: {problem}")))?;
        named.push((layer.lower.clone(), name));
    }
    Ok(named)
}

/// What is said of what could not be written as the image has it.
pub(super) fn warnings(losses: &Losses) -> Vec<String> {
    let Losses { own, owners, attributes, devices, recorded_specials, null_devices } = *losses;
    let mut lines = Vec::new();
    let mut say = |count: u64, one: &str, many: &str| match count {
        0 => {}
        1 => lines.push(format!("1 {one}")),
        count => lines.push(format!("{count} {many}")),
    };
    say(
        own,
        "file or directory belongs to you, without suid and sgid bits: only root can give it to its owner",
        "files and directories belong to you, without suid and sgid bits: only root can give them to their owners",
    );
    say(
        owners,
        "symlink belongs to you: its owner cannot be recorded",
        "symlinks belong to you: their owners cannot be recorded",
    );
    say(
        attributes,
        "extended attribute is left out: it cannot be set here, or not without root",
        "extended attributes are left out: they cannot be set here, or not without root",
    );
    say(
        devices,
        "device is left out: only root can make it",
        "devices are left out: only root can make them",
    );
    say(
        recorded_specials,
        "device, fifo or socket is an empty file on which that is recorded",
        "devices, fifos and sockets are empty files on which that is recorded",
    );
    say(
        null_devices,
        "device 0:0 is in a layer, where it means a deletion",
        "devices 0:0 are in layers, where they mean deletions",
    );
    lines
}

/// The umask, which can only be read by setting it.
fn umask_of_this_process() -> Mode {
    let mask = umask(Mode::empty());
    umask(mask);
    mask
}

fn target_failure(dir: &Path, error: &Error) -> Failure {
    let shown = dir.display();
    match error.kind() {
        Kind::NotEmpty => Failure::trouble(format!("directory '{shown}' is not empty"))
            .hint("give a directory that is empty, or is not there yet"),
        Kind::NotADirectory => Failure::trouble(format!("'{shown}' is not a directory"))
            .hint("give a directory that is empty, or is not there yet"),
        Kind::InUse => Failure::trouble(format!("another lamina is unpacking into '{shown}'"))
            .hint("wait for it, or give another directory"),
        kind => Failure::trouble(format!("directory '{shown}' cannot be made: {kind}"))
            .hint("check that the directory above it is there, and that you may write to it"),
    }
}

#[cfg(test)]
mod tests;
