//! How well things are: whether there are fresh snapshots, how the pools are and how full, how far each target of a
//! replication is behind and whether it was found good. What is judged is pure ([`snapshots`], [`health`], [`capacity`], [`lag`], [`verified`], [`metrics`]): typed
//! facts and a clock come in, a level, a text and JSON go out. The facts are gathered in [`facts`], and so that a pool
//! that hangs does not hang the question, by processes of their own ([`ask`]). Nothing here changes anything.

use serde_json::Value;

pub mod ask;
pub mod capacity;
pub mod facts;
pub mod health;
pub mod history;
pub mod kstat;
pub mod lag;
pub mod look;
pub mod metrics;
pub mod partials;
pub mod paused;
pub mod runs;
pub mod snapshots;
mod text;
pub mod textfile;
pub mod transfers;
pub mod verified;

pub use text::elapsed;
pub use text::short_size;

/// How bad it is, in the four words of Nagios.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All is well.
    #[default]
    Ok,
    /// Somebody should look.
    Warning,
    /// It is not known. Worse than a warning, and what is known to be critical is not hidden by it.
    Unknown,
    /// Somebody must look now.
    Critical,
}

impl Level {
    /// The exit status that a monitor expects.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    /// The word in texts.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// What stands before all messages of several pools.
    fn banner(self) -> &'static str {
        match self {
            Self::Ok => "",
            Self::Warning => "*** WARNING *** ",
            Self::Critical => "*** CRITICAL *** ",
            Self::Unknown => "*** UNKNOWN *** ",
        }
    }
}

/// The answer of a check.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// How bad it is.
    pub level: Level,
    /// One line for people and for a monitor, without its end.
    pub text: String,
    /// The same as JSON: an object with `level`, `text` and what each check adds. Times are seconds, sizes bytes.
    pub json: Value,
    /// What is not in order, one by one, and what could not be looked at.
    pub subjects: Vec<Subject>,
}

/// Something that a check is about: a pool, a dataset, a target of a replication, or a dataset there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its name, which is empty for the check as a whole. The name of what lies in it begins with its name, and goes on with a
    /// slash, or with a colon and a blank.
    pub name: String,
    /// How bad it is.
    pub level: Level,
    /// Why, on one line.
    pub text: String,
    /// What lies in it could not be looked at: nobody knows whether that is better or worse than it was.
    pub hides: bool,
}

impl Subject {
    /// One that was looked at.
    #[must_use]
    pub fn seen(name: impl Into<String>, level: Level, text: impl Into<String>) -> Self {
        Self { name: name.into(), level, text: text.into(), hides: false }
    }

    /// One in which nothing could be looked at.
    #[must_use]
    pub fn hidden(name: impl Into<String>, level: Level, text: impl Into<String>) -> Self {
        Self { hides: true, ..Self::seen(name, level, text) }
    }

    /// Whether something of this name lies in it.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        let inside = |rest: &str| rest.starts_with('/') || rest.starts_with(": ");
        self.name.is_empty() || name.strip_prefix(self.name.as_str()).is_some_and(inside)
    }
}

impl Report {
    /// Nothing could be found out, and why.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        let text = format!("UNKNOWN: {why}");
        let whole = Subject::hidden("", Level::Unknown, text.clone());
        Self::new(Level::Unknown, &text, serde_json::json!({}), vec![whole])
    }

    fn new(level: Level, text: &str, mut json: Value, mut subjects: Vec<Subject>) -> Self {
        let text = one_line(text);
        json["level"] = serde_json::json!(level);
        json["text"] = Value::String(text.clone());
        for subject in &mut subjects {
            subject.text = one_line(subject.text.trim());
        }
        Self { level, text, json, subjects }
    }
}

/// One line, whatever a name or an error brings along.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Something that could not be looked at, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unread {
    /// What: a pool.
    pub what: String,
    /// How bad that is.
    pub level: Level,
    /// Why.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_level_is_the_largest_and_statuses_are_those_of_nagios() {
        let order = [Level::Ok, Level::Warning, Level::Unknown, Level::Critical];
        assert!(order.is_sorted());
        assert_eq!(order.map(Level::status), [0, 1, 3, 2]);
    }

    #[test]
    fn a_text_is_one_line() {
        let subject = Subject::seen("tank", Level::Unknown, " c\nd ");
        let report = Report::new(Level::Unknown, "a\nb\u{1b}[31m", serde_json::json!({}), vec![subject]);
        assert_eq!(report.text, "a b [31m");
        assert_eq!(report.json["level"], "unknown");
        assert_eq!(report.subjects[0].text, "c d");
    }

    #[test]
    fn what_lies_in_a_subject_is_known_by_its_name() {
        let holds = |above: &str, name: &str| Subject::hidden(above, Level::Unknown, "").holds(name);
        assert!(holds("tank", "tank/a") && holds("data to nas", "data to nas: tank/a"));
        assert!(holds("", "tank") && Report::unknown("why").subjects[0].holds("anything"));
        assert!(!holds("tank", "tank") && !holds("tank", "tank2/a"));
        assert!(!holds("data to nas", "data to nas2: tank/a"));
    }
}
