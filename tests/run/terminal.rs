//! The terminal: Ctrl-C, the window's size, its name, and who has it afterwards.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};

use crate::sandbox::Sandbox;
use crate::support::guard::wait_for;

/// A program on a terminal that the test holds the other end of.
struct Session {
    keyboard: File,
    child: Child,
    seen: String,
}

impl Session {
    fn start(command: &Command, rows: u16) -> Session {
        let size = Winsize { ws_row: rows, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        fcntl(&pair.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        // It makes a session, and the terminal its own.
        let mut session = Command::new("setsid");
        session.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        session.current_dir(command.get_current_dir().unwrap());
        for (name, value) in command.get_envs() {
            match value {
                // The helper must be found.
                Some(_) if name == "PATH" => {}
                Some(value) => drop(session.env(name, value)),
                None => drop(session.env_remove(name)),
            }
        }
        let stream = |fd: &OwnedFd| fd.try_clone().unwrap();
        session.stdin(stream(&pair.slave)).stdout(stream(&pair.slave)).stderr(stream(&pair.slave));
        let child = session.spawn().unwrap();
        Session { keyboard: pair.master.into(), child, seen: String::new() }
    }

    fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    fn expect(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let mut waiting = [PollFd::new(self.keyboard.as_fd(), PollFlags::POLLIN)];
            let patience = PollTimeout::try_from(Duration::from_secs(30)).unwrap();
            assert_ne!(poll(&mut waiting, patience), Ok(0), "{text:?} did not come: {:?}", self.seen);
            let mut buffer = [0; 4096];
            match self.keyboard.read(&mut buffer) {
                Ok(0) | Err(_) => panic!("{text:?} did not come: {:?}", self.seen),
                Ok(len) => self.seen.push_str(&String::from_utf8_lossy(&buffer[..len])),
            }
        }
        let at = self.seen.find(text).unwrap();
        self.seen.drain(..at + text.len());
    }

    fn code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // For a test that fails: the program loses its terminal, and ends.
        let _ = self.child.kill();
    }
}

#[test]
fn when_the_terminal_goes_away_all_ends() {
    let Some(sandbox) = Sandbox::new() else { return };
    let mut session =
        Session::start(&sandbox.command(&["image.tar", "--", "sh", "-c", "echo rea''dy; exec sleep 97"]), 24);
    session.expect("ready");
    drop(session);
    wait_for("the end of the sandbox", || sandbox.left().is_empty().then_some(()));
}

#[test]
fn ctrl_c_reaches_the_command_and_only_it() {
    let Some(sandbox) = Sandbox::new() else { return };
    let script = "trap 'echo inter''rupted; exit 9' INT; echo rea''dy; while :; do sleep 1; done";
    let mut session = Session::start(&sandbox.command(&["image.tar", "--", "sh", "-c", script]), 24);
    session.expect("ready");
    session.type_in("\x03");
    session.expect("interrupted");
    assert_eq!(session.code(), Some(9), "lamina waits for it");
    let mut session =
        Session::start(&sandbox.command(&["image.tar", "--", "sh", "-c", "echo rea''dy; exec sleep 99"]), 24);
    session.expect("ready");
    session.type_in("\x03");
    assert_eq!(session.code(), Some(130));
    sandbox.nothing_is_left();
}

#[test]
fn a_shell_has_job_control_and_the_terminals_size_and_name() {
    let Some(sandbox) = Sandbox::new() else { return };
    let mut session = Session::start(&sandbox.command(&["image.tar", "--", "sh", "-i"]), 33);
    session.type_in("stty size; tty\n");
    session.expect("33 77");
    session.expect("/dev/console");
    session.type_in("sh -c 'echo slee''ps; exec sleep 98'\n");
    session.expect("sleeps");
    session.type_in("\x1a");
    session.expect("Stopped");
    session.type_in("echo ty''ped\n");
    session.expect("typed");
    session.type_in("kill -KILL %1; wait\n");
    // With a job that is stopped, or that the shell has not seen the end of, the first is refused.
    session.type_in("exit 7\nexit 7\n");
    assert_eq!(session.code(), Some(7));
    sandbox.nothing_is_left();
}

#[test]
fn in_the_background_it_leaves_the_terminal_to_the_shell() {
    let Some(sandbox) = Sandbox::new() else { return };
    let lamina = sandbox.command(&["image.tar", "--", "sleep", "0.2"]);
    let mut shell = Command::new("sh");
    // A shell that has lost its terminal is stopped when it reads.
    let script = r#"set -m; "$@" & wait; echo do''ne; read line; echo "got $line""#;
    shell.args(["-c", script, "sh"]).arg(lamina.get_program()).args(lamina.get_args());
    shell.current_dir(lamina.get_current_dir().unwrap());
    for (name, value) in lamina.get_envs() {
        match value {
            Some(value) => drop(shell.env(name, value)),
            None => drop(shell.env_remove(name)),
        }
    }
    let mut session = Session::start(&shell, 24);
    session.expect("done");
    session.type_in("a word\n");
    session.expect("got a word");
    assert_eq!(session.code(), Some(0));
}
