//! Many at once.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::needs;
use crate::support::{Mount, sys};

const THREADS: usize = 12;

/// Runs `f` in many threads that start together.
fn together(f: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for n in 0..THREADS {
            let (f, barrier) = (&f, &barrier);
            scope.spawn(move || {
                barrier.wait();
                f(n);
            });
        }
    });
}

#[test]
fn one_file_is_copied_up_once() {
    let m = Mount::of("layer 1\nfile d/e/f size=2M seed=1\n");
    let mut expected = fs::read(m.lower(1, "d/e/f")).unwrap();
    let ino = m.stat("d/e/f").ino();
    together(|n| {
        let file = OpenOptions::new().write(true).open(m.at("d/e/f")).unwrap();
        file.write_all_at(&[n as u8; 1000], (n * 10_000) as u64).unwrap();
        assert_eq!(file.metadata().unwrap().ino(), ino);
    });
    for n in 0..THREADS {
        expected[n * 10_000..][..1000].fill(n as u8);
    }
    assert!(fs::read(m.at("d/e/f")).unwrap() == expected, "a write went into a copy that was lost");
    let m = m.remount();
    assert!(fs::read(m.at("d/e/f")).unwrap() == expected);
}

#[test]
fn different_changes_of_one_file_meet() {
    needs!(StableNumbers);
    let m = Mount::of("layer 1\nfile f \"text\" mode=644\n");
    together(|n| match n % 4 {
        0 => fs::set_permissions(m.at("f"), PermissionsExt::from_mode(0o640)).unwrap(),
        1 => sys::set_xattr(&m.at("f"), format!("user.{n}").as_bytes(), b"v", sys::SetXattr::Always).unwrap(),
        2 => fs::hard_link(m.at("f"), m.at(format!("link{n}"))).unwrap(),
        _ => OpenOptions::new().append(true).open(m.at("f")).unwrap().write_all(b"+").unwrap(),
    });
    assert_eq!(m.text("f"), "text+++");
    assert_eq!(m.stat("f").mode() & 0o777, 0o640);
    assert_eq!(sys::list_xattr(&m.at("f")).unwrap().len(), 3);
    assert_eq!(m.stat("f").nlink(), 4);
    assert_eq!(m.stat("link2").ino(), m.stat("f").ino());
}

#[test]
fn parents_are_copied_up_once() {
    let mut text = String::from("layer 1\n");
    for n in 0..THREADS {
        text += &format!("file a/b/c/d{n}/f \"{n}\"\n");
    }
    let m = Mount::of(&text);
    together(|n| {
        fs::write(m.at(format!("a/b/c/d{n}/f")), "changed").unwrap();
        fs::write(m.at(format!("a/b/new{n}")), "new").unwrap();
    });
    let m = m.remount();
    for n in 0..THREADS {
        assert_eq!(m.text(&format!("a/b/c/d{n}/f")), "changed");
    }
    assert_eq!(m.names("a/b").len(), THREADS + 1);
}

#[test]
fn one_wins_a_new_name() {
    let m = Mount::of("layer 1\nfile d/gone \"x\"\n");
    fs::remove_file(m.at("d/gone")).unwrap();
    for round in 0..20 {
        let made = AtomicUsize::new(0);
        let name = if round % 2 == 0 { "d/gone" } else { "d/new" };
        together(|n| {
            let won = if n % 3 == 0 {
                fs::create_dir(m.at(name)).is_ok()
            } else {
                File::create_new(m.at(name)).is_ok()
            };
            made.fetch_add(usize::from(won), Ordering::Relaxed);
        });
        assert_eq!(made.load(Ordering::Relaxed), 1, "round {round}");
        let removed = AtomicUsize::new(0);
        together(|_| {
            let gone = fs::remove_file(m.at(name)).is_ok() || fs::remove_dir(m.at(name)).is_ok();
            removed.fetch_add(usize::from(gone), Ordering::Relaxed);
        });
        assert_eq!(removed.load(Ordering::Relaxed), 1, "round {round}");
    }
}

