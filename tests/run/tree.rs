//! What there is in the sandbox.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::images::Entry;
use crate::place::outcome;
use crate::sandbox::Sandbox;

#[test]
fn processes_devices_and_names_are_as_in_a_container() {
    let Some(sandbox) = Sandbox::new() else { return };
    let out = sandbox.prints(
        &[],
        "cat /proc/1/comm; [ $$ -lt 10 ] && echo few; \
         echo x > /dev/null && echo null; head -c 3 /dev/zero | wc -c; \
         ls -d /dev/pts/ptmx /dev/shm /dev/fd/0; [ -c /dev/ptmx ] && echo ptmx; \
         echo y > /dev/shm/f && cat /dev/shm/f; touch /sys/x 2>/dev/null || echo read-only; stat -c %a /tmp",
    );
    let expected = "lamina\nfew\nnull\n3\n/dev/fd/0\n/dev/pts/ptmx\n/dev/shm\nptmx\ny\nread-only\n1777\n";
    assert_eq!(out, expected);
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    assert!(sandbox.prints(&[], "cat /etc/hosts").contains(hosts.trim()));
    if let Ok(resolv) = fs::read_to_string("/etc/resolv.conf") {
        assert_eq!(sandbox.prints(&[], "cat /etc/resolv.conf"), resolv);
        sandbox.prints(&[], "echo >> /etc/resolv.conf");
        assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap(), resolv, "it is a copy");
    }
    let named = sandbox.prints(&["--hostname", "box"], "hostname; echo $HOSTNAME; grep box /etc/hosts");
    assert_eq!(named, "box\nbox\n127.0.1.1 box\n");
    assert_ne!(nix::unistd::gethostname().unwrap(), "box");
}

#[test]
fn the_command_has_the_rights_of_root_in_a_container_and_no_more() {
    let Some(sandbox) = Sandbox::new() else { return };
    let out = sandbox.prints(
        &[],
        "grep Cap /proc/self/status; \
         mount -t tmpfs none /root 2>/dev/null || echo no mount; \
         (echo 1 > /proc/sys/kernel/panic) 2>/dev/null || echo no sysctl",
    );
    let of = |name: &str| {
        let line = out.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    const SYS_ADMIN: u64 = 1 << 21;
    const SETUID: u64 = 1 << 7;
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(of(set) & SYS_ADMIN, 0, "{set} {out}");
        assert_ne!(of(set) & SETUID, 0, "{set} {out}");
    }
    assert_eq!((of("CapInh:"), of("CapAmb:")), (0, 0), "{out}");
    assert!(out.ends_with("no mount\nno sysctl\n"), "{out}");
}

#[test]
fn binds_show_what_is_outside_wherever_they_are_wanted() {
    let Some(sandbox) = Sandbox::new() else { return };
    let outside = sandbox.place.path("outside: a");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("f"), "from outside").unwrap();
    fs::write(sandbox.place.path("file"), "a file").unwrap();
    let out = sandbox.prints(
        &["--upper", "u", "--bind", r"outside\: a:/work/deep", "--bind", "file:/etc/passwd:ro", "--bind", "file:/new/x"],
        "cat /work/deep/f /etc/passwd /new/x; echo made > /work/deep/g; (echo >> /etc/passwd) 2>/dev/null || echo ro",
    );
    assert_eq!(out, "from outsidea filea filero\n");
    assert_eq!(fs::read_to_string(outside.join("g")).unwrap(), "made\n");
    assert_eq!(fs::read_to_string(sandbox.place.path("file")).unwrap(), "a file");
    let differences = sandbox.place.run("diff", &["image.tar", "--upper", "u"]);
    assert_eq!((differences.code, differences.out.as_str()), (0, ""), "mounting on it changes nothing");
}

