//! What the tests that mount share: fixtures, mounts that clean up after themselves, other identities, snapshots.
//!
//! Environment:
//! - `LAMINA_TEST_BACKEND=kernel` mounts the kernel's overlay in place of lamina, which proves the expectations.
//! - `LAMINA_TEST_IO=cached|open` mounts with that `io=` where a test gives none.
//! - `LAMINA_TEST_DIR` is where scratch directories are made (default: the system's temporary directory). It must
//!   take overlay uppers: ext4, xfs, btrfs or tmpfs.
//! - `LAMINA_REQUIRE_ALL=1`, or `CI`: a test whose precondition is missing fails in place of skipping.
//! - `LAMINA_TEST_WHO` is set by the tests that run the others again under another identity.
#![allow(dead_code, unused_imports)] // no test uses all of it

pub mod fixtures;
pub mod guard;
pub mod identity;
pub mod rerun;
pub mod snapshot;
pub mod sys;

use std::io::{self, Write};
use std::path::PathBuf;

pub use guard::{Backend, Mount, Setup};
pub use identity::{Who, as_user, with_umask};
pub use nix::errno::Errno;

use fixtures::Powers;

/// What a test cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Root of the first user namespace: other owners, devices, `trusted.` xattrs.
    Root,
    /// Root of any user namespace: permissions do not bind, mount(2) works.
    Capabilities,
    /// Something that the kernel's overlay does not have.
    Lamina,
    /// The kernel's overlay, beside lamina, in the `trusted.` namespace.
    KernelOverlay,
    /// Renaming merged directories, which the kernel's overlay refuses in the `user.` namespace.
    Redirects,
    /// Numbers of copies that stay, for which the kernel's overlay must open by file handle, which a user namespace
    /// may not.
    StableNumbers,
    /// GNU tar, as a program.
    GnuTar,
    /// libarchive's bsdtar, as a program.
    Bsdtar,
    /// tmux, as a program.
    Tmux,
    /// fuse-overlayfs, as a program.
    FuseOverlayfs,
    /// bindfs, as a program: a file system in user space that hands everything on to a directory.
    Bindfs,
    /// systemd, which need not be this machine's first process.
    Systemd,
    /// mksquashfs, and a kernel that mounts what it makes.
    Squashfs,
    /// mkfs.erofs, and a kernel that mounts what it makes.
    Erofs,
    /// mkfs.ext4, and a kernel that mounts what it makes.
    Ext4,
    /// mkfs.xfs, and a kernel that mounts what it makes.
    Xfs,
    /// mkfs.btrfs, and a kernel that mounts what it makes.
    Btrfs,
    /// squashfuse, and mksquashfs.
    Squashfuse,
    /// unionfs-fuse.
    UnionfsFuse,
    /// sshfs, and the server of its protocol: both ends of a network file system without a network.
    Sshfs,
    /// mergerfs: several directories as one.
    Mergerfs,
    /// gocryptfs: a directory that is encrypted.
    Gocryptfs,
    /// ntfs-3g, and what makes its file systems.
    Ntfs3g,
    /// exFAT in user space, and what makes its file systems.
    Exfat,
}

