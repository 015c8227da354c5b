//! What a layer says of a name, for every form on disk. Markers are in `user.`, which anybody can write.

use std::fs as files;
use std::os::unix::fs::{DirBuilderExt, symlink};

use tempfile::TempDir;

use super::*;

struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        Tree(tempfile::tempdir().unwrap())
    }

    fn file(&self, path: &str, content: &str) -> &Self {
        files::write(self.0.path().join(path), content).unwrap();
        self
    }

    fn dir(&self, path: &str) -> &Self {
        files::DirBuilder::new().recursive(true).mode(0o755).create(self.0.path().join(path)).unwrap();
        self
    }

    fn mark(&self, path: &str, name: &str, value: &[u8]) -> &Self {
        let fd: OwnedFd = files::File::open(self.0.path().join(path)).unwrap().into();
        xattr::set(At::Fd(fd.as_fd()), name.as_bytes(), value, SetMode::Any).unwrap();
        self
    }

    fn whiteout(&self, name: &str) -> &Self {
        let root = fs::open_dir_path(self.0.path()).unwrap();
        fs::mknod(root.as_fd(), super::tests::name(name), libc::S_IFCHR, 0, 0).unwrap();
        self
    }

    fn layer(&self, oci: bool) -> Layer {
        let rules = LayerRules { markers: MarkersRead::Both, oci, stat_override: StatOverride::Off };
        Layer::open(self.0.path(), LayerRef::Lower(2), rules).unwrap()
    }

    /// One line for what the layer has at `path`, which is in the root.
    fn look(&self, path: &str) -> String {
        self.look_in(&self.layer(true), path)
    }

    fn look_in(&self, layer: &Layer, path: &str) -> String {
        let oci = layer.oci_marks(layer.root()).unwrap();
        match layer.look(layer.root(), oci.as_deref(), name(path)) {
            Err(error) => error.to_string(),
            Ok(Found::Absent) => "absent".into(),
            Ok(Found::Whiteout) => "whiteout".into(),
            Ok(Found::Leaf(leaf)) => match leaf.metacopy {
                None => format!("leaf {:o}", leaf.stat.mode & libc::S_IFMT),
                Some(redirect) => format!("metacopy {redirect:?}"),
            },
            Ok(Found::Dir(dir)) => {
                let marks = [(dir.opaque, " opaque"), (dir.xwhiteouts, " xwhiteouts")];
                let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, text)| *text).collect();
                let redirect = dir.redirect.map_or(String::new(), |redirect| format!(" {redirect:?}"));
                format!("dir{marks}{redirect}")
            }
        }
    }

    fn listed(&self) -> Vec<String> {
        let layer = self.layer(true);
        let mut names = Vec::new();
        layer
            .list(layer.root(), false, |entry| {
                names.push(format!("{}{}", if entry.whiteout { "-" } else { "" }, entry.name));
            })
            .unwrap();
        names.sort();
        names
    }
}

fn name(text: &str) -> Name<'_> {
    Name::new(text.as_bytes()).unwrap()
}

#[test]
fn plain_objects_are_what_they_are() {
    let tree = Tree::new();
    tree.file("f", "x").dir("d");
    symlink("f", tree.0.path().join("l")).unwrap();
    assert_eq!(tree.look("f"), "leaf 100000");
    assert_eq!(tree.look("l"), "leaf 120000");
    assert_eq!(tree.look("d"), "dir");
    assert_eq!(tree.look("none"), "absent");
    assert_eq!(tree.look(&"n".repeat(255)), "absent");
}

#[test]
fn every_form_of_whiteout_is_read() {
    let tree = Tree::new();
    tree.whiteout("device").file("attribute", "").mark("attribute", "user.overlay.whiteout", b"");
    tree.file(".wh.name", "").file("filled", "x").mark("filled", "user.overlay.whiteout", b"");
    for deleted in ["device", "attribute", "name"] {
        assert_eq!(tree.look(deleted), "whiteout", "{deleted}");
    }
    assert_eq!(tree.look("filled"), "leaf 100000");
    assert_eq!(tree.look(".wh.name"), "absent");
    assert_eq!(tree.look_in(&tree.layer(false), ".wh.name"), "leaf 100000");
    assert_eq!(tree.look_in(&tree.layer(false), "name"), "absent");
    assert_eq!(tree.listed(), ["-device", "-name", "attribute", "filled"]);
}