#[test]
fn a_layer_may_contain_what_the_sandbox_writes_and_is_shown_without_it() {
    let Some(sandbox) = Sandbox::new() else { return };
    sandbox.place.run("unpack", &["image.tar", "rootfs", "--flat", "--quiet"]).succeeds();
    fs::create_dir(sandbox.place.path("rootfs/tmp")).unwrap();
    fs::create_dir(sandbox.place.path("rootfs/here")).unwrap();
    let script = "echo x > /new; ls -A /tmp/lamina-run-* /here/u /here/.u.lamina-work; cat /etc/old";
    let run = |args: &[&str]| {
        let mut command = sandbox.command(&[args, &["rootfs", "--", "sh", "-c", script]].concat());
        outcome(command.env("TMPDIR", sandbox.place.path("rootfs/tmp")))
    };
    let thrown_away = run(&[]);
    assert_eq!(thrown_away.out.split_whitespace().last(), Some("old"), "{thrown_away:?}");
    assert!(!sandbox.place.path("rootfs/new").exists());
    let kept = run(&["--upper", "rootfs/here/u"]);
    let (listed, rest) = kept.out.split_once("\n\n/tmp/lamina-run-").unwrap_or_else(|| panic!("{kept:?}"));
    assert_eq!(listed, "/here/.u.lamina-work:\n\n/here/u:");
    assert!(rest.ends_with(":\nold"), "each is there, and empty: {kept:?}");
    assert_eq!(fs::read_to_string(sandbox.place.path("rootfs/here/u/new")).unwrap(), "x\n");
    assert_eq!(fs::read_dir(sandbox.place.path("rootfs/tmp")).unwrap().count(), 0);
    // An upper around it can be helped by nobody but the caller.
    let mut around = sandbox.command(&["--upper", "rootfs", "image.tar", "--", "true"]);
    let refused = outcome(around.env("TMPDIR", sandbox.place.path("rootfs/tmp")));
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(
        refused.err.contains("lies inside the upper 'rootfs'") && refused.err.contains("TMPDIR"),
        "{refused:?}"
    );
}

#[test]
fn the_machines_own_root_is_a_source() {
    let Some(sandbox) = Sandbox::new() else { return };
    let outcome = sandbox.run(&["/", "--", "/bin/sh", "-c", "cd /etc && cat hosts > /dev/null && echo $$"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    sandbox.nothing_is_left();
}

/// Hides a part of /proc, as a container does, and runs what follows where that cannot be undone.
const MASK: &str = "mount --bind /dev/null /proc/version && exec unshare -Urm \"$@\"";

#[test]
fn where_no_proc_may_be_mounted_the_outer_one_is_shown_and_said() {
    let Some(sandbox) = Sandbox::new() else { return };
    let script = "readlink /proc/self/exe; cat /proc/version; id -u";
    let lamina = sandbox.place.command("run", &["image.tar", "--", "sh", "-c", script]);
    let mut masked = Command::new("unshare");
    masked.args(["-Urm", "sh", "-c", MASK, "sh"]).arg(lamina.get_program()).args(lamina.get_args());
    masked.current_dir(sandbox.place.path("")).env("TMPDIR", sandbox.place.path("tmp"));
    let outcome = outcome(&mut masked);
    assert_eq!((outcome.code, outcome.out.as_str()), (0, "/bin/busybox\n0\n"), "{outcome:?}");
    assert!(outcome.err.contains("lamina: warning: /proc of the sandbox cannot be mounted"), "{outcome:?}");
    sandbox.nothing_is_left();
}

#[test]
fn symlinks_of_an_image_do_not_lead_out() {
    let place = tempfile::tempdir().unwrap();
    let outside = place.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let to = |name: &str| outside.join(name).to_str().unwrap().to_owned();
    let hostile = [
        Entry::symlink("proc", to("proc")),
        Entry::symlink("sys", "../../../../../../../../elsewhere/sys"),
        Entry::symlink("dev", "/somewhere/else"),
        Entry::symlink("etc/resolv.conf", to("resolv.conf")),
        Entry::symlink("etc/hosts", "../../../../../../../run/hosts"),
        Entry::symlink("loop", "loop"),
    ];
    let Some(sandbox) = Sandbox::of(&hostile, json!({"Env": ["PATH=/bin"]})) else { return };
    let out = sandbox.prints(
        &[],
        "cat /etc/hosts > /dev/null; cat /proc/self/comm; ls -d /somewhere/else/null /run/hosts",
    );
    assert_eq!(out, "cat\n/run/hosts\n/somewhere/else/null\n");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let refused = sandbox.script(&["--bind", "image.tar:/loop/x"], "true");
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(refused.err.contains("'/loop/x' in the sandbox"), "{refused:?}");
}