impl Need {
    /// Why the need is not met, if it is not.
    fn missing(self) -> Option<Missing> {
        let who = Who::current();
        match self {
            Need::Root if Powers::detect() != Powers::Root => Some(who.lacks("needs root")),
            Need::Capabilities if !nix::unistd::geteuid().is_root() => Some(who.lacks("needs capabilities")),
            Need::Lamina if Backend::current() == Backend::Kernel => {
                Some(Missing::ByDesign("the kernel's overlay does not have it"))
            }
            Need::KernelOverlay if Powers::detect() != Powers::Root => {
                Some(who.lacks("mounting the kernel's overlay needs root"))
            }
            Need::KernelOverlay if !kernel_has("overlay") => {
                Some(Missing::Precondition("this kernel has no overlay file system"))
            }
            Need::Redirects if Backend::current() == Backend::Kernel && who != Who::Root => {
                Some(Missing::ByDesign("the kernel's overlay has no redirects under userxattr"))
            }
            Need::StableNumbers if Backend::current() == Backend::Kernel && who != Who::Root => {
                Some(Missing::ByDesign("the kernel's overlay cannot open by file handle in a user namespace"))
            }
            Need::GnuTar if !says("tar", "GNU tar") => Some(Missing::Precondition("needs GNU tar")),
            Need::Bsdtar if !says("bsdtar", "bsdtar") => {
                Some(Missing::Precondition("needs bsdtar (package libarchive-tools)"))
            }
            Need::Tmux if !answers("tmux", "-V") => Some(Missing::Precondition("needs tmux (package tmux)")),
            Need::FuseOverlayfs if !says("fuse-overlayfs", "fuse-overlayfs") => {
                Some(Missing::Precondition("needs fuse-overlayfs"))
            }
            Need::Bindfs if !answers("bindfs", "--version") => {
                Some(Missing::Precondition("needs bindfs (package bindfs)"))
            }
            Need::Systemd if !std::path::Path::new("/lib/systemd/systemd").exists() => {
                Some(Missing::Precondition("needs systemd (package systemd)"))
            }
            Need::Systemd if !std::path::Path::new("/dev/autofs").exists() => Some(Missing::Precondition(
                "this kernel has no autofs, by which systemd mounts for whoever looks",
            )),
            Need::Squashfs if !is_there("mksquashfs") => {
                Some(Missing::Precondition("needs mksquashfs (package squashfs-tools)"))
            }
            Need::Erofs if !is_there("mkfs.erofs") => {
                Some(Missing::Precondition("needs mkfs.erofs (package erofs-utils)"))
            }
            Need::Ext4 if !is_there("mkfs.ext4") => {
                Some(Missing::Precondition("needs mkfs.ext4 (package e2fsprogs)"))
            }
            Need::Xfs if !is_there("mkfs.xfs") => {
                Some(Missing::Precondition("needs mkfs.xfs (package xfsprogs)"))
            }
            Need::Btrfs if !is_there("mkfs.btrfs") => {
                Some(Missing::Precondition("needs mkfs.btrfs (package btrfs-progs)"))
            }
            Need::Squashfuse if !is_there("squashfuse") || !is_there("mksquashfs") => {
                Some(Missing::Precondition("needs squashfuse and mksquashfs (package squashfs-tools)"))
            }
            Need::UnionfsFuse if !is_there("unionfs-fuse") => {
                Some(Missing::Precondition("needs unionfs-fuse (package unionfs-fuse)"))
            }
            Need::Sshfs if !is_there("sshfs") || !std::path::Path::new(SFTP_SERVER).exists() => {
                Some(Missing::Precondition("needs sshfs, and the package openssh-sftp-server"))
            }
            Need::Mergerfs if !is_there("mergerfs") => {
                Some(Missing::Precondition("needs mergerfs (package mergerfs)"))
            }
            Need::Gocryptfs if !is_there("gocryptfs") => {
                Some(Missing::Precondition("needs gocryptfs (package gocryptfs)"))
            }
            Need::Ntfs3g if !is_there("ntfs-3g") || !is_there("mkntfs") => {
                Some(Missing::Precondition("needs ntfs-3g (package ntfs-3g)"))
            }
            Need::Exfat if !is_there("mount.exfat-fuse") || !is_there("mkfs.exfat") => {
                Some(Missing::Precondition("needs exfat-fuse and mkfs.exfat (package exfatprogs)"))
            }
            Need::Squashfs if !kernel_has("squashfs") => {
                Some(Missing::Precondition("this kernel has no squashfs"))
            }
            Need::Erofs if !kernel_has("erofs") => Some(Missing::Precondition("this kernel has no erofs")),
            Need::Ext4 if !kernel_has("ext4") => Some(Missing::Precondition("this kernel has no ext4")),
            Need::Xfs if !kernel_has("xfs") => Some(Missing::Precondition("this kernel has no xfs")),
            Need::Btrfs if !kernel_has("btrfs") => Some(Missing::Precondition("this kernel has no btrfs")),
            Need::Squashfs | Need::Erofs | Need::Ext4 | Need::Xfs | Need::Btrfs | Need::Exfat
                if !std::path::Path::new("/dev/loop-control").exists() =>
            {
                Some(Missing::Precondition("there are no loop devices to mount an image with"))
            }
            _ => None,
        }
    }
}

