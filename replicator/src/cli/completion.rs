//! `replicator completion SHELL`.

use clap_complete::Shell;

use super::Failure;
use super::Outcome;

/// Print a script that completes this command in a shell.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  replicator completion bash > /etc/bash_completion.d/replicator\n  replicator completion zsh > /usr/local/share/zsh/site-functions/_replicator\n  replicator completion fish > ~/.config/fish/completions/replicator.fish"
)]
pub(super) struct Arguments {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::command(), "replicator", &mut text);
    super::print(&String::from_utf8_lossy(&text))?;
    Ok(Outcome::Success)
}
