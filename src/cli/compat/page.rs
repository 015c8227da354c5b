//! The man page of the command line of mount(8): mount.fuse.lamina(8).

use std::io::{self, Write};

use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::args::EXIT_STATUS;
use crate::cli::epilogue::{Epilogue, Example, Note};

const NAME: &str = "mount.fuse.lamina";

const SYNOPSIS: [(&str, &str); 3] = [
    ("mount -t fuse.lamina", " SOURCE MOUNTPOINT -o OPT,OPT"),
    ("mount.fuse.lamina", " SOURCE MOUNTPOINT [-fnrsvw] [-o OPT,OPT]"),
    ("lamina", " [-f] [-d] -o OPT,OPT MOUNTPOINT"),
];

const DESCRIPTION: [&str; 3] = [
    "Shows a stack of directories as one tree. mount(8) calls it for the type fuse.lamina, on its command line, for a line of \
     /etc/fstab and for a mount unit of systemd; podman and buildah call it as their mount_program. It is a link to lamina(1).",
    "With lowerdir=, SOURCE is the name in the first column of /proc/mounts, lamina say. Without, it is the layers: a \
     directory, an image, or overlay:TOP:...:BASE.",
    "A comma in a value is written \\, or the value stands in double quotes, which a shell must not take: \
     -o 'lowerdir=/a,context=\"system_u:object_r:usr_t:s0:c1,c2\"'. In lowerdir= a colon is written \\: as well.",
];

/// Those that most people need; docs/cli.md has the table of all.
const OPTIONS: [(&str, &str); 13] = [
    (
        "lowerdir=TOP:...:BASE[::DATA]",
        "The layers, the first is the top; after a double colon, data-only layers.",
    ),
    ("upperdir=DIR", "Where changes are kept; without it the mount is read-only."),
    (
        "workdir=DIR",
        "On the file system of the upper, and for this mount only. Without it, .UPPER.lamina-work beside the upper.",
    ),
    ("ro, rw", "No changes, though there is an upper; and the default."),
    ("volatile, fsync=0", "Do not wait for the disk."),
    (
        "redirect_dir=, index=, xino=, userxattr, metacopy=",
        "As with the kernel's overlay; lamina-mount(1) has them and those of fuse-overlayfs.",
    ),
    (
        "timeout=SECONDS",
        "How long the kernel may believe what it knows of the layers; 0 where others change them meanwhile.",
    ),
    (
        "io=auto|cached|open",
        "Who opens files: the kernel by itself (cached), or the daemon each time (open). auto is cached where that is right.",
    ),
    ("allow_other, allow_root", "Who else may use the mount of an ordinary user. Root's is open to all."),
    (
        "suid, dev, exec, atime, diratime, sync, dirsync, and each with no",
        "As with every mount; an ordinary user's is nosuid and nodev.",
    ),
    (
        "context=, fscontext=, defcontext=, rootcontext=",
        "What SELinux makes of the files, for root on a machine with SELinux; elsewhere without effect.",
    ),
    ("remount", "Change ro, suid, dev, exec, atime, sync and the like of the mount that stands."),
    (
        "nofail, noauto, user, _netdev, x-systemd.requires-mounts-for=DIR",
        "For mount(8) and systemd: do not stop the boot, do not mount by itself, let users mount it, wait for the network, and \
         for the mount of DIR, a layer say.",
    ),
];

const FLAGS: [(&str, &str); 5] = [
    ("-f", "Called by mount(8): only check (mount --fake). Otherwise: stay in the foreground."),
    ("-s", "Called by mount(8): nothing. Otherwise: serve with one thread."),
    (
        "-d",
        "Log everything that happens, and stay in the foreground for that; called by mount(8), it does not stay.",
    ),
    ("-r, -w", "The options ro and rw."),
    ("-n, -v, -t TYPE", "Taken, without effect."),
];

const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example {
            what: "two directories, /a on top; what is written goes to /c",
            command: "mount -t fuse.lamina lamina /mnt -o lowerdir=/a:/b,upperdir=/c",
        },
        Example {
            what: "the same as a line of /etc/fstab; one that is missing does not stop the boot",
            command: "lamina /mnt fuse.lamina lowerdir=/a:/b,upperdir=/c,nofail 0 0",
        },
        Example {
            what: "a layer on a network; users may mount it",
            command: "lamina /mnt fuse.lamina lowerdir=/net/a:/b,_netdev,user 0 0",
        },
    ],
    notes: &[
        Note {
            heading: "Warnings and errors",
            text: "An option that cannot be honoured is named in a warning, and the mount is made. A value that makes no \
                   sense, and a layer that is not there, are errors.",
        },
        Note {
            heading: "Unmounting",
            text: "umount(8) does not wait for the daemon, which may hold the upper a moment longer; a mount that finds it \
                   taken waits for it. lamina umount waits, and clears a mount whose daemon has died.",
        },
    ],
};

/// The page.
///
/// # Errors
/// Those of writing.
pub fn render() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    writeln!(
        text,
        ".TH {} 8 \"\" \"lamina {}\" \"System Administration\"",
        NAME.to_uppercase(),
        env!("CARGO_PKG_VERSION")
    )?;
    let mut page = Roff::default();
    page.control("SH", ["NAME"]);
    page.text([roman(NAME), roman(" - mount layers as one tree, by mount(8) and /etc/fstab")]);
    page.control("SH", ["SYNOPSIS"]);
    for (number, (program, rest)) in SYNOPSIS.into_iter().enumerate() {
        if number > 0 {
            page.control("br", []);
        }
        page.text([bold(program), roman(rest)]);
    }
    page.control("SH", ["DESCRIPTION"]);
    for paragraph in DESCRIPTION {
        page.control("PP", []);
        page.text([roman(paragraph)]);
    }
    for (heading, table) in [("OPTIONS", &OPTIONS[..]), ("FLAGS", &FLAGS)] {
        page.control("SH", [heading]);
        for (name, meaning) in table {
            page.control("TP", []);
            page.text([bold(*name)]);
            page.text([roman(*meaning)]);
        }
    }
    EPILOGUE.roff(&mut page);
    Epilogue { examples: &[], notes: &[EXIT_STATUS] }.roff(&mut page);
    page.control("SH", ["SEE ALSO"]);
    page.text([roman("lamina(1), lamina-mount(1), lamina-umount(1), mount(8), fstab(5), systemd.mount(5)")]);
    page.to_writer(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::Options;

    #[test]
    fn the_page_names_options_that_there_are() {
        let page = String::from_utf8(render().unwrap()).unwrap();
        assert!(page.starts_with(".TH MOUNT.FUSE.LAMINA 8"), "{page}");
        for (names, _) in OPTIONS {
            for name in names.split(", ").filter(|name| !name.starts_with("and each")) {
                let name = name.split(['=', '[']).next().unwrap_or_default();
                let mut options = Options::default();
                let taken = ["", "=1", "=on", "=off", "=auto", "=/a", "=u:r:t:s0"]
                    .iter()
                    .any(|value| options.parse(format!("{name}{value}").as_bytes()).is_ok());
                assert!(taken && options.unhonoured.is_empty(), "{name}");
            }
        }
    }
}
