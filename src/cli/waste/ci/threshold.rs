//! The values of rules, as dive takes them.

use crate::cli::terminal::shown_bytes;

/// Is the rule switched off?
pub fn is_disabled(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "" | "disabled" | "off" | "false")
}

/// A ratio, 0 to 1.
pub fn ratio(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        Ok(_) => Err("is not within 0 and 1".to_owned()),
        Err(_) => Err("is no number".to_owned()),
    }
}

/// Bytes: a number, which may have a fraction and commas between its digits, and a unit of thousands (`20MB`, `20M`) or of 1024
/// (`20MiB`, `20Mi`), in any case. As github.com/dustin/go-humanize has it (bytes.go, ParseBytes).
pub fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: &[u8] = b"kmgtpe";
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ','))).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.replace(',', "").parse().map_err(|_| "is no size, such as 20MB".to_owned())?;
    let unit = unit.trim().to_ascii_lowercase();
    let prefix = unit.strip_suffix('b').unwrap_or(&unit);
    let factor = match prefix.as_bytes() {
        [] => Some(1.0),
        [letter, binary @ ..] => {
            let power = UNITS.iter().position(|known| known == letter);
            let power = power.and_then(|power| i32::try_from(power + 1).ok());
            match binary {
                [] => power.map(|power| 1000_f64.powi(power)),
                b"i" => power.map(|power| 1024_f64.powi(power)),
                _ => None,
            }
        }
    };
    let factor = factor.ok_or_else(|| format!("has an unknown unit, '{}'", shown_bytes(unit.as_bytes())))?;
    let bytes = number * factor;
    // The fraction is cut off.
    if bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err("is too large".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_dive() {
        for (text, bytes) in [
            ("0", 0),
            ("42", 42),
            ("42B", 42),
            ("20MB", 20_000_000),
            ("20 mb", 20_000_000),
            ("20M", 20_000_000),
            ("20MiB", 20 << 20),
            ("20Mi", 20 << 20),
            ("1.5kB", 1500),
            ("1,005.03 MB", 1_005_030_000),
            ("50kB", 50_000),
            ("2GiB", 2 << 30),
            ("1EB", 1_000_000_000_000_000_000),
            ("0.5B", 0),
        ] {
            assert_eq!(super::bytes(text), Ok(bytes), "{text}");
        }
        for text in ["MB", "not_a_size", "20MBB", "20XB", "20iB", "-1", "1.2.3", "20EB", "1e3MB"] {
            assert!(super::bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ratios_are_0_to_1() {
        for (text, value) in [("0", 0.0), ("1", 1.0), ("0.95", 0.95), (" .5 ", 0.5)] {
            assert_eq!(ratio(text), Ok(value), "{text}");
        }
        for text in ["1.1", "-0.1", "nan", "inf", "not_a_number", "95%"] {
            assert!(ratio(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rule_is_switched_off_by_any_of_these() {
        for text in ["disabled", " Disabled", "off", "false", ""] {
            assert!(is_disabled(text), "{text:?}");
        }
        assert!(!is_disabled("0"));
    }
}
