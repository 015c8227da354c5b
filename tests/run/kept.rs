//! What a command changes: thrown away, or kept in an upper that the other commands understand.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::sandbox::{Sandbox, has_many_ids};
use crate::support::Who;

#[test]
fn what_is_changed_is_gone_afterwards() {
    let Some(sandbox) = Sandbox::new() else { return };
    let before = fs::read(&sandbox.image).unwrap();
    let change = "echo x > /new; rm /etc/old; mkdir -p /d/e; chmod 0 /d; cat /new; ls /etc/old 2>/dev/null || echo gone";
    assert_eq!(sandbox.prints(&[], change), "x\ngone\n");
    assert_eq!(
        sandbox.prints(&[], "cat /etc/old; ls /new /d 2>/dev/null || echo; echo nothing"),
        "old\nnothing\n"
    );
    assert!(fs::read(&sandbox.image).unwrap() == before);
}

/// Everything below belongs to whoever runs the test, and may be removed.
fn all_mine(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        assert_eq!(meta.uid(), nix::unistd::geteuid().as_raw(), "{}", path.display());
        if meta.is_dir() {
            all_mine(&path);
        }
    }
}

#[test]
fn an_upper_is_kept_and_diff_commit_and_the_next_run_understand_it() {
    let Some(sandbox) = Sandbox::new() else { return };
    let script = "echo x > /new; chmod 4711 /new; rm /etc/old; echo more >> /etc/group; ln -s x /link";
    assert_eq!(sandbox.prints(&["--upper", "changes"], script), "");
    let mut expected = vec!["C /etc/group (content)", "D /etc/old", "A /link", "A /new"];
    if has_many_ids() {
        let owned = "mkdir /mail; chown 8:12 /mail /etc/passwd; echo y > /mail/f; chown 77 /mail/f";
        assert_eq!(sandbox.prints(&["--upper", "changes"], owned), "");
        expected = vec![
            "C /etc/group (content)",
            "D /etc/old",
            "C /etc/passwd (owner)",
            "A /link",
            "A /mail",
            "A /mail/f",
            "A /new",
        ];
    }
    let upper = sandbox.place.path("changes");
    if Who::current() != Who::Root {
        all_mine(&upper);
    }
    let diff = sandbox.place.run("diff", &["image.tar", "--upper", "changes"]);
    assert_eq!(diff.code, 1, "{diff:?}");
    let mut lines: Vec<&str> = diff.out.lines().collect();
    // A directory that is new is one line or more, which is not what is tested here.
    lines.retain(|line| *line != "A /mail/f");
    expected.retain(|line| *line != "A /mail/f");
    assert_eq!(lines, expected);
    // The next run has them.
    assert_eq!(sandbox.prints(&["--upper", "changes"], "cat /new; stat -c %a /new"), "x\n4711\n");
    // And so has an image of it, with the owners that they had.
    let committed = sandbox
        .place
        .run("commit", &["--base", "image.tar", "changes", "oci:new:latest", "--quiet"])
        .succeeds();
    assert!(committed.out.starts_with("sha256:"));
    let listed = sandbox.place.run("ls", &["-lR", "oci:new:latest"]).succeeds().out;
    let line = |name: &str| {
        let of = listed.lines().find(|line| line.ends_with(&format!(" {name}")));
        of.unwrap_or_else(|| panic!("{name} is missing in {listed}")).to_owned()
    };
    assert!(line("new").contains("-rws--x--x") && line("new").contains(" 0:0 "), "{listed}");
    assert!(line("link -> x").contains(" 0:0 "), "no record can be had for it: {listed}");
    assert!(!listed.lines().any(|line| line.ends_with(" etc/old")), "{listed}");
    if has_many_ids() {
        assert!(line("mail").contains(" 8:12 ") && line("mail/f").contains(" 77:0 "), "{listed}");
        assert!(line("etc/passwd").contains(" 8:12 "), "{listed}");
    }
}

#[test]
fn an_upper_over_a_directory_is_understood_as_well() {
    let Some(sandbox) = Sandbox::new() else { return };
    sandbox.place.run("unpack", &["image.tar", "rootfs", "--flat", "--quiet"]).succeeds();
    let script = "echo x > /new; chmod 4711 /new; ln -s x /link; echo y >> /etc/old";
    let outcome =
        sandbox.run(&["--upper", "u", "rootfs", "--", "/bin/sh", "-c", &format!("PATH=/bin; {script}")]);
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""), "{outcome:?}");
    let diff = sandbox.place.run("diff", &["rootfs", "--upper", "u"]);
    assert_eq!(
        diff.out.lines().collect::<Vec<_>>(),
        ["C /etc/old (content)", "A /link", "A /new"],
        "{diff:?}"
    );
    sandbox.place.run("commit", &["u", "oci:new:latest", "--quiet"]).succeeds();
    let listed = sandbox.place.run("ls", &["-lR", "oci:new:latest"]).succeeds().out;
    let all_roots = listed.lines().skip(1).all(|line| line.contains(" 0:0 "));
    assert!(all_roots && listed.contains("-rws--x--x"), "{listed}");
}

#[test]
fn an_upper_that_was_made_for_nothing_is_removed_again() {
    let Some(sandbox) = Sandbox::new() else { return };
    let refused = sandbox.script(&["--upper", "u", "-u", "nobody-here"], "true");
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(!sandbox.place.path("u").exists());
    let unused = sandbox.script(&["--upper", "u"], "true");
    assert_eq!(unused.code, 0, "{unused:?}");
    assert!(sandbox.place.path("u").is_dir());
    let nowhere = sandbox.script(&["--upper", "none/u"], "true");
    assert_eq!(nowhere.code, 125, "{nowhere:?}");
    assert!(nowhere.err.contains("'none/u' cannot be made"), "{nowhere:?}");
}
