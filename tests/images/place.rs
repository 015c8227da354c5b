//! A directory with a store and a mount point, and the program run in it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::Pid;
use tempfile::TempDir;

use crate::images::build::BuiltLayer;
use crate::images::{
    Built, Compression, DockerStyle, Entry, Files, ImageBuilder, Layer, TarBuilder, docker, oci,
};
use crate::support::guard::{self, binary, is_mounted};
use crate::support::{Who, scratch};

/// Where a test works.
pub struct Place {
    dir: TempDir,
    /// Layers that may be in the store, though what was mounted was refused: they are good.
    good: BTreeSet<String>,
}

/// What came of running the program.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Outcome {
    /// It failed with exit code 1, and all these words are in what it says.
    #[track_caller]
    pub fn refuses(&self, what: &str, words: &[&str]) {
        assert_eq!(self.code, 1, "{what}: {self:?}");
        assert_eq!(self.out, "", "{what}: errors belong on stderr");
        for word in words {
            assert!(self.err.contains(word), "{what}: {word:?} is missing in:\n{}", self.err);
        }
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Each `Mounted` has unmounted its own by now.
        guard::unmount_below(self.dir.path());
    }
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("li").tempdir_in(scratch()).expect("a scratch directory");
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("mnt")).unwrap();
        Place { dir, good: BTreeSet::new() }
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Of an image that is refused, this layer is a good one, and may be stored.
    pub fn may_store(&mut self, layer: &BuiltLayer) {
        self.good.insert(layer.diff_id.replacen("sha256:", "", 1));
    }

    /// The program, in this directory, with what a test does not say taken from the caller's environment removed.
    pub fn lamina(&self) -> Command {
        let mut command = Command::new(binary());
        command
            .current_dir(self.dir.path())
            .env("XDG_DATA_HOME", self.path("data"))
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        if Who::current() == Who::Namespace {
            // It must do without fusermount3 there.
            command.env("PATH", "/nonexistent");
        }
        command
    }

    /// `lamina COMMAND --store STORE ARGUMENTS`.
    pub fn command<S: AsRef<OsStr>>(&self, command: &str, args: &[S]) -> Command {
        let mut lamina = self.lamina();
        lamina.arg(command).arg("--store").arg(self.store()).args(args);
        lamina
    }

    pub fn run<S: AsRef<OsStr>>(&self, command: &str, args: &[S]) -> Outcome {
        outcome(&mut self.command(command, args))
    }

    /// Mounts at `mnt`.
    #[track_caller]
    pub fn mount<S: AsRef<OsStr>>(&self, args: &[S]) -> Mounted {
        self.mount_at("mnt", args)
    }

    #[track_caller]
    pub fn mount_at<S: AsRef<OsStr>>(&self, point: &str, args: &[S]) -> Mounted {
        self.try_mount(point, args).unwrap_or_else(|said| panic!("mounting failed: {said}"))
    }

    pub fn try_mount<S: AsRef<OsStr>>(&self, point: &str, args: &[S]) -> Result<Mounted, String> {
        self.start(point, self.command("mount", args))
    }

    /// Mounts at `mnt` with variables in the program's environment.
    #[track_caller]
    pub fn mount_with<S: AsRef<OsStr>>(&self, args: &[S], variables: &[(&str, &Path)]) -> Mounted {
        let mut command = self.command("mount", args);
        command.envs(variables.iter().copied());
        self.start("mnt", command).unwrap_or_else(|said| panic!("mounting failed: {said}"))
    }

    /// Runs a mount command that lacks but the mount point.
    pub fn start(&self, point: &str, mut command: Command) -> Result<Mounted, String> {
        let at = self.path(point);
        fs::create_dir_all(&at).unwrap();
        command.arg(&at);
        let daemon = guard::start(command, &at, &self.path(format!("{point}.said")))?;
        Ok(Mounted { point: at, daemon: Some(daemon) })
    }

    /// Mounting is refused with these words, and leaves nothing: no mount, and nothing in the store but what it had and good
    /// layers.
    #[track_caller]
    pub fn refuses<S: AsRef<OsStr>>(&self, what: &str, args: &[S], words: &[&str]) {
        let before = self.stored();
        let mut command = self.command("mount", args);
        command.arg(self.path("mnt"));
        let outcome = outcome(&mut command);
        if is_mounted(&self.path("mnt")) {
            // It must not stay, whatever the test says then.
            drop(Mounted { point: self.path("mnt"), daemon: None });
            panic!("{what}: it is mounted: {outcome:?}");
        }
        outcome.refuses(what, words);
        let new: Vec<_> =
            self.stored().difference(&before).filter(|name| !self.is_good(name)).cloned().collect();
        assert!(new.is_empty(), "{what}: this is new in the store: {new:?}");
    }

    /// What is in the store: its files that hold anything, relative to it. Empty files are locks, and one file says that it
    /// is a store.
    pub fn stored(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        collect(&self.store(), &self.store(), &mut found);
        found.remove("lamina-store");
        found
    }

    /// Is it of a good layer, by its name or by what is in it?
    fn is_good(&self, name: &str) -> bool {
        let content = || fs::read_to_string(self.store().join(name)).unwrap_or_default();
        self.good.iter().any(|hex| name.contains(hex.as_str()) || content().contains(hex.as_str()))
    }

    /// Writes an image in a format; its path.
    pub fn write(&self, name: &str, format: Format, files: &Files) -> PathBuf {
        let path = self.path(name);
        match format {
            Format::OciDir => files.to_dir(&path),
            Format::OciArchive | Format::Docker(_) => files.to_archive(&path),
        }
        path
    }

    /// Writes an image as a docker-archive, which is the shortest way to a mount; its path.
    pub fn archive(&self, name: &str, image: &Built) -> PathBuf {
        self.write(name, Format::Docker(DockerStyle::Skopeo), &docker(&[image], DockerStyle::Skopeo))
    }
}

