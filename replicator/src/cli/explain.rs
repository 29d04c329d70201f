//! `replicator explain CODE`.

use super::Failure;
use super::Outcome;
use crate::codes;
use crate::codes::Code;

/// Explain a code of an error message: what it means, and what to do about it.
///
/// The first digit of a code is the exit status. Without a code all of them are listed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  replicator explain R315\n  replicator explain")]
pub(super) struct Arguments {
    /// The code, as it stands in brackets in a message.
    #[arg(value_name = "CODE")]
    codes: Vec<String>,

    /// All of them as a page of the documentation.
    #[arg(long, hide = true, conflicts_with = "codes")]
    markdown: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let text = match arguments.codes.as_slice() {
        _ if arguments.markdown => codes::markdown(),
        [] => codes::list(),
        asked => {
            let mut texts = Vec::new();
            for one in asked {
                let code: Code = one.parse().map_err(|error: codes::UnknownCode| {
                    Failure::new(Outcome::Usage, error.to_string())
                        .hinted("`replicator explain` lists all of them".to_string())
                })?;
                texts.push(code.explanation());
            }
            texts.join("\n")
        }
    };
    super::print(&text)?;
    Ok(Outcome::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_code_is_a_mistake_of_the_command_line() {
        let asked = Arguments { codes: vec!["R315".to_string(), "R000".to_string()], markdown: false };
        let failure = run(&asked).expect_err("no code");
        assert_eq!((failure.code, failure.outcome), (Code::Usage, Outcome::Usage));
        assert!(failure.message().contains("R000"), "{}", failure.message());
    }

    /// The options that the explanations name are there, on some command.
    #[test]
    fn the_options_that_are_named_exist() {
        fn longs(command: &clap::Command, all: &mut Vec<String>) {
            all.extend(command.get_arguments().filter_map(clap::Arg::get_long).map(str::to_string));
            command.get_subcommands().for_each(|one| longs(one, all));
        }
        let mut known: Vec<_> = ["system", "create-home", "shell", "help"].map(str::to_string).to_vec();
        longs(&crate::cli::command(), &mut known);
        let page = codes::markdown();
        let mut named = 0;
        for word in page.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
            if let Some(option) = word.strip_prefix("--") {
                assert!(known.iter().any(|one| one == option), "--{option} does not exist");
                named += 1;
            }
        }
        assert!(named > 10, "{named}");
    }
}
