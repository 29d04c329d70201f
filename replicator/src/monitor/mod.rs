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
}

impl Report {
    /// Nothing could be found out, and why.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        Self::new(Level::Unknown, &format!("UNKNOWN: {why}"), serde_json::json!({}))
    }

    fn new(level: Level, text: &str, mut json: Value) -> Self {
        // One line, whatever a name or an error brings along.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        json["level"] = serde_json::json!(level);
        json["text"] = Value::String(text.clone());
        Self { level, text, json }
    }
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
        let report = Report::new(Level::Unknown, "a\nb\u{1b}[31m", serde_json::json!({}));
        assert_eq!(report.text, "a b [31m");
        assert_eq!(report.json["level"], "unknown");
    }
}
