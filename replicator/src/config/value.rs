//! The value of a setting, of the kind that its key takes, and how it is written in a TOML file.

use std::fmt;

use serde_json::json;

use super::age;
use super::key::Kind;
use super::problem::shown;
use crate::policy::Every;
use crate::policy::Grid;
use crate::policy::Prefix;
use crate::policy::Weekday;
use crate::policy::Zone;

/// What a hook runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Nothing, where something else would be inherited.
    Nothing,
    /// A line for `/bin/sh -c`.
    Shell(String),
    /// A program by its absolute path, and its arguments as they are.
    Program(Vec<String>),
}

/// What the failure of a hook means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// What the hook stands before is not done: the dataset gets no snapshot, the snapshot is not destroyed. After
    /// the fact: the run has failed.
    Stop,
    /// It is told, and everything goes on.
    Continue,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of [`Kind::Bool`].
    Bool(bool),
    /// Of [`Kind::Number`] and [`Kind::Percent`].
    Number(u32),
    /// Of [`Kind::Age`], in seconds.
    Age(u64),
    /// Of [`Kind::Every`].
    Every(Every),
    /// Of [`Kind::Weekday`].
    Weekday(Weekday),
    /// Of [`Kind::Zone`].
    Zone(Zone),
    /// Of [`Kind::Prefix`].
    Prefix(Prefix),
    /// Of [`Kind::Grid`].
    Grid(Grid),
    /// Of [`Kind::Command`].
    Command(Command),
    /// Of [`Kind::OnFailure`].
    OnFailure(OnFailure),
}

/// Why a text is no value: what is wrong, and what to write.
pub(super) struct Wrong {
    pub(super) why: String,
    pub(super) fix: String,
}

impl Wrong {
    pub(super) fn new(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { why: why.into(), fix: fix.into() }
    }
}

