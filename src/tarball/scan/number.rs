//! Numbers as tars spell them.
//!
//! Sources: POSIX pax ("ustar Interchange Format", "pax Header File Times"); GNU tar's manual ("Basic Tar Format", base 256).

use super::problem::Problem;

/// A number of a header: octal digits between spaces and NULs (nothing is 0), or, marked by the first byte, two's
/// complement in base 256.
///
/// # Errors
/// [`Problem::Number`] where it is neither, or beyond an i64.
pub fn header(field: &'static str, bytes: &[u8]) -> Result<i64, Problem> {
    let wrong = || Problem::Number { field, text: bytes.to_vec() };
    match bytes.split_first() {
        Some((first, rest)) if first & 0x80 != 0 => base_256(*first, rest).ok_or_else(wrong),
        _ => octal(bytes).ok_or_else(wrong),
    }
}

/// As [`header`], for numbers that count something.
pub fn count(field: &'static str, bytes: &[u8]) -> Result<u64, Problem> {
    let wrong = || Problem::Number { field, text: bytes.to_vec() };
    u64::try_from(header(field, bytes)?).map_err(|_| wrong())
}

fn blank(byte: &u8) -> bool {
    matches!(byte, b' ' | 0)
}

fn octal(bytes: &[u8]) -> Option<i64> {
    let start = bytes.iter().position(|byte| !blank(byte)).unwrap_or(bytes.len());
    let digits = bytes.get(start..)?;
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if !rest.iter().all(blank) {
        return None;
    }
    digits.iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

fn base_256(first: u8, rest: &[u8]) -> Option<i64> {
    // The bit below the mark is the sign.
    let start = i64::from(first & 0x3f) - i64::from(first & 0x40);
    rest.iter().try_fold(start, |value, byte| value.checked_mul(256)?.checked_add(i64::from(*byte)))
}

/// A decimal number of a PAX record or a sparse map.
///
/// # Errors
/// [`Problem::Number`] where it is anything but digits, or beyond an i64.
pub fn decimal(field: &'static str, text: &[u8]) -> Result<u64, Problem> {
    let wrong = || Problem::Number { field, text: text.to_vec() };
    if text.is_empty() {
        return Err(wrong());
    }
    let value = text.iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    });
    value.and_then(|value| u64::try_from(value).ok()).ok_or_else(wrong)
}

/// A time of a PAX record, `-1.5`, as seconds and nanoseconds (0 to 999,999,999). Digits beyond nanoseconds are cut
/// off, towards the past.
///
/// # Errors
/// [`Problem::Number`].
pub fn time(text: &[u8]) -> Result<(i64, u32), Problem> {
    parse_time(text).ok_or_else(|| Problem::Number { field: "mtime", text: text.to_vec() })
}

fn parse_time(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(dot) => (digits.get(..dot)?, digits.get(dot + 1..)?),
        None => (digits, &b""[..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = i64::try_from(decimal("mtime", whole).ok()?).ok()?;
    let nanoseconds = (0..9).fold(0, |value: u32, place| {
        value * 10 + fraction.get(place).map_or(0, |digit| u32::from(digit - b'0'))
    });
    if !negative {
        return Some((seconds, nanoseconds));
    }
    let beyond = fraction.iter().skip(9).any(|digit| *digit != b'0');
    // Towards the past: -1.5 is 2 seconds before 1970, and half a second on.
    match nanoseconds + u32::from(beyond) {
        0 => Some((-seconds, 0)),
        nanoseconds => Some((-seconds - 1, 1_000_000_000 - nanoseconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_headers() {
        for (bytes, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"77777777", Some(0o7777_7777)),
            (b"777777777777", Some(0o7777_7777_7777)),
            (b"0000644x", None),
            (b"0000648\0", None),
            (b"-000644\0", None),
            (b"06 4\0\0\0\0", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", Some(-256)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", Some(i64::MIN)),
            (b"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(header("size", bytes).ok(), value, "{}", bytes.escape_ascii());
        }
        assert!(count("size", b"\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
    }

    #[test]
    fn decimal_numbers() {
        assert_eq!(decimal("size", b"9223372036854775807").ok(), Some(i64::MAX as u64));
        for text in [&b""[..], b"9223372036854775808", b"-1", b"+1", b" 1", b"1 ", b"0x1", b"1.0"] {
            assert!(decimal("size", text).is_err(), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn times_before_and_after_1970() {
        for (text, value) in [
            (&b"0"[..], Some((0, 0))),
            (b"1350244992.023960108", Some((1_350_244_992, 23_960_108))),
            (b"1.5", Some((1, 500_000_000))),
            (b"1.", Some((1, 0))),
            (b"1.0000000019", Some((1, 1))),
            (b"-1", Some((-1, 0))),
            (b"-1.5", Some((-2, 500_000_000))),
            (b"-0.000000001", Some((-1, 999_999_999))),
            (b"-0.0000000001", Some((-1, 999_999_999))),
            (b"-1.0000000000", Some((-1, 0))),
            (b"-1.9999999999", Some((-2, 0))),
            (b"", None),
            (b"-", None),
            (b".5", None),
            (b"1.x", None),
            (b"1e3", None),
            (b"--1", None),
            (b"9223372036854775808", None),
        ] {
            assert_eq!(time(text).ok(), value, "{}", text.escape_ascii());
        }
    }
}
