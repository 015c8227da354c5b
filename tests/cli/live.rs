//! Mounting, listing, unmounting. Needs /dev/fuse, and root or fusermount3.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::run::{Outcome, Place, command, is_mounted, lamina, outcome};

impl Place {
    fn mnt(&self) -> std::path::PathBuf {
        self.path("mnt")
    }

    fn listed(&self) -> Option<serde_json::Value> {
        let list = self.run(&["list", "--json"]);
        list.succeeds();
        let mounts: Vec<serde_json::Value> = serde_json::from_str(&list.out).unwrap();
        mounts.into_iter().find(|mount| mount["mountpoint"].as_str() == self.mnt().to_str())
    }

    fn pid(&self) -> i32 {
        self.listed().unwrap()["info"]["pid"].as_i64().unwrap().try_into().unwrap()
    }
}

/// A mount that goes with its test.
struct Mounted<'a>(&'a Place);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        if is_mounted(&self.0.mnt()) {
            // A test that failed is reported already; here only the mount has to go.
            drop(self.0.run(&["umount", "--lazy", "mnt"]));
        }
    }
}

#[track_caller]
fn mounted<'a>(place: &'a Place, mount: &Outcome) -> Mounted<'a> {
    let guard = Mounted(place);
    mount.succeeds();
    assert!(is_mounted(&place.mnt()));
    guard
}

/// Waits for a condition, as long as it takes a loaded machine; the test's own assertion follows.
fn wait_for(condition: impl Fn() -> bool) {
    for _ in 0..3000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn process_runs(pid: i32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended, and waits for whoever adopted it.
    !state.is_empty() && !state.contains(") Z ")
}

fn all_threads_are_stopped(pid: i32) -> bool {
    let mut threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.all(|thread| fs::read_to_string(thread.unwrap().path().join("stat")).unwrap().contains(") T "))
}

#[test]
fn a_mount_serves_is_listed_and_ends() {
    let place = Place::new();
    let mount = place.run(&["mount", "top", "base", "mnt", "--upper", "upper", "--work", "work"]);
    let guard = mounted(&place, &mount);
    assert_eq!(mount.err, "");
    assert_eq!(fs::read_to_string(place.path("mnt/file")).unwrap(), "from the base");
    fs::write(place.path("mnt/new"), "text").unwrap();
    assert_eq!(fs::read_to_string(place.path("upper/new")).unwrap(), "text");

    let listed = place.listed().unwrap();
    assert_eq!((listed["state"].as_str(), listed["source"].as_str()), (Some("live"), Some("lamina")));
    let info = &listed["info"];
    assert_eq!(info["layers"][0]["number"], 2);
    assert_eq!(info["layers"][0]["path"].as_str(), place.path("top").to_str());
    assert_eq!(info["upper"].as_str(), place.path("upper").to_str());
    assert_eq!(info["transport"], "dev");
    let pid = place.pid();
    assert!(process_runs(pid));
    let table = place.run(&["list"]);
    let line = table.out.lines().find(|line| line.contains(place.mnt().to_str().unwrap())).unwrap();
    assert!(line.contains("live") && line.contains(&pid.to_string()), "{line}");

    place.run(&["umount", "mnt"]).succeeds();
    assert!(!is_mounted(&place.mnt()));
    assert!(!process_runs(pid), "umount waits for the daemon");
    drop(guard);
}

#[test]
fn a_mount_says_what_it_was_asked() {
    let place = Place::new();
    let mount = place.run(&["mount", "top", "base", "mnt", "--log-file", "log"]);
    let _guard = mounted(&place, &mount);
    assert_eq!(fs::read_to_string(place.path("mnt/file")).unwrap(), "from the base");
    let table = place.run(&["stats", "mnt"]);
    table.succeeds();
    assert!(table.err.is_empty() && table.out.starts_with("REQUEST "), "{table:?}");
    for part in ["LOOKUP ", "OPEN ", "READ ", "\nread              13 B\n", "\nnodes "] {
        assert!(table.out.contains(part), "{part:?}: {}", table.out);
    }
    let json = place.run(&["stats", "--json", "mnt"]);
    json.succeeds();
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json["format"].as_u64(), json["bytes"]["read"].as_u64()), (Some(1), Some(13)));
    let requests = json["requests"].as_array().unwrap();
    let lookup = requests.iter().find(|of_kind| of_kind["kind"] == "LOOKUP").unwrap();
    assert_eq!((lookup["count"].as_u64(), lookup["errors"].as_u64()), (Some(1), Some(0)));
    assert!(lookup["p50_ns"].as_u64() <= lookup["p99_ns"].as_u64() && lookup["p50_ns"].is_u64(), "{lookup}");

    kill(Pid::from_raw(place.pid()), Signal::SIGUSR1).unwrap();
    let log = || fs::read_to_string(place.path("log")).unwrap();
    wait_for(|| log().contains("descriptors"));
    assert!(log().contains("INFO statistics: since it was mounted:\nREQUEST "), "{}", log());
    assert_eq!(place.listed().unwrap()["state"], "live", "asking ends nothing");
}

