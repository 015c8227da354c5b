//! docs/inspect.md: its image, and what it shows of each command.

use std::fs;
use std::path::Path;

use crate::images::{Compression, Entry, ImageBuilder, Layer};
use crate::place::{Place, tar_of};

/// The image of docs/inspect.md, made of five instructions.
pub fn five_instructions(place: &Place) {
    let at = |second: i64| 1_700_000_000 + second * 60;
    let layers = [
        (
            "ADD rootfs.tar / # buildkit",
            tar_of([
                Entry::dir("etc").mtime(at(0), 0),
                Entry::file("etc/app.conf", "threads = 1\n").mtime(at(0), 0),
                Entry::dir("srv").mtime(at(0), 0),
                Entry::file("srv/cache", "warm\n").mtime(at(0), 0),
                Entry::dir("var").mtime(at(0), 0),
                Entry::dir("var/log").mtime(at(0), 0),
                Entry::file("var/log/build.log", "built\n").mtime(at(0), 0),
            ]),
        ),
        (
            "COPY --chown=0:33 --chmod=640 app.conf /etc/app.conf # buildkit",
            tar_of([
                Entry::dir("etc").mtime(at(1), 0),
                Entry::file("etc/app.conf", "threads = 4\n").mode(0o640).owner(0, 33).mtime(at(1), 0),
            ]),
        ),
        (
            "RUN /bin/sh -c sed -i s/4/16/ /etc/app.conf # buildkit",
            tar_of([
                Entry::dir("etc").mtime(at(2), 0),
                Entry::file("etc/app.conf", "threads = 16\n").mode(0o640).owner(0, 33).mtime(at(2), 0),
            ]),
        ),
        (
            "RUN /bin/sh -c rm /var/log/build.log # buildkit",
            tar_of([
                Entry::dir("var").mtime(at(0), 0),
                Entry::dir("var/log").mtime(at(3), 0),
                Entry::whiteout("var/log/build.log"),
            ]),
        ),
        (
            "RUN /bin/sh -c rm /srv/cache && mkdir /srv/cache # buildkit",
            // Opaque, as overlayfs makes a directory in the place of a file.
            tar_of([
                Entry::dir("srv").mtime(at(4), 0),
                Entry::dir("srv/cache").mtime(at(4), 0),
                Entry::opaque("srv/cache"),
            ]),
        ),
    ];
    let add =
        |image: ImageBuilder, (by, tar)| image.layer(Layer::new(tar).compressed(Compression::Gzip).by(by));
    let image = layers.into_iter().fold(ImageBuilder::new(), add).tag("localhost/app:latest").build();
    place.archive("app.tar", &image);
}

/// Runs each example of a command, and asserts that the page shows what is printed. `codes` are their exit codes, one for each.
#[track_caller]
pub fn prints_what_the_page_shows(command: &str, codes: &[i32]) {
    let place = Place::new();
    five_instructions(&place);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/inspect.md");
    let page = fs::read_to_string(page).unwrap();
    let mut ended = Vec::new();
    let mut differences = String::new();
    for block in page.split(&format!("\n```\n$ lamina {command} ")).skip(1) {
        let block = block.split_once("\n```").map_or(block, |(block, _)| block);
        let (arguments, expected) = block.split_once('\n').unwrap_or((block, ""));
        let said = place.run(command, &arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(said.err, "", "lamina {command} {arguments}");
        if said.out.trim_end() != expected {
            differences.push_str(&format!("$ lamina {command} {arguments}\n{}\n", said.out));
        }
        ended.push(said.code);
    }
    assert!(differences.is_empty(), "docs/inspect.md should have:\n{differences}");
    assert_eq!(ended, codes, "the examples of lamina {command} in docs/inspect.md");
}
