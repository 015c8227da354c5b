//! Builds a stack of `layer-fixtures/` as directories: `build-fixture STACK DIRECTORY`.
//!
//! Prints the layers, top first, as `lamina mount` takes them.

#![allow(clippy::expect_used)] // in the tests' own wrappers of system calls, on paths without NUL bytes

use std::path::Path;
use std::process::ExitCode;

#[allow(dead_code)]
#[path = "../tests/support/fixtures/mod.rs"]
mod fixtures;
#[allow(dead_code)]
#[path = "../tests/support/sys.rs"]
mod sys;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [stack, into] = &arguments[..] else {
        eprintln!("usage: build-fixture STACK DIRECTORY   (STACK is a file such as layer-fixtures/demo)");
        return ExitCode::from(2);
    };
    let built = fixtures::Stack::read(Path::new(stack))
        .and_then(|stack| stack.build(Path::new(into), fixtures::Powers::detect()));
    match built {
        Ok(built) => {
            for left_out in &built.left_out {
                eprintln!("build-fixture: left out, it needs root: {left_out}");
            }
            for layer in built.lowers.iter().chain(&built.data) {
                println!("{}", layer.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("build-fixture: {error}");
            ExitCode::FAILURE
        }
    }
}
