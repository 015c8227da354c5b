//! An upper that is looked at and changed while nothing is mounted: check, and conversion from form to form.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;

use lamina::check::{self, Code, Repaired, Weight};
use lamina::config::{Index, RedirectDir};
use lamina::convert::{self, Blocked, Form, Target};
use lamina::error::{Error, Kind};
use lamina::overlay::{Attr, FileKind, NodeId, Overlay, RenameMode, Timestamp};

use super::stack::*;
use super::storm::{Seen, layers, same, storm, tree};

/// An upper with all that random work leaves in it. Without redirects every form can say it.
fn worked_on(seed: u64, index: Index, redirects: RedirectDir) -> Stack {
    let mut stack = Stack::new(2);
    stack.behaviour.index = index;
    stack.behaviour.redirect_dir = redirects;
    layers(&stack);
    storm(&stack.open(), seed, 400, &|_| false);
    stack
}

fn work(stack: &Stack) -> std::path::PathBuf {
    stack.spec.upper.as_ref().unwrap().work.clone()
}

/// What the union shows. The number of a symlink or special file is kept in an attribute that not every form has.
fn seen(stack: &Stack) -> BTreeMap<String, Seen> {
    let mut all = tree(&stack.open());
    for seen in all.values_mut() {
        if !matches!(seen.kind, FileKind::Regular | FileKind::Directory) {
            seen.ino = None;
        }
    }
    all
}

fn lowers(stack: &Stack) -> Overlay {
    let mut spec = stack.spec.clone();
    spec.upper = None;
    Overlay::open_stack(&spec, &stack.behaviour).unwrap()
}

/// What a check with the layers below finds wrong.
fn wrong(stack: &Stack) -> Vec<check::Finding> {
    let target = check::Target::open(&stack.upper(), Some(&work(stack))).unwrap();
    let report = check::check(&target, Some(&lowers(stack))).unwrap();
    assert_eq!(report.trouble, []);
    let is_wrong = |finding: &check::Finding| finding.verdict.code.weight() == Weight::Problem;
    report.findings.into_iter().filter(is_wrong).collect()
}

fn forms() -> Vec<Form> {
    match nix::unistd::geteuid().is_root() && lamina::sys::identity::in_first_user_namespace() {
        true => vec![Form::Kernel, Form::User, Form::Oci],
        false => vec![Form::User, Form::Oci],
    }
}

fn target(stack: &Stack, form: Form) -> Target {
    Target::open(&stack.upper(), &work(stack), form).unwrap()
}

fn convert_to(stack: &Stack, form: Form) {
    convert::convert(&target(stack, form), &mut |_, _| Ok(())).unwrap();
}

#[test]
fn what_a_union_writes_has_nothing_wrong() {
    for seed in 1..12 {
        for index in [Index::Off, Index::On] {
            let stack = worked_on(seed, index, RedirectDir::On);
            // A whiteout over a name that was deleted below, too, may hide nothing.
            let wrong: Vec<_> =
                wrong(&stack).into_iter().filter(|f| f.verdict.code != Code::WhiteoutNeedless).collect();
            assert_eq!(wrong, [], "seed {seed} {index:?}");
        }
    }
}

#[test]
fn repairing_needless_whiteouts_changes_nothing_that_is_seen() {
    for seed in 1..12 {
        let stack = worked_on(seed, Index::On, RedirectDir::On);
        for name in ["zz-one", "zz-two"] {
            // What no layer below has.
            let made = nix::sys::stat::mknod(
                &stack.upper().join(name),
                nix::sys::stat::SFlag::S_IFCHR,
                nix::sys::stat::Mode::empty(),
                0,
            );
            made.unwrap();
        }
        let before = seen(&stack);
        let target = check::Target::open(&stack.upper(), Some(&work(&stack))).unwrap();
        let report = check::check(&target, Some(&lowers(&stack))).unwrap();
        let needless: Vec<_> =
            report.findings.iter().filter(|f| f.verdict.code == Code::WhiteoutNeedless).collect();
        assert!(needless.len() >= 2, "{:?}", report.findings);
        for finding in needless {
            assert_eq!(check::repair(&target, finding), check::Repaired::Done, "{finding:?}");
        }
        drop(target);
        assert_eq!(wrong(&stack), [], "seed {seed}");
        same(&before, &seen(&stack));
    }
}

/// What a union with damage shows: what can be looked at, and `None` for what cannot.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    kind: FileKind,
    perm: u32,
    mtime: Timestamp,
    content: Vec<u8>,
}

