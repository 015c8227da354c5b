//! Help, version, completions, man pages.

use crate::run::{command, lamina, outcome, run};

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
    let list = "complete -c lamina -n \"__fish_lamina_using_subcommand list\" -f\n";
    assert!(run(&["completions", "fish"]).out.contains(list));
    run(&["completions", "tcsh"]).fails_with(2, &["tcsh", "bash"]);
}

#[test]
fn completions_know_the_words_of_each_command() {
    let script = |shell| run(&["completions", shell]).out;
    let bash = script("bash");
    for words in [
        "bash zsh fish",
        "mount umount refresh stats list inspect explain ls cat extract run diff waste browse layers unpack commit check convert store doctor completions man",
        "redirect_dir=on",
    ] {
        assert!(bash.contains(words), "{words}: {bash}");
    }
    let zsh = script("zsh");
    for words in [
        ":(mount umount refresh stats list inspect explain ls cat extract run diff waste browse layers unpack commit check convert store doctor completions man mount.fuse.lamina)",
        "*::mountpoints -- Where it is mounted; several are unmounted one after the other:_files -/",
        ":OPT,OPT:(ro redirect_dir=on",
    ] {
        assert!(zsh.contains(words), "{words}: {zsh}");
    }
    let fish = script("fish");
    for (command, words) in [
        ("completions", "bash zsh fish"),
        (
            "man",
            "mount umount refresh stats list inspect explain ls cat extract run diff waste browse layers unpack commit check convert store doctor completions man mount.fuse.lamina",
        ),
        ("umount", "(__fish_complete_directories)"),
        ("refresh", "(__fish_complete_directories)"),
        ("stats", "(__fish_complete_directories)"),
        ("unmount", "(__fish_complete_directories)"),
    ] {
        let line = format!("__fish_lamina_using_subcommand {command}\" -f -a \"{words}\"");
        assert!(fish.contains(&line), "{line}: {fish}");
    }
    // Where an image may be named, the shell offers its files.
    for command in ["mount", "inspect", "layers", "unpack", "explain", "ls", "cat", "extract", "browse"] {
        assert!(
            !fish.contains(&format!("__fish_lamina_using_subcommand {command}\" -f")),
            "{command}: {fish}"
        );
    }
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
fn help_fits_on_80_columns() {
    let compatible = outcome(lamina().args(["-o", "ro", "--help"]));
    let mut helps = vec![("-o ro".to_owned(), compatible.out)];
    for command in [
        &[][..],
        &["mount"],
        &["umount"],
        &["refresh"],
        &["stats"],
        &["list"],
        &["inspect"],
        &["explain"],
        &["ls"],
        &["cat"],
        &["extract"],
        &["layers"],
        &["unpack"],
        &["commit"],
        &["store"],
        &["completions"],
        &["man"],
    ] {
        for flag in ["-h", "--help"] {
            let help = outcome(lamina().args(command).arg(flag).env("COLUMNS", "80"));
            help.succeeds();
            helps.push((command.join(" "), help.out));
        }
    }
    for (command, help) in helps {
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
    }
}

#[test]
fn an_example_has_its_line_to_itself() {
    for command in [
        &[][..],
        &["mount"],
        &["umount"],
        &["refresh"],
        &["stats"],
        &["list"],
        &["inspect"],
        &["explain"],
        &["ls"],
        &["cat"],
        &["extract"],
        &["layers"],
        &["unpack"],
        &["commit"],
        &["store"],
        &["completions"],
        &["man"],
    ] {
        let help = run(&[command, &["--help"]].concat()).out;
        let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{command:?}: {help}"));
        let lines: Vec<&str> = examples.lines().take_while(|line| !line.is_empty()).collect();
        assert!(lines.len().is_multiple_of(2), "{command:?}: {lines:?}");
        for (number, line) in lines.into_iter().enumerate() {
            assert_eq!(line.starts_with("  # "), number % 2 == 0, "{command:?}: {line}");
        }
    }
}

#[test]
fn the_programs_name_in_help_is_not_the_links() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("L");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lamina"), &link).unwrap();
    for args in [&["--help"][..], &["umount", "--help"], &["mount", "--help"]] {
        let help = outcome(command(&link).args(args));
        assert!(help.out.contains("Usage: lamina "), "{}", help.out);
    }
}