/// What a value of this kind looks like, for messages: `a whole number from 0 to 59, such as 0`.
pub(super) fn looks(kind: Kind) -> String {
    match kind {
        Kind::Bool => "true or false".to_string(),
        Kind::Number(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Percent => "a percentage from 0 to 100, without a sign".to_string(),
        Kind::Age => age::EXAMPLE.to_string(),
        Kind::Every => "a length of time in whole minutes, such as \"15m\"".to_string(),
        Kind::Weekday => "a day of the week, such as \"monday\"".to_string(),
        Kind::Zone => "a time zone, such as \"UTC\", \"Europe/Berlin\" or \"system\"".to_string(),
        Kind::Prefix => "letters, digits and - _ . : in quotes".to_string(),
        Kind::Grid => "a grid, such as \"1h:24,1d:30,1w:8\"".to_string(),
        Kind::Command => {
            "a command line in quotes, or a list of a program's path and its arguments".to_string()
        }
        Kind::OnFailure => "\"stop\" or \"continue\"".to_string(),
    }
}

impl Value {
    /// Of a whole number, where the kind takes one.
    pub(super) fn of_number(kind: Kind, number: i128) -> Result<Self, Wrong> {
        let (least, most) = match kind {
            Kind::Number(least, most) => (least, most),
            Kind::Percent => (0, 100),
            // Nothing needs no unit.
            Kind::Age if number == 0 => return Ok(Self::Age(0)),
            Kind::Age | Kind::Every => {
                let fix =
                    format!("add the unit and quotes: \"{number}m\" for minutes, \"{number}h\" for hours");
                return Err(Wrong::new(format!("the number {number} has no unit"), fix));
            }
            kind => {
                return Err(Wrong::new(
                    format!("a number ({number}) stands there"),
                    format!("write {}", looks(kind)),
                ));
            }
        };
        match u32::try_from(number) {
            Ok(number) if (least..=most).contains(&number) => Ok(Self::Number(number)),
            _ => Err(Wrong::new(format!("{number} is out of range"), format!("write {}", looks(kind)))),
        }
    }

    /// Of a text, where the kind takes one.
    pub(super) fn of_text(kind: Kind, text: &str) -> Result<Self, Wrong> {
        let wrong = |why: String| {
            Wrong::new(format!("\"{}\" cannot be used: {why}", shown(text)), format!("write {}", looks(kind)))
        };
        match kind {
            Kind::Age => age::parse(text).map(Self::Age).map_err(wrong),
            Kind::Every => {
                let seconds = age::parse(text).map_err(wrong)?;
                let minutes = u16::try_from(seconds / 60).ok().filter(|_| seconds.is_multiple_of(60));
                let every = minutes.and_then(Every::new);
                every
                    .map(Self::Every)
                    .ok_or_else(|| wrong("it is not whole minutes, from one to a day".to_string()))
            }
            Kind::Weekday => {
                text.parse().map(Self::Weekday).map_err(|_| wrong("no day is called so".to_string()))
            }
            Kind::Zone if text.len() > 128 => Err(wrong("it is too long".to_string())),
            Kind::Zone => text.parse().map(Self::Zone).map_err(|error: crate::policy::ZoneError| {
                wrong(format!("the time zone is not known on this machine ({})", error.why))
            }),
            Kind::Prefix => text.parse().map(Self::Prefix).map_err(|error| wrong(of_parse(&error))),
            Kind::Grid => text.parse().map(Self::Grid).map_err(|error| wrong(of_parse(&error))),
            Kind::Command if text.is_empty() => Ok(Self::Command(Command::Nothing)),
            Kind::Command if text.trim().is_empty() => Err(wrong("it is empty".to_string())),
            Kind::Command if text.contains('\0') => Err(wrong("it holds a NUL byte".to_string())),
            Kind::Command => Ok(Self::Command(Command::Shell(text.to_string()))),
            Kind::OnFailure => match text {
                "stop" => Ok(Self::OnFailure(OnFailure::Stop)),
                "continue" => Ok(Self::OnFailure(OnFailure::Continue)),
                _ => Err(wrong("it is neither \"stop\" nor \"continue\"".to_string())),
            },
            Kind::Bool | Kind::Number(..) | Kind::Percent => Err(Wrong::new(
                format!("the text \"{}\" stands there", shown(text)),
                format!("write {}, without quotes", looks(kind)),
            )),
        }
    }

    /// For JSON.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Bool(value) => json!(value),
            Self::Number(value) => json!(value),
            Self::Age(seconds) => json!(age::show(*seconds)),
            Self::Every(every) => json!(format!("{every}m")),
            Self::Weekday(day) => json!(day.to_string()),
            Self::Zone(zone) => json!(zone.to_string()),
            Self::Prefix(prefix) => json!(prefix.as_str()),
            Self::Grid(grid) => json!(grid.to_string()),
            Self::Command(Command::Nothing) => json!(""),
            Self::Command(Command::Shell(line)) => json!(line),
            Self::Command(Command::Program(words)) => json!(words),
            Self::OnFailure(OnFailure::Stop) => json!("stop"),
            Self::OnFailure(OnFailure::Continue) => json!("continue"),
        }
    }
}

/// The trouble alone: the text and its kind are told anyway.
fn of_parse(error: &crate::policy::ParseError) -> String {
    format!("at character {}: {}", error.position + 1, error.problem)
}

/// As it stands in a TOML file.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Age(seconds) => f.write_str(&quoted(&age::show(*seconds))),
            Self::Every(every) => f.write_str(&quoted(&format!("{every}m"))),
            Self::Weekday(day) => f.write_str(&quoted(&day.to_string())),
            Self::Zone(zone) => f.write_str(&quoted(&zone.to_string())),
            Self::Prefix(prefix) => f.write_str(&quoted(prefix.as_str())),
            Self::Grid(grid) => f.write_str(&quoted(&grid.to_string())),
            Self::Command(Command::Nothing) => f.write_str("\"\""),
            Self::Command(Command::Shell(line)) => f.write_str(&quoted(line)),
            Self::Command(Command::Program(words)) => {
                let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
                write!(f, "[{}]", words.join(", "))
            }
            Self::OnFailure(OnFailure::Stop) => f.write_str("\"stop\""),
            Self::OnFailure(OnFailure::Continue) => f.write_str("\"continue\""),
        }
    }
}

/// A text as a basic string of TOML.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
