//! All of it again as an ordinary user, who mounts through fusermount3, and inside a user namespace without it.

use crate::support::rerun;

const ALL_BUT_THESE: [&str; 6] = ["--skip", "identities", "--skip", "support::", "--skip", "builder::"];

#[test]
fn as_an_ordinary_user() {
    rerun::as_an_ordinary_user(&ALL_BUT_THESE);
}

#[test]
fn in_a_user_namespace() {
    rerun::in_a_user_namespace(&ALL_BUT_THESE);
}
