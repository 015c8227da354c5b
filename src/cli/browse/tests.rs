//! The whole interface, without a terminal and without threads: keys in, a picture out.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use clap::Parser;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};
use tempfile::TempDir;

use super::ask::{Answer, Ask, Told};
use super::detail::{Change, Known};
use super::session::Session;
use super::source::Sources;
use super::state::{Cover, End, Event, Model, Pane, READ_UNASKED};
use super::theme::Theme;
use super::{draw, opened, walk};
use crate::changes::{self, Changes};
use crate::cli::{Cli, Command};
use crate::config::LowerSpec;

mod marks;

struct Driver {
    sources: Sources,
    model: Model,
    terminal: Terminal<TestBackend>,
    theme: Theme,
    _dir: TempDir,
}

/// Three layers. The top deletes `old` and changes the mode of `etc`, the middle one changes `etc/passwd` and adds what the top
/// deletes again.
fn layers() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &[u8]| dir.path().join(OsStr::from_bytes(path));
    let file = |path: &[u8], content: &[u8]| {
        fs::create_dir_all(at(path).parent().unwrap()).unwrap();
        fs::write(at(path), content).unwrap();
    };
    file(b"base/etc/passwd", b"root\n");
    file(b"base/etc/hostname", b"host\n");
    file(b"base/etc/odd\x1b[2J\xff", b"");
    file(b"base/old/deep/file", b"it was here\n");
    file(b"base/lib/a.so", &[0; 2000]);
    symlink("/etc/passwd", at(b"base/lib/link")).unwrap();
    file(b"middle/etc/passwd", b"root and others\n");
    file(b"middle/etc/passing", b"");
    file(b"top/.wh.old", b"");
    file(b"top/etc/.wh.passing", b"");
    file(b"top/new/readme", b"one\ntwo\n");
    fs::set_permissions(at(b"top/etc"), PermissionsExt::from_mode(0o700)).unwrap();
    dir
}

impl Driver {
    fn new(width: u16, height: u16) -> Self {
        Self::of(layers(), width, height)
    }

    fn of(dir: TempDir, width: u16, height: u16) -> Self {
        let layer = |name| dir.path().join(name).display().to_string();
        let source = format!("overlay:{}:{}:{}", layer("top"), layer("middle"), layer("base"));
        Self::open(dir, &[&source], width, height)
    }

    fn open(dir: TempDir, args: &[&str], width: u16, height: u16) -> Self {
        let cli = Cli::try_parse_from([&["lamina", "browse"], args].concat()).unwrap();
        let Command::Browse(args) = cli.command else { panic!("{cli:?}") };
        let known = opened::find(&args.source, &args.select, &args.store).unwrap();
        let model = Model::new("a source".to_owned(), known.layers.clone(), (width, height));
        let terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let sources = Sources::new(known);
        let mut driver = Driver { sources, model, terminal, theme: Theme::Colours, _dir: dir };
        driver.settle();
        driver
    }

    /// Answers all that is asked.
    fn settle(&mut self) {
        for _ in 0..1000 {
            let asks = self.model.asks();
            if asks.is_empty() {
                return;
            }
            for (shown, ask) in asks {
                let answers = match ask {
                    Ask::Search(filter) if filter.is_open() => Vec::new(),
                    Ask::Search(filter) => {
                        let view = self.sources.view(shown).unwrap();
                        let mut answers = Vec::new();
                        let mut out = |found| answers.push(Answer::Found(filter.clone(), found));
                        let searched = walk::search(&view, &filter, &|| true, &mut out);
                        answers.push(Answer::Searched(filter, searched));
                        answers
                    }
                    ask => vec![Session::new(&self.sources.view(shown).unwrap()).answer(ask)],
                };
                for answer in answers {
                    self.model.take(Event::Told(Told { shown, answer }));
                }
            }
        }
        panic!("it asks for ever: {:?}", self.model.asks());
    }

