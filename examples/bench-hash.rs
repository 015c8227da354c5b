//! One thread of sha2 over a file: what verifying it costs at the least. `bench-hash FILE`.

use std::fs::File;
use std::io::Read;
use std::process::ExitCode;

use sha2::{Digest, Sha256};

fn hash(path: &std::ffi::OsStr) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut hash = Sha256::new();
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => hash.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: bench-hash FILE");
        return ExitCode::from(2);
    };
    match hash(&path) {
        Ok(digest) => {
            println!("{digest}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench-hash: {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
