//! What the tests that mount share.
#![allow(dead_code)]
pub mod fixtures;
pub mod sys;
