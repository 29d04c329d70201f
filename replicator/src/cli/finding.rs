//! What stands out on a screen for people: how grave it is, what it is, and the commands that settle it.

use serde::Serialize;

use super::format;
use crate::transport::quote;

/// The most things that are named in one finding, and the most commands.
pub(super) const NAMED: usize = 3;

/// How grave something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Good to know.
    Note,
    /// Somebody should look at it, and it does not hurry.
    Look,
    /// Data may be lost by it, or are on one side only for longer than they should be.
    Risk,
}

/// Something that stands out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) text: String,
    /// Commands, in their order.
    pub(super) commands: Vec<Command>,
}

/// A command to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Command {
    /// The machine to run it on.
    pub(super) on: String,
    pub(super) run: String,
}

impl Finding {
    pub(super) fn new(
        level: Level,
        text: impl Into<String>,
        commands: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let commands = commands.into_iter().map(|(on, run)| Command { on, run }).collect();
        Self { level, text: text.into(), commands }
    }
}

/// The gravest of them.
pub(super) fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|one| one.level).max().unwrap_or(Level::Note)
}

/// How many there are of a level.
pub(super) fn things(findings: &[Finding], level: Level) -> String {
    match findings.iter().filter(|one| one.level == level).count() {
        1 => "1 thing".to_string(),
        count => format!("{count} things"),
    }
}

/// The end of a screen: what asks for something, numbered, and then what does not.
pub(super) fn to_do(findings: &[Finding]) -> String {
    to_do_parts(findings, format::WIDTH).into_iter().map(|(_, text)| text).collect()
}

/// What a piece of the end of a screen is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Heading,
    Text(Level),
    Command,
}

/// The same for so many columns, piece by piece.
pub(super) fn to_do_parts(findings: &[Finding], width: usize) -> Vec<(Kind, String)> {
    let (notes, todo): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|one| one.level == Level::Note);
    let mut parts = vec![(Kind::Heading, "\nTO DO\n".to_string())];
    if todo.is_empty() {
        parts.push((Kind::Text(Level::Note), "  nothing\n".to_string()));
    }
    for (number, finding) in todo.iter().enumerate() {
        let word = if finding.level == Level::Risk { "RISK: " } else { "" };
        let start = format!("  {}. {word}", number + 1);
        let text = format::wrapped_to(width, &finding.text, &start, "     ");
        parts.push((Kind::Text(finding.level), text));
        // Never wrapped: it is to be copied.
        let command = |command: &Command| format!("       {}#  {}\n", command.on, command.run);
        parts.extend(finding.commands.iter().map(|one| (Kind::Command, command(one))));
    }
    if !notes.is_empty() {
        parts.push((Kind::Heading, "\nGOOD TO KNOW\n".to_string()));
        let text = |note: &Finding| format::wrapped_to(width, &note.text, "  - ", "    ");
        parts.extend(notes.into_iter().map(|note| (Kind::Text(Level::Note), text(note))));
    }
    parts
}

/// Some of them by name: `a, b, c and 5 more`.
pub(super) fn names<T: ToString>(all: impl ExactSizeIterator<Item = T>) -> String {
    let more = all.len().saturating_sub(NAMED);
    let mut named: Vec<_> = all.take(NAMED).map(|one| one.to_string()).collect();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    match named.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => named.concat(),
    }
}

/// `a has`, `a and b have`.
pub(super) fn has(names: &str, count: usize) -> String {
    format!("{names} {}", if count == 1 { "has" } else { "have" })
}

/// `a is`, `a and b are`.
pub(super) fn is(names: &str, count: usize) -> String {
    format!("{names} {}", if count == 1 { "is" } else { "are" })
}

/// A word of a command as a shell reads it: quoted where it has to be.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_string() } else { quote::sh(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_named_and_the_others_counted() {
        let all = ["a", "b", "c", "d", "e"];
        assert_eq!(names(all[..0].iter()), "");
        assert_eq!(names(all[..1].iter()), "a");
        assert_eq!(names(all[..3].iter()), "a, b and c");
        assert_eq!(names(all.iter()), "a, b, c and 2 more");
    }

    #[test]
    fn commands_can_be_copied() {
        assert_eq!(word("tank/a:b@c-d.e_f"), "tank/a:b@c-d.e_f");
        assert_eq!(word("tank/a b"), "'tank/a b'");
        assert_eq!(word(""), "''");
        let long = "x".repeat(200);
        let finding = Finding::new(Level::Look, "a", [("host".to_string(), long.clone())]);
        let screen = to_do(&[finding]);
        assert!(screen.contains(&format!("\n       host#  {long}\n")), "{screen}");
    }
}
