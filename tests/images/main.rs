//! Images, mounted by the program as a person mounts them: every format, hostile ones, the store, and who may read what.
//!
//! The images are made byte by byte (`support/images`), so that nothing of lamina has to be right for the expectations to
//! be. `scripts/images` does the same with images that other tools make.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/images/mod.rs"]
mod images;

mod access;
mod browse;
mod builder;
mod choice;
mod commit;
mod damaged;
mod diff;
mod documented;
mod explain;
mod full;
mod hostile;
mod identities;
mod look;
mod meaning;
mod place;
mod podman;
mod rows;
mod show;
mod stacks;
mod store;
mod tidy;
mod tree;
mod unpack;
mod upper;
mod waste;
