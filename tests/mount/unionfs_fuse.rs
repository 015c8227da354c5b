//! Layers that unionfs-fuse has written.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::needs;
use crate::support::{Backend, Errno, Setup, Who, errno, everything_required, say};

const LOWER: &str = "layer 1\nfile d/a \"a\"\nfile d/b \"b\"\nfile d/sub/c \"c\"\nfile e/f \"f\"\nfile gone/x/y \"y\"\nfile t1 \"1\"\n\
                     file t2 \"2\"\nfile only/deep/one \"1\"\nfile only/deep/two \"2\"\n";

fn check(m: &crate::support::Mount) {
    assert_eq!(m.names("."), ["d", "e", "only", "t2"]);
    assert_eq!((m.names("d"), m.names("d/sub")), (vec!["b".to_owned(), "sub".to_owned()], vec![]));
    assert_eq!(m.names("e"), ["new"]);
    assert_eq!(m.names("only/deep"), ["two"]);
    for path in ["d/a", "gone", "gone/x/y", "e/f", "t1", "only/deep/one", ".unionfs-fuse", ".unionfs"] {
        assert_eq!(errno(fs::symlink_metadata(m.at(path))), Errno::ENOENT, "{path}");
    }
    assert_eq!((m.text("d/b"), m.text("only/deep/two")), ("b".to_owned(), "2".to_owned()));
}

/// What the program leaves, by hand; and a directory that it did not make for the whiteout in it.
#[test]
fn whiteouts_of_unionfs_fuse_are_read_where_asked() {
    needs!(Lamina);
    for meta in [".unionfs-fuse", ".unionfs"] {
        let top = format!(
            "layer 2\nfile {meta}/d/a_HIDDEN~ \"\"\nfile {meta}/d/sub/c_HIDDEN~ \"\"\nfile {meta}/e/f_HIDDEN~ \"\"\n\
             dir {meta}/e_HIDDEN~\ndir {meta}/gone_HIDDEN~\nfile {meta}/gone/x/y_HIDDEN~ \"\"\ndir {meta}/gone/x_HIDDEN~\n\
             file {meta}/t1_HIDDEN~ \"\"\nfile {meta}/only/deep/one_HIDDEN~ \"\"\ndir d/sub\nfile e/new \"new\"\n"
        );
        let m = Setup::text(&format!("{LOWER}{top}")).lamina_options("whiteouts=unionfs-fuse").mount();
        check(&m);
        // The attributes of a directory that the layer lacks are those below.
        let below = fs::metadata(m.lower(1, "only/deep")).unwrap();
        let shown = m.stat("only/deep");
        assert_eq!((shown.mode(), shown.mtime()), (below.mode(), below.mtime()));
        // And over changes of the directories that hold them.
        for dir in [".", "d", "e", "only/deep"] {
            fs::write(m.at(dir).join("zz"), "new").unwrap();
            fs::remove_file(m.at(dir).join("zz")).unwrap();
        }
        check(&m);
        fs::write(m.at("t1"), "again").unwrap();
        let m = m.remount();
        assert_eq!(m.text("t1"), "again");
    }
}

#[test]
fn without_the_option_they_are_files() {
    let m = Setup::text(&format!("{LOWER}layer 2\nfile .unionfs-fuse/t1_HIDDEN~ \"\"\n")).mount();
    assert_eq!(m.text("t1"), "1");
    assert_eq!(m.names(".unionfs-fuse"), ["t1_HIDDEN~"]);
}

/// The program itself writes the layer.
#[test]
fn a_layer_that_unionfs_fuse_wrote_shows_what_it_showed() {
    needs!(Lamina, Root);
    if Backend::current() != Backend::Lamina || Who::current() != Who::Root {
        return; // As `needs!` has said.
    }
    let layers = Setup::text(&format!("{LOWER}layer 2\n")).lamina_options("whiteouts=unionfs-fuse").build();
    let (top, base, point) = (layers.lower(2, ""), layers.lower(1, ""), layers.dir().join("unionfs"));
    fs::create_dir(&point).unwrap();
    let branches = format!("{}=RW:{}=RO", top.display(), base.display());
    let mut program = Command::new("unionfs-fuse");
    let started = program.args(["-o", "cow", &branches]).arg(&point).status();
    if !started.as_ref().is_ok_and(|status| status.success()) {
        assert!(!everything_required(), "unionfs-fuse is required here: {started:?}");
        say("SKIPPED a_layer_that_unionfs_fuse_wrote_shows_what_it_showed: needs unionfs-fuse");
        return;
    }
    let worked = (|| {
        fs::remove_file(point.join("d/a"))?;
        fs::remove_file(point.join("d/sub/c"))?;
        fs::remove_file(point.join("t1"))?;
        fs::remove_dir_all(point.join("gone"))?;
        fs::remove_dir_all(point.join("e"))?;
        fs::create_dir(point.join("e"))?;
        fs::write(point.join("e/new"), "new")?;
        fs::remove_file(point.join("only/deep/one"))
    })();
    nix::mount::umount2(&point, nix::mount::MntFlags::MNT_DETACH).unwrap();
    worked.unwrap();
    fs::remove_dir(&point).unwrap();
    check(&layers.mounted());
}
