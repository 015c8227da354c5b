//! Layers that fuse-overlayfs wrote are read, as lower layers and as the upper; and what lamina writes, fuse-overlayfs reads.
//!
//! The program itself writes them, so that its forms are what it makes of them, and not what somebody says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::needs;
use crate::support::guard::{self, Layers};
use crate::support::{Mount, Setup, Who, with_umask};

const LOWER: &str = "layer 1\nfile file \"1\"\nfile gone \"1\"\ndir deleted\nfile deleted/a \"1\"\nfile again/old/deep \"1\"\n\
                     file again/kept \"1\"\nfile moved/sub/f \"1\"\nfile merged/a \"1\"\nfile merged/b \"1\"\nsymlink link file\n";

/// How deletions and owners are told on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Devices 0:0.
    Devices,
    /// `.wh.` files, as where no device can be made.
    Files,
    /// Devices, and owners in attributes (`xattr_permissions=2`).
    Recorded,
}

/// fuse-overlayfs at work; its mount goes with it.
struct Running {
    child: Child,
    layers: Option<Layers>,
}

impl Running {
    fn start(layers: Layers, form: Form) -> Running {
        let mut options = format!(
            "lowerdir={},upperdir={},workdir={}",
            layers.lower(1, "").display(),
            layers.upper("").display(),
            layers.work().display()
        );
        if form == Form::Recorded {
            options += ",xattr_permissions=2";
        }
        let mut command = Command::new("fuse-overlayfs");
        command.arg("-f").arg("-o").arg(options).arg(point(&layers));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if form == Form::Files {
            command.env("FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT", "1");
        }
        let mut running = Running { child: command.spawn().unwrap(), layers: Some(layers) };
        let at = running.root();
        guard::wait_for("fuse-overlayfs", || {
            if let Some(status) = running.child.try_wait().unwrap() {
                panic!("fuse-overlayfs ended: {status}");
            }
            guard::is_mounted(&at).then_some(())
        });
        running
    }

    fn root(&self) -> std::path::PathBuf {
        point(self.layers.as_ref().unwrap())
    }

    fn end(mut self) -> Layers {
        guard::unmount(&self.root()).unwrap();
        assert!(self.child.wait().unwrap().success());
        self.layers.take().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(layers) = &self.layers {
            // A test has failed already; what else fails is its consequence.
            let _ = guard::unmount(&point(layers));
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn point(layers: &Layers) -> std::path::PathBuf {
    layers.dir().join("mnt")
}

/// Type, mode, owner and content of everything. No name may begin with `.wh.`, and every name that is listed must be there.
fn listing(root: &Path) -> BTreeMap<String, String> {
    fn walk(root: &Path, dir: &Path, into: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(root.join(dir)).unwrap() {
            let path = dir.join(entry.unwrap().file_name());
            let here = root.join(&path);
            let name = path.file_name().unwrap();
            assert!(!name.as_bytes().starts_with(b".wh."), "{}", path.display());
            let meta = here.symlink_metadata().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let content = match meta.mode() & libc::S_IFMT {
                libc::S_IFREG => fs::read_to_string(&here).unwrap(),
                libc::S_IFLNK => fs::read_link(&here).unwrap().display().to_string(),
                _ => String::new(),
            };
            let line = format!("{:o} {}:{} {content}", meta.mode(), meta.uid(), meta.gid());
            into.insert(path.display().to_string(), line);
            if meta.is_dir() {
                walk(root, &path, into);
            }
        }
    }
    let mut map = BTreeMap::new();
    walk(root, Path::new(""), &mut map);
    map
}

/// Changes of every kind, through either.
fn change(root: &Path) {
    let at = |path: &str| root.join(path);
    fs::write(at("file"), "changed").unwrap();
    fs::remove_file(at("gone")).unwrap();
    fs::remove_file(at("link")).unwrap();
    fs::remove_dir_all(at("deleted")).unwrap();
    fs::remove_dir_all(at("again")).unwrap();
    fs::create_dir(at("again")).unwrap();
    fs::write(at("again/new"), "new").unwrap();
    fs::create_dir_all(at("made/deep")).unwrap();
    fs::write(at("made/deep/f"), "f").unwrap();
    fs::rename(at("made"), at("renamed")).unwrap();
    fs::remove_file(at("merged/a")).unwrap();
    symlink("nowhere", at("merged/link")).unwrap();
    fs::hard_link(at("file"), at("merged/hard")).unwrap();
    // The kernel refuses others before either program hears of it.
    if Who::current() == Who::Root {
        chown(at("file"), Some(5), Some(6)).unwrap();
        chown(at("renamed"), Some(7), Some(8)).unwrap();
    }
}

/// An upper that fuse-overlayfs left, and what it showed.
fn left(form: Form) -> (Layers, BTreeMap<String, String>) {
    let running = Running::start(Setup::text(LOWER).build(), form);
    let root = running.root();
    with_umask(0o022, || change(&root));
    let shown = listing(&root);
    assert!(!shown.contains_key("again/kept") && shown["again/new"].ends_with("new"), "{shown:?}");
    (running.end(), shown)
}

const FORMS: [Form; 3] = [Form::Devices, Form::Files, Form::Recorded];

/// Nothing keeps a directory from being removed, and what is removed stays so.
fn everything_can_be_removed(m: Mount) {
    for name in ["again", "renamed", "merged", "moved"] {
        fs::remove_dir_all(m.at(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    fs::create_dir(m.at("again")).unwrap();
    let m = m.remount();
    assert_eq!(m.names("."), ["again", "file"]);
    assert_eq!(m.names("again"), [""; 0]);
}

#[test]
fn an_upper_that_it_wrote_is_an_upper() {
    needs!(Lamina, FuseOverlayfs);
    for form in FORMS {
        let (layers, shown) = left(form);
        let m = layers.mounted();
        assert_eq!(listing(&m.root()), shown, "{form:?}");
        everything_can_be_removed(m);
    }
}

#[test]
fn an_upper_that_it_wrote_is_a_layer() {
    needs!(Lamina, FuseOverlayfs);
    for form in FORMS {
        let (written, shown) = left(form);
        let above = |setup: Setup| {
            let mut layers = setup.build();
            layers.replace_lower(1, written.lower(1, ""));
            layers.replace_lower(2, written.upper(""));
            layers.mounted()
        };
        let two = || Setup::text("layer 1\nfile f \"\"\nlayer 2\nfile f \"\"\n");
        assert_eq!(listing(&above(two().read_only()).root()), shown, "{form:?}");
        let m = above(two());
        assert_eq!(listing(&m.root()), shown, "{form:?}");
        everything_can_be_removed(m);
    }
}

#[test]
fn it_reads_what_is_written() {
    needs!(Lamina, FuseOverlayfs);
    // It does not know redirects.
    let m = Setup::text(LOWER).lamina_options("redirect_dir=follow").mount();
    let root = m.root();
    with_umask(0o022, || change(&root));
    let shown = listing(&root);
    let running = Running::start(m.unmount(), Form::Devices);
    assert_eq!(listing(&running.root()), shown);
    drop(running.end());
}
