//! Which datasets and snapshots are meant: patterns of Perl, of which one that excludes wins.

use fancy_regex::Regex;

/// Patterns. Without any, everything is meant.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    include: Vec<Regex>,
    exclude: Vec<Regex>,
}

impl Filter {
    /// With these patterns.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub(super) fn new<'p>(
        include: impl Iterator<Item = &'p str>,
        exclude: impl Iterator<Item = &'p str>,
    ) -> Result<Self, String> {
        let read = |text: &str| {
            Regex::new(text).map_err(|error| format!("the pattern {text:?} cannot be read: {error}"))
        };
        Ok(Self {
            include: include.map(read).collect::<Result<_, _>>()?,
            exclude: exclude.map(read).collect::<Result<_, _>>()?,
        })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// The patterns that include.
    pub(super) fn included(&self) -> impl Iterator<Item = &str> {
        self.include.iter().map(Regex::as_str)
    }

    /// The patterns that exclude.
    pub(super) fn excluded(&self) -> impl Iterator<Item = &str> {
        self.exclude.iter().map(Regex::as_str)
    }

    /// Whether a name is meant. Where a pattern gives up on it, it is not: what is left out harms nobody.
    pub(super) fn takes(&self, name: &str) -> bool {
        let fits = |pattern: &Regex, given_up: bool| pattern.is_match(name).unwrap_or(given_up);
        !self.exclude.iter().any(|pattern| fits(pattern, true))
            && (self.include.is_empty() || self.include.iter().any(|pattern| fits(pattern, false)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        Filter::new(include.iter().copied(), exclude.iter().copied()).expect("patterns")
    }

    #[test]
    fn what_excludes_wins_and_nothing_takes_everything() {
        assert!(filter(&[], &[]).takes("x") && filter(&[], &[]).is_empty());
        let both = filter(&["^auto", "keep"], &["_hourly$", "^x(?!y)"]);
        for (name, taken) in [
            ("autosnap_daily", true),
            ("autosnap_hourly", false),
            ("to keep", true),
            ("other", false),
            ("xkeep", false),
            ("xykeep", true),
        ] {
            assert_eq!(both.takes(name), taken, "{name}");
        }
        assert!(!both.is_empty());
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_told() {
        assert!(Filter::new(["("].into_iter(), std::iter::empty()).is_err());
    }
}
