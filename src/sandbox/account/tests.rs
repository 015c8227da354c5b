use super::*;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
    broken\n\
    www:x:33:34::/var/www:/bin/false\n\
    7:x:70:71:a name that is a number:/seven:/bin/sh\n\
    bare:x:5:6\n";
const GROUP: &str = "root:x:0:\nwww:x:34:\nadm:x:4:www,bare\nlog:x:44:x,www\nagain:x:4:www\ntape:x:26:\n::\n";

#[test]
fn users_and_groups_are_found_as_images_name_them() {
    let account = |uid, gid, groups: &[u32], home: Option<&str>| Account {
        uid,
        gid,
        groups: groups.to_vec(),
        home: home.map(str::to_owned),
    };
    for (wanted, expected) in [
        (None, account(0, 0, &[], Some("/root"))),
        (Some(""), account(0, 0, &[], Some("/root"))),
        (Some("www"), account(33, 34, &[4, 44], Some("/var/www"))),
        (Some("33"), account(33, 34, &[4, 44], Some("/var/www"))),
        (Some("33:"), account(33, 34, &[4, 44], Some("/var/www"))),
        (Some("www:tape"), account(33, 26, &[], Some("/var/www"))),
        (Some("www:0"), account(33, 0, &[], Some("/var/www"))),
        (Some("1234"), account(1234, 0, &[], None)),
        (Some("1234:5678"), account(1234, 5678, &[], None)),
        (Some(":26"), account(0, 26, &[], Some("/root"))),
        // A name wins that comes first, even one that is a number.
        (Some("7"), account(70, 71, &[], Some("/seven"))),
        (Some("bare"), account(5, 6, &[4], None)),
    ] {
        assert_eq!(find(wanted, PASSWD, GROUP), Ok(expected), "{wanted:?}");
    }
    assert_eq!(find(None, "", ""), Ok(account(0, 0, &[], None)));
}

#[test]
fn a_name_that_is_in_neither_file_is_told() {
    assert_eq!(find(Some("ann"), PASSWD, GROUP), Err(AccountError::NoUser("ann".into())));
    assert_eq!(find(Some("www:ann"), PASSWD, GROUP), Err(AccountError::NoGroup("ann".into())));
    assert_eq!(find(Some("99999999999"), PASSWD, GROUP), Err(AccountError::NoUser("99999999999".into())));
    let hostile = find(Some("\u{1b}[2J"), PASSWD, GROUP).unwrap_err().to_string();
    assert!(!hostile.contains('\u{1b}'), "{hostile}");
}