fn shown(stack: &Stack) -> BTreeMap<String, Option<Shown>> {
    let overlay = stack.open();
    let mut all = BTreeMap::new();
    let mut left = vec![(String::new(), NodeId::ROOT)];
    while let Some((dir_path, dir)) = left.pop() {
        let Ok(names) = try_list(&overlay, dir) else {
            all.insert(dir_path, None);
            continue;
        };
        for (text, _) in names {
            let path = format!("{dir_path}/{text}");
            let look = || {
                let Some(found) = overlay.lookup(dir, name(&text))? else { return Ok(None) };
                let content = match found.attr.kind {
                    FileKind::Regular => read_all(&overlay, found.node)?,
                    FileKind::Symlink => overlay.readlink(found.node)?,
                    _ => Vec::new(),
                };
                let Attr { kind, perm, mtime, .. } = found.attr;
                Ok::<_, Error>(Some((found.node, Shown { kind, perm, mtime, content })))
            };
            let found = look().unwrap_or(None);
            if let Some((node, Shown { kind: FileKind::Directory, .. })) = &found {
                left.push((path.clone(), *node));
            }
            all.insert(path, found.map(|(_, shown)| shown));
        }
    }
    all
}

/// Everything in an upper, the root among them.
fn objects(root: &Path) -> Vec<std::path::PathBuf> {
    let mut all = vec![root.to_owned()];
    let mut next = 0;
    while let Some(path) = all.get(next).cloned() {
        next += 1;
        if path.symlink_metadata().unwrap().is_dir() {
            let mut inner: Vec<_> =
                std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            inner.sort();
            all.extend(inner);
        }
    }
    all
}

/// Does one thing to an upper that nobody should. Where the system does not allow it, nothing.
fn damage(stack: &Stack, rng: &mut impl FnMut(usize) -> usize) {
    use lamina::sys::fs::At;
    use lamina::sys::xattr::{self, SetMode};
    use nix::sys::stat::{Mode, SFlag, mknod};
    const MARKS: [(&str, [&[u8]; 4]); 9] = [
        ("opaque", [b"y", b"x", b"z", b""]),
        ("redirect", [b"/nowhere", b"nope", b"a/b", b"/../x"]),
        ("metacopy", [b"", b"\x01\x02", b"\0\x04\0\0", b"y"]),
        ("origin", [b"", b"junk", b"\0\xfb\x1d\0", b"\0\xfb\x15\0aaaaaaaaaaaaaaaa\x01"]),
        ("impure", [b"y", b"n", b"", b"yy"]),
        ("whiteout", [b"y", b"", b"n", b"y"]),
        ("nlink", [b"U+1", b"L-1", b"zz", b"U-9"]),
        ("uuid", [b"short", b"", b"0123456789abcdef", b"y"]),
        ("lamina.ino", [b"q", b"", b"12345678", b"\0"]),
    ];
    let upper = objects(&stack.upper());
    let path = &upper[rng(upper.len())];
    let (mark, values) = MARKS[rng(MARKS.len())];
    let namespace = ["trusted.overlay.", "user.overlay."][rng(2)];
    let (whiteout, names) = (path.join("a"), [".wh.b", ".wh..wh..opq", ".wh..wh.aufs", ".wh.zz"]);
    // What is refused is no damage: there are others.
    let _ = match rng(8) {
        0 => mknod(&whiteout, SFlag::S_IFCHR, Mode::empty(), 0).is_ok(),
        1 => std::fs::write(path.join(names[rng(4)]), ["", "data"][rng(2)]).is_ok(),
        2 => std::fs::write(work(stack).join("work/left"), "left").is_ok(),
        _ => {
            let (dir, file) = (path.parent().unwrap(), path.file_name().unwrap());
            let dir = std::fs::File::open(dir).unwrap();
            let at = At::Name(dir.as_fd(), name(file.to_str().unwrap()));
            let attribute = format!("{namespace}{mark}");
            xattr::set(at, attribute.as_bytes(), values[rng(4)], SetMode::Any).is_ok()
        }
    };
}

#[test]
fn random_damage_is_repaired_without_taking_anything_away() {
    for seed in 1..60_u64 {
        let mut stack =
            worked_on(seed % 6 + 1, Index::On, [RedirectDir::On, RedirectDir::Follow][seed as usize % 2]);
        stack.behaviour.redirect_dir = RedirectDir::On;
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut rng = |n: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as usize % n
        };
        for _ in 0..=rng(3) {
            damage(&stack, &mut rng);
        }
        let before = shown(&stack);
        let target = check::Target::open(&stack.upper(), Some(&work(&stack))).unwrap();
        let report = check::check(&target, Some(&lowers(&stack))).unwrap();
        assert_eq!(report.trouble, [], "seed {seed}");
        for finding in &report.findings {
            let repaired = check::repair(&target, finding);
            let expected = if finding.verdict.remedy.is_some() { Repaired::Done } else { Repaired::Left };
            assert_eq!(repaired, expected, "seed {seed}: {finding:?}");
        }
        drop(target);
        // Only what was left is found again, and all of that.
        let told = |finding: &check::Finding| (finding.place.clone(), finding.verdict.code);
        let left: Vec<_> = report.findings.iter().filter(|f| f.verdict.remedy.is_none()).map(told).collect();
        let target = check::Target::open(&stack.upper(), Some(&work(&stack))).unwrap();
        let again = check::check(&target, Some(&lowers(&stack))).unwrap();
        assert_eq!(again.findings.iter().map(told).collect::<Vec<_>>(), left, "seed {seed}");
        drop(target);
        let after = shown(&stack);
        for (path, shown) in &before {
            assert!(shown.is_none() || after.get(path) == Some(shown), "seed {seed}: {path}: {shown:?}");
        }
    }
}