    fn press(&mut self, code: KeyCode) {
        self.model.take(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        self.settle();
    }

    fn keys(&mut self, text: &str) {
        text.chars().for_each(|c| self.press(if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) }));
    }

    fn draw(&mut self) {
        let (model, theme) = (&self.model, self.theme);
        self.terminal.draw(|frame| draw::draw(frame, model, theme)).unwrap();
    }

    fn screen(&mut self) -> Vec<String> {
        self.draw();
        let buffer = self.terminal.backend().buffer();
        let width = usize::from(buffer.area.width);
        buffer.content.chunks(width).map(|row| row.iter().map(|cell| cell.symbol()).collect()).collect()
    }

    /// The names that are shown, with their marks, layers and sizes.
    fn names(&mut self) -> Vec<String> {
        let area = self.model.areas().unwrap().tree;
        let (left, width) = (usize::from(area.x) + 1, usize::from(area.width) - 2);
        let rows: Vec<String> = self.screen();
        let height = usize::from(area.height);
        rows.iter()
            .take(height - 1)
            .skip(2)
            .map(|row| row.chars().skip(left).take(width).collect::<String>().trim_end().to_owned())
            .filter(|row| !row.is_empty())
            .collect()
    }

    #[track_caller]
    fn shows(&mut self, text: &str) {
        let screen = self.screen();
        assert!(
            screen.iter().any(|row| row.contains(text)),
            "{text:?} is missing in:\n{}",
            screen.join("\n")
        );
    }

    fn go(&mut self, path: &str) {
        self.keys(&format!("g{path}\n"));
    }
}

#[test]
fn the_top_layer_is_selected_and_its_changes_are_marked() {
    let mut driver = Driver::new(80, 30);
    assert_eq!(
        driver.names(),
        [
            "c  3  2.03 kB ▾ /",
            "C  3     21 B ▸ etc/",
            "   1  2.00 kB ▸ lib/",
            "A  3      8 B ▸ new/",
            "D  3        - ▸ old/  deleted in layer 3",
        ]
    );
    driver.shows("┌ Layers, 3");
    driver.shows("a source, layers 1-3, changes of 3");
    driver.shows("/: directory, merged from 3 layers");
    driver.shows("? help");
}

#[test]
fn selecting_a_layer_shows_the_stack_up_to_it() {
    let mut driver = Driver::new(80, 30);
    driver.go("/etc/passwd");
    driver.keys("-");
    let middle = [
        "c  2  2.03 kB ▾ /",
        "c  2     21 B ▾ etc/",
        "   1      5 B     hostname",
        "   1      0 B     odd\\u{1b}[2J\\xff",
        "A  2      0 B     passing",
        "CS 2     16 B     passwd",
        "   1  2.00 kB ▸ lib/",
        "   1     12 B ▸ old/",
    ];
    assert_eq!(driver.names(), middle);
    assert_eq!(driver.model.selected().0.to_string(), "/etc/passwd", "the selection stays");
    // By the pane of the layers.
    driver.press(KeyCode::BackTab);
    assert_eq!(driver.model.pane, Pane::Layers);
    driver.press(KeyCode::Down);
    driver.shows("a source, layers 1-1");
    assert!(driver.names().iter().all(|row| row.starts_with("   1")), "the base has no marks");
    driver.press(KeyCode::Home);
    driver.keys("a");
    driver.shows("layers 1-3, changes of 2-3");
    let all = driver.names();
    assert!(all.contains(&"CS 2     16 B     passwd".to_owned()), "{all:?}");
    assert!(all.contains(&"D  3        -     passing  deleted in layer 3".to_owned()), "{all:?}");
    driver.keys("a");
    assert!(driver.names().contains(&" S 2     16 B     passwd".to_owned()), "layer 3 did not change it");
}

#[test]
fn directories_open_and_close() {
    let mut driver = Driver::new(80, 30);
    driver.press(KeyCode::Down);
    driver.press(KeyCode::Down);
    driver.press(KeyCode::Right);
    assert!(driver.names().contains(&"   1  2.00 kB     a.so".to_owned()));
    driver.press(KeyCode::Right);
    assert_eq!(driver.model.selected().0.to_string(), "/lib/a.so");
    driver.press(KeyCode::Left);
    assert_eq!(driver.model.selected().0.to_string(), "/lib");
    driver.press(KeyCode::Left);
    assert_eq!(driver.names().len(), 5);
    driver.press(KeyCode::End);
    assert_eq!(driver.model.selected().0.to_string(), "/old");
    driver.keys(" ");
    driver.shows("deep/  deleted in layer 3");
    // A symlink leads to where it leads.
    driver.go("lib/link");
    driver.shows("-> /etc/passwd");
    driver.keys("\n");
    assert_eq!(driver.model.selected().0.to_string(), "/etc/passwd");
}

#[test]
fn the_explanation_is_that_of_explain() {
    let mut driver = Driver::new(100, 40);
    driver.go("/etc/passwd");
    driver.shows("/etc/passwd: file of layer 2 (");
    driver.shows("> 2");
    driver.shows("(file)");
    driver.keys("e");
    assert_eq!(driver.model.pane, Pane::Explanation);
    driver.shows("content");
    driver.press(KeyCode::Esc);
    assert_eq!(driver.model.pane, Pane::Tree);
    driver.go("/old");
    driver.shows("/old: does not exist: deleted in layer 3");
}