#[test]
fn watching_shows_what_comes_until_nobody_reads() {
    let place = Place::new();
    let mount = place.run(&["mount", "top", "base", "mnt"]);
    let _guard = mounted(&place, &mount);
    let watch = lamina()
        .args(["stats", "--watch=1", "mnt"])
        .current_dir(place.path(""))
        .stdout(Stdio::piped())
        .spawn();
    let mut watch = watch.unwrap();
    let mut first = [0; 8];
    watch.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"REQUEST ");
    let watch = RefCell::new(watch);
    let ended = || watch.borrow_mut().try_wait().unwrap();
    wait_for(|| ended().is_some());
    let end = ended().or_else(|| watch.borrow_mut().kill().map(|()| None).unwrap());
    assert!(end.is_some_and(|status| status.success()), "a reader that has gone is no failure: {end:?}");
}

#[test]
fn the_daemon_keeps_nothing_of_its_caller() {
    let place = Place::new();
    // If the daemon kept the pipe open, reading it to its end would never return.
    let mount = place.run(&["mount", "top", "base", "mnt"]);
    let _guard = mounted(&place, &mount);
    let pid = place.pid();
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));
    for stream in 0..3 {
        let target = fs::read_link(format!("/proc/{pid}/fd/{stream}")).unwrap();
        assert_eq!(target, Path::new("/dev/null"));
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Umask:\t0000"), "{status}");
}

#[test]
fn the_daemon_holds_no_lock_and_no_pipe_of_its_caller() {
    let place = Place::new();
    let script = "( flock 9; \"$0\" mount top base mnt 7>&1 ) 9>lock; flock -n lock echo free";
    let mut shell = command("sh");
    // Whoever reads the output to its end waits for all that hold the pipe.
    shell.args(["-c", script, env!("CARGO_BIN_EXE_lamina")]).current_dir(place.root());
    let mount = outcome(&mut shell);
    let _guard = mounted(&place, &mount);
    assert_eq!(mount.out, "free\n");
}

#[test]
fn layers_and_mount_point_may_be_named_by_descriptors() {
    let place = Place::new();
    let mut shell = command("sh");
    let script = "exec \"$0\" mount /proc/self/fd/7 /proc/self/fd/8 7<base 8<mnt";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_lamina")]).current_dir(place.root());
    let mount = outcome(&mut shell);
    let _guard = mounted(&place, &mount);
    assert_eq!(fs::read_to_string(place.path("mnt/file")).unwrap(), "from the base");
}

#[test]
fn a_mount_without_an_upper_is_read_only() {
    let place = Place::new();
    let mount = place.run(&["mount", "overlay:top:base", "mnt"]);
    let _guard = mounted(&place, &mount);
    let error = fs::write(place.path("mnt/new"), "").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EROFS));
}

#[test]
fn the_default_work_directory_is_a_sibling_of_the_upper() {
    let place = Place::new();
    let mount = place.run(&["mount", "top", "base", "mnt", "--upper", "upper"]);
    let guard = mounted(&place, &mount);
    let work = place.path(".upper.lamina-work");
    assert!(work.is_dir());
    assert_eq!(place.listed().unwrap()["info"]["work"].as_str(), work.to_str());
    drop(guard);
}

#[test]
fn a_mount_that_fails_late_leaves_no_work_directory_behind() {
    let place = Place::new();
    fs::create_dir(place.path("mnt2")).unwrap();
    let mount = place.run(&["mount", "top", "base", "mnt", "--upper", "upper", "--work", "work"]);
    let _guard = mounted(&place, &mount);
    // Only the union itself finds out that the upper is taken: the default work directory is made by then.
    place
        .run(&["mount", "top", "base", "mnt2", "--upper", "upper"])
        .fails_with(1, &["upper directory '", "upper' is used by another mount\n", "lamina list"]);
    assert!(!place.path(".upper.lamina-work").exists());
    assert!(!is_mounted(&place.path("mnt2")));
}

