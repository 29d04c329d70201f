//! The command line: what it accepts, and which file does it.

mod bench;
mod clean;
mod demo;
mod exec;
mod fuzz;
mod package;
mod path;
mod run_in_node;
mod shell;
mod test;

use clap::{Args, Parser, Subcommand};
use lab::{Generation, LabError, Stream};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit code of a command that ran past its limit, as with timeout(1).
const TIMED_OUT: u8 = 124;

/// Exit code when the lab itself fails.
const LAB_FAILED: u8 = 125;

/// Real OpenZFS on this machine: nodes with a real ZFS kernel, as ordinary processes.
#[derive(Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Subcommand)]
enum Sub {
    /// Make kernel and root file system from Debian's archive, once (needs root, about 12 minutes on 2
    /// cores).
    Build {
        #[command(flatten)]
        zfs: Zfs,
        /// Ask the archive for newer versions although everything is built.
        #[arg(long)]
        refresh: bool,
    },
    /// Run a command as root on node1 of fresh nodes; its output streams, its exit status is this program's.
    Exec(exec::Exec),
    /// Show the main job on two nodes: replication over ssh, an increment, a power cut half-way, resumption,
    /// comparison.
    Demo(demo::Demo),
    /// An interactive shell on node1 of fresh nodes.
    Shell {
        #[command(flatten)]
        nodes: NodeOptions,
    },
    /// Make what people install: .deb packages and a tarball. Needs no node; their paths are printed.
    Package(package::Package),
    /// Print where a part of the lab is: kernel, root, zfs-source, zfs-headers, zfs-2.1-libs, cache.
    Path {
        /// The part.
        part: String,
        #[command(flatten)]
        zfs: Zfs,
    },
    /// Run all tests: on this machine, in nodes, with nodes. The last line counts them.
    Test(test::Test),
    /// Measure this program beside others, and make tables and charts of it.
    Bench(bench::Bench),
    /// Remove the cache with everything built, or what only one generation uses.
    Clean {
        /// Only this generation.
        #[arg(long = "zfs", value_name = "newest|stable")]
        generation: Option<Generation>,
    },
    /// The runner cargo starts test binaries with.
    #[command(hide = true)]
    RunInNode {
        binary: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

/// Which OpenZFS.
#[derive(Args, Clone, Copy)]
struct Zfs {
    /// The OpenZFS generation: newest (2.4.x) or stable (2.3.x, as in Debian trixie).
    #[arg(long = "zfs", value_name = "newest|stable", default_value_t = Generation::Newest)]
    generation: Generation,
}

/// How nodes are booted.
#[derive(Args, Clone)]
struct NodeOptions {
    #[command(flatten)]
    zfs: Zfs,
    /// How many nodes.
    #[arg(long, value_name = "N", default_value_t = 1)]
    nodes: usize,
    /// A folder of this machine that every node sees as /share, writable.
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,
    /// Where the nodes' clocks start (anything date(1) understands, in UTC).
    #[arg(long, value_name = "DATE")]
    node_time: Option<String>,
    /// Memory of each node, in MB.
    #[arg(long, value_name = "MB", default_value_t = lab::cluster::DEFAULT_MEMORY)]
    memory: u64,
}

impl NodeOptions {
    /// The nodes, with the release binaries of this checkout.
    fn boot(&self) -> lab::Result<lab::Cluster> {
        lab::build::ensure(self.zfs.generation, false)?;
        // Whoever names a folder has built what is in it.
        if std::env::var_os("LAB_BIN_DIR").is_none() {
            lab::workspace::build_release("zfs-replicator")?;
        }
        let mut builder =
            lab::Cluster::builder().nodes(self.nodes).zfs(self.zfs.generation).memory(self.memory);
        if let Some(share) = &self.share {
            builder = builder.share(share);
        }
        if let Some(date) = &self.node_time {
            builder = builder.node_time(lab::time::parse(date)?);
        }
        builder.boot()
    }
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    lab::interrupt::handle();
    let result = match cli.command {
        Sub::Build { zfs, refresh } => lab::build::ensure(zfs.generation, refresh).map(|_| ExitCode::SUCCESS),
        Sub::Exec(exec) => exec.run(),
        Sub::Demo(demo) => demo.run(),
        Sub::Shell { nodes } => shell::run(&nodes),
        Sub::Package(package) => package.run(),
        Sub::Path { part, zfs } => path::run(&part, zfs.generation),
        Sub::Test(test) => test.run(),
        Sub::Bench(bench) => bench.run(),
        Sub::Clean { generation } => clean::run(generation),
        Sub::RunInNode { binary, args } => run_in_node::run(&binary, &args),
    };
    result.unwrap_or_else(|e| {
        eprintln!("lab: {e}");
        ExitCode::from(if matches!(e, LabError::Timeout { .. }) { TIMED_OUT } else { LAB_FAILED })
    })
}

/// A command line split into program and arguments.
fn split(argv: &[OsString]) -> lab::Result<(&OsString, &[OsString])> {
    argv.split_first().ok_or_else(|| LabError::Unfit("no command was given".into()))
}

/// Runs a command in a node with its output on this program's, as it comes.
fn stream_out(command: lab::Command) -> lab::Result<lab::Status> {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    command.stream(|stream, data| {
        // A reader that went away ends the command, as a closed pipe would.
        match stream {
            Stream::Stdout => out.write_all(data).and_then(|()| out.flush()).is_ok(),
            Stream::Stderr => err.write_all(data).and_then(|()| err.flush()).is_ok(),
        }
    })
}

fn exit_code(status: lab::Status) -> ExitCode {
    ExitCode::from(status.shell_code() as u8)
}
