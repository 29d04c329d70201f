//! Sizes and times as people read them.

/// A table for people: no lines, columns of one width.
pub(super) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.iter().copied());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Bytes in binary units: `1.5 KiB`.
pub(super) fn bytes(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).to_string()
}

/// Bytes as people write them on a command line: with a unit, or without one.
pub(super) fn parsed_bytes(text: &str) -> Result<u64, String> {
    let size = text.parse::<bytesize::ByteSize>();
    size.map(|size| size.as_u64())
        .map_err(|_| "write a number of bytes, with a unit or without, such as 50M, 1G or 128MiB".to_string())
}

/// A size that may not be known.
pub(super) fn maybe_bytes(size: Option<u64>) -> String {
    size.map_or_else(|| "size unknown".to_string(), |size| format!("about {}", bytes(size)))
}

/// Seconds since 1970 in the local time zone, `2026-11-22 15:04`.
pub(super) fn time(seconds: u64) -> String {
    let stamp = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    match stamp {
        Some(stamp) => stamp.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
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

/// A length of time in the two units that matter: `45s`, `12m`, `2h10m`, `3d04h`.
pub(super) fn length(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 if seconds % 3600 < 60 => format!("{}h", seconds / 3600),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Seconds since 1970 in a time zone, as strftime(3) would write them.
pub(super) fn clock(seconds: i64, zone: &jiff::tz::TimeZone, format: &str) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(stamp) => stamp.to_zoned(zone.clone()).strftime(format).to_string(),
        Err(_) => seconds.to_string(),
    }
}

/// How wide a screen for people is.
pub(super) const WIDTH: usize = 80;

/// A paragraph of at most [`WIDTH`] columns where no word is longer, with something before its first and its other lines.
pub(super) fn wrapped(paragraph: &str, first: &str, other: &str) -> String {
    wrapped_to(WIDTH, paragraph, first, other)
}

/// The same of so many columns.
pub(super) fn wrapped_to(width: usize, paragraph: &str, first: &str, other: &str) -> String {
    let mut text = String::new();
    let mut line = first.to_string();
    let mut empty = true;
    for word in paragraph.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > width {
            text.push_str(line.trim_end());
            text.push('\n');
            line = other.to_string();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    text.push_str(line.trim_end());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary() {
        assert_eq!((bytes(1536), bytes(0)), ("1.5 KiB".to_string(), "0 B".to_string()));
    }

    #[test]
    fn bytes_are_read_with_a_unit_or_without_and_nonsense_gets_examples() {
        for (text, size) in [("12", 12), ("50M", 50_000_000), ("128MiB", 128 << 20), ("1 KiB", 1024)] {
            assert_eq!(parsed_bytes(text), Ok(size), "{text}");
        }
        for text in ["", "x", "M", "1e9", "12 apples"] {
            let why = parsed_bytes(text).expect_err(text);
            assert!(why.contains("50M") && !why.contains("ByteSize"), "{text}: {why}");
        }
    }

    #[test]
    fn durations_have_the_unit_that_matters() {
        let shown = |millis| duration(std::time::Duration::from_millis(millis));
        assert_eq!(
            (shown(1500), shown(200_000), shown(7_500_000)),
            ("1.5s".into(), "3m20s".into(), "2h05m".into())
        );
    }

    #[test]
    fn lengths_have_two_units() {
        let all = [59, 60, 3599, 3600, 7800, 86_400, 270_000].map(length);
        assert_eq!(all, ["59s", "1m", "59m", "1h", "2h10m", "1d00h", "3d03h"]);
    }

    #[test]
    fn paragraphs_are_wrapped_between_words() {
        let text = wrapped(&"word ".repeat(40), "  1. ", "     ");
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(
            text.starts_with("  1. word word")
                && text.lines().skip(1).all(|line| line.starts_with("     word"))
        );
        assert_eq!(text.split_whitespace().filter(|word| *word == "word").count(), 40);
        let long = "x".repeat(100);
        assert_eq!(wrapped(&format!("a {long} b"), "- ", "  "), format!("- a\n  {long}\n  b\n"));
        assert_eq!(wrapped("", "- ", "  "), "-\n");
    }

    #[test]
    fn times_beyond_reason_are_numbers() {
        assert_eq!(time(u64::MAX), u64::MAX.to_string());
        assert!(time(0).starts_with("19"));
    }
}
