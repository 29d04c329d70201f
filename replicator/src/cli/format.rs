//! Sizes and times as people read them.

/// Bytes in binary units, as zfs prints them: `1.50K`, `12.3M`, `0B`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "K", "M", "G", "T", "P", "E"];
    let mut unit = 0;
    let mut value = bytes as f64;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let unit = UNITS[unit];
    if unit == "B" {
        format!("{bytes}B")
    } else if value >= 100.0 {
        format!("{value:.0}{unit}")
    } else if value >= 10.0 {
        format!("{value:.1}{unit}")
    } else {
        format!("{value:.2}{unit}")
    }
}

/// A size that may not be known.
pub(super) fn maybe_bytes(size: Option<u64>) -> String {
    size.map_or_else(|| "size unknown".to_string(), |size| format!("about {}", bytes(size)))
}

/// Seconds since 1970 in the local time zone, `2026-11-22 15:04`.
pub(super) fn time(seconds: u64) -> String {
    let stamp = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    match stamp {
        Some(stamp) => {
            stamp.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
        }
        None => seconds.to_string(),
    }
}

/// A duration: `45s`, `3m20s`, `2h05m`.
pub(super) fn duration(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_three_digits() {
        for (size, expected) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1536, "1.50K"),
            (10 * 1024, "10.0K"),
            (200 * 1024, "200K"),
            (5 << 30, "5.00G"),
            (u64::MAX, "16.0E"),
        ] {
            assert_eq!(bytes(size), expected);
        }
    }

    #[test]
    fn times_beyond_reason_are_numbers() {
        assert_eq!(time(u64::MAX), u64::MAX.to_string());
        assert!(time(0).starts_with("19"));
    }
}
