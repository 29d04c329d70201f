//! `cargo lab exec`: one command, on node1 of fresh nodes or, with `--host`, on this machine's own ZFS.

use super::{NodeOptions, exit_code, split, stream_out};
use clap::Args;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Read};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Args)]
pub(crate) struct Exec {
    #[command(flatten)]
    nodes: NodeOptions,
    /// Kill it after so many seconds; the exit status is then 124.
    #[arg(long, value_name = "S")]
    timeout: Option<f64>,
    /// Run it on this machine with its own /dev/zfs, in a scratch folder, instead of in a node.
    #[arg(long, conflicts_with_all = ["nodes", "share", "node_time", "memory"])]
    host: bool,
    /// The command.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Exec {
    pub(crate) fn run(&self) -> lab::Result<ExitCode> {
        let limit = self.timeout.map(|s| Duration::try_from_secs_f64(s).unwrap_or(Duration::MAX));
        let (program, args) = split(&self.command)?;
        if self.host {
            return lab::host_zfs::run(program, args, limit).map(|code| ExitCode::from(code as u8));
        }
        let cluster = self.nodes.boot()?;
        let command = cluster.node(1).command(program).args(args).limit(limit);
        let command = if io::stdin().is_terminal() { command } else { command.stdin_from(read_stdin()) };
        stream_out(command).map(exit_code)
    }
}

/// Standard input in pieces, as they come.
fn read_stdin() -> impl Iterator<Item = Vec<u8>> + Send + 'static {
    let mut input = io::stdin();
    std::iter::from_fn(move || {
        let mut piece = vec![0; 16 * 1024];
        let n = input.read(&mut piece).ok().filter(|n| *n > 0)?;
        piece.truncate(n);
        Some(piece)
    })
}
