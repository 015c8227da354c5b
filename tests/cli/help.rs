//! Help, version, completions, man pages.

use crate::run::{command, outcome, run};

#[test]
fn help_shows_the_commands_and_examples() {
    for flag in ["--help", "-h"] {
        let help = run(&[flag]);
        help.succeeds();
        for word in ["Usage: lamina", "mount", "umount", "list", "--log-level", "Examples:", "Exit status:"] {
            assert!(help.out.contains(word), "{word} is missing in {}", help.out);
        }
    }
}

#[test]
fn help_of_mount_tells_the_default_work_directory() {
    let help = run(&["mount", "--help"]);
    help.succeeds();
    assert!(help.out.contains("lamina mount [OPTIONS] SOURCE... MOUNTPOINT"), "{}", help.out);
    assert!(help.out.contains(".changes.lamina-work"), "{}", help.out);
    assert!(help.out.contains("nonempty"), "{}", help.out);
}

#[test]
fn no_arguments_show_the_help_and_are_an_error() {
    let nothing = run::<&str>(&[]);
    assert_eq!(nothing.code, 2);
    assert!(nothing.err.contains("Usage: lamina"), "{nothing:?}");
}

#[test]
fn version_is_said_on_both_command_lines() {
    let version = concat!("lamina ", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["-V"]).out.trim(), version);
    let long = run(&["--version"]);
    long.succeeds();
    assert_eq!(long.out.lines().next(), Some(version));
    assert!(long.out.contains("fuse-overlayfs"));
    let compatible = run(&["-o", "ro", "--version"]);
    compatible.succeeds();
    assert_eq!(compatible.out, long.out);
}

#[test]
fn help_that_cannot_be_written_is_a_failure() {
    for args in [&["--help"][..], &["mount", "--help"], &["--version"], &["-o", "ro", "--help"], &["man"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let child = command(env!("CARGO_BIN_EXE_lamina")).args(args).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.status.code(), Some(1), "{args:?}: {said}");
        assert_eq!(said, "lamina: standard output: No space left on device\n", "{args:?}");
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        script.succeeds();
        for word in ["umount", "completions", "log-level"] {
            assert!(script.out.contains(word), "{word} is missing for {shell}");
        }
    }
    run(&["completions", "tcsh"]).fails_with(2, &["tcsh", "bash"]);
}

#[test]
fn bash_takes_the_completions() {
    let script = run(&["completions", "bash"]).out;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lamina.bash");
    std::fs::write(&file, script).unwrap();
    outcome(command("bash").arg("-n").arg(&file)).succeeds();
}

#[test]
fn man_pages_are_roff() {
    for args in [&["man"][..], &["man", "mount"], &["man", "umount"], &["man", "list"]] {
        let page = run(args);
        page.succeeds();
        assert!(page.out.contains(".TH lamina"), "{args:?}: {}", page.out);
        assert!(page.out.contains(".SH SYNOPSIS"), "{args:?}");
    }
    run(&["man", "nothing"]).fails_with(2, &["no command 'nothing'", "mount"]);
}
