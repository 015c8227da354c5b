use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Written by Linux 6.18 when a file of a tmpfs and one of an ext4 were copied up, with what name_to_handle_at(2)
/// said of the lower file.
const RECORDED: [(&str, &str, &str); 2] = [
    (
        "00fb21000106bea7d18f6d414f95aa28ed263f2febba30c06a0700000000000000",
        "06bea7d18f6d414f95aa28ed263f2feb",
        "ba30c06a0700000000000000",
    ),
    (
        "00fb1d0001cd060fc7cabb43abaf4b98c6fe307b490e000000d0775187",
        "cd060fc7cabb43abaf4b98c6fe307b49",
        "0e000000d0775187",
    ),
];

#[cfg(target_endian = "little")]
#[test]
fn the_kernels_origins_are_read_and_written() {
    for (value, uuid, handle) in RECORDED {
        let uuid = bytes(uuid).try_into().unwrap();
        let origin = Origin::new(uuid, 1, &bytes(handle), OriginFlags::NATIVE).unwrap();
        assert_eq!(origin.encode(), bytes(value));
        assert_eq!(OriginMark::decode(&bytes(value)), Ok(OriginMark::Known(origin.clone())));
        // The kernel's index entries bear the same digits.
        let name = origin.index_name().unwrap();
        assert_eq!(name.as_bytes(), value.as_bytes());
        assert_eq!(OriginMark::from_index_name(name.as_bytes()), Some(Ok(OriginMark::Known(origin))));
    }
}

#[cfg(target_endian = "little")]
#[test]
fn an_upper_handle_says_so() {
    // Recorded from `overlay.upper` of an index directory.
    let value = bytes("00fb1d0401cd060fc7cabb43abaf4b98c6fe307b4902080000bf69f789");
    let Ok(OriginMark::Known(origin)) = OriginMark::decode(&value) else { panic!("not decoded") };
    assert_eq!(origin.flags(), OriginFlags::PATH_UPPER);
    assert_eq!((origin.handle_type(), origin.handle()), (1, &bytes("02080000bf69f789")[..]));
    assert_eq!(origin.encode(), value);
}

#[test]
fn what_this_machine_cannot_use_is_an_unknown_origin() {
    let good = bytes(RECORDED[0].0);
    let foreign = if cfg!(target_endian = "big") { 0 } else { 1 };
    let with = |at: usize, byte: u8| {
        let mut value = good.clone();
        value[at] = byte;
        value
    };
    for value in [Vec::new(), with(0, 1), with(3, 0x80), with(3, foreign)] {
        assert_eq!(OriginMark::decode(&value), Ok(OriginMark::Unknown), "{value:x?}");
    }
    assert!(matches!(OriginMark::decode(&with(3, foreign | 2)), Ok(OriginMark::Known(_))));
}

#[test]
fn other_shapes_are_corrupt() {
    let good = bytes(RECORDED[0].0);
    let mut cases: Vec<Vec<u8>> = (1..good.len()).map(|len| good[..len].to_vec()).collect();
    cases.push([&good[..], &[0]].concat());
    let mut no_magic = good.clone();
    no_magic[1] = 0xfa;
    cases.push(no_magic);
    let mut no_handle = good[..HEADER].to_vec();
    no_handle[2] = HEADER as u8;
    cases.push(no_handle);
    let mut invalid_type = good.clone();
    invalid_type[4] = 0xff;
    cases.push(invalid_type);
    let mut long = [&good[..], &[0; 117]].concat();
    long[2] = long.len() as u8;
    assert_eq!(long.len() - HEADER, HANDLE_MAX + 1);
    cases.push(long);
    for value in cases {
        assert!(OriginMark::decode(&value).is_err(), "{value:x?}");
    }
}

#[test]
fn a_long_handle_has_no_index_name_and_other_names_are_no_entries() {
    let origin = |len| Origin::new([0; 16], 1, &vec![9; len], OriginFlags::NATIVE).unwrap();
    assert_eq!(origin(106).index_name().unwrap().as_bytes().len(), 254);
    assert_eq!(origin(107).index_name(), None);
    for name in [&b""[..], b"#6", b"0", b"00f", b"0G", b"00FB", b"..", b"xx"] {
        assert_eq!(OriginMark::from_index_name(name), None, "{}", name.escape_ascii());
    }
    assert!(matches!(OriginMark::from_index_name(b"00fb"), Some(Err(_))));
    for (kind, handle) in [(-1, &[1][..]), (255, &[1]), (256, &[1]), (1, &[]), (1, &[0; 129])] {
        assert_eq!(Origin::new([0; 16], kind, handle, OriginFlags::NATIVE), None);
    }
}

proptest! {
    #[test]
    fn encoding_comes_back(uuid: [u8; 16], kind in 0..255, handle in prop::collection::vec(any::<u8>(), 1..=128)) {
        let origin = Origin::new(uuid, kind, &handle, OriginFlags::NATIVE).unwrap();
        prop_assert_eq!(OriginMark::decode(&origin.encode()), Ok(OriginMark::Known(origin.clone())));
        if let Some(name) = origin.index_name() {
            let back = OriginMark::from_index_name(name.as_bytes());
            prop_assert_eq!(back, Some(Ok(OriginMark::Known(origin))));
        }
    }

    #[test]
    fn decoding_never_panics(
        mut value in prop::collection::vec(any::<u8>(), 0..160), formed: bool, name in prop::collection::vec(any::<u8>(), 0..90),
    ) {
        // Half of the values get a header that is nearly right, to come past the first checks.
        if formed && value.len() >= 5 {
            value[0] = 0;
            value[1] = MAGIC;
            value[2] = value.len() as u8;
        }
        if let Ok(OriginMark::Known(origin)) = OriginMark::decode(&value) {
            prop_assert_eq!(origin.encode(), value);
        }
        prop_assert!(OriginMark::from_index_name(&name).is_none_or(|entry| entry.is_err() || name.len() % 2 == 0));
    }
}
