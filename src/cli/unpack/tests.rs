use super::*;

#[test]
fn what_could_not_be_written_is_told_once_with_its_number() {
    assert_eq!(warnings(&Losses::default()), Vec::<String>::new());
    let losses = Losses { owners: 2, attributes: 1, ..Losses::default() };
    assert_eq!(
        warnings(&losses),
        [
            "2 symlinks belong to you: their owners cannot be recorded",
            "1 extended attribute is left out: it cannot be set here, or not without root",
        ]
    );
}
