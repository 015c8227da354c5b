//! What reaches the disk, and when: seen from below, by the log of another mount that serves as the upper's file system.

use std::fs::{self, File};
use std::process::{Command, Output, Stdio};

use crate::needs;
use crate::support::guard::{Layers, binary};
use crate::support::{Mount, Setup};

/// A mount that logs each request.
struct Traced {
    layers: Layers,
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

impl Traced {
    fn new() -> Self {
        let layers = Setup::text("layer 1\ndir d\n").build();
        let output = run(layers.command().args(["--log-level", "trace"]));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Traced { layers }
    }

    /// A mount whose upper lies on this one.
    fn carry(&self, options: &str) -> Mount {
        let point = self.layers.dir().join("mnt");
        let text = "layer 1\nfile f \"lower\"\nfile d/g \"lower\"\n";
        let mut layers = Setup::text(text).options(options).build();
        layers.place_upper(&point.join("upper"), &point.join("work"));
        layers.mounted()
    }

    /// The requests that `change` makes, by the first word of each message.
    fn requests(&self, change: impl FnOnce()) -> Vec<String> {
        let before = self.layers.log().len();
        change();
        self.layers.log()[before..]
            .lines()
            .filter_map(|line| line.split(' ').nth(4).map(str::to_owned))
            .collect()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let output = run(Command::new(binary()).arg("umount").arg(self.layers.dir().join("mnt")));
        if !output.status.success() {
            crate::support::say(&String::from_utf8_lossy(&output.stderr));
        }
    }
}

fn count(requests: &[String], kind: &str) -> usize {
    requests.iter().filter(|request| *request == kind).count()
}

#[test]
fn a_copy_is_synced_before_it_is_seen() {
    needs!(Lamina);
    let below = Traced::new();
    let m = below.carry("");
    let requests = below.requests(|| fs::write(m.at("f"), "changed").unwrap());
    let synced = requests.iter().position(|request| request == "FSYNC");
    let seen = requests.iter().rposition(|request| request == "RENAME2");
    assert!(synced.is_some() && synced < seen, "{requests:?}");
    // A new file is its writer's to sync.
    let requests = below.requests(|| fs::write(m.at("new"), "new").unwrap());
    assert_eq!(count(&requests, "FSYNC"), 0, "{requests:?}");
    let requests = below.requests(|| File::open(m.at("new")).unwrap().sync_all().unwrap());
    assert_eq!(count(&requests, "FSYNC"), 1, "{requests:?}");
    let requests = below.requests(|| File::open(m.at("d")).unwrap().sync_all().unwrap());
    assert_eq!(count(&requests, "FSYNCDIR"), 0, "a directory of the lower has nothing to sync: {requests:?}");
    fs::write(m.at("d/g"), "changed").unwrap();
    let requests = below.requests(|| File::open(m.at("d")).unwrap().sync_all().unwrap());
    assert_eq!(count(&requests, "FSYNCDIR"), 1, "{requests:?}");
    drop(m);
}

#[test]
fn a_mount_that_is_told_to_sync_nothing_syncs_nothing() {
    needs!(Lamina);
    for options in ["volatile", "fsync=0"] {
        let below = Traced::new();
        let m = below.carry(options);
        let requests = below.requests(|| {
            fs::write(m.at("f"), "changed").unwrap();
            fs::write(m.at("d/new"), "new").unwrap();
            File::open(m.at("f")).unwrap().sync_all().unwrap();
            File::open(m.at("d/new")).unwrap().sync_data().unwrap();
            File::open(m.at("d")).unwrap().sync_all().unwrap();
        });
        assert!(count(&requests, "WRITE") > 0, "{requests:?}");
        assert_eq!(count(&requests, "FSYNC") + count(&requests, "FSYNCDIR"), 0, "{options}: {requests:?}");
        drop(m);
    }
}
