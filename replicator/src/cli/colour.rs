//! Whether there are colours: one decision for errors, for what is said about a command line, and for the live view. The
//! other texts and the progress bars have none.

use std::ffi::OsStr;
use std::io::IsTerminal;

/// Whether what is printed there has colours: on a terminal, unless NO_COLOR has anything in it (no-color.org).
pub(super) fn wanted(out: &impl IsTerminal) -> bool {
    decided(out.is_terminal(), std::env::var_os("NO_COLOR").as_deref())
}

fn decided(terminal: bool, no_color: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_whose_owner_does_not_mind() {
        let said = |text: &'static str| Some(OsStr::new(text));
        assert!(decided(true, None) && decided(true, said("")));
        assert!(!decided(true, said("1")) && !decided(true, said("0")));
        assert!(!decided(false, None) && !decided(false, said("")) && !decided(false, said("1")));
    }
}
