//! The two mounts of one scenario, worked in step and compared.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use nix::errno::Errno;

use crate::exceptions::{self, Traits};
use crate::exec::{Outcome, Side};
use crate::generate::ROOT;
use crate::layers::make_dir;
use crate::mounts::{Dirs, Engine, Mount};
use crate::op::{Op, SLOTS, Who};
use crate::scenario::{Setting, Stage, Verdict, errno, report, trouble};
use crate::sys::{self, SetTime};
use crate::tree::{self, Clock, Difference, Node, Tree};

/// The two sides.
pub struct Pair<'a> {
    engines: [&'a Engine; 2],
    dirs: [Dirs; 2],
    at: [PathBuf; 2],
    logs: [PathBuf; 2],
    pid: Arc<AtomicU32>,
    sides: Option<[Side; 2]>,
    clock: Clock,
    /// The last trees, of the reference and of the other.
    last: Option<[Tree; 2]>,
    /// Each side has worked on the other's upper: which of them needs fewer blocks says nothing any more.
    crossed: bool,
    /// What the layers have that exceptions depend on.
    traits: Traits,
}

/// Whether the sides can be compared any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    On,
    Stop,
}

impl<'a> Pair<'a> {
    pub fn new(
        engines: [&'a Engine; 2],
        lowers: &[PathBuf],
        stage: &Stage,
        setting: Setting,
        clock: Clock,
        traits: Traits,
    ) -> Verdict<Self> {
        let prepare = |name: &str| -> Verdict<(Dirs, PathBuf, PathBuf)> {
            // Apart, so that no `..` of a random symlink could ever lead from one side to the other.
            let home = make_dir(&stage.place, name).map_err(trouble)?;
            let at = make_dir(&home, "mount").map_err(trouble)?;
            let log = home.join("log");
            if setting.read_only {
                return Ok((Dirs { lowers: lowers.to_vec(), upper: None }, at, log));
            }
            let upper = make_dir(&home, "upper").map_err(trouble)?;
            sys::chmod(&upper, setting.root_mode).map_err(errno("chmod"))?;
            let old = SetTime::To(1_000_000_000, 1);
            sys::utimens(&upper, old, old).map_err(errno("utimensat"))?;
            let work = make_dir(&home, "work").map_err(trouble)?;
            Ok((Dirs { lowers: lowers.to_vec(), upper: Some((upper, work)) }, at, log))
        };
        let (left, left_at, left_log) = prepare("reference")?;
        let (right, right_at, right_log) = prepare("tested")?;
        let mut pair = Pair {
            engines,
            dirs: [left, right],
            at: [left_at, right_at],
            logs: [left_log, right_log],
            pid: stage.pid.clone(),
            sides: None,
            clock,
            last: None,
            crossed: false,
            traits,
        };
        pair.mount()?;
        Ok(pair)
    }

    pub fn sides(&mut self) -> Verdict<&mut [Side; 2]> {
        self.sides.as_mut().ok_or_else(|| trouble("nothing is mounted"))
    }

    fn mount(&mut self) -> Verdict<()> {
        let side = |index: usize| {
            Mount::new(self.engines[index], &self.dirs[index], &self.at[index], &self.logs[index], &self.pid)
                .map(Side::new)
                .map_err(trouble)
        };
        self.sides = Some([side(0)?, side(1)?]);
        Ok(())
    }

    fn unmount(&mut self) -> Verdict<()> {
        if let Some([left, right]) = self.sides.take() {
            left.unmount().map_err(trouble)?;
            let log = right.log();
            right.unmount().map_err(trouble)?;
            if let Some(line) = log.lines().find(|line| line.contains("panicked at")) {
                return Err(trouble(format!("the daemon panicked: {line}")));
            }
        }
        Ok(())
    }

    pub fn forget(&mut self, read_only: bool) -> Verdict<()> {
        for side in self.sides()? {
            side.forget(read_only).map_err(trouble)?;
        }
        Ok(())
    }

    pub fn remount(&mut self) -> Verdict<()> {
        self.unmount()?;
        self.mount()
    }

    pub fn cross(&mut self) -> Verdict<()> {
        self.unmount()?;
        self.dirs.swap(0, 1);
        self.crossed = true;
        self.mount()
    }

    pub fn end(&mut self) -> Verdict<()> {
        self.unmount()
    }

    /// What the daemon said, to go with a failure.
    fn with_log(&mut self, (signature, mut text): (String, String)) -> (String, String) {
        if let Some(sides) = &self.sides {
            let log = sides[1].log_tail();
            if !log.is_empty() {
                // Writing to a String cannot fail.
                let _ = write!(text, "\nthe end of its log:\n{log}");
            }
        }
        (signature, text)
    }

    pub fn perform(&mut self, who: Who, op: &Op, probe: bool) -> Verdict<Go> {
        let (clock, traits) = (self.clock, self.traits);
        let paths = op.paths();
        let look = |side: &Side| {
            let nodes = side
                .within(|_| paths.iter().map(|path| tree::describe_path(path, clock)).collect::<Vec<_>>());
            let slot = op.slot().and_then(|slot| side.slot_node(slot, clock));
            nodes.map(|nodes| (nodes, slot)).map_err(errno("chroot"))
        };
        let [left, right] = self.sides()?;
        let before = if probe { Some((look(left)?, look(right)?)) } else { None };
        let source = match op {
            Op::Rename { from, .. } => {
                Some(left.within(|_| tree::describe_path(from, clock)).map_err(errno("chroot"))?)
            }
            _ => None,
        };
        let expected = left.perform(who, op);
        let found = right.perform(who, op);
        crate::count_outcome(op, &expected);
        if expected != found {
            match exceptions::outcome(traits, op, &expected, &found) {
                exceptions::Verdict::Same => {}
                exceptions::Verdict::Close => {
                    for slot in 0..SLOTS {
                        left.perform(who, &Op::Close { slot });
                        right.perform(who, &Op::Close { slot });
                    }
                }
                exceptions::Verdict::End => return Ok(Go::Stop),
                exceptions::Verdict::Wrong => return Err(self.with_log(differ(op, &expected, &found))),
            }
        }
        self.level(op, &expected, source)?;
        let Some((left_before, right_before)) = before else { return Ok(Go::On) };
        let [left, right] = self.sides()?;
        let (left_after, right_after) = (look(left)?, look(right)?);
        let mut differences = Vec::new();
        for (index, path) in paths.iter().enumerate() {
            let name = path.display().to_string();
            let (expected, found) = (&left_after.0[index], &right_after.0[index]);
            tree::compare_nodes(&name, expected, found, &mut differences);
            let kept = left_before.0[index].ino == expected.ino;
            if kept && right_before.0[index].ino != found.ino {
                differences.push(moved(name, right_before.0[index].ino, found.ino));
            }
        }
        if let (Some(expected), Some(found)) = (&left_after.1, &right_after.1) {
            tree::compare_nodes("the open descriptor", expected, found, &mut differences);
            if let (Some(left_before), Some(right_before)) = (&left_before.1, &right_before.1)
                && left_before.ino == expected.ino
                && right_before.ino != found.ino
                && !matches!(op, Op::Open { .. })
            {
                differences.push(moved("the open descriptor".to_owned(), right_before.ino, found.ino));
            }
        }
        if self.crossed {
            differences.retain(|difference| difference.what != "blocks");
        }
        exceptions::differences(&mut differences);
        report(&format!("after {}", op.name()), &differences).map_err(|failure| self.with_log(failure))?;
        Ok(Go::On)
    }

    /// A rename over a directory that turns out not to be empty has no effect, but that the kernel's overlay may have
    /// copied up what was to be renamed: then both sides do.
    fn level(&mut self, op: &Op, outcome: &Outcome, before: Option<Node>) -> Verdict<()> {
        let (Op::Rename { from, .. }, Err(Errno::ENOTEMPTY | Errno::EXDEV)) = (op, &outcome.0) else {
            return Ok(());
        };
        let clock = self.clock;
        let sides = self.sides()?;
        let now = sides[0].within(|_| tree::describe_path(from, clock)).map_err(errno("chroot"))?;
        if before.is_some_and(|before| before != now) {
            for side in sides {
                let name = "user.copied-up".to_owned();
                side.perform(
                    ROOT,
                    &Op::Setxattr { path: from.clone(), name: name.clone(), value: vec![], flags: 0 },
                );
                side.perform(ROOT, &Op::Removexattr { path: from.clone(), name });
            }
        }
        Ok(())
    }

    pub fn check(&mut self, what: &str) -> Verdict<()> {
        let clock = self.clock;
        let [left, right] = self.sides()?;
        let expected = left.within(|_| tree::snapshot(clock)).map_err(errno("chroot"))?;
        let found = right.within(|_| tree::snapshot(clock)).map_err(errno("chroot"))?;
        let mut differences = tree::compare(&expected, &found);
        for slot in 0..SLOTS {
            match (left.slot_node(slot, clock), right.slot_node(slot, clock)) {
                (Some(expected), Some(found)) => {
                    tree::compare_nodes(&format!("descriptor {slot}"), &expected, &found, &mut differences);
                }
                (None, None) => {}
                (expected, found) => differences.push(Difference {
                    path: format!("descriptor {slot}"),
                    what: "existence",
                    expected: format!("{}", expected.is_some()),
                    found: format!("{}", found.is_some()),
                }),
            }
        }
        if let Some([old_expected, old_found]) = &self.last {
            differences.extend(tree::compare_inodes((old_expected, old_found), (&expected, &found)));
        }
        self.last = Some([expected, found]);
        if self.crossed {
            differences.retain(|difference| difference.what != "blocks");
        }
        exceptions::differences(&mut differences);
        report(what, &differences).map_err(|failure| self.with_log(failure))
    }
}

fn moved(path: String, old: u64, new: u64) -> Difference {
    Difference { path, what: "st_ino", expected: "as before".to_owned(), found: format!("{new} after {old}") }
}

fn differ(op: &Op, expected: &Outcome, found: &Outcome) -> (String, String) {
    let class =
        |outcome: &Outcome| outcome.0.as_ref().map_or_else(|errno| format!("{errno:?}"), |_| "ok".to_owned());
    (
        format!("{}: expected {}, found {}", op.name(), class(expected), class(found)),
        crate::op::squeeze(&format!("expected: {expected}\n   found: {found}")),
    )
}
