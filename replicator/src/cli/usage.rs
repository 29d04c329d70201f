//! What clap says about a command line: its text, with a code at the end of the first line as every other message of a
//! failure has one.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use zfs_core::name::NameError;
use zfs_core::name::NameKind;

use super::colour;
use super::outcome::Outcome;
use crate::codes::Code;
use crate::endpoint::EndpointError;

/// Tells it, and how the program ends. Help and version are no failures.
pub(super) fn ended(error: &clap::Error) -> ExitCode {
    // A reader that went away is no failure.
    if !error.use_stderr() {
        let _ = error.print();
        return Outcome::Success.into();
    }
    let mut err = std::io::stderr();
    let _ = err.write_all(text(error, colour::wanted(&err)).as_bytes());
    Outcome::Usage.into()
}

fn text(error: &clap::Error, colour: bool) -> String {
    let shown = error.render();
    let shown = if colour { shown.ansi().to_string() } else { shown.to_string() };
    // Only a command without its subcommand: that is help, and says what there is.
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return shown;
    }
    let (first, rest) = shown.split_once('\n').unwrap_or((&shown, ""));
    format!("{first} [{}]\n{rest}", code(error))
}

/// A name that ZFS or ssh would not take has the code that it has everywhere.
fn code(error: &clap::Error) -> Code {
    let is_name = |cause: &(dyn Error + 'static)| {
        let name = cause.downcast_ref::<NameError>();
        name.is_some_and(|name| name.kind == NameKind::Dataset) || cause.is::<EndpointError>()
    };
    if error.source().is_some_and(is_name) { Code::Endpoint } else { Code::Usage }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Arguments;

    fn wrong(line: &str) -> clap::Error {
        Arguments::try_parse_from(line.split(' ')).expect_err(line)
    }

    #[test]
    fn the_words_of_clap_get_a_code_at_the_end_of_the_first_line() {
        for (line, first) in [
            ("replicator lst", "error: unrecognized subcommand 'lst' [R200]"),
            ("replicator list --nonsense", "error: unexpected argument '--nonsense' found [R200]"),
            ("replicator replicate a/b", "error: the following required arguments were not provided: [R200]"),
        ] {
            let said = text(&wrong(line), false);
            assert_eq!(said.lines().next(), Some(first));
            assert!(said.contains("try '--help'") && said.ends_with('\n'), "{said}");
            let coloured = text(&wrong(line), true);
            assert!(coloured.contains('\u{1b}') && !said.contains('\u{1b}'), "{coloured:?}");
        }
        let said = text(&wrong("replicator replicate a/b c/d --rate x"), false);
        let first = "error: invalid value 'x' for '--rate <BYTES>': write a number of bytes, with a unit or without, \
                     such as 50M, 1G or 128MiB [R200]";
        assert_eq!(said.lines().next(), Some(first));
    }

    #[test]
    fn a_name_that_is_none_has_the_code_of_names() {
        let error = wrong("replicator agent --root tank/../x");
        assert_eq!(code(&error), Code::Endpoint, "{error}");
        assert!(text(&error, false).contains("[R201]\n"), "{error}");
        assert_eq!(code(&wrong("replicator agent --root tank --property a,b")), Code::Usage);
    }

    #[test]
    fn a_command_without_its_subcommand_gets_help_without_a_code() {
        for line in ["replicator", "replicator pair"] {
            let said = text(&wrong(line), false);
            assert!(said.contains("Usage: replicator") && !said.contains("[R"), "{said}");
        }
    }
}
