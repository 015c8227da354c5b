use super::*;
use crate::image::Platform;

fn image(entrypoint: &[&str], cmd: &[&str], env: &[&str]) -> ImageConfig {
    let all = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    ImageConfig {
        platform: "linux/amd64".parse::<Platform>().unwrap(),
        created: None,
        author: None,
        env: all(env),
        entrypoint: all(entrypoint),
        cmd: all(cmd),
        labels: Default::default(),
        user: None,
        working_dir: None,
        exposed_ports: Vec::new(),
        volumes: Vec::new(),
        stop_signal: None,
    }
}

#[test]
fn words_of_the_caller_take_the_place_of_the_images() {
    // Entrypoint and Cmd of the image, --entrypoint, the caller's words, what is run.
    type Row =
        (&'static [&'static str], &'static [&'static str], Option<&'static str>, &'static str, &'static str);
    let table: &[Row] = &[
        (&["e"], &["c", "d"], None, "", "e c d"),
        (&["e", "f"], &["c"], None, "x y", "e f x y"),
        (&[], &["c"], None, "", "c"),
        (&[], &["c"], None, "x", "x"),
        (&["e"], &["c"], Some("z"), "", "z"),
        (&["e"], &["c"], Some("z"), "x", "z x"),
        (&["e"], &["c"], Some(r#"["z","w"]"#), "x", "z w x"),
        (&["e"], &["c"], Some(""), "x", "x"),
        (&["e"], &["c"], Some(""), "", "/bin/sh"),
        (&[], &[], None, "", "/bin/sh"),
    ];
    for (entrypoint, cmd, asked, command, expected) in table {
        let asked = asked.map(|word| Entrypoint::parse(OsStr::new(word)));
        let command: Vec<OsString> = command.split_whitespace().map(OsString::from).collect();
        let config = image(entrypoint, cmd, &[]);
        let got = words(Some(&config), asked.as_ref(), &command).join(OsStr::new(" "));
        assert_eq!(got, *expected, "{entrypoint:?} {cmd:?} {asked:?} {command:?}");
    }
    assert_eq!(words(None, None, &["x".into()]), ["x"]);
    assert_eq!(words(None, None, &[]), ["/bin/sh"]);
}

#[test]
fn the_callers_variables_win_over_the_images_and_these_over_the_defaults() {
    let config = image(&[], &[], &["PATH=/image", "A=1", "B=x=y", "broken", "A=2"]);
    let asked: Vec<Variable> =
        ["B=mine", "OWN", "NONE", "E="].map(|word| Variable::parse(OsStr::new(word)).unwrap()).to_vec();
    let own = |name: &OsStr| (name == "OWN").then(|| OsString::from("theirs"));
    let mut env = Environment::new(&[("PATH", PATH.into()), ("T", "t".into())], Some(&config), &asked, own);
    env.set_default("HOME", "/root");
    env.set_default("A", "no");
    let lines: Vec<String> = env.lines().into_iter().map(|line| String::from_utf8(line).unwrap()).collect();
    assert_eq!(lines, ["PATH=/image", "T=t", "A=2", "B=mine", "OWN=theirs", "E=", "HOME=/root"]);
    assert_eq!(env.get("B"), Some(OsStr::new("mine")));
    assert_eq!(Variable::parse(OsStr::new("=x")), Err(OsStr::new("=x")));
}

#[test]
fn programs_are_looked_for_along_the_path() {
    let candidates = |word: &str, path: &str| candidates(OsStr::new(word), OsStr::new(path));
    assert_eq!(candidates("ls", "/a:/b"), ["/a/ls", "/b/ls"]);
    assert_eq!(candidates("ls", "/a::/b"), ["/a/ls", "./ls", "/b/ls"]);
    assert_eq!(candidates("./ls", "/a"), ["./ls"]);
    assert_eq!(candidates("/bin/ls", ""), ["/bin/ls"]);
    assert_eq!(candidates("", "/a:/b"), [""; 0], "a directory of the path is no command");
}
