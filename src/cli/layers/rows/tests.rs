use super::*;
use crate::digest::Digest;

fn layer_row() -> Row {
    let digest = |text: &str| Some(Digest::from_hex(&text.repeat(4)).unwrap().to_string());
    Row {
        number: Some(1),
        digest: digest("0123456789abcdef"),
        diff_id: digest("fedcba9876543210"),
        stored_bytes: Some(1_500_000),
        unpacked_bytes: Some(4_000_000),
        added: Some(120),
        changed: Some(3),
        deleted: Some(0),
        created: Some("2024-05-06T07:08:09Z".parse().unwrap()),
        instruction: Some("RUN make install".to_owned()),
        created_by: Some("/bin/sh -c make install".to_owned()),
        author: None,
        comment: None,
    }
}

fn row_without_layer() -> Row {
    Row {
        number: None,
        digest: None,
        diff_id: None,
        stored_bytes: None,
        unpacked_bytes: None,
        added: None,
        changed: None,
        deleted: None,
        instruction: Some("ENV A=b".to_owned()),
        ..layer_row()
    }
}

fn now() -> Timestamp {
    "2024-05-09T07:08:10Z".parse().unwrap()
}

#[test]
fn a_table_has_a_row_for_each_instruction() {
    let expected = "\
LAYER  DIGEST        DIFF_ID       STORED   UNPACKED  ADDED  CHANGED  DELETED  AGE     INSTRUCTION
1      0123456789ab  fedcba987654  1.50 MB  4.00 MB   120    3        0        3 days  RUN make install
-      no layer      -             -        -         -      -        -        3 days  ENV A=b
";
    assert_eq!(table(&[layer_row(), row_without_layer()], now(), None), expected);
}

#[test]
fn on_a_narrow_terminal_each_instruction_is_a_block() {
    let expected = "\
RUN make install
  layer     1
  digest    0123456789ab
  diff_id   fedcba987654
  stored    1.50 MB
  unpacked  4.00 MB
  added     120
  changed   3
  deleted   0
  age       3 days

ENV A=b
  layer  none
  age    3 days
";
    assert_eq!(table(&[layer_row(), row_without_layer()], now(), Some(60)), expected);
    let unnamed = Row { instruction: None, ..layer_row() };
    assert!(table(&[unnamed], now(), Some(60)).starts_with("layer 1\n  digest "));
}

#[test]
fn columns_that_tell_least_go_first() {
    let rows = [layer_row(), row_without_layer()];
    let expected = "\
LAYER  DIGEST        STORED   UNPACKED  ADDED  CHANGED  DELETED  AGE     INSTRUCTION
1      0123456789ab  1.50 MB  4.00 MB   120    3        0        3 days  RUN make install
-      no layer      -        -         -      -        -        3 days  ENV A=b
";
    assert_eq!(table(&rows, now(), Some(100)), expected);
    let expected = "\
LAYER  UNPACKED  ADDED  CHANGED  DELETED  AGE     INSTRUCTION
1      4.00 MB   120    3        0        3 days  RUN make install
none   -         -      -        -        3 days  ENV A=b
";
    assert_eq!(table(&rows, now(), Some(80)), expected);
}

#[test]
fn what_is_not_known_is_a_dash() {
    let row = Row { digest: None, changed: None, instruction: None, created: None, ..layer_row() };
    let text = table(&[Row { comment: Some("by\nhand".to_owned()), ..row.clone() }, row], now(), None);
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "1      -       fedcba987654  1.50 MB  4.00 MB   120    -        0        -    by hand",
            "1      -       fedcba987654  1.50 MB  4.00 MB   120    -        0        -    -",
        ]
    );
}

#[test]
fn json_is_the_documented_one() {
    let json = serde_json::to_value(layer_row()).unwrap();
    let expected = serde_json::json!({
        "number": 1,
        "digest": format!("sha256:{}", "0123456789abcdef".repeat(4)),
        "diff_id": format!("sha256:{}", "fedcba9876543210".repeat(4)),
        "stored_bytes": 1_500_000,
        "unpacked_bytes": 4_000_000,
        "added": 120,
        "changed": 3,
        "deleted": 0,
        "created": "2024-05-06T07:08:09Z",
        "instruction": "RUN make install",
        "created_by": "/bin/sh -c make install",
        "author": null,
        "comment": null,
    });
    assert_eq!(json, expected);
}
