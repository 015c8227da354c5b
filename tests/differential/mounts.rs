//! The two mounts that are compared: by the kernel's overlay and by lamina.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::place::{spawn, undisturbed};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Who mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// The kernel's overlay, with these options besides the directories.
    Kernel(String),
    /// The program under test, with these arguments besides the directories.
    Lamina(Vec<String>),
}

impl Engine {
    /// The kernel's overlay as the reference.
    pub fn reference() -> Self {
        Engine::Kernel("redirect_dir=on,xino=auto,index=off,metacopy=off".to_owned())
    }
}

/// What is stacked.
#[derive(Debug, Clone)]
pub struct Dirs {
    /// Top first.
    pub lowers: Vec<PathBuf>,
    /// The upper and its work directory; none: read-only.
    pub upper: Option<(PathBuf, PathBuf)>,
}

/// A live mount; gone with its value.
#[derive(Debug)]
pub struct Mount {
    at: PathBuf,
    log: PathBuf,
    daemon: Option<Child>,
    mounted: bool,
    /// Shows the daemon's pid to the watchdog; 0 while there is none.
    pid: Arc<AtomicU32>,
}

/// The program under test; another one, or a debugger around it, by `LAMINA_DIFF_PROGRAM`.
fn program() -> std::ffi::OsString {
    std::env::var_os("LAMINA_DIFF_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_lamina").into())
}

/// `LAMINA_DIFF_IO`: `open`, the default, in which a file that is opened to be changed is copied up as by the kernel's overlay; or
/// `auto`, in which its first change does that, where the kernel opens files by itself.
fn io() -> &'static str {
    if opens_by_kernel() { "auto" } else { "open" }
}

/// Is lamina told nothing of openings?
pub fn opens_by_kernel() -> bool {
    std::env::var_os("LAMINA_DIFF_IO").is_some_and(|io| io == "auto")
}

/// No mount or unmount takes longer than this, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(60);

impl Mount {
    /// Mounts `dirs` at `at`; the daemon's output goes to the file `log`.
    pub fn new(
        engine: &Engine,
        dirs: &Dirs,
        at: &Path,
        log: &Path,
        pid: &Arc<AtomicU32>,
    ) -> Result<Mount, String> {
        let mut mount =
            Mount { at: at.to_owned(), log: log.to_owned(), daemon: None, mounted: false, pid: pid.clone() };
        match engine {
            Engine::Kernel(options) => mount.kernel(options, dirs)?,
            Engine::Lamina(arguments) => mount.lamina(arguments, dirs)?,
        }
        Ok(mount)
    }

    fn kernel(&mut self, options: &str, dirs: &Dirs) -> Result<(), String> {
        let lowers: Vec<String> = dirs.lowers.iter().map(|dir| dir.display().to_string()).collect();
        let mut data = format!("lowerdir={},{options}", lowers.join(":"));
        if let Some((upper, work)) = &dirs.upper {
            data.push_str(&format!(",upperdir={},workdir={}", upper.display(), work.display()));
        }
        mount(Some("overlay"), &self.at, Some("overlay"), MsFlags::MS_NOATIME, Some(data.as_str()))
            .map_err(|errno| format!("the kernel's overlay cannot be mounted with {data}: {errno}"))?;
        self.mounted = true;
        Ok(())
    }

    fn lamina(&mut self, arguments: &[String], dirs: &Dirs) -> Result<(), String> {
        let say = |error: std::io::Error| format!("{}: {error}", self.log.display());
        let log = File::options().create(true).append(true).open(&self.log).map_err(say)?;
        let out = log.try_clone().map_err(say)?;
        let mut command = Command::new(program());
        command.arg("mount").args(&dirs.lowers).arg(&self.at);
        if let Some((upper, work)) = &dirs.upper {
            command.arg("--upper").arg(upper).arg("--work").arg(work);
        }
        command.arg("-f").args(["--io", io()]).args(arguments);
        command.stdin(Stdio::null()).stdout(out).stderr(log);
        let child = spawn(&mut command).map_err(|error| format!("lamina does not start: {error}"))?;
        self.pid.store(child.id(), Ordering::SeqCst);
        self.daemon = Some(child);
        let end = Instant::now() + PATIENCE;
        while !self.listed()? {
            if let Some(status) = self.daemon.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                self.daemon = None;
                return Err(format!("lamina mount ended with {status}: {}", self.log_tail()));
            }
            if Instant::now() > end {
                return Err(format!("lamina mount did not come up: {}", self.log_tail()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.mounted = true;
        Ok(())
    }

    /// Whether something is mounted at the mount point; its first answer then waits for the daemon by itself.
    fn listed(&self) -> Result<bool, String> {
        // This thread's namespace, which is not that of the process's first thread.
        let table =
            std::fs::read_to_string("/proc/thread-self/mountinfo").map_err(|error| error.to_string())?;
        let at = self.at.display().to_string();
        Ok(table.lines().any(|line| line.split(' ').nth(4) == Some(&at)))
    }

    /// Makes the kernel drop what it has cached of this file system and is not in use: a remount without a change.
    pub fn forget(&self, read_only: bool) -> Result<(), String> {
        let none: Option<&str> = None;
        let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_NOATIME;
        flags.set(MsFlags::MS_RDONLY, read_only);
        mount(none, &self.at, none, flags, none)
            .map_err(|errno| format!("{} cannot be remounted in place: {errno}", self.at.display()))
    }

    /// Where it is mounted.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// What the daemon wrote; nothing if there is none.
    pub fn log(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The end of it.
    pub fn log_tail(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Unmounts and waits for the daemon, which must end well.
    pub fn unmount(mut self) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        loop {
            match undisturbed(|| umount2(&self.at, MntFlags::empty())) {
                Ok(()) => break,
                // Another worker's daemon that looks through the mount table holds it for a moment.
                Err(Errno::EBUSY) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
                Err(errno) => return Err(format!("{} cannot be unmounted: {errno}", self.at.display())),
            }
        }
        self.mounted = false;
        let Some(mut child) = self.daemon.take() else { return Ok(()) };
        let end = Instant::now() + PATIENCE;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
                other => {
                    self.daemon = Some(child);
                    return Err(format!("lamina did not end after the unmount: {other:?}"));
                }
            }
        };
        self.pid.store(0, Ordering::SeqCst);
        if status.success() {
            Ok(())
        } else {
            Err(format!("lamina ended with {status}: {}", self.log_tail()))
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(child) = &mut self.daemon {
            // Killed first: a daemon that hangs would hang the unmount too. It may be dead already.
            let _ = child.kill();
            let _ = child.wait();
            self.pid.store(0, Ordering::SeqCst);
        }
        if self.mounted
            && let Err(errno) = umount2(&self.at, MntFlags::MNT_DETACH)
        {
            eprintln!("{} stays mounted: {errno}", self.at.display());
        }
    }
}
