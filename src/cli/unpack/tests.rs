use super::*;

#[test]
fn what_could_not_be_written_is_told_once_with_its_number() {
    assert_eq!(told(&Losses::default(), Owners::Exact), Vec::<String>::new());
    let losses = Losses { owners: 2, attributes: 1, ..Losses::default() };
    assert_eq!(
        told(&losses, Owners::Recorded),
        [
            "owners and modes are recorded (user.containers.override_stat): lamina mount shows them",
            "warning: 2 symlinks belong to you: their owners cannot be recorded",
            "warning: 1 extended attribute is left out: it cannot be set here, or not without root",
        ]
    );
}
