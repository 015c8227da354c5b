//! Any bytes, as if the kernel had sent them: decoding answers, and what it answers can be looked at.
#![no_main]

use lamina::fuse::wire::{Body, DecodeError, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Inputs are mostly refused by their length alone: give the header the length it should have.
    let mut sized = bytes.to_vec();
    if let (Some(len), Ok(real)) = (sized.get_mut(..4), u32::try_from(bytes.len())) {
        len.copy_from_slice(&real.to_le_bytes());
    }
    for input in [bytes, &sized] {
        match decode(input) {
            Ok(request) => {
                assert!(!format!("{request:?}").is_empty());
                match request.body {
                    Body::BatchForget(forgets) => assert!(forgets.iter().count() * 16 <= input.len()),
                    Body::Write { data, .. } => assert!(data.0.len() <= input.len()),
                    Body::Lookup { name } => assert!((1..=255).contains(&name.as_bytes().len())),
                    _ => {}
                }
            }
            Err(DecodeError { unique, error }) => {
                assert!(unique.is_none() || input.len() >= 40);
                assert!(!error.to_string().is_empty());
            }
        }
    }
});
