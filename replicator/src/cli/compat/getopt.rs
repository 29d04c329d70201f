//! Options as Getopt::Long of Perl takes them, which people's timers and scripts rely on: one dash or two, any case, as
//! few letters as are clear, a value behind `=` or as the next word, words that are no options anywhere. Each front end
//! has a table of its own.

use std::ffi::OsString;

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing.
    Nothing,
    /// Any text, of which there must be some behind a `=`.
    Text,
    /// A whole number.
    Number,
}

/// An option of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Its names: the first is what it is called, the others stand for it.
    pub(super) names: &'static [&'static str],
    /// What it takes.
    pub(super) takes: Takes,
}

/// Something of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An option, with its value where it takes one.
    Option {
        /// What it is called in the table.
        name: &'static str,
        /// Its value.
        value: Option<OsString>,
    },
    /// A word that is no option.
    Word(OsString),
    /// What cannot be taken.
    Wrong {
        /// As it was written, without dashes.
        written: String,
        /// What Getopt::Long says of it.
        says: String,
    },
}

/// Reads a command line.
pub(super) fn read(table: &'static [Known], arguments: &[OsString]) -> Vec<Found> {
    let mut all = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        // A word in another coding is no option.
        let text = argument.to_str().unwrap_or_default();
        if text == "--" {
            all.extend(rest.cloned().map(Found::Word));
            break;
        }
        let name = text.strip_prefix("--").or_else(|| text.strip_prefix('-')).unwrap_or_default();
        if name.is_empty() {
            all.push(Found::Word(argument.clone()));
            continue;
        }
        let (written, value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (name, None),
        };
        let wrong = |says| Found::Wrong { written: written.to_string(), says };
        all.push(match meant(table, &written.to_ascii_lowercase()) {
            Meant::Nothing => wrong(format!("Unknown option: {written}")),
            Meant::Several(names) => wrong(format!("Option {written} is ambiguous ({})", names.join(", "))),
            Meant::One(known) => match (known.takes, value) {
                (Takes::Nothing, None) => Found::Option { name: known.names[0], value: None },
                (Takes::Nothing, Some(_)) => wrong(format!("Option {written} does not take an argument")),
                (takes, value) => {
                    let value = match value {
                        Some(value) => Some(value).filter(|value| !value.is_empty()),
                        None => rest.next().cloned(),
                    };
                    match value {
                        None => wrong(format!("Option {written} requires an argument")),
                        Some(value) if takes == Takes::Number && !is_number(&value) => wrong(format!(
                            "Value \"{}\" invalid for option {written} (number expected)",
                            value.to_string_lossy()
                        )),
                        value => Found::Option { name: known.names[0], value },
                    }
                }
            },
        });
    }
    all
}

fn is_number(value: &OsString) -> bool {
    value.to_str().is_some_and(|value| value.parse::<i64>().is_ok())
}

enum Meant {
    Nothing,
    One(&'static Known),
    Several(Vec<&'static str>),
}

/// The option that some letters stand for.
fn meant(table: &'static [Known], name: &str) -> Meant {
    let names = || table.iter().flat_map(|known| known.names.iter().map(move |name| (*name, known)));
    if let Some((_, known)) = names().find(|(one, _)| *one == name) {
        return Meant::One(known);
    }
    let mut fitting: Vec<_> = names().filter(|(one, _)| one.starts_with(name)).collect();
    fitting.sort_by_key(|(one, _)| *one);
    match fitting.as_slice() {
        [] => Meant::Nothing,
        // Several names of one option are clear.
        [(_, known), others @ ..] if others.iter().all(|(_, other)| other.names == known.names) => {
            Meant::One(known)
        }
        _ => Meant::Several(fitting.into_iter().map(|(one, _)| one).collect()),
    }
}
