use super::*;
use crate::check::{Code, Place, Remedy, Verdict};
use crate::path::{NameBuf, RelPath};

fn told() -> Told<'static> {
    let outcome = |place, verdict, state| Outcome { finding: Finding { place, verdict }, state };
    let upper = |path: &[u8]| Place::Upper(RelPath::new(path).unwrap());
    let name = NameBuf::new(&b"#1"[..]).unwrap();
    Told {
        upper: Path::new("/u"),
        work: Some(Path::new("/w")),
        lowers_known: false,
        objects: 7,
        outcomes: vec![
            outcome(
                upper(b"a\xff"),
                Verdict::told(Code::RedirectDangling, "it goes on at \"x\", where nothing is"),
                State::Left,
            ),
            outcome(upper(b"d/.wh.x"), Verdict::told(Code::OciName, "a whiteout by its name"), State::Left),
            outcome(
                Place::Work(RelPath::new(b"work/#1").unwrap()),
                Verdict::repaired_by(Code::WorkStale, "an unfinished object", Remedy::RemoveFromWork(name)),
                State::Repairable,
            ),
        ],
    }
}

#[test]
fn json_is_the_documented_one() {
    let value = serde_json::to_value(json::Document::of(&told())).unwrap();
    let first = &value["findings"][0];
    assert_eq!(
        serde_json::json!([
            value["upper"],
            value["work"],
            value["lowers_known"],
            value["objects"],
            value["left"]
        ]),
        serde_json::json!(["/u", "/w", false, 7, 2])
    );
    assert_eq!(
        *first,
        serde_json::json!({
            "code": "redirect-dangling", "weight": "problem", "in": "upper", "path": {"bytes": [47, 97, 255]},
            "found": "it goes on at \"x\", where nothing is", "means": Code::RedirectDangling.means(),
            "remedy": null, "state": "left", "error": null
        })
    );
    let of = |index: usize, field: &str| value["findings"][index][field].clone();
    assert_eq!((of(1, "weight"), of(1, "state")), ("note".into(), "left".into()));
    assert_eq!(
        (of(2, "in"), of(2, "path"), of(2, "state")),
        ("work".into(), "/work/#1".into(), "repairable".into())
    );
    assert_eq!(of(2, "remedy"), "remove it from the work directory");
}

#[test]
fn people_are_told_what_was_found_what_it_means_and_what_can_be_done() {
    let text = text::report(&told(), false);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "/a\\xff: redirect-dangling");
    assert_eq!(lines[1], "  it goes on at \"x\", where nothing is");
    assert_eq!(lines[3], "  left: are these the layers that it was made over? --lower names others");
    assert_eq!(lines[8], "work directory: /work/#1: work-stale");
    assert_eq!(lines[11], "  --repair would remove it from the work directory");
    assert_eq!(lines[12], "2 problems in 7 objects, 1 that --repair would repair, 1 note");
    assert!(lines[13].contains("--lower"), "{text}");
    let nothing = Told { outcomes: Vec::new(), lowers_known: true, ..told() };
    assert_eq!(text::report(&nothing, false), "nothing wrong in 7 objects\n");
    assert!(text::report(&told(), true).contains("\x1b[1;31mredirect-dangling\x1b[0m"));
}

#[test]
fn what_is_repaired_and_what_is_noted_counts_no_more() {
    let told = told();
    let counts = |state: State, at: usize| {
        let finding = told.outcomes[at].finding.clone();
        Outcome { finding, state }.counts()
    };
    assert!(counts(State::Left, 0) && counts(State::Repairable, 2) && counts(State::Failed("why".into()), 2));
    assert!(!counts(State::Repaired, 2) && !counts(State::Left, 1));
}
