use std::fs;

use clap::Parser;

use crate::cli::args::{Cli, Command};
use crate::cli::explain::{Contents, plain_text};
use crate::cli::opened;

/// The explanation of a path in layers of which each has the files that are told, the base first; in so many cells.
fn explained(layers: &[&[&str]], path: &str, width: usize) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut source = String::from("overlay");
    for (index, files) in layers.iter().enumerate().rev() {
        let layer = dir.path().join(index.to_string());
        fs::create_dir(&layer).unwrap();
        for file in *files {
            fs::write(layer.join(file), file).unwrap();
        }
        source.push_str(&format!(":{}", layer.display()));
    }
    let cli = Cli::try_parse_from(["lamina", "explain", &source, path]).unwrap();
    let Command::Explain(args) = cli.command else { panic!("{cli:?}") };
    let opened = opened::open(&args.source, &args.select, &args.store).unwrap();
    plain_text(&opened, path.as_bytes(), width, Contents::All).unwrap()
}

#[test]
fn layers_that_have_nothing_are_told_together_where_each_has_a_block() {
    let layers: &[&[&str]] = &[&["a"], &[], &["a", "b"], &[], &[], &[]];
    let text = explained(layers, "a", 20);
    for line in ["  layers 4-6: nothing", "> layer 3", "  layer 2: nothing", "  layer 1"] {
        assert!(text.lines().any(|shown| shown == line), "{line}:\n{text}");
    }
    assert!(!text.contains("layer 5"), "{text}");
    let wide = explained(layers, "a", 200);
    assert_eq!(wide.lines().count(), 8, "the verdict, a head, and a line each:\n{wide}");
}
