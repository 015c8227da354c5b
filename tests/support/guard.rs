//! A mount that a test owns: made from a fixture, unmounted and checked when it is dropped.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::fixtures::{Built, Powers, Stack};
use super::snapshot::Snapshot;
use super::{Errno, Who, scratch};

/// What mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Lamina,
    Kernel,
}

impl Backend {
    pub fn current() -> Self {
        match std::env::var("LAMINA_TEST_BACKEND").as_deref() {
            Ok("kernel") => Backend::Kernel,
            Ok("lamina") | Err(_) => Backend::Lamina,
            Ok(other) => panic!("LAMINA_TEST_BACKEND is kernel or lamina, not {other:?}"),
        }
    }
}

/// How files are opened where a test does not say it.
pub fn io_under_test() -> Option<String> {
    std::env::var("LAMINA_TEST_IO").ok().filter(|io| !io.is_empty())
}

/// Is the file system told of each opening? Where the kernel opens files by itself, a lower file is copied up when it is first
/// changed, and what stands in the way of that is told then.
pub fn told_of_opens() -> bool {
    Backend::current() == Backend::Kernel || io_under_test().as_deref() == Some("open")
}

/// The program under test.
pub fn binary() -> PathBuf {
    std::env::var_os("LAMINA_TEST_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_lamina").into(), PathBuf::from)
}

/// How long anything that must happen soon may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until `done` gives something; fails the test when it never does.
#[track_caller]
pub fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "{what} did not happen in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writable {
    Yes,
    No,
}

/// What is to be mounted, and how.
#[derive(Debug, Clone)]
pub struct Setup {
    stack: Stack,
    options: Vec<String>,
    kernel_options: Vec<String>,
    lamina_options: Vec<String>,
    writable: Writable,
}

impl Setup {
    /// A stack of the text's layers and an upper.
    #[track_caller]
    pub fn text(text: &str) -> Self {
        Setup::stack(Stack::parse(text).unwrap_or_else(|e| panic!("{e}")))
    }

    /// A stack of `layer-fixtures/` and an upper.
    #[track_caller]
    pub fn named(name: &str) -> Self {
        Setup::stack(Stack::named(name).unwrap_or_else(|e| panic!("{e}")))
    }

    fn stack(stack: Stack) -> Self {
        Setup {
            stack,
            options: Vec::new(),
            kernel_options: Vec::new(),
            lamina_options: Vec::new(),
            writable: Writable::Yes,
        }
    }

    /// Options that both backends know.
    pub fn options(mut self, options: &str) -> Self {
        self.options.push(options.into());
        self
    }

    /// Options for the kernel's overlay only, which it needs to do what lamina does by default.
    pub fn kernel_options(mut self, options: &str) -> Self {
        self.kernel_options.push(options.into());
        self
    }

    /// Options for lamina only.
    pub fn lamina_options(mut self, options: &str) -> Self {
        self.lamina_options.push(options.into());
        self
    }

    /// Without the upper.
    pub fn read_only(mut self) -> Self {
        self.writable = Writable::No;
        self
    }

    /// Builds the layers and mounts them.
    #[track_caller]
    pub fn mount(self) -> Mount {
        self.build().mounted()
    }

    /// Builds the layers, and leaves the mounting to the caller.
    #[track_caller]
    pub fn build(self) -> Layers {
        let dir = tempfile::Builder::new().prefix("lt").tempdir_in(scratch()).expect("a scratch directory");
        let built = self.stack.build(dir.path(), Powers::detect()).unwrap_or_else(|e| panic!("{e}"));
        fs::create_dir(dir.path().join("mnt")).expect("a mount point");
        // Other users of a test must reach the mount.
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        Layers { setup: self, dir, built }
    }
}

/// Layers on disk, not mounted.
#[derive(Debug)]
pub struct Layers {
    setup: Setup,
    dir: TempDir,
    built: Built,
}