fn collect(root: &Path, dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            collect(root, &path, found);
        } else if meta.len() > 0 {
            found.insert(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
}

pub fn outcome(command: &mut Command) -> Outcome {
    let output = command.output().expect("the program runs");
    Outcome {
        code: output.status.code().expect("the program ends by itself"),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// How an image is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    OciDir,
    OciArchive,
    Docker(DockerStyle),
}

impl Format {
    pub const ALL: [Format; 5] = [
        Format::OciDir,
        Format::OciArchive,
        Format::Docker(DockerStyle::Old),
        Format::Docker(DockerStyle::Skopeo),
        Format::Docker(DockerStyle::Blobs),
    ];

    pub fn files(self, images: &[&Built]) -> Files {
        match self {
            Format::OciDir | Format::OciArchive => oci(images),
            Format::Docker(style) => docker(images, style),
        }
    }

    /// The transport that names it.
    pub fn transport(self) -> &'static str {
        match self {
            Format::OciDir => "oci",
            Format::OciArchive => "oci-archive",
            Format::Docker(_) => "docker-archive",
        }
    }
}

/// An image of these layers, base first.
pub fn image_of(layers: impl IntoIterator<Item = Vec<u8>>, compression: Compression) -> Built {
    let layers = layers.into_iter().map(|tar| Layer::new(tar).compressed(compression));
    layers.fold(ImageBuilder::new(), ImageBuilder::layer).tag("example.org/test:latest").build()
}

/// A tar of these entries.
pub fn tar_of(entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    TarBuilder::new().add_all(entries).finish()
}

/// A live mount. Dropping it unmounts, and checks that the daemon ended well.
#[derive(Debug)]
pub struct Mounted {
    point: PathBuf,
    daemon: Option<Pid>,
}

impl Mounted {
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.point.join(path)
    }

    #[track_caller]
    pub fn text(&self, path: &str) -> String {
        let path = self.at(path);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The sorted names in a directory.
    #[track_caller]
    pub fn names(&self, path: &str) -> Vec<String> {
        guard::names(&self.at(path))
    }

    /// `lstat`.
    #[track_caller]
    pub fn stat(&self, path: &str) -> fs::Metadata {
        let path = self.at(path);
        path.symlink_metadata().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        match guard::finish(&self.point, self.daemon.take()) {
            Ok(()) => {}
            Err(message) if std::thread::panicking() => {
                // The test fails already; what it left must not stay, and detaching is all that is left to try.
                let _ = nix::mount::umount2(&self.point, nix::mount::MntFlags::MNT_DETACH);
                crate::support::say(&format!("and at the end: {message}"));
            }
            Err(message) => panic!("{message}"),
        }
    }
}
