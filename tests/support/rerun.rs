//! Running the tests of this program again under other identities: as an ordinary user, who mounts through fusermount3, and
//! inside a user namespace without it. Only root can become somebody else.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::guard::binary;
use super::identity::{self, STRANGER};
use super::{Backend, Who, fixtures, say, scratch};

/// Copies of the programs and fixtures that an ordinary user can reach, wherever the originals are.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Stage { dir: tempfile::Builder::new().prefix("lw").tempdir_in(scratch()).unwrap() };
        fs::set_permissions(stage.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for (from, to) in [(std::env::current_exe().unwrap(), "tests"), (binary(), "lamina")] {
            fs::copy(from, stage.path().join(to)).unwrap();
        }
        fs::create_dir(stage.path().join("fixtures")).unwrap();
        for entry in fs::read_dir(fixtures::folder()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), stage.path().join("fixtures").join(entry.file_name())).unwrap();
        }
        let home = stage.path().join("home");
        fs::create_dir(&home).unwrap();
        chown(&home, Some(STRANGER), Some(STRANGER)).unwrap();
        stage
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// A new mount namespace has copies of the mounts of all tests that run just then, and would keep them, and their
/// daemons, for as long as it lives; in a user namespace they could not even be unmounted. So they are let go of in a
/// mount namespace in between. The first argument is where scratch directories are, the rest is what to run.
const LET_GO: &str = r#"scratch=$1; shift
while read -r _ _ _ _ point rest; do
    case "$point:$rest" in "$scratch"/*:*" - fuse"*) umount -l "$point" ;; esac
done < /proc/self/mountinfo
exec "$@""#;

/// Runs the tests of this program again behind `wrapper`: those that `filter` says, as the test harness takes it.
fn run_again(who: Who, group: u32, wrapper: &[&str], filter: &[&str]) {
    let stage = Stage::new();
    let (uid, gid) = (format!("--reuid={STRANGER}"), format!("--regid={group}"));
    let scratch = scratch().display().to_string();
    let alone: &[&str] = match who {
        Who::Namespace => &["unshare", "--mount", "sh", "-c", LET_GO, "sh", &scratch],
        Who::Root | Who::User => &[],
    };
    let as_user = ["setpriv", &uid, &gid, "--clear-groups"];
    let mut command: Vec<OsString> =
        alone.iter().chain(&as_user).chain(wrapper).map(OsString::from).collect();
    command.push(stage.path().join("tests").into());
    let status = Command::new(&command[0])
        .args(&command[1..])
        .args(filter)
        .env("LAMINA_TEST_WHO", who.to_string())
        .env("LAMINA_TEST_BINARY", stage.path().join("lamina"))
        .env("LAMINA_TEST_FIXTURES", stage.path().join("fixtures"))
        .env("LAMINA_TEST_DIR", stage.path().join("home"))
        .env("TMPDIR", stage.path().join("home"))
        .env("HOME", stage.path().join("home"))
        .env_remove("XDG_RUNTIME_DIR")
        .current_dir(stage.path())
        .status()
        .unwrap();
    assert!(status.success(), "the tests as {who} failed: {status}; what they say is above");
}

/// What stands in the way, if anything does. The first kind is the machine's fault, the second is in the nature of it.
fn in_the_way(who: Who) -> Option<Result<(), String>> {
    if identity::rerun().is_some() || Who::current() != Who::Root {
        return Some(Ok(()));
    }
    let there = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir: PathBuf| dir.join(program).exists())
    };
    let fuse = fs::metadata("/dev/fuse");
    let usable = fuse.is_ok_and(|meta| meta.file_type().is_char_device() && meta.mode() & 0o006 == 0o006);
    if !there("setpriv") {
        return Some(Err("setpriv is not installed".into()));
    }
    if Backend::current() == Backend::Lamina && !usable {
        return Some(Err("/dev/fuse cannot be opened by ordinary users: chmod 666 /dev/fuse".into()));
    }
    match who {
        Who::User if Backend::current() == Backend::Kernel => Some(Ok(())),
        Who::User if !there("fusermount3") => Some(Err("fusermount3 is not installed".into())),
        Who::Namespace => {
            let probe = Command::new("setpriv")
                .args([&format!("--reuid={STRANGER}"), "--clear-groups", "unshare", "-Urm", "true"])
                .output();
            match probe {
                Ok(output) if output.status.success() => None,
                Ok(output) => Some(Err(String::from_utf8_lossy(&output.stderr).into_owned())),
                Err(e) => Some(Err(e.to_string())),
            }
        }
        _ => None,
    }
}

fn again_as(who: Who, group: u32, wrapper: &[&str], filter: &[&str]) {
    match in_the_way(who) {
        None => run_again(who, group, wrapper, filter),
        Some(Ok(())) => say(&format!("SKIPPED the tests as {who}: only root with lamina runs them again")),
        Some(Err(reason)) => {
            assert!(!super::everything_required(), "the tests as {who}: {reason}");
            say(&format!("SKIPPED the tests as {who}: {reason}"));
        }
    }
}

/// As an ordinary user; `filter` must leave out the test that calls this.
pub fn as_an_ordinary_user(filter: &[&str]) {
    again_as(Who::User, STRANGER, &[], filter);
}

/// As an ordinary user in the group that /etc/passwd gives it: newuidmap works for nobody else. Where there is no such user,
/// there are no ids for it either, and [`as_an_ordinary_user`] has tried that.
pub fn as_an_ordinary_user_in_its_own_group(filter: &[&str]) {
    match nix::unistd::User::from_uid(STRANGER.into()).ok().flatten() {
        Some(user) => again_as(Who::User, user.gid.as_raw(), &[], filter),
        None => {
            let missing = format!("user {STRANGER} is not in /etc/passwd, so /etc/subuid gives it no ids");
            assert!(!super::everything_required(), "{missing}");
            say(&format!("SKIPPED the tests as a user with ids: {missing}"));
        }
    }
}

/// As root of a user namespace; `filter` must leave out the test that calls this.
pub fn in_a_user_namespace(filter: &[&str]) {
    again_as(Who::Namespace, STRANGER, &["unshare", "-Urm"], filter);
}