#[test]
fn a_page_tells_the_commands_of_a_command() {
    let page = run(&["man", "store"]).out;
    for part in [
        ".SH COMMANDS",
        "\\fBlamina store gc [OPTIONS]\\fR",
        "\\fB\\-\\-older\\-than DAYS\\fR",
        "\\fBlamina store rm [OPTIONS] DIFF_ID...\\fR",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("lamina\\-store\\-ls(1)"), "{page}");
}

#[test]
fn man_pages_have_the_usual_sections() {
    for (args, title, usage) in [
        (&["man"][..], "LAMINA", "\\fBlamina\\fR [OPTIONS] COMMAND"),
        (&["man", "mount"], "LAMINA-MOUNT", "\\fBlamina mount\\fR [OPTIONS] SOURCE... MOUNTPOINT"),
        (&["man", "umount"], "LAMINA-UMOUNT", "\\fBlamina umount\\fR [OPTIONS] MOUNTPOINT..."),
        (&["man", "refresh"], "LAMINA-REFRESH", "\\fBlamina refresh\\fR [OPTIONS] MOUNTPOINT..."),
        (&["man", "stats"], "LAMINA-STATS", "\\fBlamina stats\\fR [OPTIONS] MOUNTPOINT"),
        (&["man", "list"], "LAMINA-LIST", "\\fBlamina list\\fR [OPTIONS]"),
        (&["man", "inspect"], "LAMINA-INSPECT", "\\fBlamina inspect\\fR [OPTIONS] IMAGE"),
        (&["man", "ls"], "LAMINA-LS", "\\fBlamina ls\\fR [OPTIONS] SOURCE [PATH]"),
        (&["man", "cat"], "LAMINA-CAT", "\\fBlamina cat\\fR [OPTIONS] SOURCE PATH..."),
        (&["man", "extract"], "LAMINA-EXTRACT", "\\fBlamina extract\\fR [OPTIONS] SOURCE PATH DEST"),
        (&["man", "layers"], "LAMINA-LAYERS", "\\fBlamina layers\\fR [OPTIONS] IMAGE"),
        (&["man", "commit"], "LAMINA-COMMIT", "\\fBlamina commit\\fR [OPTIONS] SOURCE TARGET"),
        (&["man", "unpack"], "LAMINA-UNPACK", "\\fBlamina unpack\\fR [OPTIONS] IMAGE DIR"),
        (&["man", "store"], "LAMINA-STORE", "\\fBlamina store\\fR [OPTIONS] COMMAND"),
        (&["man", "completions"], "LAMINA-COMPLETIONS", "\\fBlamina completions\\fR [OPTIONS] SHELL"),
        (&["man", "man"], "LAMINA-MAN", "\\fBlamina man\\fR [OPTIONS] [COMMAND]"),
    ] {
        let page = run(args);
        page.succeeds();
        let page = page.out;
        let version = concat!("\"lamina ", env!("CARGO_PKG_VERSION"), "\"");
        let head = page.lines().find(|line| line.starts_with(".TH ")).unwrap_or_default();
        assert!(head.starts_with(&format!(".TH {title} 1 ")), "{head}");
        assert!(head.contains(version), "{head}");
        assert!(page.contains(usage), "{args:?}: {page}");
        let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        let expected =
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "\"EXIT STATUS\"", "\"SEE ALSO\""];
        let usual: Vec<&str> =
            sections.iter().copied().filter(|section| expected.contains(section)).collect();
        assert_eq!(usual, expected, "{args:?}: {sections:?}");
        for odd in ["see a summary with", "lamina\\-help", ".SH EXTRA", "<sub"] {
            assert!(!page.contains(odd), "{args:?}: {odd} in {page}");
        }
    }
    run(&["man", "nothing"]).fails_with(2, &["nothing", "mount"]);
}
