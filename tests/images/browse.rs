//! `lamina browse` in a real terminal: driven through tmux, as a person types.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::images::{Compression, Entry};
use crate::needs;
use crate::place::{Place, image_of, outcome, tar_of};
use crate::support::Who;
use crate::support::guard::binary;

/// How long something may take to be seen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Each server has a socket of its own: one that was told to end may be there for a moment yet.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A tmux server of its own with one pane, in which a shell runs a script and then waits.
struct Tmux {
    socket: PathBuf,
    dir: PathBuf,
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to end.
        let _ = self.command(&["kill-server"]).stderr(Stdio::null()).status();
    }
}

impl Tmux {
    /// Runs `lamina browse ARGUMENTS` between two looks at the terminal's settings.
    fn browse(place: &Place, (width, height): (u16, u16), arguments: &str) -> Self {
        // As a job of its own, which can be stopped and goes on when somebody presses a key.
        let script = format!(
            "set -m; trap : INT; stty -g >before; sh -c 'echo $$ >pid; exec \"$0\" browse --store store {arguments}' {binary}; code=$?
             if [ $code = 148 ]; then echo \"stopped with $code\"; read line; fg >/dev/null; code=$?; fi
             echo \"ended with $code\"; stty -g >after; echo done; exec cat",
            binary = binary().display(),
        );
        fs::write(place.path("script"), script).unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let tmux = Tmux { socket: place.path(format!("tmux{number}")), dir: place.path("") };
        let size = [width.to_string(), height.to_string()];
        let started = tmux
            .command(&[
                "-f",
                "/dev/null",
                "new-session",
                "-d",
                "-x",
                &size[0],
                "-y",
                &size[1],
                "sh",
                "script",
            ])
            .status()
            .unwrap();
        assert!(started.success());
        tmux
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command
            .current_dir(&self.dir)
            .arg("-u")
            .arg("-S")
            .arg(&self.socket)
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .env("XDG_DATA_HOME", self.dir.join("data"))
            .env_remove("NO_COLOR")
            .env_remove("TMUX")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    /// What is on the screen.
    fn screen(&self) -> String {
        let output = self.command(&["capture-pane", "-p"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until all of these texts are on the screen, and then says what else is.
    #[track_caller]
    fn shows(&self, texts: &[&str]) -> String {
        let begin = Instant::now();
        loop {
            let screen = self.screen();
            if texts.iter().all(|text| screen.contains(text)) {
                return screen;
            }
            assert!(begin.elapsed() < PATIENCE, "{texts:?} never came; this is there:\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses keys, as tmux calls them.
    fn keys(&self, keys: &[&str]) {
        let sent = self.command(&[&["send-keys"], keys].concat()).status().unwrap();
        assert!(sent.success());
    }

    /// Types a text.
    fn types(&self, text: &str) {
        self.keys(&["-l", text]);
    }

    /// The program has ended with this code, and the terminal is as it was.
    #[track_caller]
    fn ended(&self, code: &str) {
        let screen = self.shows(&[&format!("ended with {code}"), "done"]);
        assert!(!screen.contains('│'), "the other screen has gone:\n{screen}");
        let settings = |name| fs::read_to_string(self.dir.join(name)).unwrap();
        assert_eq!(settings("before"), settings("after"));
        let cursor =
            self.command(&["display-message", "-p", "#{cursor_flag} #{alternate_on}"]).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&cursor.stdout).trim(),
            "1 0",
            "the cursor is seen, on the first screen"
        );
    }
}

fn image(place: &Place) {
    let base = tar_of([
        Entry::dir("etc"),
        Entry::file("etc/passwd", "root of the base\n"),
        Entry::file("old/file", "it was here\n"),
        Entry::file("big", "x".repeat(5000)),
        Entry::file("evil\u{1b}[2Jname", "\u{1b}[31mred, and more text than that\u{7}\n"),
    ]);
    let top = tar_of([
        Entry::file("etc/passwd", "others\n"),
        Entry::whiteout("old"),
        Entry::file("new/readme", "hello\n"),
    ]);
    place.archive("image.tar", &image_of([base, top], Compression::Gzip));
}

#[test]
fn a_person_looks_through_an_image() {
    needs!(Tmux);
    let place = Place::new();
    image(&place);
    let tmux = Tmux::browse(&place, (80, 24), "image.tar");
    tmux.shows(&[
        "image.tar, layers 1-2, changes of 2",
        "A  2",
        "new/",
        "D  2",
        "old/  deleted in layer 2",
        "? help",
    ]);
    tmux.shows(&["evil\\u{1b}[2Jname", "/: directory, merged from 2 layers"]);
    // A directory is opened, and a file in it explained.
    tmux.keys(&["Down", "Down"]);
    tmux.shows(&["/etc: directory"]);
    tmux.keys(&["Enter"]);
    tmux.shows(&["▾ etc/", "passwd"]);
    tmux.keys(&["Down"]);
    tmux.shows(&["CS 2", "passwd", "/etc/passwd: file of layer 2", "(file)", "content"]);
    tmux.keys(&["Enter"]);
    tmux.shows(&["others", "/etc/passwd, layers 1-2, text, 7 B"]);
    tmux.keys(&["q"]);
    // The layer below, by the pane of the layers.
    tmux.shows(&["Explanation"]);
    tmux.keys(&["BTab", "Down"]);
    tmux.shows(&["image.tar, layers 1-1", "/etc/passwd: file of layer 1"]);
    tmux.keys(&["Up", "Tab"]);
    tmux.shows(&["layers 1-2"]);
    // Searches.
    tmux.keys(&["/"]);
    tmux.shows(&["Search names:"]);
    tmux.types("read*");
    tmux.keys(&["Enter"]);
    tmux.shows(&["read*: 1 found", "/new/readme"]);
    tmux.keys(&["Escape"]);
    tmux.shows(&["changes of 2"]);
    tmux.types(">4k");
    tmux.keys(&["Enter"]);
    tmux.shows(&["> 4.00 kB: 1 found", "/big"]);
    tmux.keys(&["Escape"]);
    tmux.shows(&["changes of 2"]);
    // A path, a deleted one.
    tmux.types("g/old/file");
    tmux.keys(&["Enter"]);
    tmux.shows(&["/old/file does not exist: /old was deleted in layer 2"]);
    tmux.keys(&["v"]);
    tmux.shows(&["it was here"]);
    tmux.keys(&["Escape"]);
    // Another size of the terminal.
    tmux.shows(&["Explanation"]);
    let resize = |width: &str, height: &str| {
        assert!(tmux.command(&["resize-window", "-x", width, "-y", height]).status().unwrap().success());
    };
    resize("50", "12");
    tmux.shows(&["The terminal is too small", "50 columns, 12 rows"]);
    resize("130", "40");
    tmux.shows(&["Explanation", "? help", "e explain"]);
    tmux.keys(&["?"]);
    tmux.shows(&["Help", "go to a path"]);
    tmux.keys(&["q"]);
    tmux.shows(&["Explanation"]);
    tmux.keys(&["q"]);
    tmux.ended("0");
}

#[test]
fn what_is_in_a_file_cannot_draw() {
    needs!(Tmux);
    let place = Place::new();
    image(&place);
    let tmux = Tmux::browse(&place, (80, 24), "image.tar");
    tmux.shows(&["? help", "evil\\u{1b}[2Jname"]);
    tmux.types("/evil");
    tmux.keys(&["Enter"]);
    tmux.shows(&["1 found"]);
    tmux.keys(&["v"]);
    tmux.shows(&["\\u{1b}[31mred, and more text than that\\u{7}"]);
    tmux.keys(&["C-c"]);
    tmux.ended("0");
}

#[test]
fn a_signal_ends_it_and_the_terminal_is_as_before() {
    needs!(Tmux);
    let place = Place::new();
    image(&place);
    for (signal, code) in [("TERM", "143"), ("INT", "130")] {
        let tmux = Tmux::browse(&place, (80, 24), "image.tar");
        tmux.shows(&["? help"]);
        let pid = fs::read_to_string(place.path("pid")).unwrap();
        assert!(Command::new("kill").args(["-s", signal, pid.trim()]).status().unwrap().success());
        tmux.ended(code);
    }
}

#[test]
fn it_stops_and_goes_on_as_a_job() {
    needs!(Tmux);
    let place = Place::new();
    image(&place);
    let tmux = Tmux::browse(&place, (80, 24), "image.tar");
    tmux.shows(&["? help"]);
    tmux.keys(&["C-z"]);
    let screen = tmux.shows(&["stopped with 148"]);
    assert!(!screen.contains('│'), "the shell has its screen:\n{screen}");
    tmux.keys(&["Enter"]);
    tmux.shows(&["? help", "Explanation"]);
    tmux.keys(&["q"]);
    tmux.ended("0");
}

#[test]
fn a_live_mount_is_shown_with_its_upper() {
    needs!(Tmux);
    let place = Place::new();
    image(&place);
    let upper = place.path("upper");
    fs::create_dir(&upper).unwrap();
    let upper = upper.to_str().unwrap();
    let mounted = place.mount(&["image.tar", "--upper", upper]);
    fs::write(mounted.at("written"), "above").unwrap();
    let tmux = Tmux::browse(&place, (80, 24), "mnt");
    tmux.shows(&["layers 1-3, changes of 3", "the upper", "written"]);
    tmux.types("g/written");
    tmux.keys(&["Enter"]);
    tmux.shows(&["/written: file of layer 3 (the upper)"]);
    tmux.keys(&["q"]);
    tmux.ended("0");
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let place = Place::new();
    image(&place);
    let said = place.run("browse", &["image.tar"]);
    said.refuses(
        "no terminal",
        &["lamina browse needs a terminal: standard input is not a terminal", "lamina ls", "lamina explain"],
    );
    let mut dumb = Command::new(binary());
    dumb.args(["browse", "image.tar"]).current_dir(place.path("")).env("TERM", "dumb").stdin(Stdio::null());
    outcome(&mut dumb).refuses("no terminal", &["needs a terminal"]);
    assert!(Who::current() != Who::Root || place.stored().is_empty(), "nothing was made ready for it");
}