#[test]
fn a_mount_may_cover_one_of_its_layers() {
    let place = Place::new();
    let real = place.path("top");
    place.run(&["mount", "top", "base", "top", "--upper", "upper", "-o", "nonempty"]).succeeds();
    let text = fs::read_to_string(real.join("file"));
    let written = fs::write(real.join("new"), "text");
    place.run(&["umount", "top"]).succeeds();
    assert_eq!(text.unwrap(), "from the base");
    written.unwrap();
    assert_eq!(fs::read_to_string(place.path("upper/new")).unwrap(), "text");
    assert_eq!(fs::read_dir(&real).unwrap().count(), 0);
}

fn foreground(place: &Place) -> Child {
    let child = lamina()
        .args(["mount", "--foreground", "top", "base", "mnt", "--upper", "upper", "--work", "work"])
        .current_dir(place.root())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(|| is_mounted(&place.mnt()));
    assert!(is_mounted(&place.mnt()));
    child
}

#[test]
fn signals_unmount_cleanly() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let place = Place::new();
        let mut child = foreground(&place);
        let _guard = Mounted(&place);
        assert!(place.path("mnt/file").exists());
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}: {said}");
        assert!(!is_mounted(&place.mnt()), "{signal}");
    }
}

#[test]
fn a_daemon_ends_on_sigterm_and_by_unmounting_from_outside() {
    for outside in ["kill", "umount"] {
        let place = Place::new();
        let mount = place.run(&["mount", "top", "base", "mnt"]);
        let _guard = mounted(&place, &mount);
        let pid = place.pid();
        // A daemon has no terminal that could hang up.
        kill(Pid::from_raw(pid), Signal::SIGHUP).unwrap();
        assert!(place.path("mnt/file").exists());
        match outside {
            "kill" => kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap(),
            // Other tests list mounts, which keeps this one busy for a moment.
            _ => wait_for(|| outcome(command(outside).arg(place.mnt())).code == 0),
        }
        wait_for(|| !process_runs(pid));
        assert!(!process_runs(pid), "{outside}");
        assert!(!is_mounted(&place.mnt()), "{outside}");
    }
}

#[test]
fn a_dead_mount_is_recognised_and_cleared() {
    let place = Place::new();
    let mount = place.run(&["mount", "top", "base", "mnt"]);
    let _guard = mounted(&place, &mount);
    let pid = place.pid();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    wait_for(|| !process_runs(pid));
    assert_eq!(place.listed().unwrap()["state"], "dead");
    assert!(place.run(&["list"]).out.contains("lamina umount"));
    for command in ["refresh", "stats"] {
        place.run(&[command, "mnt"]).fails_with(1, &["'mnt' is a dead mount", "lamina umount 'mnt'"]);
    }
    place
        .run(&["mount", "top", "base", "mnt"])
        .fails_with(1, &["mount point 'mnt' is a dead mount", "lamina umount 'mnt'"]);
    place.run(&["umount", "mnt"]).succeeds();
    assert!(!is_mounted(&place.mnt()));
}

#[test]
fn a_stopped_daemon_keeps_nobody_waiting() {
    let place = Place::new();
    let mount = place.run(&["mount", "top", "base", "mnt"]);
    let _guard = mounted(&place, &mount);
    let pid = place.pid();
    kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    wait_for(|| all_threads_are_stopped(pid));
    let silent = place.listed().unwrap();
    assert_eq!(
        (silent["state"].as_str(), silent["problem"].as_str()),
        (Some("silent"), Some("it does not answer"))
    );
    // It goes all the same: what it is called tells that it is ours.
    place.run(&["umount", "--lazy", "mnt"]).succeeds();
    kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
    wait_for(|| !process_runs(pid));
    assert!(!process_runs(pid));
}

#[test]
fn several_are_unmounted_and_one_that_is_none_keeps_no_other() {
    let place = Place::new();
    let mount = place.run(&["mount", "top", "base", "mnt"]);
    let _guard = mounted(&place, &mount);
    place.run(&["umount", "-l", "work", "mnt"]).fails_with(1, &["'work' is not a mount point"]);
    assert!(!is_mounted(&place.mnt()));
}

