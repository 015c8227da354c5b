//! `lamina waste`: what images carry in vain, dive's score and its rules.

use std::fs;

use serde_json::{Value, json};

use crate::documented::{five_instructions, prints_what_the_page_shows};
use crate::images::{Compression, Entry, Sparse};
use crate::place::{Outcome, Place, image_of, tar_of};

fn archive<const N: usize>(layers: [Vec<u8>; N]) -> Place {
    let place = Place::new();
    place.archive("image.tar", &image_of(layers, Compression::Gzip));
    place
}

fn waste(place: &Place, args: &[&str]) -> Outcome {
    place.run("waste", &[args, &["image.tar"]].concat())
}

fn measured(place: &Place) -> Value {
    serde_json::from_str(&waste(place, &["--json"]).succeeds().out).unwrap()
}

/// File, count and bytes of what dive calls inefficient.
fn references(report: &Value) -> Value {
    let references = report["image"]["fileReference"].as_array().unwrap();
    references.iter().map(|one| json!([one["file"], one["count"], one["sizeBytes"]])).collect()
}

/// Path, whose bytes, how, by whom, bytes and files.
fn paths(report: &Value) -> Value {
    let paths = report["waste"]["paths"].as_array().unwrap();
    let row = |row: &Value| {
        json!([row["path"], row["lowest_layer"], row["how"], row["by_layer"], row["bytes"], row["files"]])
    };
    paths.iter().map(row).collect()
}

#[test]
fn every_line_of_the_example_in_the_documents_is_printed() {
    prints_what_the_page_shows("waste", &[0, 1]);
}

/// By hand: the numbers of dive for the example of the documents, and lamina's.
#[test]
fn the_numbers_of_the_example_are_those_of_the_definitions() {
    let place = Place::new();
    five_instructions(&place);
    let report: Value =
        serde_json::from_str(&place.run("waste", &["--json", "app.tar"]).succeeds().out).unwrap();
    let image = &report["image"];
    assert_eq!(image["sizeBytes"], 12 + 5 + 6 + 12 + 13);
    // All three of app.conf, the deleted build.log, and cache, of which only the directory is left.
    assert_eq!(image["inefficientBytes"], (12 + 12 + 13) + 6 + 5);
    assert_eq!(image["efficiencyScore"], 12.0 / 48.0);
    let expected = json!([["/etc/app.conf", 3, 37], ["/var/log/build.log", 2, 6], ["/srv/cache", 2, 5]]);
    assert_eq!(references(&report), expected);
    assert_eq!(report["waste"]["hidden_bytes"], 12 + 12 + 6 + 5);
    assert_eq!(
        report["layer"][1]["command"],
        "COPY --chown=0:33 --chmod=640 app.conf /etc/app.conf # buildkit"
    );
    assert_eq!(report["layer"][3]["command"], "RUN /bin/sh -c rm /var/log/build.log # buildkit");
}

#[test]
fn the_json_has_these_fields_in_this_order() {
    let place = archive([tar_of([Entry::file("f", "one")]), tar_of([Entry::file("f", "three")])]);
    let said = waste(&place, &["--json", "--ci", "--compare"]).out;
    let keys: Vec<&str> = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split_once("\":").map(|(key, _)| key))
        .collect();
    let layer = ["index", "id", "digestId", "sizeBytes", "command"];
    let image = ["image", "sizeBytes", "inefficientBytes", "efficiencyScore", "fileReference"];
    let reference = ["count", "sizeBytes", "file"];
    let own = ["waste", "hidden_bytes", "user_wasted_percent", "layers"];
    let between = ["bytes", "files", "layer", "by_layer", "how", "instruction"];
    let row = [
        "path",
        "type",
        "bytes",
        "files",
        "lowest_layer",
        "highest_layer",
        "by_layer",
        "how",
        "same_content",
        "instruction",
    ];
    let rule = ["rule", "status", "threshold", "value"];
    let expected = [
        &["layer"][..],
        &layer,
        &layer,
        &image,
        &reference,
        &own,
        &between,
        &["path_count", "paths"],
        &row,
        &["ci", "pass", "rules"],
        &rule,
        &rule,
        &rule,
    ]
    .concat();
    assert_eq!(keys, expected, "{said}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["waste"]["paths"][0]["same_content"], false);
    let diff_id = report["layer"][0]["digestId"].as_str().unwrap();
    assert_eq!(diff_id.strip_prefix("sha256:"), report["layer"][0]["id"].as_str());
    // 8 bytes of which 3 had to be; all of them, and 5 that are not the base's.
    assert_eq!(report["ci"]["pass"], false);
    let rules = json!([
        {"rule": "lowestEfficiency", "status": "fail", "threshold": 0.9, "value": 0.375},
        {"rule": "highestWastedBytes", "status": "disabled", "threshold": null, "value": 8},
        {"rule": "highestUserWastedPercent", "status": "fail", "threshold": 0.1, "value": 1.6},
    ]);
    assert_eq!(report["ci"]["rules"], rules);
}

