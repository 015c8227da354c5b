//! An upper that is looked at and changed while nothing is mounted: check, and conversion from form to form.

use std::collections::BTreeMap;
use std::path::Path;

use lamina::check::{self, Code, Weight};
use lamina::config::{Index, RedirectDir};
use lamina::convert::{self, Blocked, Form, Target};
use lamina::error::{Error, Kind};
use lamina::overlay::{FileKind, NodeId, Overlay, RenameMode};

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
