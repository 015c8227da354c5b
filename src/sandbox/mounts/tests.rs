use super::*;

fn wanted() -> Wanted {
    Wanted {
        binds: Vec::new(),
        terminal: None,
        tty_group: true,
        resolv_conf: None,
        hosts: None,
        root: Root::Mapped,
    }
}

fn found(source: &str, target: &str, access: Access, kind: Kind) -> FoundBind {
    FoundBind { bind: Bind { source: source.into(), target: target.into(), access }, kind }
}

fn at<'a>(steps: &'a [Step], target: &str) -> Vec<&'a What> {
    steps.iter().filter(|step| step.target == Path::new(target)).map(|step| &step.what).collect()
}

#[test]
fn what_lies_below_comes_after_what_it_lies_on() {
    let steps = plan(&Wanted {
        binds: vec![found("/x", "/dev/x", Access::ReadWrite, Kind::File)],
        terminal: Some("/dev/pts/2".into()),
        resolv_conf: Some("/r".into()),
        hosts: Some("/h".into()),
        ..wanted()
    });
    for (index, step) in steps.iter().enumerate() {
        let parents = steps
            .iter()
            .enumerate()
            .filter(|(_, other)| step.target != other.target && step.target.starts_with(&other.target));
        for (parent, other) in parents {
            assert!(parent < index, "{other:?} after {step:?}");
        }
    }
    assert_eq!(steps.last().unwrap().target, Path::new("/dev/x"), "the caller's binds may cover everything");
    let console = bind("/dev/pts/2".into(), Access::ReadWrite, Kind::File, Absent::Refuse);
    assert_eq!(at(&steps, "/dev/console"), [&console]);
    let resolv = bind("/r".into(), Access::ReadWrite, Kind::File, Absent::Refuse);
    assert_eq!(at(&steps, "/etc/resolv.conf"), [&resolv]);
}

#[test]
fn what_is_not_there_is_not_planned() {
    let steps = plan(&Wanted { tty_group: false, ..wanted() });
    for target in ["/dev/console", "/etc/resolv.conf", "/etc/hosts"] {
        assert_eq!(at(&steps, target), [] as [&What; 0], "{target}");
    }
    assert_eq!(at(&steps, "/dev/pts"), [&What::Pts { group: None }]);
    assert_eq!(at(&plan(&wanted()), "/dev/pts"), [&What::Pts { group: Some(5) }]);
    let sys = bind("/sys".into(), Access::ReadOnly, Kind::Directory, Absent::Skip);
    assert_eq!(at(&steps, "/sys"), [&sys]);
}

#[test]
fn the_layer_below_has_what_is_mounted_on_and_nothing_else() {
    let binds = vec![
        found("/a", "/work/src", Access::ReadOnly, Kind::Directory),
        found("/b", "/etc/motd", Access::ReadWrite, Kind::File),
    ];
    let steps = plan(&Wanted { binds, hosts: Some("/h".into()), ..wanted() });
    let directories = [Path::new("/srv/app"), Path::new("/"), Path::new("/x/../y"), Path::new("/tmp")];
    let expected = [
        ("proc", Kind::Directory),
        ("sys", Kind::Directory),
        ("dev", Kind::Directory),
        ("etc/hosts", Kind::File),
        ("work/src", Kind::Directory),
        ("etc/motd", Kind::File),
        ("srv/app", Kind::Directory),
        ("tmp", Kind::Directory),
    ]
    .map(|(path, kind)| (PathBuf::from(path), kind));
    assert_eq!(skeleton(&steps, &directories), expected);
}

#[test]
fn what_the_machines_root_could_write_by_being_it_is_guarded() {
    let steps = plan(&Wanted { root: Root::Machine, ..wanted() });
    assert_eq!(at(&steps, "/proc/sys"), [&What::ReadOnly]);
    assert_eq!(at(&steps, "/proc/kcore"), [&What::Covered]);
    assert_eq!(at(&plan(&wanted()), "/proc/sys"), [] as [&What; 0]);
}