#[test]
fn a_name_beside_its_own_wh_name_hides_only_what_is_below() {
    let tree = Tree::new();
    tree.dir("d").file(".wh.d", "").file("f", "").file(".wh.f", "");
    assert_eq!(tree.look("d"), "dir opaque");
    assert_eq!(tree.look("f"), "leaf 100000");
}

#[test]
fn wh_names_that_are_marked_or_no_files_are_names() {
    let tree = Tree::new();
    tree.file(".wh.marked", "")
        .mark(".wh.marked", "user.overlay.lamina.literal", b"y")
        .dir(".wh.dir")
        .dir(".wh..wh.plnk");
    assert_eq!(tree.look(".wh.marked"), "leaf 100000");
    assert_eq!(tree.look("marked"), "absent");
    assert_eq!(tree.look(".wh.dir"), "dir");
    assert_eq!(tree.look(".wh..wh.plnk"), "absent");
    assert_eq!(tree.listed(), [".wh.dir", ".wh.marked"]);
}

#[test]
fn every_form_of_opaque_is_read() {
    let tree = Tree::new();
    tree.dir("kernel").mark("kernel", "user.overlay.opaque", b"y");
    tree.dir("fuse").mark("fuse", "user.fuseoverlayfs.opaque", b"y");
    tree.dir("oci").file("oci/.wh..wh..opq", "");
    tree.dir("x").mark("x", "user.overlay.opaque", b"x");
    for opaque in ["kernel", "fuse", "oci"] {
        assert_eq!(tree.look(opaque), "dir opaque", "{opaque}");
    }
    assert_eq!(tree.look("x"), "dir xwhiteouts");
    assert_eq!(tree.look_in(&tree.layer(false), "oci"), "dir");
}

#[test]
fn a_device_that_marks_an_opaque_directory_is_no_entry() {
    let tree = Tree::new();
    tree.file(".wh..wh..opq", "").whiteout(".wh..opq").whiteout("gone").file("f", "");
    let kinds = |oci: bool| {
        let layer = tree.layer(oci);
        let mut kinds = Vec::new();
        layer.list(layer.root(), false, |entry| kinds.push((entry.name.to_string(), entry.kind))).unwrap();
        kinds.sort();
        kinds
    };
    let (device, file) = (libc::DT_CHR, libc::DT_REG);
    let entry = |name: &str, kind| (name.to_owned(), kind);
    // A whiteout without a type is that of a `.wh.` name, which no listing shows.
    assert_eq!(kinds(true), [entry(".wh..opq", 0), entry("f", file), entry("gone", device)]);
    let literal =
        [entry(".wh..opq", device), entry(".wh..wh..opq", file), entry("f", file), entry("gone", device)];
    assert_eq!(kinds(false), literal);
}

#[test]
fn redirects_and_metadata_only_copies_are_read() {
    let tree = Tree::new();
    tree.dir("d").mark("d", "user.overlay.redirect", b"/a/b").file("m", "").mark(
        "m",
        "user.overlay.metacopy",
        b"",
    );
    tree.file("r", "").mark("r", "user.overlay.metacopy", b"").mark("r", "user.overlay.redirect", b"other");
    assert_eq!(tree.look("d"), "dir Absolute(\"/a/b\")");
    assert_eq!(tree.look("m"), "metacopy None");
    assert_eq!(tree.look("r"), "metacopy Some(Sibling(\"other\"))");
}

