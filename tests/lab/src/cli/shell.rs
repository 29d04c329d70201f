//! `cargo lab shell`: an interactive shell on node1, with this terminal handed through.

use super::{NodeOptions, exit_code};
use lab::terminal::Raw;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

pub(crate) fn run(options: &NodeOptions) -> lab::Result<ExitCode> {
    if !io::stdin().is_terminal() {
        return Err(lab::LabError::Unfit(
            "`cargo lab shell` needs a terminal; use `cargo lab exec -- CMD` in scripts".into(),
        ));
    }
    let cluster = options.boot()?;
    eprintln!("node1 of {}; /src is this checkout (read-only), `exit` ends the nodes", cluster.nodes().len());
    let term = std::env::var("TERM").unwrap_or_else(|_| "dumb".into());
    let command = cluster.node(1).command("/bin/bash").arg("-l").env("TERM", term);
    let raw = Raw::enter()?;
    let status = lab::terminal::attach(command)?;
    drop(raw);
    Ok(exit_code(status))
}