impl Layers {
    fn point(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// A path in a lower layer, numbered from 1 at the base.
    pub fn lower(&self, number: u16, path: &str) -> PathBuf {
        self.dir.path().join(number.to_string()).join(path)
    }

    /// A path in the upper.
    pub fn upper(&self, path: &str) -> PathBuf {
        self.built.upper.join(path)
    }

    /// The work directory.
    pub fn work(&self) -> &Path {
        &self.built.work
    }

    /// The scratch directory that holds all of it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a layer's directory somewhere else, say on another file system; a number as in [`Layers::lower`].
    pub fn replace_lower(&mut self, number: u16, path: PathBuf) {
        let top_first = self.built.lowers.len() - usize::from(number);
        self.built.lowers[top_first] = path;
    }

    /// Puts the upper and its work directory somewhere else, as new directories.
    pub fn place_upper(&mut self, upper: &Path, work: &Path) {
        for dir in [upper, work] {
            fs::create_dir_all(dir).expect("a directory for the upper");
        }
        self.built.upper = upper.to_owned();
        self.built.work = work.to_owned();
    }

    /// Has the file systems below finish what they do late, so that numbers of blocks can be compared.
    pub fn settle(self) -> Self {
        fn walk(path: &Path) {
            let meta = path.symlink_metadata().expect("a fixture");
            if meta.is_dir() {
                fs::read_dir(path)
                    .expect("a fixture")
                    .for_each(|entry| walk(&entry.expect("a fixture").path()));
            } else if meta.is_file() && meta.mode() & 0o400 != 0 {
                File::open(path).and_then(|file| file.sync_all()).expect("a fixture");
            }
        }
        self.built.lowers.iter().for_each(|layer| walk(layer));
        self
    }

    /// Replaces the options that both backends know.
    pub fn set_options(&mut self, options: &str) {
        self.setup.options = vec![options.into()];
    }

    /// Mounts, with the backend of this run; the message of a failure, and the layers back.
    #[track_caller]
    pub fn mount(self) -> Result<Mount, Box<Refused>> {
        self.mount_by(Backend::current())
    }

    /// Mounts; failing is the test's failure.
    #[track_caller]
    pub fn mounted(self) -> Mount {
        self.mount().unwrap_or_else(|refused| panic!("mounting failed: {}", refused.message))
    }

    /// Mounts with a backend of the caller's choice.
    #[track_caller]
    pub fn mount_by(self, backend: Backend) -> Result<Mount, Box<Refused>> {
        let lowers = self.snapshots();
        let mounted = match backend {
            Backend::Kernel => self.mount_kernel().map(|()| None),
            Backend::Lamina => self.mount_lamina().map(Some),
        };
        match mounted {
            Ok(daemon) => Ok(Mount { layers: Some(self), lowers, daemon, mounted: true }),
            Err(message) => Err(Box::new(Refused { message, layers: self })),
        }
    }

    fn snapshots(&self) -> Vec<(PathBuf, Snapshot)> {
        let layers = self.built.lowers.iter().chain(&self.built.data);
        layers.map(|layer| (layer.clone(), Snapshot::of(layer))).collect()
    }

    fn options(&self, own: &[String]) -> String {
        let all: Vec<&str> = self.setup.options.iter().chain(own).map(String::as_str).collect();
        all.join(",")
    }

    fn mount_kernel(&self) -> Result<(), String> {
        let join = |paths: &[PathBuf], separator: &str| {
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(separator)
        };
        let mut data = format!("lowerdir={}", join(&self.built.lowers, ":"));
        for layer in &self.built.data {
            data += &format!("::{}", layer.display());
        }
        if self.setup.writable == Writable::Yes {
            data +=
                &format!(",upperdir={},workdir={}", self.built.upper.display(), self.built.work.display());
        }
        let defaults = match Powers::detect() {
            Powers::Root => "redirect_dir=on,xino=auto,index=off",
            Powers::Ordinary => "userxattr,xino=auto,index=off",
        };
        let mut flags = MsFlags::empty();
        for option in [defaults, &self.options(&self.setup.kernel_options)] {
            for option in option.split(',').filter(|option| !option.is_empty()) {
                match option {
                    "ro" => flags |= MsFlags::MS_RDONLY,
                    "noatime" => flags |= MsFlags::MS_NOATIME,
                    "nosuid" => flags |= MsFlags::MS_NOSUID,
                    "nodev" => flags |= MsFlags::MS_NODEV,
                    "noexec" => flags |= MsFlags::MS_NOEXEC,
                    option => data += &format!(",{option}"),
                }
            }
        }
        nix::mount::mount(Some("lamina-test"), &self.point(), Some("overlay"), flags, Some(data.as_str()))
            .map_err(|e| format!("{e} for {data}"))
    }

    /// The command line that mounts these layers with lamina.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.arg("--log-file").arg(self.log_file()).arg("mount");
        if self.built.data.is_empty() {
            command.args(&self.built.lowers);
        } else {
            let mut source = std::ffi::OsString::from("overlay");
            for layer in &self.built.lowers {
                source.push(":");
                source.push(layer);
            }
            for layer in &self.built.data {
                source.push("::");
                source.push(layer);
            }
            command.arg(source);
        }
        command.arg(self.point());
        if self.setup.writable == Writable::Yes {
            command.arg("--upper").arg(&self.built.upper).arg("--work").arg(&self.built.work);
        }
        let mut options = self.options(&self.setup.lamina_options);
        if Who::current() == Who::Root {
            options = format!("allow_other,{options}");
        }
        if let Some(io) = io_under_test()
            && !options.contains("io=")
            && !self.must_be_told(&options)
        {
            options = format!("io={io},{options}");
        }
        let options = options.trim_matches(',');
        if !options.is_empty() {
            command.arg("-o").arg(options);
        }
        if Who::current() == Who::Namespace {
            // It must do without fusermount3 there.
            command.env("PATH", "/nonexistent");
        }
        command
    }

