//! Any bytes as each of an image's documents: reading answers, and what it answers keeps its promises.
#![no_main]

use lamina::image::documents::{Config, DockerImage, Index, LARGEST, Manifest, layout_version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(bytes.len() as u64 <= LARGEST);
    match Index::parse(bytes, "the index") {
        Ok(index) => assert!(index.manifests.len() <= bytes.len()),
        Err(problem) => assert!(!problem.to_string().is_empty()),
    }
    match Manifest::parse(bytes) {
        Ok(manifest) => assert!(manifest.layers.len() <= 4096),
        Err(problem) => assert!(!problem.to_string().is_empty()),
    }
    match Config::parse(bytes) {
        Ok(config) => {
            assert!(config.diff_ids.len() <= 4096);
            // What is printed of a platform is read as the same again, unless its parts hold what no platform has.
            let platform = &config.image.platform;
            if let Ok(again) = platform.to_string().parse::<lamina::image::Platform>() {
                assert_eq!(&again, platform);
            }
        }
        Err(problem) => assert!(!problem.to_string().is_empty()),
    }
    match DockerImage::parse_all(bytes) {
        Ok(images) => assert!(images.iter().all(|image| image.layers.len() <= 4096)),
        Err(problem) => assert!(!problem.to_string().is_empty()),
    }
    if let Err(problem) = layout_version(bytes) {
        assert!(!problem.to_string().is_empty());
    }
});
