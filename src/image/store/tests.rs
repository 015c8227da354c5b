#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

mod damage;
mod images;
mod remembering;
mod sharing;
mod tidying;