/// The server that sshfs talks to, as Debian has it.
pub const SFTP_SERVER: &str = "/usr/lib/openssh/sftp-server";

/// Is there a program of this name that takes this option?
fn answers(program: &str, option: &str) -> bool {
    std::process::Command::new(program).arg(option).output().is_ok_and(|output| output.status.success())
}

/// Is there a program of this name? Those that make file systems lie in directories that an ordinary user's PATH lacks.
fn is_there(program: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/sbin", "/bin"]
        .iter()
        .any(|dir| std::path::Path::new(dir).join(program).exists())
}

/// Is there a program of this name that calls itself so?
fn says(program: &str, name: &str) -> bool {
    let output = std::process::Command::new(program).arg("--version").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(name))
}

enum Missing {
    /// Another run of the same test covers it.
    ByDesign(&'static str),
    /// The machine lacks it.
    Precondition(&'static str),
}

impl Who {
    fn lacks(self, reason: &'static str) -> Missing {
        match identity::rerun() {
            Some(_) => Missing::ByDesign(reason),
            None => Missing::Precondition(reason),
        }
    }
}

fn kernel_has(file_system: &str) -> bool {
    let listed = || {
        std::fs::read_to_string("/proc/filesystems")
            .is_ok_and(|list| list.lines().any(|line| line.split_whitespace().last() == Some(file_system)))
    };
    // A module may have to be loaded; where there is no modprobe, the list decides.
    listed()
        || (std::process::Command::new("modprobe")
            .arg(file_system)
            .output()
            .is_ok_and(|o| o.status.success())
            && listed())
}

/// Where scratch directories are made.
pub fn scratch() -> PathBuf {
    std::env::var_os("LAMINA_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// Is the need met? If not, says so where it is seen though the test passes, or fails where everything is required.
pub fn met(need: Need) -> bool {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let (reason, may_skip) = match need.missing() {
        None => return true,
        Some(Missing::ByDesign(reason)) => (reason, true),
        Some(Missing::Precondition(reason)) => (reason, !everything_required()),
    };
    assert!(may_skip, "{test}: {reason}, and everything is required here");
    say(&format!("SKIPPED {test} ({}): {reason}", Who::current()));
    false
}

pub fn everything_required() -> bool {
    std::env::var_os("CI").is_some() || std::env::var_os("LAMINA_REQUIRE_ALL").is_some()
}

/// A line on the real standard error, which the test harness does not capture. It is one write: processes that
/// test in parallel share the terminal.
pub fn say(line: &str) {
    // A lost message is no reason to fail a test.
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

/// Leaves the test, visibly, where a need is not met.
#[macro_export]
macro_rules! needs {
    ($($need:ident),+) => {
        $(if !$crate::support::met($crate::support::Need::$need) { return; })+
    };
}

/// The errno of a failure; succeeding is the test's failure.
#[track_caller]
pub fn errno<T: std::fmt::Debug, E: IntoErrno>(result: Result<T, E>) -> Errno {
    match result {
        Ok(value) => panic!("it succeeded: {value:?}"),
        Err(error) => error.into_errno(),
    }
}

pub trait IntoErrno {
    fn into_errno(self) -> Errno;
}

impl IntoErrno for io::Error {
    fn into_errno(self) -> Errno {
        sys::errno(&self)
    }
}

impl IntoErrno for Errno {
    fn into_errno(self) -> Errno {
        self
    }
}
