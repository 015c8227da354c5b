//! A marker that cannot be true spoils its own name, and nothing else.

use std::fs;

use crate::needs;
use crate::support::{Backend, Errno, Mount, Setup, errno};

const BROKEN: [&str; 5] = ["badpath", "empty", "dots", "meta", "meta-short"];

/// The kernel's overlay answers EINVAL for a redirect it cannot read, and EACCES for one with `..` in it; lamina answers EIO for every corrupt marker, so that a person learns that the layer is damaged.
fn refused(m: &Mount, name: &str) {
    let error = fs::metadata(m.at(name)).and_then(|meta| match meta.is_dir() {
        true => fs::read_dir(m.at(name)).map(drop),
        false => fs::read(m.at(name)).map(drop),
    });
    match Backend::current() {
        Backend::Lamina => assert_eq!(errno(error), Errno::EIO, "{name}"),
        Backend::Kernel => {
            if let Err(e) = error {
                let errno = Errno::from_raw(e.raw_os_error().unwrap());
                assert!(matches!(errno, Errno::EIO | Errno::EINVAL | Errno::EACCES), "{name}: {errno}");
            }
        }
    }
}

#[test]
fn the_name_is_refused_and_the_rest_is_usable() {
    needs!(Redirects);
    let m = Setup::named("corrupt").kernel_options("metacopy=on").mount();
    for name in BROKEN {
        refused(&m, name);
        refused(&m, name);
    }
    assert_eq!((m.text("good"), m.text("good2")), ("1\n".into(), "2\n".into()));
    assert_eq!(m.names("below"), ["file"]);
    fs::write(m.at("good"), "changed").unwrap();
    fs::write(m.at("new"), "new").unwrap();
    fs::remove_file(m.at("good2")).unwrap();
    assert_eq!((m.text("good"), m.text("new")), ("changed".into(), "new".into()));
    // The directory that holds them is listed, with the names that are damaged.
    let names = m.names(".");
    for name in ["below", "good", "new"].iter().chain(&BROKEN) {
        assert!(names.iter().any(|listed| listed == name), "{name} in {names:?}");
    }
}

#[test]
fn each_is_logged_once() {
    needs!(Lamina);
    let m = Setup::named("corrupt").mount();
    for name in BROKEN {
        refused(&m, name);
        refused(&m, name);
    }
    let log = m.log();
    for name in BROKEN {
        let lines = log.lines().filter(|line| line.contains(&format!(" /{name} "))).count();
        assert_eq!(lines, 1, "{name} in the log:\n{log}");
    }
}
