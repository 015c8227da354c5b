//! How it ends: exit codes, signals, and what is left when processes are killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sandbox::Sandbox;
use crate::support::Who;
use crate::support::guard::wait_for;

#[test]
fn the_exit_code_is_the_commands_or_says_why_there_was_none() {
    let Some(sandbox) = Sandbox::new() else { return };
    for (script, code) in [("exit 0", 0), ("exit 77", 77), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        assert_eq!(sandbox.script(&[], script).code, code, "{script}");
    }
    for (args, code, words) in [
        (&["image.tar", "--", "nothing"][..], 127, &["'nothing' was not found", "PATH=/bin"][..]),
        (&["image.tar", "--", "/bin/nothing"], 127, &["'/bin/nothing' was not found"]),
        (&["image.tar", "--", ""], 127, &["'' was not found", "PATH=/bin"]),
        (&["image.tar", "--", "/script"], 127, &["'/script'", "interpreter"]),
        (&["image.tar", "--", "/data"], 126, &["'/data' cannot be executed", "Permission denied"]),
        (&["image.tar", "--", "/etc"], 126, &["'/etc' cannot be executed"]),
        (&["-w", "/none", "image.tar", "--", "true"], 125, &["working directory '/none'", "--workdir"]),
        (&["none.tar"], 125, &["'none.tar' is not there", "after --"]),
        (&["--bogus", "image.tar"], 125, &["'--bogus'"]),
        (&[], 125, &["SOURCE"]),
        (&["--bind", "x", "image.tar"], 125, &["--bind 'x'", "A:B"]),
        (&["--bind", "/none:/x", "image.tar"], 125, &["'/none' cannot be shown"]),
        (
            &["--bind", "/proc/self/exe:/etc", "image.tar", "--", "true"],
            125,
            &["'/etc' in the sandbox", "a file on a file"],
        ),
        (&["--env", "=x", "image.tar"], 125, &["--env '=x' has no name"]),
    ] {
        let outcome = sandbox.run(args);
        assert_eq!((outcome.code, outcome.out.as_str()), (code, ""), "{args:?}: {outcome:?}");
        for word in words {
            assert!(outcome.err.contains(word), "{args:?}: {word:?} is missing in {}", outcome.err);
        }
        sandbox.nothing_is_left();
    }
}

/// A script in the image that runs, once it has printed a line.
fn started(sandbox: &Sandbox, script: &str) -> Child {
    let mut command = sandbox.command(&["image.tar", "--", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

fn server_of(caller: &Child) -> i32 {
    let children = format!("/proc/{0}/task/{0}/children", caller.id());
    fs::read_to_string(children).unwrap().trim().parse().unwrap()
}

/// The processes whose command line has this word.
fn with_word(word: &str) -> Vec<String> {
    let lines = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(word)).collect()
}

/// Neither a process nor a file of the sandbox is there any more; mounts went with their namespaces, which went with these.
fn all_is_gone(sandbox: &Sandbox, word: &str) {
    wait_for("the end of all processes", || with_word(word).is_empty().then_some(()));
    wait_for("the end of the temporary directory", || sandbox.left().is_empty().then_some(()));
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!table.contains("lamina-run-"), "{table}");
}

#[test]
fn signals_reach_the_command() {
    let Some(sandbox) = Sandbox::new() else { return };
    let mut child =
        started(&sandbox, "trap 'exit 41' TERM; trap 'exit 42' USR1; echo ready; sleep 73001 & wait");
    kill(pid(&child), Signal::SIGUSR1).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(42));
    let mut child = started(&sandbox, "echo ready; exec sleep 73001");
    kill(pid(&child), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    all_is_gone(&sandbox, "73001");
}

#[test]
fn what_the_command_leaves_behind_ends_with_it_and_is_reaped() {
    let Some(sandbox) = Sandbox::new() else { return };
    // The parent of `true` never waits for it.
    let script = "(sleep 73002 &); sh -c 'true & exec sleep 0.2'; i=0; \
        zombies() { cat /proc/[0-9]*/stat 2>/dev/null | grep ') Z '; }; \
        while [ $i -lt 200 ] && zombies >/dev/null; do i=$((i+1)); sleep 0.05; done; zombies; exit 5";
    let outcome = sandbox.script(&[], script);
    assert_eq!((outcome.code, outcome.out.as_str(), outcome.err.as_str()), (5, "", ""));
    all_is_gone(&sandbox, "73002");
}

#[test]
fn nothing_is_left_when_the_caller_is_killed() {
    let Some(sandbox) = Sandbox::new() else { return };
    let script = "trap '' TERM HUP; echo x > /new; echo ready; sleep 73003; sleep 73003";
    let mut child = started(&sandbox, script);
    assert_eq!(sandbox.left().len(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    all_is_gone(&sandbox, "73003");
}

#[test]
fn when_the_server_is_killed_all_ends_and_the_next_run_puts_its_files_away() {
    let Some(sandbox) = Sandbox::new() else { return };
    let mut child = started(&sandbox, "mkdir /d; chmod 0 /d; echo ready; sleep 73004");
    kill(Pid::from_raw(server_of(&child)), Signal::SIGKILL).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(125));
    wait_for("the end of all processes", || with_word("73004").is_empty().then_some(()));
    assert_eq!(sandbox.left().len(), 1);
    assert_eq!(sandbox.prints(&[], "echo next"), "next\n");
}

#[test]
fn a_tree_that_cannot_be_unmounted_is_not_waited_for_and_nothing_in_it_is_removed() {
    if Who::current() != Who::Root {
        // Somebody else must get at the sandbox's mounts, to be in its way.
        return;
    }
    let Some(sandbox) = Sandbox::new() else { return };
    fs::create_dir(sandbox.place.path("away")).unwrap();
    let mut command =
        sandbox.command(&["--upper", "u", "image.tar", "--", "sh", "-c", "echo x > /kept; echo ready; cat"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let [left] = &sandbox.left()[..] else { panic!("{:?}", sandbox.left()) };
    let moved = Command::new("nsenter")
        .args(["-t", &server_of(&child).to_string(), "-m", "mount", "--move"])
        .args([left.join("root"), sandbox.place.path("away")])
        .status();
    assert!(moved.unwrap().success());
    // A file in the way is like a mount: the kernel refuses to remove the mount point.
    fs::write(left.join("root/in-the-way"), "").unwrap();
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_to_string(sandbox.place.path("u/kept")).unwrap(), "x\n");
    assert!(left.join("lock").exists());
}

#[test]
fn standard_streams_are_the_callers() {
    let Some(sandbox) = Sandbox::new() else { return };
    let input = sandbox.place.path("input");
    fs::write(&input, "a line\n").unwrap();
    let mut command =
        sandbox.command(&["image.tar", "--", "sh", "-c", "cat; echo said >&2; ls /proc/self/fd | wc -l"]);
    let output = command.stdin(fs::File::open(&input).unwrap()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "said\n");
    // Three, and that of the listing: no descriptor of lamina's is the command's.
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a line\n4\n");
}