#[test]
fn long_contents_are_compared_when_asked_for() {
    let dir = layers();
    for layer in ["top", "middle"] {
        let file = fs::File::create(dir.path().join(layer).join("large")).unwrap();
        file.set_len(READ_UNASKED).unwrap();
    }
    fs::write(dir.path().join("base/large"), "x").unwrap();
    let mut driver = Driver::of(dir, 120, 40);
    driver.go("/large");
    driver.shows("not read");
    driver.keys("d");
    driver.shows("content");
    let screen = driver.screen().join("\n");
    assert!(!screen.contains("not read"), "{screen}");
}

#[test]
fn names_are_searched_by_name_size_and_change() {
    let mut driver = Driver::new(80, 30);
    driver.keys("/PASS\n");
    assert_eq!(driver.names(), ["nothing was found; Esc shows all"]);
    driver.keys("/pass\n");
    driver.shows("pass: 2 found; Esc: all");
    assert_eq!(
        driver.names(),
        ["D  3      0 B /etc/passing  deleted in layer 3", " S 2     16 B /etc/passwd"]
    );
    driver.keys("c");
    driver.shows("pass, changes: 1 found");
    driver.press(KeyCode::Esc);
    assert!(driver.model.search.is_none());
    driver.keys(">1k\n");
    assert_eq!(driver.names(), ["   1  2.00 kB /lib/a.so"]);
    driver.keys("\n");
    assert_eq!(driver.model.selected().0.to_string(), "/lib/a.so");
    assert!(driver.model.search.is_none() && driver.names().len() > 5, "it is shown in the tree");
    driver.keys("c");
    driver.shows("changes: 7 found");
    driver.press(KeyCode::Esc);
    // What is no size is told, and can be corrected.
    driver.keys("sbig\n");
    driver.shows("it must be a whole number of bytes");
    // Pressed once too often, it does not quit: `q` does.
    for _ in 0..3 {
        driver.press(KeyCode::Esc);
        assert!(driver.model.end.is_none());
    }
    driver.keys("q");
    assert_eq!(driver.model.end, Some(End::Quit));
}

#[test]
fn the_changes_are_those_that_are_counted() {
    let dir = layers();
    // A file in the place of a directory, and the other way round.
    fs::write(dir.path().join("top/lib"), "a file").unwrap();
    fs::create_dir_all(dir.path().join("middle/etc/hostname/inner")).unwrap();
    let base_first: Vec<LowerSpec> =
        ["base", "middle", "top"].map(|layer| LowerSpec::from(dir.path().join(layer))).into();
    let counted = changes::count(&base_first).unwrap();
    let mut driver = Driver::of(dir, 80, 24);
    driver.keys("c");
    for (layer, counted) in [(3, counted[2]), (2, counted[1])] {
        let found = &driver.model.search.as_ref().unwrap().found;
        let of = |change| {
            let is = |known: &Known| known.as_ref().is_ok_and(|detail| detail.change == change);
            found.iter().filter(|(_, known)| is(known)).count() as u64
        };
        let shown =
            Changes { added: of(Change::Added), changed: of(Change::Changed), deleted: of(Change::Deleted) };
        assert_eq!(shown, counted.changes, "layer {layer}: {found:?}");
        assert!(found.len() > 2);
        driver.keys("-");
    }
}

#[test]
fn a_path_that_is_not_there_is_explained() {
    let mut driver = Driver::new(80, 30);
    driver.go("/etc/passwd/x");
    driver.shows("/etc/passwd/x does not exist: /etc/passwd is no directory in layer 2");
    driver.go("/none");
    driver.shows("/none does not exist: no layer has /none");
    driver.go("/old/deep/file");
    driver.shows("/old/deep/file does not exist: /old was deleted in layer 3");
    assert_eq!(driver.model.selected().0.to_string(), "/old/deep/file", "it is shown all the same");
    driver.press(KeyCode::Down);
    assert!(driver.model.message.is_none());
}

