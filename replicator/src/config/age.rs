//! Lengths of time as they stand in configurations: `90m`, `1d12h`, `6mo`. They are seconds from here on.

/// The units, the longest first. A month is 31 days and a year 365.25 days, as in grids.
const UNITS: [(&str, u64); 7] = [
    ("y", 31_557_600),
    ("mo", 31 * 86_400),
    ("w", 7 * 86_400),
    ("d", 86_400),
    ("h", 3600),
    ("m", 60),
    ("s", 1),
];

/// A thousand years, and more than any policy needs.
pub(super) const LONGEST: u64 = 31_557_600_000;

/// How a length of time is written, for messages.
pub(super) const EXAMPLE: &str = "a number and a unit (s, m, h, d, w, mo, y), such as \"90m\" or \"1d12h\"";

/// Reads a length of time in seconds. `0` needs no unit.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        let seconds = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, seconds)| *seconds);
        let (Ok(number), Some(seconds)) = (number.parse::<u64>(), seconds) else {
            return Err(format!("it is not {EXAMPLE}"));
        };
        let part = number.checked_mul(seconds);
        total = part.and_then(|part| total.checked_add(part)).unwrap_or(u64::MAX);
        rest = &rest[digits + letters..];
    }
    if text.is_empty() {
        return Err(format!("it is not {EXAMPLE}"));
    }
    if total > LONGEST { Err("it is longer than a thousand years".to_string()) } else { Ok(total) }
}

/// Writes seconds so that [`parse`] reads the same: in the longest unit up to days that divides them.
pub(super) fn show(seconds: u64) -> String {
    let fits = |unit: &&(&str, u64)| unit.1 <= 86_400 && seconds.is_multiple_of(unit.1);
    match UNITS.iter().find(fits) {
        Some((name, unit)) if seconds > 0 => format!("{}{name}", seconds / unit),
        _ => "0s".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_sums_of_numbers_with_units() {
        for (text, seconds) in [
            ("0", 0),
            ("0s", 0),
            ("45s", 45),
            ("90m", 5400),
            ("1d12h", 129_600),
            ("2w", 1_209_600),
            ("1mo", 2_678_400),
            ("1y", 31_557_600),
            ("1000y", LONGEST),
        ] {
            assert_eq!(parse(text), Ok(seconds), "{text}");
        }
        for text in [
            "",
            "90",
            "m",
            "1.5h",
            "-1h",
            "1h 2m",
            "1H",
            "1001y",
            "99999999999999999999s",
            "9999999999999999y",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_as_the_same() {
        for (seconds, text) in [(0, "0s"), (5400, "90m"), (100_800, "28h"), (2_764_800, "32d"), (61, "61s")] {
            assert_eq!(show(seconds), text);
            assert_eq!(parse(text), Ok(seconds));
        }
    }
}
