//! How it is shown.

use super::*;
use crate::doctor::descriptors::{self, Facts};
use crate::doctor::device;
use crate::source::preflight::Fuse;

fn examined() -> Examined {
    Examined {
        findings: vec![device::judge(Fuse::NoDevice), descriptors::judge(Facts { soft: 1024, hard: 20_000 })],
    }
}

const PLAIN: Look = Look { width: None, colours: false };

#[test]
fn a_line_for_each_check_and_then_what_it_means() {
    let table = table(&examined(), PLAIN);
    assert_eq!(
        table,
        "CHECK        VERDICT  FOUND\n\
         /dev/fuse    missing  there is no /dev/fuse\n\
         descriptors  ok       1024 now, and a mount raises that to 20000: up to 5000 for directories, the rest for open files\n"
    );
    let summary = summary(&examined(), &[Use::Mount, Use::Run], PLAIN);
    assert_eq!(
        summary,
        "mount  does not work here\n\
         run    does not work here\n\
         \n\
         /dev/fuse\n    \
         mount, run: there is no /dev/fuse\n    \
         to do: load the driver as root (modprobe fuse); in a container, pass the device in (--device /dev/fuse)\n"
    );
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [30, 40, 60, 80, 120] {
        let look = Look { width: Some(width), ..PLAIN };
        let text = table(&examined(), look) + &summary(&examined(), &Use::ALL, look);
        let wide = text.lines().find(|line| line.width() > width);
        assert_eq!(wide, None, "{width}");
        assert!(text.contains("descriptors"), "{text}");
    }
}

#[test]
fn colours_are_those_of_the_verdict() {
    let look = Look { width: None, colours: true };
    let table = table(&examined(), look);
    assert!(table.contains("\u{1b}[31mmissing") && table.contains("\u{1b}[32mok"), "{table:?}");
    assert!(!self::table(&examined(), PLAIN).contains('\u{1b}'));
}

#[test]
fn json_is_the_documented_one() {
    let examined = examined();
    let json = serde_json::to_value(document(&examined, Some(Use::Run))).unwrap();
    assert_eq!(json["uses"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["uses"][0]["for"], "run");
    assert_eq!(json["uses"][0]["verdict"], "missing");
    assert_eq!(json["uses"][0]["reasons"][0]["check"], "/dev/fuse");
    assert_eq!(json["uses"][0]["reasons"][0]["what"], "there is no /dev/fuse");
    assert_eq!(json["checks"][0]["means"][0]["for"], "mount");
    assert_eq!(json["checks"][1]["verdict"], "ok");
    assert_eq!(json["checks"][1]["path"], serde_json::Value::Null);
    assert_eq!(json["checks"][1]["means"], serde_json::json!([]));
    assert_eq!(
        serde_json::to_value(document(&examined, None)).unwrap()["uses"].as_array().map(Vec::len),
        Some(4)
    );
}