    /// Where each opening must be asked for, `io=cached` is refused.
    fn must_be_told(&self, options: &str) -> bool {
        options.split(',').any(|option| option == "allow_root" || option == "timeout=0")
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("daemon.log")
    }

    /// What the daemon has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn mount_lamina(&self) -> Result<Pid, String> {
        start(self.command(), &self.point(), &self.dir.path().join("said"))
            .map_err(|said| format!("{said}{}", self.log()))
    }
}

/// Runs a command that mounts something there and leaves a daemon behind. What it says goes into the file `said`, and into
/// the error.
pub fn start(mut command: Command, point: &Path, said: &Path) -> Result<Pid, String> {
    adopt_orphans();
    let output = File::create(said).map_err(|e| e.to_string())?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(|e| e.to_string())?)
        .stderr(output)
        .spawn()
        .map_err(|e| format!("{}: {e}", binary().display()))?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break status,
            None if start.elapsed() > PATIENCE => {
                child.kill().and_then(|()| child.wait()).map_err(|e| e.to_string())?;
                return Err(format!("lamina did not return in {PATIENCE:?}"));
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    let said = fs::read_to_string(said).unwrap_or_default();
    if !status.success() {
        return Err(format!("{status}: {said}"));
    }
    if !is_mounted(point) {
        return Err(format!("lamina returned before its mount was there: {said}"));
    }
    daemon_of(point).ok_or_else(|| "the mount is there, its daemon is not".into())
}

/// Unmounts, and waits for the daemon's end, which must be a good one.
pub fn finish(point: &Path, daemon: Option<Pid>) -> Result<(), String> {
    unmount(point)?;
    daemon.map_or(Ok(()), |daemon| await_end(daemon, point))
}

fn await_end(daemon: Pid, point: &Path) -> Result<(), String> {
    match end_of(daemon, point) {
        End::Left(WaitStatus::Exited(_, 0)) => Ok(()),
        End::Left(status) => Err(format!("the daemon ended with {status:?}")),
        End::KeptBy(others) => {
            super::say(&format!("{}: not unmounted in the namespace of {others:?}", point.display()));
            // Nobody here can reach that mount, and its daemon would outlive the test.
            nix::sys::signal::kill(daemon, Signal::SIGKILL).map_err(|e| format!("kill: {e}"))?;
            waitpid(daemon, None).map_err(|e| format!("waiting for the daemon: {e}")).map(drop)
        }
        End::Never => Err(format!("the daemon {daemon} did not end")),
    }
}

/// Orphans of this process become its children, so that a daemon's end can be waited for.
fn adopt_orphans() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| nix::sys::prctl::set_child_subreaper(true).expect("being a subreaper"));
}

