//! An image to run things in, and the running.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::images::{Compression, Entry, ImageBuilder, Layer};
use crate::place::{Outcome, Place, outcome, tar_of};
use crate::support::{Who, everything_required, say};

/// A program that needs no library, and is all programs.
const BUSYBOX: [&str; 2] = ["/usr/bin/busybox", "/bin/busybox"];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nmail:x:8:12:mail:/var/mail:/bin/sh\n";
const GROUP: &str = "root:x:0:\nmail:x:12:\nadm:x:4:mail\n";

/// A place with `image.tar`; `None` where there is no busybox.
pub struct Sandbox {
    pub place: Place,
    pub image: PathBuf,
}

/// The entries that every image here has.
pub fn entries(busybox: Vec<u8>) -> Vec<Entry> {
    let programs =
        ["sh", "cat", "sleep", "id", "env", "ls", "stat", "echo", "mount", "stty", "tty", "kill", "ps"];
    let mut entries = vec![
        Entry::dir("bin"),
        Entry::file("bin/busybox", busybox).mode(0o755),
        Entry::dir("etc"),
        Entry::file("etc/passwd", PASSWD),
        Entry::file("etc/group", GROUP),
        Entry::file("etc/old", "old"),
        Entry::file("script", "#!/bin/nothing\n").mode(0o755),
        Entry::file("data", "not a program").mode(0o644),
        Entry::dir("root").mode(0o700),
    ];
    entries.extend(programs.map(|name| Entry::symlink(format!("bin/{name}"), "busybox")));
    entries
}

/// The program, or why there is none.
pub fn busybox() -> Option<Vec<u8>> {
    let found = BUSYBOX.iter().find_map(|path| fs::read(path).ok());
    if found.is_none() {
        assert!(!everything_required(), "busybox is not installed (package busybox-static)");
        say("SKIPPED: busybox is not installed (package busybox-static)");
    }
    found
}

impl Sandbox {
    pub fn new() -> Option<Self> {
        Sandbox::of(&[], json!({"Env": ["PATH=/bin"], "Cmd": ["sh"]}))
    }

    /// With more in the image's layer, and this config.
    pub fn of(more: &[Entry], config: Value) -> Option<Self> {
        let all = entries(busybox()?).into_iter().chain(more.iter().cloned());
        let place = Place::new();
        let built = ImageBuilder::new()
            .layer(Layer::new(tar_of(all)).compressed(Compression::None))
            .tag("example.org/run:latest")
            .edit_config(move |document| document["config"] = config)
            .build();
        let image = place.archive("image.tar", &built);
        fs::create_dir(place.path("tmp")).unwrap();
        Some(Sandbox { place, image })
    }

    /// `lamina run --store STORE ARGUMENTS`, with temporary files in the place.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = self.place.command("run", &[] as &[&str]);
        // newuidmap is looked for in /usr/bin in any case.
        command.arg("--quiet").args(args).env("TMPDIR", self.place.path("tmp"));
        command
    }

    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Outcome {
        outcome(&mut self.command(args))
    }

    /// Runs a script in the image.
    #[track_caller]
    pub fn script(&self, options: &[&str], script: &str) -> Outcome {
        let outcome = self.run(&[options, &["image.tar", "--", "sh", "-c", script]].concat());
        self.nothing_is_left();
        outcome
    }

    /// What it prints, where it ends well and says nothing else.
    #[track_caller]
    pub fn prints(&self, options: &[&str], script: &str) -> String {
        let outcome = self.script(options, script);
        assert_eq!((outcome.code, outcome.err.as_str()), (0, ""), "{outcome:?}");
        outcome.out
    }

    /// What is in the directory for temporary files.
    pub fn left(&self) -> Vec<PathBuf> {
        fs::read_dir(self.place.path("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[track_caller]
    pub fn nothing_is_left(&self) {
        assert_eq!(self.left(), [] as [PathBuf; 0]);
    }
}

/// Has a sandbox the ids that images use? Root has; an ordinary user whom /etc/subuid gives some; and not root of a namespace
/// with one id.
pub fn has_many_ids() -> bool {
    let given = |file: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let uid = nix::unistd::geteuid();
        let user = nix::unistd::User::from_uid(uid).ok().flatten();
        // newuidmap wants the user's own group, too.
        let name = user.filter(|user| user.gid == nix::unistd::getegid()).map(|user| user.name);
        name.is_some()
            && text.lines().any(|line| {
                let user = line.split(':').next();
                user == name.as_deref() || user == Some(&uid.to_string())
            })
    };
    match Who::current() {
        Who::Root => true,
        Who::Namespace => false,
        Who::User => {
            let has =
                Path::new("/usr/bin/newuidmap").exists() && given("/etc/subuid") && given("/etc/subgid");
            if !has {
                say(
                    "an ordinary user is tried with one id only: no newuidmap, or no range in /etc/subuid, or not its own group",
                );
            }
            has
        }
    }
}
