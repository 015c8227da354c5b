use super::*;

/// What reads for the pager in place of a source.
fn read(pager: &mut Pager, file: &[u8]) {
    for _ in 0..4 {
        let Some(start) = pager.wanted() else { return };
        let rest = &file[usize::try_from(start).unwrap()..];
        let bytes = rest[..rest.len().min(PIECE)].to_vec();
        pager.take(start, Ok(Piece { size: file.len() as u64, bytes }));
    }
    panic!("the pager wants ever more: {:?}", pager.wanted());
}

fn pager(file: &[u8]) -> Pager {
    let mut pager = Pager::new(RelPath::root());
    read(&mut pager, file);
    pager
}

#[test]
fn text_is_shown_by_lines_and_cannot_draw() {
    let mut pager = pager(b"one\ttab\n\x1b[2Jtwo\n\xffthree");
    assert_eq!(pager.form, Some(Form::Text));
    assert_eq!(pager.lines(9), ["one     tab", "\\u{1b}[2Jtwo", "\\xffthree"]);
    pager.down(1);
    assert_eq!(pager.lines(1), ["\\u{1b}[2Jtwo"]);
    pager.down(9);
    assert_eq!(pager.lines(9), ["\\xffthree"], "the last line stays");
    pager.up(1);
    assert_eq!(pager.lines(1), ["\\u{1b}[2Jtwo"]);
    pager.up(9);
    assert_eq!(pager.lines(1), ["one     tab"]);
}

#[test]
fn bytes_are_shown_in_hexadecimal() {
    let mut pager = pager(b"\x7fELF\0\x01\x02\x1b0123456789");
    assert_eq!(pager.form, Some(Form::Hex));
    assert_eq!(
        pager.lines(9),
        [
            "00000000  7f 45 4c 46 00 01 02 1b  30 31 32 33 34 35 36 37  |.ELF....01234567|",
            "00000010  38 39                                             |89|",
        ]
    );
    pager.turn();
    assert_eq!(pager.lines(1), ["\\u{7f}ELF\\u{0}\\u{1}\\u{2}\\u{1b}0123456789"]);
    assert_eq!(super::form_of("Grüße, 層\n".as_bytes()), Form::Text);
    assert_eq!(super::form_of(b""), Form::Text);
}

#[test]
fn a_long_file_is_read_piece_by_piece() {
    let file: Vec<u8> = (0..300_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    let mut pager = pager(&file);
    assert_eq!(pager.lines(2), ["line 0", "line 1"]);
    for expected in (20_000..300_000).step_by(20_000) {
        // A page at a time, as somebody does who holds a key.
        for _ in 0..1000 {
            pager.down(20);
            read(&mut pager, &file);
        }
        assert_eq!(pager.lines(1), [format!("line {expected}")]);
        assert!(pager.window.bytes.len() <= PIECE);
    }
    pager.end(2);
    read(&mut pager, &file);
    assert_eq!(pager.lines(9), ["line 299998", "line 299999"]);
    for _ in 0..1000 {
        pager.up(20);
        read(&mut pager, &file);
    }
    assert_eq!(pager.lines(1), ["line 279998"]);
    pager.begin();
    read(&mut pager, &file);
    assert_eq!((pager.lines(1), pager.percent()), (vec!["line 0".to_owned()], 0));
}

#[test]
fn a_line_without_an_end_is_shown_in_parts() {
    let file = vec![b'x'; 1_000_000];
    let mut pager = pager(&file);
    assert_eq!(pager.lines(1), ["x".repeat(LONGEST_LINE)]);
    pager.end(3);
    read(&mut pager, &file);
    assert!(!pager.lines(3).is_empty());
    assert!(pager.percent() > 90);
}

#[test]
fn what_cannot_be_read_is_told_and_not_asked_for_again() {
    let mut pager = Pager::new(RelPath::root());
    assert_eq!(pager.wanted(), Some(0));
    pager.take(0, Err("it is a fifo".to_owned()));
    assert_eq!((pager.wanted(), pager.lines(3)), (None, Vec::new()));
    assert_eq!(pager.problem.as_deref(), Some("it is a fifo"));
    let mut empty = Pager::new(RelPath::root());
    empty.take(0, Ok(Piece { size: 0, bytes: Vec::new() }));
    empty.end(5);
    assert_eq!((empty.wanted(), empty.lines(3), empty.percent()), (None, Vec::new(), 0));
}