/// The child of this process that was started for this mount point.
fn daemon_of(point: &Path) -> Option<Pid> {
    let me = std::process::id().to_string();
    let wanted = point.as_os_str().as_bytes();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let field = |key: &str| Some(status.lines().find_map(|l| l.strip_prefix(key))?.trim().to_owned());
        let ours = field("PPid:")? == me && !field("State:")?.starts_with('Z');
        let line = ours.then(|| fs::read(entry.path().join("cmdline")).ok())??;
        line.split(|b| *b == 0).any(|word| word == wanted).then(|| Pid::from_raw(pid))
    })
}

/// Is something mounted exactly there?
pub fn is_mounted(point: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().any(|line| line.split(' ').nth(4).is_some_and(|at| Path::new(at) == point))
}

/// Unmounts whatever is mounted below a directory, the last first. Other programs leave mounts, too: podman and buildah bind
/// their store's directory over itself, and a directory with a mount in it cannot be removed.
pub fn unmount_below(dir: &Path) {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    for point in points.filter(|point| point.starts_with(dir)).collect::<Vec<_>>().into_iter().rev() {
        if let Err(errno) = nix::mount::umount2(point, MntFlags::MNT_DETACH) {
            super::say(&format!("{}: it stays mounted: {errno}", point.display()));
        }
    }
}

/// A mount that was refused.
#[derive(Debug)]
pub struct Refused {
    pub message: String,
    pub layers: Layers,
}

/// Live layers. Dropping it unmounts and checks that the daemon ended well and that no lower changed.
#[derive(Debug)]
pub struct Mount {
    /// `None` only once given back by [`Mount::unmount`].
    layers: Option<Layers>,
    lowers: Vec<(PathBuf, Snapshot)>,
    daemon: Option<Pid>,
    mounted: bool,
}

impl std::ops::Deref for Mount {
    type Target = Layers;

    fn deref(&self) -> &Layers {
        self.layers.as_ref().expect("mounted")
    }
}

impl Mount {
    /// A stack of the text's layers and an upper, mounted with the defaults.
    #[track_caller]
    pub fn of(text: &str) -> Self {
        Setup::text(text).mount()
    }

    /// The mount point.
    pub fn root(&self) -> PathBuf {
        self.point()
    }

