//! Ages and sizes as sanoid and `zpool list` write them, because monitors have been taught to read these.

/// An age: `1d 2h 3m 4s`, without the units in front that are 0.
#[must_use]
pub fn elapsed(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (hours, minutes, seconds) = (rest / 3600, rest % 3600 / 60, rest % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {seconds}s"),
        (0, _, _) => format!("{hours}h {minutes}m {seconds}s"),
        _ => format!("{days}d {hours}h {minutes}m {seconds}s"),
    }
}

/// A size in at most five characters: `512B`, `3.97G`, `1008M`.
#[must_use]
pub fn short_size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "K", "M", "G", "T", "P", "E"];
    let mut unit = 0;
    while bytes >> (10 * unit) >= 1024 && unit + 1 < UNITS.len() {
        unit += 1;
    }
    let symbol = UNITS[unit];
    let whole = bytes >> (10 * unit);
    if whole << (10 * unit) == bytes {
        return format!("{whole}{symbol}");
    }
    #[allow(clippy::cast_precision_loss, reason = "two digits behind the point are shown")]
    let value = bytes as f64 / (1u64 << (10 * unit)) as f64;
    let shown = (0..=2).rev().map(|digits| format!("{value:.digits$}{symbol}"));
    shown.into_iter().find(|text| text.len() <= 5).unwrap_or_else(|| format!("{value:.0}{symbol}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_begin_with_the_first_unit_that_is_not_zero() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 0s"),
            (3600, "1h 0m 0s"),
            (32 * 3600, "1d 8h 0m 0s"),
            (93_784, "1d 2h 3m 4s"),
        ] {
            assert_eq!(elapsed(seconds), text);
        }
    }

    #[test]
    fn sizes_have_five_characters_at_most() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1K"),
            (1536, "1.50K"),
            (4_263_215_104, "3.97G"),
            (1_056_964_608, "1008M"),
            (1 << 40, "1T"),
            (107_911_053_148, "100G"),
            (11_345_678_901, "10.6G"),
            (u64::MAX, "16.0E"),
        ] {
            assert_eq!(short_size(bytes), text, "{bytes}");
        }
    }
}
