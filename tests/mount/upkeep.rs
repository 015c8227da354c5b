//! `lamina check` and `lamina convert` on what mounts have left.

use std::fs;
use std::process::{Command, Output};

use super::kernel::{change, change_again, equal, mount_by, tree};
use crate::needs;
use crate::support::fixtures::Powers;
use crate::support::guard::{Layers, binary};
use crate::support::snapshot::Snapshot;
use crate::support::sys::{self, SetXattr};
use crate::support::{Backend, Mount, Setup};

fn lamina(layers: &Layers, command: &str, args: &[&str]) -> Output {
    let mut lamina = Command::new(binary());
    lamina.arg(command).arg(layers.upper("")).arg(layers.work()).args(args);
    lamina.output().unwrap()
}

#[track_caller]
fn check(layers: &Layers, args: &[&str], code: i32) -> serde_json::Value {
    let lower = layers.lower(1, "");
    let output = lamina(layers, "check", &[args, &["--json", "--lower", lower.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// Code, path and state of each finding.
fn findings(document: &serde_json::Value) -> Vec<(String, String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let all = document["findings"].as_array().unwrap();
    all.iter().map(|f| (text(&f["code"]), text(&f["path"]), text(&f["state"]))).collect()
}

#[track_caller]
fn convert(layers: &Layers, form: &str) {
    let output = lamina(layers, "convert", &["--to", form]);
    assert!(output.status.success(), "{form}: {}", String::from_utf8_lossy(&output.stderr));
    let again = lamina(layers, "convert", &["--to", form]);
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("nothing to convert: it has this form\n"));
}

#[test]
fn what_a_mount_leaves_has_nothing_wrong() {
    needs!(Root);
    for backend in [Backend::current(), Backend::Kernel] {
        let m = mount_by(Setup::named("kinds").build(), backend);
        change(&m);
        let m = mount_by(m.unmount(), backend);
        change_again(&m);
        let layers = m.unmount();
        let before = Snapshot::of(&layers.upper(""));
        assert_eq!(findings(&check(&layers, &[], 0)), [], "{backend:?}");
        assert_eq!(before.differences(&Snapshot::of(&layers.upper(""))), [""; 0]);
    }
}

#[test]
fn an_upper_in_use_is_neither_checked_nor_converted() {
    let m = Mount::of("layer 1\nfile f \"f\"\n");
    fs::remove_file(m.at("f")).unwrap();
    for (command, args, code) in [("check", &[][..], 2), ("convert", &["--to", "oci"][..], 1)] {
        let output = lamina(&m, command, args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("is used by") && said.contains("unmount that first"), "{said}");
    }
    assert!(m.whiteout_in_upper("f"));
    if Backend::current() == Backend::Lamina {
        let output = Command::new(binary()).arg("check").arg(m.root()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        let upper = m.upper("").canonicalize().unwrap();
        assert!(said.contains("is a mount") && said.contains(upper.to_str().unwrap()), "{said}");
    }
}

#[test]
fn repair_does_what_it_says_and_a_mount_shows_the_same() {
    needs!(Lamina);
    let m = Mount::of("layer 1\nfile f \"f\"\nfile g \"g\"\nfile d/x \"x\"\ndir e\n");
    fs::remove_file(m.at("f")).unwrap();
    fs::write(m.at("g"), "changed").unwrap();
    fs::write(m.at("d/new"), "new").unwrap();
    let shown = tree(&m);
    let layers = m.unmount();
    let marker = |name: &str| [Powers::detect().overlay_prefix(), name.as_bytes()].concat();
    let set = |path: &str, name: &str, value: &[u8]| {
        sys::set_xattr(&layers.upper(path), &marker(name), value, SetXattr::Always).unwrap();
    };
    set("g", "opaque", b"y");
    set("g", "impure", b"y");
    set("d", "upper", b"?");
    set("", "impure", b"n");
    fs::write(layers.upper(".wh.f"), "").unwrap();
    fs::write(layers.upper(".wh.none"), "").unwrap();
    fs::write(layers.upper(".wh.kept"), "with data").unwrap();
    fs::write(layers.work().join("work/#left"), "unfinished").unwrap();
    let expected = |state: &str| {
        let mut all: Vec<(String, String, String)> = [
            ("bad-marker", "/"),
            ("whiteout-twice", "/.wh.f"),
            ("whiteout-needless", "/.wh.kept"),
            ("whiteout-needless", "/.wh.none"),
            ("misplaced-marker", "/d"),
            ("misplaced-marker", "/g"),
            ("misplaced-marker", "/g"),
            ("work-stale", "/work/#left"),
        ]
        .map(|(code, path)| (code.to_owned(), path.to_owned(), state.to_owned()))
        .to_vec();
        all[2].2 = "left".to_owned();
        all
    };
    let before = Snapshot::of(&layers.upper(""));
    assert_eq!(findings(&check(&layers, &[], 1)), expected("repairable"));
    assert_eq!(findings(&check(&layers, &["--repair", "--dry-run"], 1)), expected("repairable"));
    assert_eq!(before.differences(&Snapshot::of(&layers.upper(""))), [""; 0]);
    assert_eq!(findings(&check(&layers, &["--repair"], 1)), expected("repaired"));
    let left = findings(&check(&layers, &["--repair"], 1));
    assert_eq!(left, [expected("left")[2].clone()]);
    assert_eq!(fs::read(layers.upper(".wh.kept")).unwrap(), b"with data");
    fs::remove_file(layers.upper(".wh.kept")).unwrap();
    assert_eq!(findings(&check(&layers, &[], 0)), []);
    // The directory's own time is that of the test's files.
    let mut after = tree(&layers.mounted());
    after.insert(String::new(), shown[""].clone());
    equal(&shown, &after);
}

const LOWER: &str = "layer 1\nfile file \"file\"\nfile old \"old\"\nfile sticky/inner \"i\"\nfifo fifo\ndir dir\nsymlink link old\n\
                     file deep/one/two/leaf \"leaf\"\nfile deep/one/other \"other\"\n";

/// Everything but what has moved below: `.wh.` files cannot say that.
fn change_in_place(m: &Mount) {
    fs::write(m.at("file"), "changed").unwrap();
    fs::remove_file(m.at("old")).unwrap();
    fs::remove_dir_all(m.at("sticky")).unwrap();
    fs::create_dir(m.at("sticky")).unwrap();
    fs::write(m.at("sticky/new"), "new").unwrap();
    fs::rename(m.at("fifo"), m.at("dir/fifo")).unwrap();
    fs::remove_file(m.at("link")).unwrap();
    std::os::unix::fs::symlink("elsewhere", m.at("link")).unwrap();
    fs::create_dir_all(m.at("made/inner")).unwrap();
    fs::write(m.at("made/inner/f"), "x").unwrap();
    fs::rename(m.at("deep/one/two/leaf"), m.at("made/leaf")).unwrap();
}

#[test]
fn a_mount_shows_the_same_in_every_form() {
    needs!(Lamina);
    let forms: &[&str] = match Powers::detect() {
        Powers::Root => &["kernel", "user", "oci"],
        Powers::Ordinary => &["user", "oci"],
    };
    let m = Mount::of(LOWER);
    change_in_place(&m);
    let shown = tree(&m);
    let mut layers = m.unmount();
    for form in forms.iter().flat_map(|first| forms.iter().flat_map(move |second| [first, second])) {
        convert(&layers, form);
        let m = layers.mounted();
        equal(&shown, &tree(&m));
        layers = m.unmount();
    }
}

#[test]
fn the_kernel_shows_what_was_converted() {
    needs!(KernelOverlay);
    // As root with trusted., with all that the kernel knows.
    let m = mount_by(Setup::named("kinds").build(), Backend::current());
    change(&m);
    let shown = tree(&m);
    let layers = m.unmount();
    convert(&layers, "user");
    let m = mount_by(layers, Backend::Lamina);
    equal(&shown, &tree(&m));
    let layers = m.unmount();
    convert(&layers, "kernel");
    let m = mount_by(layers, Backend::Kernel);
    equal(&shown, &tree(&m));
    drop(m);
    // With userxattr the kernel follows no redirects.
    let m = mount_by(Setup::named("kinds").build(), Backend::current());
    change_in_place(&m);
    let shown = tree(&m);
    let mut layers = m.unmount();
    for form in ["oci", "user"] {
        convert(&layers, form);
    }
    layers.set_options("userxattr,redirect_dir=nofollow");
    let m = mount_by(layers, Backend::Kernel);
    equal(&shown, &tree(&m));
}

#[test]
fn what_cannot_be_said_is_named_and_nothing_is_changed() {
    needs!(Redirects);
    let m = Mount::of("layer 1\nfile d/x \"x\"\nfile f \"f\"\n");
    fs::remove_file(m.at("f")).unwrap();
    fs::rename(m.at("d"), m.at("moved")).unwrap();
    let layers = m.unmount();
    // The first clears the work directory, where the mount has left another link of a whiteout.
    let _ = lamina(&layers, "convert", &["--to", "oci"]);
    let before = Snapshot::of(&layers.upper(""));
    let output = lamina(&layers, "convert", &["--to", "oci"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in ["/moved: a renamed directory", "nothing was", "--lower"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(before.differences(&Snapshot::of(&layers.upper(""))), [""; 0]);
}

#[test]
fn renamed_directories_are_converted_with_the_layers_below() {
    needs!(Lamina, Redirects);
    // A directory that merges shows one link, and one that does not shows how many there are.
    let m = Setup::text(
        "layer 1\nfile d/x \"x\"\nfile d/sub/y \"y\"\nsymlink d/s x\nfile d/sub/gone \"g\"\nfile e/f \"f\"\n",
    )
    .lamina_options("static_nlink")
    .mount();
    fs::remove_file(m.at("d/sub/gone")).unwrap();
    fs::rename(m.at("e"), m.at("d/sub/inner")).unwrap();
    fs::rename(m.at("d"), m.at("moved")).unwrap();
    fs::write(m.at("moved/new"), "new").unwrap();
    let shown = tree(&m);
    let layers = m.unmount();
    let lower = layers.lower(1, "");
    let output = lamina(&layers, "convert", &["--to", "oci", "--lower", lower.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (path, there) in
        [(".wh.d", true), ("moved/.wh..wh..opq", true), ("moved/sub/inner/f", true), ("d", false)]
    {
        assert_eq!(layers.upper(path).symlink_metadata().is_ok(), there, "{path}");
    }
    // The directory hides by itself what its whiteouts hid.
    let repaired = findings(&check(&layers, &["--repair"], 0));
    let repaired: Vec<_> = repaired.iter().filter(|f| f.0 != "oci-name").map(|f| f.1.as_str()).collect();
    assert_eq!(repaired, ["/moved/sub/.wh.gone"]);
    let m = layers.mounted();
    equal(&shown, &tree(&m));
    let layers = m.unmount();
    convert(&layers, "user");
    equal(&shown, &tree(&layers.mounted()));
}
