//! `cargo lab`: builds the lab, runs commands and tests in it. The lab itself is the library; here are only
//! its subcommands.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Inside a node this program is process 1 and must not parse anything a person wrote.
    let args: Vec<String> = std::env::args().skip(1).take(2).collect();
    if args.first().is_some_and(|a| a == "node-agent") {
        return lab::agent::main(&args[1..]);
    }
    cli::main()
}