#[test]
fn appended_lines_stay_whole() {
    let m = Mount::of("layer 1\nfile log \"start\\n\"\n");
    together(|n| {
        let mut file = OpenOptions::new().append(true).open(m.at("log")).unwrap();
        for line in 0..50 {
            file.write_all(format!("{n}:{line}:{}\n", "x".repeat(n * 7)).as_bytes()).unwrap();
        }
    });
    let text = m.text("log");
    let lines: BTreeSet<&str> = text.lines().collect();
    assert_eq!(text.lines().count(), THREADS * 50 + 1);
    for n in 0..THREADS {
        for line in 0..50 {
            assert!(lines.contains(format!("{n}:{line}:{}", "x".repeat(n * 7)).as_str()), "{n}:{line}");
        }
    }
}

#[test]
fn names_that_move_are_never_lost() {
    needs!(Redirects);
    let mut text = String::from("layer 1\n");
    for n in 0..THREADS {
        text += &format!("file left/f{n} \"{n}\"\nfile left/d{n}/x \"{n}\"\n");
    }
    let m = Mount::of(&(text + "dir right\n"));
    together(|n| {
        for round in 0..20 {
            let (from, to) = if round % 2 == 0 { ("left", "right") } else { ("right", "left") };
            fs::rename(m.at(format!("{from}/f{n}")), m.at(format!("{to}/f{n}"))).unwrap();
            fs::rename(m.at(format!("{from}/d{n}")), m.at(format!("{to}/d{n}"))).unwrap();
            assert_eq!(m.text(&format!("{to}/d{n}/x")), n.to_string());
        }
    });
    let m = m.remount();
    assert_eq!(m.names("right"), [""; 0]);
    assert_eq!(m.names("left").len(), 2 * THREADS);
    for n in 0..THREADS {
        assert_eq!(m.text(&format!("left/f{n}")), n.to_string());
        assert_eq!(m.names(&format!("left/d{n}")), ["x"]);
    }
}

#[test]
fn everything_at_once_keeps_the_tree_sound() {
    needs!(Redirects);
    let mut text = String::from("layer 1\n");
    for n in 0..30 {
        text += &format!("file a/f{n} \"lower\"\nfile b/f{n} \"lower\"\nfile a/sub/f{n} \"lower\"\n");
    }
    let m = Mount::of(&text);
    let dirs = ["a", "b", "a/sub", "a/moved"];
    together(|seed| {
        let mut state = seed as u64 * 7919 + 1;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for _ in 0..150 {
            let mut path = || m.at(dirs[random(dirs.len())]).join(format!("f{}", random(30)));
            let (one, two) = (path(), path());
            // All of these may lose a race; none may hang or spoil anything.
            match random(9) {
                0 => drop(fs::read(&one)),
                1 => drop(fs::write(&one, "written")),
                2 => drop(fs::remove_file(&one)),
                3 => drop(fs::rename(&one, &two)),
                4 => drop(fs::hard_link(&one, &two)),
                5 => drop(sys::rename_with(&one, &two, libc::RENAME_EXCHANGE)),
                6 => drop(fs::rename(m.at("a/sub"), m.at("a/moved"))),
                7 => drop(fs::rename(m.at("a/moved"), m.at("a/sub"))),
                _ => drop(fs::read_dir(m.at("a")).map(Iterator::count)),
            }
        }
    });
    fn listing(m: &Mount) -> Vec<(String, String, u64)> {
        let mut all = Vec::new();
        for dir in ["a", "b", "a/sub", "a/moved"] {
            if m.absent(dir) {
                continue;
            }
            for name in m.names(dir) {
                let path = format!("{dir}/{name}");
                if m.stat(&path).is_file() {
                    let text = m.text(&path);
                    assert!(["lower", "written", ""].contains(&text.as_str()), "{path}: {text}");
                    all.push((path.clone(), text, m.stat(&path).nlink()));
                }
            }
        }
        all
    }
    let before = listing(&m);
    let m = m.remount();
    assert_eq!(listing(&m), before);
}
