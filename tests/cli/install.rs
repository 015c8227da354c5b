//! `scripts/install`: what it puts where, and that it takes exactly that away again.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::run::{Outcome, command, outcome};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/install");

struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Machine { dir: tempfile::tempdir().unwrap() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn script(&self, args: &[&str]) -> Outcome {
        outcome(command(SCRIPT).arg("--destdir").arg(self.dir.path()).args(args))
    }

    #[track_caller]
    fn install(&self, args: &[&str]) -> Outcome {
        let done = self.script(&[&["--binary", env!("CARGO_BIN_EXE_lamina")], args].concat());
        done.succeeds();
        done
    }

    /// Everything there is, directories with a slash.
    fn names(&self) -> BTreeSet<String> {
        fn walk(root: &Path, dir: &Path, into: &mut BTreeSet<String>) {
            for entry in fs::read_dir(dir).unwrap() {
                let entry = entry.unwrap();
                let name = entry.path().strip_prefix(root).unwrap().display().to_string();
                if entry.file_type().unwrap().is_dir() {
                    into.insert(format!("{name}/"));
                    walk(root, &entry.path(), into);
                } else {
                    into.insert(name);
                }
            }
        }
        let mut names = BTreeSet::new();
        walk(self.dir.path(), self.dir.path(), &mut names);
        names
    }
}

#[test]
fn it_puts_everything_in_its_place_and_says_so() {
    let machine = Machine::new();
    let done = machine.install(&["--prefix", "/opt/l"]);
    let program = machine.at("opt/l/bin/lamina");
    let version = outcome(command(&program).arg("--version"));
    assert!(version.out.starts_with("lamina "), "{version:?}");
    assert_eq!(fs::read_link(machine.at("sbin/mount.fuse.lamina")).unwrap(), Path::new("/opt/l/bin/lamina"));
    // A page for each command that there is.
    let help = outcome(command(&program).arg("--help")).out;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let mut commands = 0;
    for line in listed.take_while(|line| !line.is_empty()) {
        let Some(name) = line.strip_prefix("  ").and_then(|line| line.split_whitespace().next()) else {
            continue;
        };
        if line.starts_with("   ") || name == "help" {
            continue;
        }
        let page = machine.at(&format!("opt/l/share/man/man1/lamina-{name}.1"));
        let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(text.starts_with(".TH"), "{name}: {text}");
        commands += 1;
    }
    assert!(commands > 10, "{help}");
    let page = fs::read_to_string(machine.at("opt/l/share/man/man8/mount.fuse.lamina.8")).unwrap();
    assert!(page.starts_with(".TH MOUNT.FUSE.LAMINA 8"), "{page}");
    for (path, word) in [
        ("bash-completion/completions/lamina", "complete -F"),
        ("zsh/site-functions/_lamina", "#compdef lamina"),
        ("fish/vendor_completions.d/lamina.fish", "complete -c lamina"),
    ] {
        let text = fs::read_to_string(machine.at("opt/l/share").join(path)).unwrap();
        assert!(text.contains(word), "{path}");
    }
    for name in machine.names().iter().filter(|name| !name.ends_with('/')) {
        assert!(done.out.contains(&machine.at(name).display().to_string()), "{name} is not in {}", done.out);
    }
}

#[test]
fn it_removes_what_it_installed_and_nothing_else() {
    let machine = Machine::new();
    machine.install(&[]);
    machine.script(&["--uninstall"]).succeeds();
    assert_eq!(machine.names(), BTreeSet::new());
    // Where others have their files, too.
    for name in ["usr/local/bin", "usr/local/share/man/man1"] {
        fs::create_dir_all(machine.at(name)).unwrap();
        fs::write(machine.at(name).join("other"), "").unwrap();
    }
    fs::create_dir(machine.at("sbin")).unwrap();
    let before = machine.names();
    machine.install(&[]);
    // A command that an earlier version had, and a file that is in nobody's list.
    let list = machine.at("usr/local/share/lamina/installed");
    let listed = fs::read_to_string(&list).unwrap();
    fs::write(&list, format!("file /usr/local/share/man/man1/lamina-gone.1\n{listed}")).unwrap();
    fs::write(machine.at("usr/local/share/man/man1/lamina-gone.1"), "").unwrap();
    machine.install(&[]);
    assert!(!machine.at("usr/local/share/man/man1/lamina-gone.1").exists());
    fs::write(machine.at("usr/local/share/lamina/mine"), "").unwrap();
    machine.script(&["--uninstall"]).succeeds();
    let mut expected = before;
    expected.insert("usr/local/share/lamina/".into());
    expected.insert("usr/local/share/lamina/mine".into());
    assert_eq!(machine.names(), expected);
    let again = machine.script(&["--uninstall"]);
    again.fails_with(1, &["nothing is installed", "--prefix"]);
}

