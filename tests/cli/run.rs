//! Running the program.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The program as a command, without what the caller's environment says about logging.
pub fn lamina() -> Command {
    command(env!("CARGO_BIN_EXE_lamina"))
}

pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_remove("RUST_LOG").env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn outcome(command: &mut Command) -> Outcome {
    let output = command.output().expect("the program runs");
    Outcome {
        code: output.status.code().expect("the program ends by itself"),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub fn run<S: AsRef<OsStr>>(args: &[S]) -> Outcome {
    outcome(lamina().args(args))
}

impl Outcome {
    /// It failed so, and all these words are in what it says.
    #[track_caller]
    pub fn fails_with(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.out, "", "errors belong on stderr");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is missing in {:?}", self.err);
        }
    }

    #[track_caller]
    pub fn succeeds(&self) {
        assert_eq!(self.code, 0, "{self:?}");
    }
}

/// Two layers, an upper, a work directory and a mount point.
pub struct Place {
    dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["top", "base", "upper", "work", "mnt"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("base/file"), "from the base").unwrap();
        Place { dir }
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the program in this directory.
    pub fn run(&self, args: &[&str]) -> Outcome {
        outcome(lamina().args(args).current_dir(self.root()))
    }

    /// The names in it: nothing is left behind by a command that fails.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[track_caller]
    pub fn is_untouched(&self) {
        assert_eq!(self.names(), ["base", "mnt", "top", "upper", "work"]);
        assert!(!is_mounted(&self.path("mnt")));
    }
}

pub fn is_mounted(path: &Path) -> bool {
    let path = path.to_string_lossy();
    fs::read_to_string("/proc/self/mounts")
        .unwrap()
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(&*path))
}
