//! The names of snapshots that policies take, and which snapshots count as taken by one:
//! `autosnap_2026-11-22_18:15:00_hourly`.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use super::Style;
use super::parse::ParseError;
use super::parse::Problem;
use super::period::Period;
use super::zone::Zone;

/// The longest prefix. With time and period it leaves two thirds of a name to the dataset.
const LONGEST: usize = 64;

/// What a name begins with; letters, digits, `-`, `_`, `.` and `:`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prefix(String);

impl Prefix {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("autosnap".to_string())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Prefix {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |position, problem| Err(ParseError::new("prefix of snapshots", text, position, problem));
        let expected = "a letter, a digit or one of - _ . :";
        if text.is_empty() {
            return wrong(0, Problem::Missing { expected });
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if let Some(position) = text.chars().position(|c| !fits(c)) {
            return wrong(position, Problem::Unexpected { expected });
        }
        if text.len() > LONGEST {
            return wrong(LONGEST, Problem::Unexpected { expected: "no more than 64 characters" });
        }
        Ok(Self(text.to_string()))
    }
}

/// How snapshots are named and recognised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// What each name begins with.
    pub prefix: Prefix,
    /// In which zone the time in a name is. In UTC no time comes twice.
    pub zone: Zone,
    /// Whose rule tells whether a snapshot is ours.
    pub style: Style,
}

impl Naming {
    /// The short name of a snapshot taken at that time. Where one with that name exists, `dst` stands behind the time,
    /// as in sanoid: that happens when the zone of the names sets its clock back.
    #[must_use]
    pub fn name(&self, at: Timestamp, period: Period, exists: impl Fn(&str) -> bool) -> String {
        let time = at.to_zoned(self.zone.jiff().clone()).strftime("%Y-%m-%d_%H:%M:%S").to_string();
        let name = format!("{}_{time}_{period}", self.prefix);
        if exists(&name) { format!("{}_{time}dst_{period}", self.prefix) } else { name }
    }

    /// The period a snapshot was taken for, by its short name. `None` for those that no policy took: they are foreign,
    /// and nobody's to count or to destroy.
    ///
    /// By our rule the name is exactly prefix, time and period. By sanoid's it begins with the prefix and ends in
    /// `ly`, with a period after some underscore.
    #[must_use]
    pub fn period(&self, short: &str) -> Option<Period> {
        match self.style {
            Style::Ours => self.strict(short),
            Style::Sanoid => self.loose(short),
        }
    }

    fn strict(&self, short: &str) -> Option<Period> {
        let (rest, word) = short.rsplit_once('_')?;
        let time = rest.strip_prefix(self.prefix.as_str())?.strip_prefix('_')?;
        let time = time.strip_suffix("dst").unwrap_or(time);
        let shape = |(at, b): (usize, u8)| match at {
            4 | 7 => b == b'-',
            10 => b == b'_',
            13 | 16 => b == b':',
            _ => b.is_ascii_digit(),
        };
        let fits = time.len() == 19 && time.bytes().enumerate().all(shape);
        if fits { word.parse().ok() } else { None }
    }

    /// What the regular expressions `^(.*ly)$` and `.*_(\w*ly)` of sanoid select, tried from the last underscore on.
    fn loose(&self, short: &str) -> Option<Period> {
        if !short.starts_with(self.prefix.as_str()) || !short.ends_with("ly") {
            return None;
        }
        let words = short.match_indices('_').rev().filter_map(|(at, _)| {
            let rest = &short[at + 1..];
            let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let end = rest[..word].rfind("ly")? + 2;
            Some(&rest[..end])
        });
        words.take(1).find_map(|word| word.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(prefix: &str, zone: &str, style: Style) -> Naming {
        Naming { prefix: prefix.parse().expect("a prefix"), zone: zone.parse().expect("a zone"), style }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn what_is_named_is_recognised_by_both_rules() {
        for style in [Style::Ours, Style::Sanoid] {
            for prefix in ["autosnap", "a_b", "x"] {
                let naming = naming(prefix, "UTC", style);
                for period in Period::ALL {
                    let name = naming.name(at("2026-11-22T18:15:00Z"), period, |_| false);
                    assert_eq!(name, format!("{prefix}_2026-11-22_18:15:00_{period}"));
                    assert_eq!(naming.period(&name), Some(period));
                    let again = naming.name(at("2026-11-22T18:15:00Z"), period, |other| other == name);
                    assert_eq!(again, format!("{prefix}_2026-11-22_18:15:00dst_{period}"));
                    assert_eq!(naming.period(&again), Some(period));
                }
            }
        }
    }

    #[test]
    fn names_are_in_their_zone() {
        let naming = naming("autosnap", "CET-1CEST,M3.5.0,M10.5.0/3", Style::Ours);
        let name = |time| naming.name(at(time), Period::Hourly, |_| false);
        assert_eq!(name("2026-07-01T00:00:00Z"), "autosnap_2026-07-01_02:00:00_hourly");
        // The hour that comes twice has one name.
        assert_eq!(name("2026-10-25T00:30:00Z"), name("2026-10-25T01:30:00Z"));
    }

    #[test]
    fn foreign_names_are_foreign() {
        let ours = naming("autosnap", "UTC", Style::Ours);
        let theirs = naming("autosnap", "UTC", Style::Sanoid);
        for (name, strict, loose) in [
            ("autosnap_2026-11-22_18:15:00_hourly", Some(Period::Hourly), Some(Period::Hourly)),
            ("autosnap_2026-11-22_18:15:00dst_hourly", Some(Period::Hourly), Some(Period::Hourly)),
            ("autosnap_before-upgrade_daily", None, Some(Period::Daily)),
            ("autosnapshot_daily", None, Some(Period::Daily)),
            ("autosnap_hourly_foo-daily", None, Some(Period::Hourly)),
            ("autosnap_2026-11-22_18:15:00_quarterly", None, None),
            ("autosnap_2026-11-22_18:15:00_hourly2", None, None),
            ("autosnap_2026-11-22_18:15:00", None, None),
            ("autosnap_2026-11-22_18:15:0x_hourly", None, Some(Period::Hourly)),
            ("autosnap_2026-11-22_18:15:00é_hourly", None, Some(Period::Hourly)),
            ("my_autosnap_2026-11-22_18:15:00_hourly", None, None),
            ("manual", None, None),
            ("", None, None),
            ("_", None, None),
        ] {
            assert_eq!(ours.period(name), strict, "{name}");
            assert_eq!(theirs.period(name), loose, "{name}");
        }
    }

    #[test]
    fn a_prefix_is_part_of_a_valid_name() {
        for (text, position) in [("", 0), ("a b", 1), ("a@b", 1), ("a/b", 1), ("ä", 0), (&"a".repeat(65), 64)]
        {
            assert_eq!(text.parse::<Prefix>().expect_err(text).position, position, "{text}");
        }
    }
}