#[test]
fn a_link_for_mount_that_is_not_its_own_stays() {
    let machine = Machine::new();
    fs::create_dir(machine.at("sbin")).unwrap();
    symlink("/usr/bin/lamina", machine.at("sbin/mount.fuse.lamina")).unwrap();
    let done = machine.install(&[]);
    assert!(done.out.contains("left as it is: "), "{}", done.out);
    machine.script(&["--uninstall"]).succeeds();
    assert_eq!(fs::read_link(machine.at("sbin/mount.fuse.lamina")).unwrap(), Path::new("/usr/bin/lamina"));
}

#[test]
fn without_the_right_to_write_for_mount_the_rest_is_installed() {
    let machine = Machine::new();
    // Not a directory: root may not write there either.
    fs::write(machine.at("sbin"), "").unwrap();
    let done = machine.install(&[]);
    assert!(
        done.out.contains("left out: ") && done.out.contains("ln -s /usr/local/bin/lamina"),
        "{}",
        done.out
    );
    assert!(machine.at("usr/local/bin/lamina").exists());
}

#[test]
fn what_failed_half_way_can_be_removed() {
    let machine = Machine::new();
    fs::create_dir_all(machine.at("usr/local/share/man/man8/mount.fuse.lamina.8/in-the-way")).unwrap();
    let before = machine.names();
    let failed = machine.script(&["--binary", env!("CARGO_BIN_EXE_lamina")]);
    assert_ne!(failed.code, 0, "{failed:?}");
    assert!(failed.out.contains("not complete"), "{failed:?}");
    machine.script(&["--uninstall"]).succeeds();
    let left: Vec<String> = machine.names().difference(&before).cloned().collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn what_failed_at_once_leaves_nothing() {
    let machine = Machine::new();
    // Some of it can be made, and then the path is too long.
    let prefix = format!("/{}", ["d".repeat(250).as_str(); 20].join("/"));
    let failed = machine.script(&["--binary", env!("CARGO_BIN_EXE_lamina"), "--prefix", &prefix]);
    assert_ne!(failed.code, 0, "{failed:?}");
    assert_eq!(machine.names(), BTreeSet::new());
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_anything_is_built() {
    let machine = Machine::new();
    fs::write(machine.at("opt"), "").unwrap();
    // No --binary: it would build.
    machine.script(&["--prefix", "/opt/l"]).fails_with(1, &["opt' is not a directory", "--prefix"]);
}

#[test]
fn what_it_says_to_remove_it_removes_it() {
    let machine = Machine::new();
    for prefix in ["/", "/opt/a b"] {
        let done = machine.install(&["--prefix", prefix]);
        let line =
            done.out.lines().find_map(|line| line.split_once("To remove it: scripts/install ")).unwrap();
        outcome(command("bash").arg("-c").arg(format!("{SCRIPT} {}", line.1))).succeeds();
        assert_eq!(machine.names(), BTreeSet::new(), "{prefix}");
    }
}

#[test]
fn its_usage_errors() {
    let machine = Machine::new();
    machine.script(&["--prefix", "relative"]).fails_with(2, &["--prefix must be an absolute path"]);
    machine.script(&["--what"]).fails_with(2, &["unknown argument: --what"]);
    machine.script(&["--prefix"]).fails_with(2, &["--prefix needs a value"]);
    machine.script(&["--binary", "/nonexistent"]).fails_with(1, &["there is no program '/nonexistent'"]);
    let broken = machine.at("broken");
    fs::write(&broken, "#!/bin/sh\nexit 3\n").unwrap();
    fs::set_permissions(&broken, PermissionsExt::from_mode(0o755)).unwrap();
    machine.script(&["--binary", broken.to_str().unwrap()]).fails_with(1, &["does not run here"]);
    assert_eq!(machine.names(), BTreeSet::from(["broken".to_owned()]));
}