    /// A path in the mount.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.point().join(path)
    }

    /// The daemon; `None` with the kernel's overlay.
    pub fn daemon(&self) -> Option<Pid> {
        self.daemon
    }

    /// The daemon, which the test is going to end by itself.
    pub fn forget_daemon(&mut self) -> Option<Pid> {
        self.daemon.take()
    }

    /// A file's text in the mount.
    #[track_caller]
    pub fn text(&self, path: &str) -> String {
        let path = self.at(path);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The sorted names in a directory of the mount.
    #[track_caller]
    pub fn names(&self, path: &str) -> Vec<String> {
        names(&self.at(path))
    }

    /// `lstat`.
    #[track_caller]
    pub fn stat(&self, path: &str) -> fs::Metadata {
        let path = self.at(path);
        path.symlink_metadata().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Does the mount show nothing there?
    #[track_caller]
    pub fn absent(&self, path: &str) -> bool {
        match self.at(path).symlink_metadata() {
            Ok(_) => false,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => true,
            Err(e) => panic!("{path}: {e}"),
        }
    }

    /// Has the upper a whiteout there, in the form that is to be written?
    pub fn whiteout_in_upper(&self, path: &str) -> bool {
        is_whiteout(&self.upper(path))
    }

    /// Has the upper nothing there?
    pub fn absent_in_upper(&self, path: &str) -> bool {
        self.upper(path).symlink_metadata().is_err()
    }

    /// A marker in the upper, in the namespace of this run.
    pub fn marker_in_upper(&self, path: &str, marker: &str) -> Option<Vec<u8>> {
        let name = [Powers::detect().overlay_prefix(), marker.as_bytes()].concat();
        super::sys::get_xattr(&self.upper(path), &name).ok()
    }

    /// Unmounts, checks, and gives the layers back.
    #[track_caller]
    pub fn unmount(mut self) -> Layers {
        self.finish().unwrap_or_else(|e| panic!("{e}"));
        self.layers.take().expect("mounted")
    }

    /// Unmounts, checks, and mounts again with the same options.
    #[track_caller]
    pub fn remount(self) -> Mount {
        self.unmount().mounted()
    }

    /// For a test that ends the mount by itself: waits until mount and daemon are gone, then checks.
    #[track_caller]
    pub fn wait_ended(mut self) -> Layers {
        wait_for("the end of the mount", || (!is_mounted(&self.point())).then_some(()));
        self.mounted = false;
        self.finish().unwrap_or_else(|e| panic!("{e}"));
        self.layers.take().expect("mounted")
    }

    /// The test itself has changed the lowers: what they are now is what they must stay.
    pub fn changed_lowers(&mut self) {
        for (layer, before) in &mut self.lowers {
            *before = Snapshot::of(layer);
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        let point = self.point();
        if std::mem::take(&mut self.mounted) {
            unmount(&point)?;
        }
        if let Some(daemon) = self.daemon.take() {
            await_end(daemon, &point).map_err(|e| format!("{e}: {}", self.log()))?;
        }
        if self.log().contains("panicked") {
            return Err(format!("the daemon panicked: {}", self.log()));
        }
        for (layer, before) in &self.lowers {
            let differences = before.differences(&Snapshot::of(layer));
            if !differences.is_empty() {
                return Err(format!("{} has changed:\n{}", layer.display(), differences.join("\n")));
            }
        }
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.layers.is_none() {
            return;
        }
        let result = self.finish();
        if result.is_err() && is_mounted(&self.point()) {
            // The test fails already; what it left must not stay, and detaching is all that is left to try.
            let _ = nix::mount::umount2(&self.point(), MntFlags::MNT_DETACH);
        }
        match result {
            Err(message) if std::thread::panicking() => super::say(&format!("and at the end: {message}")),
            Err(message) => panic!("{message}"),
            Ok(()) if std::thread::panicking() => super::say(&format!("the daemon's log: {}", self.log())),
            Ok(()) => {}
        }
    }
}

/// Unmounts as whoever runs the test can. A mount is busy for a moment while another test's child has not yet closed
/// what it inherited, so that busy is waited out.
pub fn unmount(point: &Path) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let failure = match Who::current() {
            Who::Root | Who::Namespace => match nix::mount::umount2(point, MntFlags::empty()) {
                Ok(()) => return Ok(()),
                Err(Errno::EBUSY) => "it is busy".to_owned(),
                Err(e) => return Err(format!("unmounting {}: {e}", point.display())),
            },
            Who::User => match Command::new("fusermount3").arg("-u").arg(point).output() {
                Ok(output) if output.status.success() => return Ok(()),
                Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
                Err(e) => return Err(format!("fusermount3: {e}")),
            },
        };
        // A test that fails may still hold files; then there is nothing to wait for.
        if start.elapsed() > PATIENCE / 4 || std::thread::panicking() {
            return Err(format!("unmounting {}: {failure}", point.display()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes in whose mount namespace the mount still is: one that was made while it stood keeps it alive.
fn seen_by(point: &Path) -> Vec<String> {
    let wanted = point.display().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let sees = |process: &PathBuf| {
        let table = fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
        table.lines().any(|line| line.split(' ').nth(4) == Some(&wanted))
    };
    let told = |process: PathBuf| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        format!("{} {}", process.display(), String::from_utf8_lossy(&line).replace('\0', " "))
    };
    processes.filter(sees).map(told).collect()
}

/// How a daemon came to its end.
enum End {
    /// By itself.
    Left(WaitStatus),
    /// Not at all: these processes live in a mount namespace that was made while the mount stood.
    KeptBy(Vec<String>),
    /// Not at all, though nothing is mounted any more.
    Never,
}

fn end_of(daemon: Pid, point: &Path) -> End {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match waitpid(daemon, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(2)),
            Ok(status) => return End::Left(status),
            Err(e) => panic!("waiting for the daemon {daemon}: {e}"),
        }
        if start.elapsed() > PATIENCE / 10 {
            let others = seen_by(point);
            if !others.is_empty() {
                return End::KeptBy(others);
            }
        }
    }
    End::Never
}

/// The sorted names in a directory.
#[track_caller]
pub fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().as_bytes().escape_ascii().to_string()).collect();
    names.sort();
    names
}

/// Is this a whiteout in the form that is written: a character device 0:0?
pub fn is_whiteout(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_char_device() && meta.rdev() == 0)
}
