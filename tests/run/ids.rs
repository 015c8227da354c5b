//! Ids, and what is said where there is one only.

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