#[test]
fn files_are_shown_and_deleted_ones_too() {
    let mut driver = Driver::new(80, 24);
    driver.go("/new/readme");
    driver.keys("\n");
    driver.shows("│one ");
    driver.shows("│two ");
    driver.shows("/new/readme, layers 1-3, text, 8 B");
    driver.keys("x");
    driver.shows("6f 6e 65 0a");
    driver.keys("?");
    driver.shows("Help");
    driver.keys("qq");
    driver.go("/old/deep/file");
    driver.keys("v");
    driver.shows("it was here");
    driver.keys("q");
    driver.go("/etc");
    driver.keys("v");
    driver.shows("it is no file");
    assert!(matches!(driver.model.cover, Cover::None));
}

#[test]
fn names_and_contents_cannot_draw() {
    let dir = layers();
    fs::write(dir.path().join("top/evil\x1b]0;title\x07"), "\x1b[2J\x1b]52;c;AAAA\x07\r\u{9b}31m").unwrap();
    let mut driver = Driver::of(dir, 80, 30);
    driver.go("/etc/odd");
    driver.shows("odd\\u{1b}[2J\\xff");
    driver.keys("/evil\n");
    driver.shows("evil\\u{1b}]0;title\\u{7}");
    let clean = |driver: &mut Driver| {
        assert!(!driver.screen().concat().chars().any(char::is_control));
    };
    clean(&mut driver);
    driver.keys("v");
    driver.shows("\\u{1b}[2J\\u{1b}]52;c;AAAA\\u{7}\\r\\u{9b}31m");
    clean(&mut driver);
    driver.keys("q");
    driver.press(KeyCode::Esc);
    // What is typed, too.
    driver.keys("g/\u{202e}\n");
    clean(&mut driver);
}

#[test]
fn marks_are_coloured_and_without_colours_there_are_the_letters() {
    let mut driver = Driver::new(80, 30);
    let style_of = |driver: &mut Driver, name: &str| {
        let rows = driver.screen();
        let y = rows.iter().position(|row| row.contains(name)).unwrap();
        let x = rows[y]
            .chars()
            .collect::<Vec<_>>()
            .windows(name.len())
            .position(|w| w.iter().collect::<String>() == name);
        let cell = &driver.terminal.backend().buffer()
            [(u16::try_from(x.unwrap()).unwrap(), u16::try_from(y).unwrap())];
        (cell.fg, cell.modifier)
    };
    for (name, colour, modifier) in [
        ("new/", Color::Green, Modifier::BOLD),
        ("old/", Color::Red, Modifier::CROSSED_OUT),
        ("etc/", Color::Yellow, Modifier::BOLD),
    ] {
        assert_eq!(style_of(&mut driver, name), (colour, modifier), "{name}");
    }
    driver.theme = Theme::Plain;
    driver.draw();
    let buffer = driver.terminal.backend().buffer();
    assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
}

#[test]
fn every_size_is_drawn_and_a_small_one_says_so() {
    let mut driver = Driver::new(80, 24);
    driver.go("/old/deep/file");
    for size in [(80, 24), (200, 60), (60, 16), (20, 5), (59, 16), (1, 1), (300, 16), (60, 100)] {
        driver.terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        driver.model.take(Event::Resized(size.0, size.1));
        driver.settle();
        driver.draw();
        driver.keys("?");
        driver.draw();
        driver.keys("q");
        if size.0 >= 60 && size.1 >= 16 {
            driver.shows("deep");
        }
    }
    driver.terminal = Terminal::new(TestBackend::new(40, 10)).unwrap();
    driver.model.take(Event::Resized(40, 10));
    driver.shows("The terminal is too small:");
    driver.keys("q");
    assert_eq!(driver.model.end, Some(End::Quit));
}

#[test]
fn the_help_has_every_key() {
    let mut driver = Driver::new(120, 80);
    driver.keys("?");
    for binding in super::keys::BINDINGS {
        driver.shows(binding.what);
    }
    driver.press(KeyCode::Esc);
    assert!(driver.model.end.is_none());
}

#[test]
fn names_have_room_on_every_terminal() {
    let mut driver = Driver::new(120, 30);
    driver.shows("MODE");
    driver.terminal = Terminal::new(TestBackend::new(60, 16)).unwrap();
    driver.model.take(Event::Resized(60, 16));
    driver.shows("NAME");
    driver.terminal = Terminal::new(TestBackend::new(120, 30)).unwrap();
    driver.model.take(Event::Resized(120, 30));
    driver.shows("MODE");
}

#[test]
fn columns_can_be_had() {
    let mut driver = Driver::new(100, 30);
    driver.keys("o");
    driver.shows("MODE");
    driver.shows("drwx------");
    driver.keys("o");
    let screen = driver.screen().join("\n");
    assert!(!screen.contains("drwx------"), "{screen}");
}