#[test]
fn a_mount_in_use_is_busy_unless_lazy() {
    let place = Place::new();
    let mount = place.run(&["mount", "top", "base", "mnt"]);
    let _guard = mounted(&place, &mount);
    let mut open = File::open(place.path("mnt/file")).unwrap();
    place.run(&["umount", "mnt"]).fails_with(1, &["'mnt' is in use", "--lazy"]);
    assert!(is_mounted(&place.mnt()));
    let reader = thread::spawn(move || {
        // The daemon serves who is left; it ends when the file is closed.
        let mut text = String::new();
        open.read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(reader.join().unwrap(), "from the base");
    place.run(&["umount", "--lazy", "mnt"]).succeeds();
    assert!(!is_mounted(&place.mnt()));
}

#[test]
fn who_keeps_a_daemon_by_a_copy_of_its_mount_is_named() {
    let place = Place::new();
    let mount = place.run(&["mount", "top", "base", "mnt"]);
    let _guard = mounted(&place, &mount);
    let mut elsewhere = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "--propagation=private",
            "sh",
            "-c",
            "echo ready; read end",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    let began = elsewhere.stdout.take().unwrap().read_exact(&mut ready);
    let umount = place.run(&["umount", "--lazy", "mnt"]);
    drop(elsewhere.stdin.take());
    elsewhere.wait().unwrap();
    if began.is_err() {
        eprintln!(
            "SKIPPED who_keeps_a_daemon_by_a_copy_of_its_mount_is_named: no user namespace can be made here"
        );
        return;
    }
    umount.succeeds();
    let said = "lives in a mount namespace that has a copy of it";
    assert!(umount.err.contains("still runs: process") && umount.err.contains(said), "{}", umount.err);
}

#[test]
fn nonempty_covers_what_is_there() {
    let place = Place::new();
    fs::write(place.path("mnt/covered"), "").unwrap();
    place.run(&["mount", "top", "base", "mnt"]).fails_with(1, &["is not empty"]);
    let mount = place.run(&["mount", "top", "base", "mnt", "-o", "nonempty"]);
    let guard = mounted(&place, &mount);
    assert!(!place.path("mnt/covered").exists());
    drop(guard);
    assert!(place.path("mnt/covered").exists());
}

#[test]
fn podmans_command_line_mounts_with_warnings() {
    let place = Place::new();
    let link = place.path("fuse-overlayfs");
    symlink(env!("CARGO_BIN_EXE_lamina"), &link).unwrap();
    let options = "lowerdir=top:base,upperdir=upper,workdir=work,fsync=0,metacopy=on,x-what,relatime";
    let mount = outcome(command(&link).args(["-o", options, "mnt"]).current_dir(place.root()));
    let _guard = mounted(&place, &mount);
    assert!(mount.err.contains("warning: option 'metacopy=on' is not supported"), "{}", mount.err);
    assert!(place.path("mnt/file").exists());
    let shown = place.listed().unwrap()["info"]["options"].to_string();
    assert!(shown.contains("fsync=0"), "{shown}");
}

#[test]
fn mounts_helper_names_the_source() {
    let place = Place::new();
    let link = place.path("mount.fuse.lamina");
    symlink(env!("CARGO_BIN_EXE_lamina"), &link).unwrap();
    for (words, name) in [
        (["my,name", "mnt", "-o", "rw,lowerdir=top:base"], "my,name"),
        (["other", "mnt", "-o", r"lowerdir=top:base,fsname=my\,fs"], "my,fs"),
        (["overlay:top:base", "mnt", "-o", "noatime"], "overlay:top:base"),
    ] {
        let mount = outcome(command(&link).args(words).current_dir(place.root()));
        let _guard = mounted(&place, &mount);
        assert_eq!(place.listed().unwrap()["source"], name);
        place.run(&["umount", "mnt"]).succeeds();
    }
}

#[test]
fn a_remount_changes_flags_and_says_what_it_cannot_change() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run: only root changes the flags of a mount");
        return;
    }
    let place = Place::new();
    let link = place.path("mount.fuse.lamina");
    symlink(env!("CARGO_BIN_EXE_lamina"), &link).unwrap();
    let remount = |options: &str| {
        let options = format!("remount,{options}");
        outcome(command(&link).args(["lamina", "mnt", "-o", &options]).current_dir(place.root()))
    };
    let mount = place.run(&["mount", "top", "base", "mnt"]);
    let guard = mounted(&place, &mount);
    remount("rw").fails_with(1, &["'mnt' cannot become writable: it has no upper directory", "upperdir="]);
    let warned = remount("ro,noexec,lowerdir=base,bogus");
    warned.succeeds();
    assert!(warned.err.contains("unknown option 'bogus'; it is ignored"), "{}", warned.err);
    assert!(warned.err.contains("option 'lowerdir' has no effect"), "{}", warned.err);
    drop(guard);

    let mount = place.run(&["mount", "top", "base", "mnt", "--upper", "upper", "--work", "work"]);
    let _guard = mounted(&place, &mount);
    for (flag, expected) in [("ro", Some(libc::EROFS)), ("rw", None)] {
        let done = remount(flag);
        done.succeeds();
        assert_eq!(done.err, "");
        let written = fs::write(place.path("mnt/new"), "");
        assert_eq!(written.err().and_then(|error| error.raw_os_error()), expected, "{flag}");
    }
}