#[test]
fn a_corrupt_marker_is_an_error_that_names_it_and_its_layer() {
    let tree = Tree::new();
    tree.dir("o").mark("o", "user.overlay.opaque", b"q").dir("r").mark(
        "r",
        "user.overlay.redirect",
        b"/../x",
    );
    tree.file("m", "").mark("m", "user.overlay.metacopy", b"\x01");
    for (name, marker) in [("o", "opaque"), ("r", "redirect"), ("m", "metacopy")] {
        let said = tree.look(name);
        let expected = format!(" {name} in layer 2: corrupt marker: {marker} is ");
        assert!(said.contains(&expected), "{said}");
    }
}

#[test]
fn recorded_owners_are_applied_where_the_root_says_that_there_are_some() {
    let tree = Tree::new();
    tree.file("f", "").mark("f", "user.containers.override_stat", b"7:8:4711:char-1-3");
    let stat = |tree: &Tree| {
        let layer = tree.layer(true);
        let stat = layer.stat(At::Name(layer.root(), name("f"))).unwrap();
        (stat.uid, stat.gid, stat.mode, stat.rdev_major, stat.rdev_minor)
    };
    assert_eq!(stat(&tree).2 & libc::S_IFMT, libc::S_IFREG);
    tree.mark(".", "user.containers.override_stat", b"0:0:0755");
    assert_eq!(stat(&tree), (7, 8, libc::S_IFCHR | 0o4711, 1, 3));
}

#[test]
fn of_two_records_the_newer_kind_counts() {
    // fuse-overlayfs 1.10 writes the one, and copies the other from the layer below. 1.14 and newer believe the other.
    let tree = Tree::new();
    tree.mark(".", "user.containers.override_stat", b"0:0:0755").file("f", "");
    tree.mark("f", "user.fuseoverlayfs.override_stat", b"33:44:100640");
    let owner = || {
        let layer = tree.layer(true);
        let stat = layer.stat(At::Name(layer.root(), name("f"))).unwrap();
        (stat.uid, stat.gid, stat.mode & 0o7777)
    };
    assert_eq!(owner(), (33, 44, 0o640));
    tree.mark("f", "user.containers.override_stat", b"5:6:0600");
    assert_eq!(owner(), (5, 6, 0o600));
}

#[test]
fn a_missing_layer_and_one_that_is_no_directory_are_named() {
    let tree = Tree::new();
    tree.file("f", "");
    let rules = LayerRules { markers: MarkersRead::Both, oci: true, stat_override: StatOverride::Off };
    for path in ["none", "f"] {
        let path = tree.0.path().join(path);
        let error = Layer::open(&path, LayerRef::Lower(1), rules).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()) && error.contains("layer 1"), "{error}");
    }
}

#[test]
fn symlinks_belong_to_whom_the_root_says_where_owners_are_recorded() {
    use std::os::unix::fs::MetadataExt;
    let tree = Tree::new();
    let of = |stat_override| {
        let rules = LayerRules { markers: MarkersRead::Both, oci: false, stat_override };
        let layer = Layer::open(tree.0.path(), LayerRef::Upper, rules).unwrap();
        let owner = |of: &str| {
            let stat = layer.stat(At::Name(layer.root(), name(of))).unwrap();
            (stat.uid, stat.gid)
        };
        (owner("link"), owner("file"))
    };
    Layer::note_symlink_owner(tree.0.path(), 7, 8).unwrap();
    symlink("x", tree.0.path().join("link")).unwrap();
    tree.file("file", "");
    let made = tree.0.path().join("file").metadata().unwrap();
    let makers = (made.uid(), made.gid());
    assert_eq!(of(StatOverride::Containers), ((7, 8), makers));
    assert_eq!(of(StatOverride::Off), (makers, makers), "nothing is recorded");
    // Whoever has put something there already has had other owners in mind.
    Layer::note_symlink_owner(tree.0.path(), 1, 1).unwrap();
    assert_eq!(of(StatOverride::Containers), ((7, 8), makers));
    tree.mark(".", "user.containers.override_symlinks", b"7");
    let rules =
        LayerRules { markers: MarkersRead::Both, oci: false, stat_override: StatOverride::Containers };
    let error = Layer::open(tree.0.path(), LayerRef::Upper, rules).unwrap_err();
    assert!(error.to_string().contains("not UID:GID"), "{error}");
}