#[test]
fn every_form_shows_the_same() {
    for seed in 1..6 {
        for index in [Index::Off, Index::On] {
            let stack = worked_on(seed, index, RedirectDir::Follow);
            let before = seen(&stack);
            let forms = forms();
            // Every form after every other.
            let order = forms.iter().flat_map(|first| forms.iter().flat_map(move |second| [first, second]));
            for form in order {
                convert_to(&stack, *form);
                same(&before, &seen(&stack));
                let again = convert::survey(&target(&stack, *form)).unwrap();
                assert_eq!(again.objects, 0, "seed {seed} {index:?} {form:?}: it is done");
            }
        }
    }
}

#[test]
fn renamed_directories_go_from_one_namespace_to_the_other() {
    if forms().len() < 3 {
        return; // The run as root has both namespaces.
    }
    for seed in 1..6 {
        let stack = worked_on(seed, Index::On, RedirectDir::On);
        let before = seen(&stack);
        for form in [Form::User, Form::Kernel, Form::User] {
            convert_to(&stack, form);
            same(&before, &seen(&stack));
            let mixed = |f: &check::Finding| f.verdict.code == Code::NamespacesMixed;
            assert!(!wrong(&stack).iter().any(mixed), "seed {seed} {form:?}");
        }
    }
}

#[test]
fn a_conversion_that_is_ended_at_any_step_is_done_by_the_next() {
    let forms = forms();
    for (seed, from, to) in forms
        .iter()
        .flat_map(|from| forms.iter().filter(move |to| *to != from).map(move |to| (*from, *to)))
        .enumerate()
        .map(|(n, (from, to))| (n as u64 + 1, from, to))
    {
        let stack = worked_on(seed, Index::On, RedirectDir::Follow);
        convert_to(&stack, from);
        let before = seen(&stack);
        let ended = || Error::new("convert", Kind::Invalid("ended by the test"));
        // Of every attempt one step more is done; what the one before has done is not done again.
        for attempt in 0.. {
            let mut left = 1 + attempt % 3;
            let done = convert::convert(&target(&stack, to), &mut |_, _| {
                left -= 1;
                if left < 0 { Err(ended()) } else { Ok(()) }
            });
            same(&before, &seen(&stack));
            match done {
                Ok(()) => break,
                Err(error) => assert_eq!(*error.kind(), *ended().kind(), "{from:?} to {to:?}: {error}"),
            }
        }
    }
}

#[test]
fn what_a_form_cannot_say_stops_it_before_anything_is_changed() {
    let mut stack = Stack::new(1);
    stack.behaviour.redirect_dir = RedirectDir::On;
    put(stack.lower(0), "d/f", "f");
    let overlay = stack.open();
    let from = at(NodeId::ROOT, "d");
    overlay.rename(from, at(NodeId::ROOT, "moved"), RenameMode::Replace).unwrap();
    drop(overlay);
    put(&stack.upper(), ".wh..wh.plnk/x", "");
    let blocked = |form| {
        let target = target(&stack, form);
        let told: Vec<(String, Blocked)> = convert::survey(&target)
            .unwrap()
            .blocked
            .into_iter()
            .map(|(path, why)| (String::from_utf8_lossy(path.as_bytes()).into_owned(), why))
            .collect();
        told
    };
    assert_eq!(blocked(Form::Oci), [("moved".to_owned(), Blocked::Redirect)]);
    assert_eq!(blocked(Form::User), [(".wh..wh.plnk".to_owned(), Blocked::Nobodys)]);
    assert!(Path::new(&stack.upper()).join(".wh..wh.plnk/x").exists());
}

#[test]
fn an_upper_in_use_is_refused() {
    let stack = Stack::new(1);
    let held = stack.open();
    let in_use = |error: Error| assert_eq!(*error.kind(), Kind::InUse);
    in_use(check::Target::open(&stack.upper(), None).unwrap_err());
    in_use(Target::open(&stack.upper(), &work(&stack), Form::Oci).unwrap_err());
    drop(held);
}
