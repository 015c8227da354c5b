//! `lamina doctor` on this machine, and on what is taken away from it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::refuse;
use crate::run::{Outcome, command, lamina, outcome, run};

/// The program behind a wrapper: `unshare -Urm`, `prlimit`.
fn behind(wrapper: &[&str], args: &[&str]) -> Outcome {
    outcome(command(wrapper[0]).args(&wrapper[1..]).arg(env!("CARGO_BIN_EXE_lamina")).args(args))
}

fn json(outcome: &Outcome) -> serde_json::Value {
    serde_json::from_str(&outcome.out).unwrap_or_else(|error| panic!("{error}: {outcome:?}"))
}

#[track_caller]
fn check<'a>(json: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let checks = json["checks"].as_array().unwrap();
    checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("{name} in {json}"))
}

#[track_caller]
fn verdict<'a>(json: &'a serde_json::Value, on: &str) -> &'a str {
    let uses = json["uses"].as_array().unwrap();
    uses.iter().find(|one| one["for"] == on).and_then(|one| one["verdict"].as_str()).unwrap()
}

#[test]
fn every_check_has_its_line() {
    let all = run(&["doctor"]);
    all.succeeds();
    for word in
        ["VERDICT", "kernel", "/dev/fuse", "fusermount3", "namespaces", "ids", "upper", "store", "io_uring"]
    {
        assert!(all.out.contains(word), "{word} is missing in {}", all.out);
    }
    let json = json(&run(&["doctor", "--json"]));
    assert_eq!(json["uses"].as_array().unwrap().len(), 4);
    for check in json["checks"].as_array().unwrap() {
        let name = check["check"].as_str().unwrap();
        assert!(all.out.contains(name), "{name} is missing in {}", all.out);
        assert!(matches!(check["verdict"].as_str(), Some("ok" | "limited" | "missing")), "{check}");
    }
}

#[test]
fn the_tests_of_mounts_need_what_it_says_works() {
    // All of them fail where this is not so, and then it is the first to say why.
    let answer = run(&["doctor", "--for", "mount"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.out.starts_with("mount  works here"), "{answer:?}");
}

#[test]
fn an_upper_is_looked_at_where_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let json = json(&run(&["doctor", "--json", "--upper", path]));
    assert_eq!(check(&json, "upper")["path"], path);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it leaves nothing");
    let nowhere = run(&["doctor", "--for", "mount", "--upper", "/proc/nothing"]);
    assert_eq!(nowhere.code, 1, "{nowhere:?}");
    assert!(nowhere.out.contains("nothing can be made in '/proc/nothing'"), "{nowhere:?}");
}

#[test]
fn a_low_limit_of_descriptors_is_told() {
    let told = behind(&["prlimit", "--nofile=100:100"], &["doctor", "--for", "mount"]);
    assert_eq!(told.code, 1, "{told:?}");
    assert!(told.out.contains("ulimit -Hn"), "{told:?}");
}

#[test]
fn inside_a_user_namespace_of_one_id_run_works_with_less() {
    let told = behind(&["unshare", "-Urm"], &["doctor", "--json"]);
    let json = json(&told);
    assert!(check(&json, "process")["found"].as_str().unwrap().contains("of a user namespace"), "{json}");
    assert_eq!(check(&json, "ids")["verdict"], "limited", "{json}");
    assert_eq!(check(&json, "mount")["verdict"], "ok", "{json}");
    assert_ne!(verdict(&json, "run"), "ok");
}

#[test]
fn a_filter_that_refuses_namespaces_and_mounts_is_named() {
    let mut filtered: Command = lamina();
    filtered.args(["doctor", "--json"]);
    refuse::calls(&mut filtered, &[libc::SYS_unshare, libc::SYS_mount]);
    let json = json(&outcome(&mut filtered));
    let namespaces = check(&json, "namespaces");
    assert_eq!(namespaces["verdict"], "missing", "{json}");
    assert!(namespaces["remedy"].as_str().unwrap().contains("seccomp=unconfined"), "{json}");
    assert!(check(&json, "process")["found"].as_str().unwrap().contains("seccomp"), "{json}");
    // The filter makes fusermount3 powerless, too.
    assert_eq!(check(&json, "mount")["verdict"], "missing", "{json}");
    assert_eq!((verdict(&json, "mount"), verdict(&json, "run")), ("missing", "missing"));

    let mut asked = lamina();
    asked.args(["doctor", "--for", "run"]);
    refuse::calls(&mut asked, &[libc::SYS_unshare, libc::SYS_mount]);
    let answer = outcome(&mut asked);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.out.contains("does not work here"), "{answer:?}");
}

#[test]
fn no_new_privileges_is_named() {
    let mut bound = lamina();
    bound.args(["doctor", "--json"]);
    refuse::calls(&mut bound, &[]);
    let json = json(&outcome(bound.arg0("lamina")));
    assert!(check(&json, "process")["remedy"].as_str().unwrap().contains("no-new-privileges"), "{json}");
}

#[test]
fn what_it_cannot_understand_is_no_answer() {
    run(&["doctor", "--for", "everything"]).fails_with(2, &["everything", "podman"]);
}
