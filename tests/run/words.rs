//! What is run, with which environment, where, and as whom.

use serde_json::json;

use crate::images::Entry;
use crate::sandbox::{Sandbox, has_many_ids};

#[test]
fn the_images_config_applies_and_the_callers_words_come_before_it() {
    let config = json!({
        "Env": ["PATH=/bin", "A=image", "B=image"],
        "Entrypoint": ["sh", "-c", "echo \"$0 $* $A $B $HOME $container\"; pwd; id -u"],
        "Cmd": ["zero", "one"],
        "WorkingDir": "/made/for it",
    });
    let Some(sandbox) = Sandbox::of(&[], config) else { return };
    let run = |args: &[&str]| sandbox.run(args).succeeds().out;
    assert_eq!(run(&["image.tar"]), "zero one image image /root lamina\n/made/for it\n0\n");
    assert_eq!(
        run(&["-e", "B=mine", "-w", "/etc", "image.tar", "--", "x"]),
        "x  image mine /root lamina\n/etc\n0\n"
    );
    assert_eq!(run(&["--entrypoint", "echo", "image.tar"]), "\n", "Cmd belongs to the image's entrypoint");
    assert_eq!(run(&["--entrypoint", r#"["echo","-n"]"#, "image.tar", "--", "x"]), "x");
    let mut given = sandbox.command(&["-e", "OWN", "-e", "NONE", "image.tar", "--entrypoint", "env"]);
    let out = crate::place::outcome(given.env("OWN", "theirs").env_remove("NONE")).succeeds().out;
    assert!(out.contains("\nOWN=theirs\n") && !out.contains("NONE"), "{out}");
    assert!(
        !out.contains("TMPDIR") && !out.contains("XDG_DATA_HOME"),
        "the caller's own stay outside: {out}"
    );
}

#[test]
fn directories_have_a_shell_and_a_path_by_default() {
    let Some(sandbox) = Sandbox::new() else { return };
    sandbox.place.run("unpack", &["image.tar", "rootfs", "--flat", "--quiet"]).succeeds();
    std::fs::create_dir_all(sandbox.place.path("top/etc")).unwrap();
    std::fs::write(sandbox.place.path("top/etc/old"), "new").unwrap();
    let mut shell = sandbox.command(&["top", "rootfs"]);
    shell.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = shell.spawn().unwrap();
    use std::io::Write;
    child.stdin.take().unwrap().write_all(b"cat /etc/old; echo; pwd; exit 3\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "new\n/\n");
    assert_eq!(output.status.code(), Some(3));
    assert!(!sandbox.place.path("rootfs/tmp/x").exists());
}

#[test]
fn the_command_runs_as_the_user_that_is_named() {
    let config = json!({"Env": ["PATH=/bin"], "User": "mail"});
    let Some(sandbox) = Sandbox::of(&[], config) else { return };
    let who = "id -u; id -g; id -G; echo $HOME";
    let outcome = sandbox.script(&[], who);
    if has_many_ids() {
        assert_eq!((outcome.code, outcome.out.as_str()), (0, "8\n12\n12 4\n/var/mail\n"), "{outcome:?}");
        assert_eq!(sandbox.prints(&["-u", "mail:adm"], "id -u; id -G"), "8\n4\n");
        assert_eq!(sandbox.prints(&["-u", "77:78"], "id -u; id -G; echo $HOME"), "77\n78\n/\n");
    } else {
        assert_eq!(outcome.code, 125, "{outcome:?}");
        for word in ["user 8", "newuidmap", "subuid"] {
            assert!(outcome.err.contains(word), "{word}: {outcome:?}");
        }
    }
    assert_eq!(sandbox.prints(&["-u", "root"], "id -u; echo $HOME"), "0\n/root\n");
    let nobody = sandbox.script(&["-u", "nobody-here"], "true");
    assert_eq!(nobody.code, 125);
    assert!(nobody.err.contains("'nobody-here'"), "{nobody:?}");
}

#[test]
fn an_images_passwd_may_be_anything() {
    let odd = [Entry::fifo("etc/passwd"), Entry::symlink("etc/group", "group")];
    let Some(sandbox) = Sandbox::of(&odd, json!({"Env": ["PATH=/bin"]})) else { return };
    // The command itself would wait for a writer, if it looked there.
    assert_eq!(sandbox.prints(&["-u", "0:0"], "echo runs"), "runs\n");
}