/// A file with several names is there once: dive's bytes are at the name that the tar has first, and they are hidden with the last.
#[test]
fn bytes_with_several_names_count_once_and_while_one_is_seen_they_are_not_wasted() {
    let base = tar_of([
        Entry::dir("d"),
        Entry::file("d/a", "0123456789"),
        Entry::hardlink("d/b", "d/a"),
        Entry::file("kept", "01234"),
        Entry::hardlink("kept2", "kept"),
        Entry::file("linked", "012"),
    ]);
    let middle =
        tar_of([Entry::whiteout("d/a"), Entry::whiteout("kept"), Entry::hardlink("above", "linked")]);
    let top = tar_of([Entry::whiteout("d/b"), Entry::whiteout("linked")]);
    let report = measured(&archive([base, middle, top]));
    assert_eq!(paths(&report), json!([["/d/b", 1, "deleted", 3, 10, 1]]));
    assert_eq!(report["waste"]["hidden_bytes"], 10);
    assert_eq!(report["image"]["sizeBytes"], 10 + 5 + 3);
    let expected = json!([["/d/a", 2, 10], ["/kept", 2, 5], ["/linked", 2, 3], ["/d/b", 2, 0]]);
    assert_eq!(references(&report), expected);
}

/// dive knows nothing of opaque directories, takes a directory without an entry for a file, and a link for no bytes.
#[test]
fn what_dive_counts_otherwise_is_in_its_fields_and_not_in_lamina_s() {
    let base = tar_of([
        Entry::file("implied/f", "0123"),
        Entry::dir("whole"),
        Entry::file("whole/f", "01234567"),
        Entry::dir("opaque"),
        Entry::file("opaque/f", "01"),
        Entry::sparse("holes", Sparse::Pax10, 5000, &[(4096, b"data")]),
        Entry::symlink("link", "nowhere"),
    ]);
    let top = tar_of([
        Entry::whiteout("implied"),
        Entry::whiteout("whole"),
        Entry::opaque("opaque"),
        Entry::whiteout("holes"),
        Entry::symlink("link", "somewhere"),
        Entry::whiteout("nothing"),
    ]);
    let report = measured(&archive([base, top]));
    assert_eq!(references(&report), json!([["/holes", 2, 5000], ["/link", 2, 0]]));
    assert_eq!(report["image"]["inefficientBytes"], 5000);
    // The deleted directory counts once more, as what there had to be.
    assert_eq!(report["image"]["efficiencyScore"], (5014.0 - 5000.0 + 8.0) / (5014.0 + 8.0));
    let expected = json!([
        ["/holes", 1, "deleted", 2, 5000, 1],
        ["/whole", 1, "deleted", 2, 8, 1],
        ["/implied", 1, "deleted", 2, 4, 1],
        ["/opaque", 1, "opaque", 2, 2, 1],
    ]);
    assert_eq!(paths(&report), expected);
    assert_eq!(report["waste"]["hidden_bytes"], 5014);
}

