use super::*;
use crate::config::RedirectDir;

fn words(text: &[&str]) -> Vec<OsString> {
    text.iter().map(OsString::from).collect()
}

fn asked(caller: Caller, args: &[&str]) -> Result<Request, Failure> {
    request(caller, parse(&words(args))?)
}

#[test]
fn the_form_is_decided_by_name_first_option_or_places() {
    use Caller::*;
    for (program, args, expected) in [
        ("lamina", &[][..], None),
        ("lamina", &["mount", "a", "m", "-o", "ro"], None),
        ("lamina", &["list", "x", "-o"], None),
        ("lamina", &["help", "mount", "-x"], None),
        ("lamina", &["--help"], None),
        ("lamina", &["-V"], None),
        ("lamina", &["--version"], None),
        ("lamina", &["--log-level", "debug", "mount"], None),
        ("lamina", &["a", "m"], None),
        ("lamina", &["-o", "lowerdir=a", "m"], Some(Other)),
        ("lamina", &["-olowerdir=a", "m"], Some(Other)),
        ("lamina", &["-f", "-o", "lowerdir=a", "m"], Some(Other)),
        ("lamina", &["--debug", "-f", "-o", "lowerdir=a", "m"], Some(Other)),
        ("lamina", &["src", "m", "-o", "lowerdir=a"], Some(Other)),
        ("lamina", &["src", "m", "-olowerdir=a"], Some(Other)),
        ("lamina", &["src", "m", "-n", "-o", "lowerdir=a"], Some(Other)),
        ("/usr/bin/fuse-overlayfs", &["--version"], Some(Other)),
        ("fuse-overlayfs", &[], Some(Other)),
        ("mount.lamina", &["src", "m"], Some(Mount)),
        ("/sbin/mount.fuse.lamina", &["src", "m", "-o", "rw"], Some(Mount)),
    ] {
        assert_eq!(recognise(OsStr::new(program), &words(args)), expected, "{program} {args:?}");
    }
}

#[test]
fn podmans_command_line() {
    let options = "lowerdir=/s/l/A:/s/l/B,upperdir=/s/d/diff,workdir=/s/d/work,nodev,fsync=0,volatile,\
                   context=\"system_u:object_r:container_file_t:s0:c1,c2\",metacopy=on,redirect_dir=off";
    let request = asked(Caller::Other, &["-o", options, "/s/d/merged"]).unwrap();
    assert_eq!(request.mountpoint, PathBuf::from("/s/d/merged"));
    assert_eq!(request.upper, Some("/s/d/diff".into()));
    assert_eq!(request.work, Some("/s/d/work".into()));
    assert_eq!(source::lowers(&request), ["/s/l/A", "/s/l/B"].map(PathBuf::from));
    assert_eq!(request.options.redirect_dir, Some(RedirectDir::Follow));
    assert_eq!((request.process, request.form), (Process::Daemon, Form::Compatible));
    assert_eq!(request.covering, Covering::Allowed);
    assert_eq!(request.options.unhonoured, []);
    let labels: Vec<String> = request.options.labels.iter().map(ToString::to_string).collect();
    assert_eq!(labels, ["context=\"system_u:object_r:container_file_t:s0:c1,c2\""]);
}

mod source {
    use super::*;

    pub fn lowers(request: &Request) -> Vec<PathBuf> {
        let stack =
            crate::source::stack::<std::convert::Infallible>(request.sources.iter().cloned(), None, |_| {
                Ok(None)
            })
            .unwrap();
        stack.lowers.iter().map(|lower| lower.path().to_owned()).collect()
    }
}

#[test]
fn the_source_is_a_name_when_lowerdir_says_the_layers() {
    let request = asked(Caller::Mount, &["name", "/m", "-o", "rw,lowerdir=/a"]).unwrap();
    assert_eq!(request.name, Some("name".into()));
    assert_eq!(source::lowers(&request), [PathBuf::from("/a")]);
}

#[test]
fn the_source_is_the_layers_when_lowerdir_does_not() {
    let request = asked(Caller::Mount, &["overlay:/a:/b", "/m", "-o", "rw"]).unwrap();
    assert_eq!(source::lowers(&request), ["/a", "/b"].map(PathBuf::from));
    let request = asked(Caller::Mount, &["oci:x", "/m"]).unwrap();
    assert!(matches!(request.sources[..], [crate::source::Source::Image(_)]));
}

#[test]
fn flags_mean_what_the_caller_means() {
    let args = ["-f", "-s", "-o", "lowerdir=a", "m"];
    let other = asked(Caller::Other, &args).unwrap();
    assert_eq!((other.process, other.options.threads), (Process::Foreground, Some(1)));
    let mount = asked(Caller::Mount, &args).unwrap();
    assert_eq!((mount.process, mount.options.threads), (Process::CheckOnly, None));
    for (flag, caller, expected) in [
        ("-d", Caller::Other, Process::Foreground),
        ("--debug", Caller::Other, Process::Daemon),
        ("-d", Caller::Mount, Process::Daemon),
        ("-s", Caller::Other, Process::Daemon),
    ] {
        let request = asked(caller, &[flag, "-o", "lowerdir=a", "m"]).unwrap();
        assert_eq!(request.process, expected, "{flag} {caller:?}");
        let debug = (flag != "-s").then_some(super::super::options::Switch::On);
        assert_eq!(request.options.debug, debug, "{flag} {caller:?}");
    }
}

#[test]
fn flags_of_mount_are_taken() {
    let request =
        asked(Caller::Mount, &["s", "m", "-n", "-v", "-t", "fuse.lamina", "-r", "-olowerdir=a"]).unwrap();
    assert_eq!(request.options.unhonoured, []);
    assert_eq!(request.options.read_only, Some(super::super::options::Switch::On));
    let request = asked(Caller::Other, &["-x", "-o", "lowerdir=a", "--", "-m"]).unwrap();
    assert_eq!(request.mountpoint, PathBuf::from("-m"));
    assert_eq!(request.options.unhonoured[0].to_string(), "unknown option '-x'");
}

#[test]
fn usage_errors() {
    for (args, expected) in [
        (&["-o", "lowerdir=a"][..], "the mount point is missing"),
        (&["-o", "ro", "m"], "there are no layers"),
        (&["-o"], "-o needs a value"),
        (&["a", "b", "c", "-o", "lowerdir=a"], "too many words: 'a' 'b' 'c'"),
        (&["-o", "lowerdir=a", "m", "--upper", "up"], "unknown flag '--upper'"),
        (&["-o", "lowerdir=a", "m", "--log-file=x"], "unknown flag '--log-file=x'"),
        (&["-o", "lowerdir=a", "m", "--what"], "unknown flag '--what'"),
        (&["-o", "index=maybe", "m"], "option 'index=maybe': give one of on, off"),
    ] {
        let failure = asked(Caller::Other, args).unwrap_err();
        assert_eq!(failure.message, expected);
        assert_eq!(failure.class, super::super::ExitClass::Usage);
    }
}

#[test]
fn help_and_version_are_answered_whatever_else_is_said() {
    assert_eq!(parse(&words(&["-o", "ro", "--version"])).unwrap().first_flag, Some(Answer::Version));
    assert_eq!(parse(&words(&["-h"])).unwrap().first_flag, Some(Answer::Help));
}
