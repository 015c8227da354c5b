//! Any bytes as the archive that an image comes in: opening answers, and whatever it finds lies within the file.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use lamina::image::{ImageRef, LayerSource, Select, detect, open};
use libfuzzer_sys::fuzz_target;

/// In memory, where there is such a place: the target writes a file each time.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let dir = if memory.is_dir() { memory } else { std::env::temp_dir() };
    dir.join(format!("lamina-fuzz-archive-{}", std::process::id()))
});

/// Gives every block that could be a header the checksum it should have: else nearly all inputs end at the first.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut tar = bytes.to_vec();
    for block in tar.chunks_exact_mut(512).filter(|block| block.iter().any(|byte| *byte != 0)) {
        let (before, rest) = block.split_at_mut(148);
        let (field, after) = rest.split_at_mut(8);
        let sum: u32 = before.iter().chain(&*after).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
        field.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}

fuzz_target!(|bytes: &[u8]| {
    for tar in [bytes.to_vec(), with_checksums(bytes)] {
        if fs::write(&*FILE, &tar).is_err() {
            return;
        }
        for reference in [
            ImageRef::Path(FILE.clone()),
            ImageRef::OciArchive { file: FILE.clone(), tag: None },
            ImageRef::DockerArchive { file: FILE.clone(), reference: Some("@0".to_owned()) },
        ] {
            match open(&reference, &Select::default()) {
                Ok(image) => {
                    for layer in image.layers {
                        let LayerSource::Blob(blob) = layer.source else { panic!("not from an archive") };
                        assert!(blob.offset + blob.len <= tar.len() as u64);
                    }
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
        if let Err(error) = detect(&FILE) {
            assert!(!error.to_string().is_empty());
        }
    }
    // The next input writes it again; the last one leaves nothing.
    let gone = fs::remove_file(&*FILE);
    assert!(gone.is_ok());
});
