//! `lamina run`: commands in images, as root, as an ordinary user and as root of a user namespace with one id.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/images/mod.rs"]
#[allow(unused_imports)] // other tests use the rest
mod images;

#[path = "../images/place.rs"]
#[allow(dead_code, unused_imports)] // as above
mod place;

mod ends;
mod ids;
mod kept;
mod sandbox;
mod terminal;
mod tree;
mod words;

use support::rerun;

const ALL_BUT_THESE: [&str; 4] = ["--skip", "again_", "--skip", "support::"];

#[test]
fn again_as_an_ordinary_user() {
    rerun::as_an_ordinary_user(&ALL_BUT_THESE);
}

#[test]
fn again_as_an_ordinary_user_with_ids() {
    rerun::as_an_ordinary_user_in_its_own_group(&ALL_BUT_THESE);
}

#[test]
fn again_in_a_user_namespace() {
    rerun::in_a_user_namespace(&ALL_BUT_THESE);
}