#[test]
fn files_that_are_written_again_with_the_same_content_are_found() {
    let place = archive([
        tar_of([
            Entry::file("mode", "same").mode(0o600),
            Entry::file("other", "same"),
            Entry::file("size", "s"),
        ]),
        tar_of([Entry::file("mode", "same"), Entry::file("other", "diff"), Entry::file("size", "ss")]),
    ]);
    let report: Value =
        serde_json::from_str(&waste(&place, &["--json", "--compare"]).succeeds().out).unwrap();
    let same: Value = report["waste"]["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["path"], row["same_content"]]))
        .collect();
    assert_eq!(same, json!([["/mode", true], ["/other", false], ["/size", false]]));
    let said = waste(&place, &["--compare"]).succeeds().out;
    assert!(said.contains("4 B     1      1      same content  2   /mode "), "{said}");
    assert!(!waste(&place, &[]).out.contains("same content"), "nothing is read without --compare");
}

#[test]
fn the_exit_code_is_what_the_rules_say() {
    let place = archive([tar_of([Entry::file("f", "0123456789")]), tar_of([Entry::file("f", "0123456789")])]);
    let judged = |args: &[&str]| waste(&place, args);
    assert_eq!(judged(&[]).code, 0, "without --ci nothing is judged");
    let failed = judged(&["--ci"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.out.contains("FAIL  lowestEfficiency          0.5 is less than 0.9\n"), "{}", failed.out);
    assert!(failed.out.ends_with("\nFAIL\n"), "{}", failed.out);

    let lenient =
        "rules:\n  lowestEfficiency: 0.5\n  highestWastedBytes: 20B\n  highestUserWastedPercent: disabled\n";
    fs::write(place.path(".dive-ci"), lenient).unwrap();
    let passed = judged(&["--ci"]);
    assert_eq!(passed.code, 0, "{passed:?}");
    assert!(passed.out.contains("pass  highestWastedBytes        20 B is at most 20 B\n"), "{}", passed.out);
    assert!(passed.out.contains("-     highestUserWastedPercent  disabled; it is 2\n"), "{}", passed.out);
    assert!(passed.out.ends_with("\npass\n"), "{}", passed.out);
    assert_eq!(judged(&["--ci", "--highestWastedBytes", "19"]).code, 1, "the command line wins");
    fs::write(place.path("strict"), "rules: {lowestEfficiency: 1}").unwrap();
    assert_eq!(judged(&["--ci", "--ci-config", "strict"]).code, 1);

    let none = |args: &[&str], words: &[&str]| {
        let said = judged(args);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
        for word in words {
            assert!(said.err.contains(word), "{word} is missing in {}", said.err);
        }
    };
    none(&["--ci", "--ci-config", "missing"], &["rules 'missing'", "cannot be read"]);
    fs::write(place.path("broken"), "rules: {lowestEfficiency: high}").unwrap();
    none(&["--ci", "--ci-config", "broken"], &["rules 'broken'", "lowestEfficiency", "'high' is no number"]);
    none(&["--ci", "--lowestEfficiency", "2"], &["lowestEfficiency", "'2' is not within 0 and 1"]);
    none(&["--lowestEfficiency", "0.5"], &["--ci"]);
    fs::remove_file(place.path("image.tar")).unwrap();
    none(&["--ci"], &["image.tar"]);
    assert_eq!(judged(&[]).code, 1, "without a question it is trouble like any other");
}

#[test]
fn json_goes_to_a_file_beside_the_text_and_rows_are_limited() {
    let files = |text: &str| tar_of(["a", "b", "c"].map(|name| Entry::file(name, text.repeat(name.len()))));
    let place = archive([files("1"), files("22")]);
    let said = waste(&place, &["--json=report.json"]).succeeds().out;
    assert!(said.starts_with("size        9 B in 2 layers\n"), "{said}");
    let in_file: Value = serde_json::from_slice(&fs::read(place.path("report.json")).unwrap()).unwrap();
    assert_eq!(in_file, measured(&place));
    let text = waste(&place, &["--top", "1"]).succeeds().out;
    assert!(text.ends_with("2 more paths with 2 B: --all shows them\n"), "{text}");
    let report: Value =
        serde_json::from_str(&waste(&place, &["--top", "1", "--json"]).succeeds().out).unwrap();
    assert_eq!((paths(&report).as_array().unwrap().len(), &report["waste"]["path_count"]), (1, &json!(3)));
    assert_eq!(references(&report), json!([["/a", 2, 3]]));
    waste(&place, &["--json=missing/report.json"]).refuses("no directory", &["missing/report.json"]);
}

#[test]
fn directories_and_live_mounts_are_measured_too() {
    let place = Place::new();
    for (file, text) in [("base/d/f", "0123456789"), ("base/g", "01"), ("top/g", "012")] {
        fs::create_dir_all(place.path(file).parent().unwrap()).unwrap();
        fs::write(place.path(file), text).unwrap();
    }
    let run = |args: &[&str]| place.run("waste", args).succeeds().out;
    let text = run(&["overlay:top:base"]);
    assert!(text.contains("BY  FROM\n2 B     1      1      overwritten  2   top\n"), "{text}");
    let alone = run(&["base"]);
    assert_eq!(alone.lines().count(), 3, "one layer wastes nothing: {alone}");

    fs::create_dir(place.path("upper")).unwrap();
    let mounted = place.mount(&["--upper", "upper", "top", "base"]);
    fs::remove_dir_all(mounted.at("d")).unwrap();
    let text = run(&["mnt"]);
    assert!(text.contains("10 B    1      1      deleted      3   /d/   the upper\n"), "{text}");
    fs::create_dir(mounted.at("new")).unwrap();
    fs::write(mounted.at("new/file"), "x").unwrap();
    drop(mounted);

    fs::create_dir_all(place.path("base/moved")).unwrap();
    fs::create_dir(place.path("upper2")).unwrap();
    let mounted = place.mount(&["--upper", "upper2", "top", "base"]);
    fs::rename(mounted.at("moved"), mounted.at("away")).unwrap();
    place.run("waste", &["mnt"]).refuses("a moved directory", &["away", "has moved", "lamina commit"]);
}

#[test]
fn odd_names_are_escaped_and_come_back_in_json() {
    let odd = || tar_of([Entry::file(b"odd\xff\nname", "x")]);
    let place = archive([odd(), odd()]);
    assert!(waste(&place, &[]).succeeds().out.contains("/odd\\xff\\nname"));
    let report = measured(&place);
    let bytes = json!({"bytes": b"/odd\xff\nname"});
    assert_eq!(report["waste"]["paths"][0]["path"], bytes);
    assert_eq!(report["image"]["fileReference"][0]["file"], bytes);
}
