//! File systems in user space, which stand for networks, archives, and disks of other systems.

use super::*;
use crate::support::SFTP_SERVER;

const MARKS: &str = "takes no extended attributes";
const EXCHANGE: &str = "cannot exchange names";
const NUMBERS: &str = "gives each name of a file a number of its own";
const DELETIONS: &str = "deletions are written as .wh. files";

/// What was said at mount is just this, each once.
#[track_caller]
fn said(log: &str, expected: &[&str]) {
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("upper ")).collect();
    assert_eq!(warnings.len(), expected.len() * 2, "one for each of two mounts: {log}");
    for part in expected {
        assert_eq!(warnings.iter().filter(|line| line.contains(part)).count(), 2, "{part}: {log}");
    }
}

/// A directory that such a file system keeps what is in it in.
fn back() -> TempDir {
    tempfile::Builder::new().prefix("lb").tempdir_in(scratch()).unwrap()
}

/// As an upper, and, with what a layer holds copied to it, as a layer.
#[track_caller]
fn is_both(fs: &FileSystem, expected: &[&str]) {
    said(&as_an_upper(fs), expected);
    let layers = Setup::text(LOWER).build();
    let layer = fs.path().join("layer");
    fs::create_dir(&layer).unwrap();
    copy(&layers.lower(1, ""), &layer);
    as_a_layer(layers, layer);
}

#[test]
fn squashfuse_is_a_layer() {
    needs!(Lamina, Squashfuse);
    let layers = Setup::text(LOWER).build();
    let image = image(layers.dir(), "mksquashfs \"$2\" \"$1\" -quiet -no-progress", &layers.lower(1, ""));
    let fs = FileSystem::by("squashfuse", &[&image]);
    as_a_layer(layers, fs.path());
}

#[test]
fn unionfs_fuse_is_a_layer_and_an_upper() {
    needs!(Lamina, UnionfsFuse);
    let back = back();
    let path = |name| back.path().join(name).display().to_string();
    let branches = format!("{}=RW:{}=RO", path("top"), path("base"));
    for branch in ["top", "base"] {
        fs::create_dir(back.path().join(branch)).unwrap();
    }
    let options = "cow,attr_timeout=0,entry_timeout=0";
    let fs = FileSystem::by("unionfs-fuse", &["-o", options, &branches]);
    // It runs as who mounts it, and an ordinary user makes no device.
    let expected: &[&str] = match takes_devices(&fs) {
        true => &[MARKS, EXCHANGE, NUMBERS],
        false => &[DELETIONS, MARKS, EXCHANGE, NUMBERS],
    };
    is_both(&fs, expected);
}

/// Can whiteouts be made there?
fn takes_devices(fs: &FileSystem) -> bool {
    let probe = fs.path().join("probe");
    let made = Command::new("mknod").arg(&probe).args(["c", "0", "0"]).output().unwrap().status.success();
    if made {
        fs::remove_file(probe).unwrap();
    }
    made
}

#[test]
fn sshfs_is_a_layer_and_an_upper() {
    needs!(Lamina, Sshfs);
    let back = back();
    let server = back.path().join("server");
    fs::write(&server, format!("#!/bin/sh\nexec {SFTP_SERVER}\n")).unwrap();
    fs::set_permissions(&server, Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(back.path().join("data")).unwrap();
    // What it has cached would hide from a test what the server has.
    let options = format!(
        "ssh_command={},dir_cache=no,attr_timeout=0,entry_timeout=0,ac_attr_timeout=0",
        server.display()
    );
    let remote = format!("there:{}", back.path().join("data").display());
    let fs = FileSystem::by("sshfs", &["-o", &options, &remote]);
    is_both(&fs, &[DELETIONS, MARKS, EXCHANGE, NUMBERS]);
}

#[test]
fn mergerfs_is_a_layer_and_an_upper() {
    needs!(Lamina, Mergerfs, Root);
    let back = back();
    for branch in ["one", "two"] {
        fs::create_dir(back.path().join(branch)).unwrap();
    }
    let branches = format!("{0}/one:{0}/two", back.path().display());
    let fs = FileSystem::by("mergerfs", &[&branches]);
    // Its numbers are made of paths.
    is_both(&fs, &[EXCHANGE, NUMBERS]);
}

#[test]
fn gocryptfs_is_a_layer_and_an_upper() {
    needs!(Lamina, Gocryptfs, Root);
    let back = back();
    let data = back.path().join("data").display().to_string();
    let password = back.path().join("password").display().to_string();
    fs::create_dir(&data).unwrap();
    fs::write(&password, "secret\n").unwrap();
    must(Command::new("gocryptfs").args(["-init", "-q", "-scryptn", "10", "-passfile", &password, &data]));
    let fs = FileSystem::by("gocryptfs", &["-q", "-passfile", &password, &data]);
    is_both(&fs, &[]);
}

/// It keeps attributes of `trusted.` and does not list them: marks in that namespace would not be found again.
#[test]
fn ntfs_3g_is_a_layer_and_an_upper_with_marks_that_it_lists() {
    needs!(Lamina, Ntfs3g, Root);
    let back = back();
    let image = image(back.path(), "truncate -s 16M \"$1\"; mkntfs -F -q \"$1\" 2>/dev/null", back.path());
    let fs = FileSystem::by("ntfs-3g", &["-o", "permissions", &image]);
    is_both(&fs, &[EXCHANGE]);
}

#[test]
fn exfat_is_a_layer_and_no_upper_because_it_takes_names_that_differ_in_case_for_one() {
    needs!(Lamina, Exfat, Root);
    let layers = Setup::text(LOWER).build();
    let image = image(layers.dir(), "truncate -s 16M \"$1\"; mkfs.exfat \"$1\"", &layers.lower(1, ""));
    // The loop device goes with the mount.
    let script = "PATH=$PATH:/usr/sbin:/sbin; dev=$(losetup -f --show \"$0\") && mount.exfat-fuse \"$dev\" \"$1\"; r=$?; losetup -d \"$dev\"; exit $r";
    let fs = FileSystem::by("sh", &["-c", script, &image]);
    let layer = fs.path().join("layer");
    fs::create_dir(&layer).unwrap();
    must(Command::new("cp").arg("-r").arg(layers.lower(1, "").join(".")).arg(&layer));
    as_a_layer(layers, layer);
    let mut layers = Setup::text(LOWER).build();
    layers.place_upper(&fs.path().join("upper"), &fs.path().join("work"));
    let refused = layers.mount().expect_err("of two names one would be lost").message;
    assert!(refused.contains("differ only in case") && refused.contains("another file system"), "{refused}");
}