#[test]
fn names_with_colons_commas_spaces_and_bytes_are_layers() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let odd = place.root().join(std::ffi::OsStr::from_bytes(b"odd :,\\\xff"));
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join("here"), "").unwrap();
    let mut option = b"lowerdir=odd \\:\\,\\\\\xff:base".to_vec();
    option.splice(0..0, *b"ro,");
    let mut command = lamina();
    command.arg("-o").arg(std::ffi::OsStr::from_bytes(&option)).arg("mnt").current_dir(place.root());
    let mount = outcome(&mut command);
    let _guard = mounted(&place, &mount);
    assert!(place.path("mnt/here").exists());
    assert_eq!(
        place.listed().unwrap()["info"]["layers"][0]["path"]["bytes"].as_array().map(Vec::len),
        Some(odd.as_os_str().len())
    );
}

#[test]
fn a_log_file_outlives_the_terminal() {
    let place = Place::new();
    let mount = place.run(&["--log-level", "info", "--log-file", "log", "mount", "top", "base", "mnt"]);
    let _guard = mounted(&place, &mount);
    let pid = place.pid();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    wait_for(|| !process_runs(pid));
    let log = fs::read_to_string(place.path("log")).unwrap();
    for ending in [": SIGTERM: unmounting", "' is unmounted"] {
        let line =
            log.lines().find(|line| line.ends_with(ending)).unwrap_or_else(|| panic!("{ending}: {log}"));
        assert!(line.contains(&format!(" {pid} INFO lamina::")), "{line}");
    }
    assert!(log.contains(": serving '"), "{log}");
}

#[test]
fn the_debug_log_is_laminas_own() {
    let place = Place::new();
    for (level, has_capabilities) in [("debug", false), ("trace", true)] {
        let mount = place.run(&["--log-level", level, "--log-file", level, "mount", "top", "base", "mnt"]);
        drop(mounted(&place, &mount));
        let log = fs::read_to_string(place.path(level)).unwrap();
        assert_eq!(log.contains("capability"), has_capabilities, "{level}: {log}");
    }
}

#[test]
fn it_runs_in_a_user_namespace_of_its_own() {
    let place = Place::new();
    let script = "\"$0\" mount top base mnt --upper upper --work work && cat mnt/file && \"$0\" umount mnt";
    let mut unshare = command("unshare");
    unshare.args(["-Urm", "sh", "-c", script, env!("CARGO_BIN_EXE_lamina")]).current_dir(place.root());
    let done = outcome(&mut unshare);
    done.succeeds();
    assert_eq!(done.out, "from the base");
}

/// A mount of the kernel's overlay that goes with its test.
struct KernelMount(std::path::PathBuf);

impl Drop for KernelMount {
    fn drop(&mut self) {
        // A test that failed is reported already; here only the mount has to go.
        drop(outcome(command("umount").arg(&self.0)));
    }
}

#[test]
fn an_upper_or_work_directory_of_the_kernels_overlay_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run: the kernel's overlay is mounted by root");
        return;
    }
    for prefix in [true, false] {
        let place = Place::new();
        fs::create_dir(place.path("merged")).unwrap();
        fs::create_dir(place.path("w2")).unwrap();
        let dir = |name: &str| if prefix { place.path(name).display().to_string() } else { name.to_owned() };
        let options = format!("lowerdir={},upperdir={},workdir={}", dir("base"), dir("upper"), dir("work"));
        outcome(
            command("mount")
                .args(["-t", "overlay", "overlay", "-o", &options, "merged"])
                .current_dir(place.root()),
        )
        .succeeds();
        let _guard = KernelMount(place.path("merged"));
        place.run(&["mount", "top", "mnt", "--upper", "upper", "--work", "w2"]).fails_with(
            1,
            &["upper directory", "is used by the kernel's overlay on '", "merged'", "umount '"],
        );
        if prefix {
            fs::create_dir(place.path("u2")).unwrap();
            place
                .run(&["mount", "top", "mnt", "--upper", "u2", "--work", "work"])
                .fails_with(1, &["work directory", "is used by the kernel's overlay"]);
        }
        place.run(&["mount", "upper", "mnt"]).succeeds();
        place.run(&["umount", "mnt"]).succeeds();
    }
}
