//! Ids, and what is said where there is one only.

use serde_json::json;

use crate::images::Entry;
use crate::sandbox::{Sandbox, has_many_ids};

#[test]
fn owners_can_be_changed_where_there_are_ids_and_what_is_missing_is_said_where_not() {
    let Some(sandbox) = Sandbox::new() else { return };
    let mut command = sandbox.place.command("run", &["image.tar", "--", "sh", "-c"]);
    command.arg("chown 8 /data 2>/dev/null && stat -c %u /data; id -u; echo x > /new");
    let outcome = crate::place::outcome(command.env("TMPDIR", sandbox.place.path("tmp")));
    let warned = outcome.err.contains("lamina: warning: only");
    if has_many_ids() {
        assert_eq!((outcome.code, outcome.out.as_str(), warned), (0, "8\n0\n", false), "{outcome:?}");
    } else {
        assert_eq!((outcome.code, outcome.out.as_str(), warned), (0, "0\n", true), "{outcome:?}");
        assert!(outcome.err.contains("newuidmap") && outcome.err.contains("subuid"), "{outcome:?}");
    }
    assert_eq!(sandbox.prints(&[], "id -u"), "0\n", "and not with --quiet");
}

#[test]
fn root_may_change_what_belongs_to_others_and_their_ids_are_kept() {
    let more = [Entry::dir("mail").owner(8, 12), Entry::file("mail/f", "x").owner(8, 12).mode(0o600)];
    let Some(sandbox) = Sandbox::of(&more, json!({"Env": ["PATH=/bin"]})) else { return };
    let script = "stat -c %u:%g /mail/f; cat /mail/f; chmod 700 /mail; echo y >> /mail/f; echo z > /mail/g";
    let shown = if has_many_ids() { "8:12" } else { "0:0" };
    assert_eq!(sandbox.prints(&["--upper", "u"], script), format!("{shown}\nx"));
    let diff = sandbox.place.run("diff", &["image.tar", "--upper", "u"]);
    let lines: Vec<&str> = diff.out.lines().collect();
    assert_eq!(lines, ["C /mail (mode)", "C /mail/f (content)", "A /mail/g"], "no owner has changed");
}
