//! The union as a library, without a mount: what it keeps, what it lets go, and what is left after a failure.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(missing_docs)]

#[path = "union/changed.rs"]
mod changed;
#[path = "support/images/mod.rs"]
#[allow(unused_imports)] // what others need of it
mod images;
#[path = "union/stack.rs"]
mod stack;

#[path = "union/behind.rs"]
mod behind;
#[path = "union/by_node.rs"]
mod by_node;
#[path = "union/commit.rs"]
mod commit;
#[path = "union/deep.rs"]
mod deep;
#[path = "union/deep_stacks.rs"]
mod deep_stacks;
#[path = "union/explain.rs"]
mod explain;
#[path = "union/indexed.rs"]
mod indexed;
#[path = "union/lowers.rs"]
mod lowers;
#[path = "union/memory.rs"]
mod memory;
#[path = "union/nodes.rs"]
mod nodes;
#[path = "union/races.rs"]
mod races;
#[path = "union/refresh.rs"]
mod refresh;
#[path = "union/renames.rs"]
mod renames;
#[path = "union/storm.rs"]
mod storm;
#[path = "union/tars.rs"]
mod tars;
#[path = "union/upkeep.rs"]
mod upkeep;
