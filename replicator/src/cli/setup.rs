//! `replicator setup`: prepare this machine for its part.

use std::path::PathBuf;

use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Failure;
use super::Outcome;
use crate::check;
use crate::check::Finding;
use crate::check::Grade;
use crate::check::Section;
use crate::codes::Code;
use crate::codes::Coded;
use crate::host::local::Local;
use crate::receiver;
use crate::receiver::SetupError;
use crate::receiver::Wanted;
use crate::receiver::machine;

/// Prepare this machine for its part in a replication.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  replicator setup receiver --root backup/alice --user replicator-receive --key alice.pub";

#[derive(Debug, clap::Subcommand)]
enum Command {
    Receiver(ReceiverArguments),
}

/// Let a key receive into a dataset of this machine, as a user without rights of its own.
///
/// Gives the user what a receiver needs on the dataset (zfs-allow(8)): to receive, to make what arrives, and to set the
/// properties that follow the source; not to destroy, roll back, send, rename or mount. Makes the dataset where there is
/// none, never mounted. Then adds the key to authorized_keys of the user with a command that it starts whatever is asked
/// for: the agent, for this dataset and what is below it.
///
/// What will be done is shown first. What is there already stays, so that it can be called again at any time.
#[derive(Debug, clap::Args)]
#[command(after_help = RECEIVER_HELP)]
struct ReceiverArguments {
    /// What may be received into, with everything below it. May be given several times.
    #[arg(long = "root", value_name = "DATASET", required = true)]
    roots: Vec<DatasetName>,

    /// The user, who exists.
    #[arg(long, value_name = "NAME")]
    user: String,

    /// The file with the public key of the machine that sends.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// Show what would be done, and do nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Only look whether all is as it should be.
    #[arg(long, conflicts_with = "dry_run")]
    check: bool,
}

const RECEIVER_HELP: &str = "\
The sending machine then names this one as its target with an agent:

  replicator replicate tank/data replicator-receive@this-machine:backup/alice/data --far-end agent --identity KEY

The exit status of --check is 1 where something is missing.

Examples:
  replicator setup receiver --root backup/alice --user replicator-receive --key alice.pub --dry-run
  replicator setup receiver --root backup/alice --user replicator-receive --key alice.pub
  replicator setup receiver --root backup/alice --user replicator-receive --key alice.pub --check";

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    match &arguments.command {
        Command::Receiver(arguments) => set_up(arguments),
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        Self::new(error.code(), error.to_string()).hinted(error.hint())
    }
}

fn set_up(arguments: &ReceiverArguments) -> Result<Outcome, Failure> {
    let program = std::env::current_exe().ok().and_then(|path| path.to_str().map(str::to_string));
    let program =
        program.ok_or_else(|| Failure::new(Code::Local, "cannot find out where this program is"))?;
    let wanted = Wanted {
        roots: arguments.roots.clone(),
        user: arguments.user.clone(),
        key: machine::read_key(&arguments.key)?,
        program,
    };
    let mut host = Local::new(Zfs::open()?);
    let found = machine::look(&wanted, &mut host)?;
    if !arguments.check {
        let steps = receiver::plan(&wanted, &found)?;
        for step in &steps {
            super::print(&format!("{}{step}\n", if arguments.dry_run { "would: " } else { "" }))?;
            if !arguments.dry_run {
                machine::carry_out(step, &found.user, &mut host)?;
            }
        }
        if arguments.dry_run {
            if steps.is_empty() {
                super::print("nothing is left to do\n")?;
            }
            return Ok(Outcome::Success);
        }
    }
    // Whatever was done: what counts is what is there now.
    let found = machine::look(&wanted, &mut host)?;
    let mut section = receiver::judge(&wanted, &found);
    if section.grade() < Grade::Fail {
        section.findings.push(tried(&wanted));
    }
    super::print(&check::text(std::slice::from_ref(&section)))?;
    ready(&section)
}

/// Has the user list its root, as the agent will.
fn tried(wanted: &Wanted) -> Finding {
    match machine::try_as(wanted) {
        Ok(()) => Finding::ok("zfs", format!("{} lists {}", wanted.user, names(wanted))),
        Err(why) => Finding::fail(
            "zfs",
            why,
            "/dev/zfs has to be readable and writable for it (mode 0666), and the program has to be in a folder that it may look into"
                .to_string(),
        ),
    }
}

fn names(wanted: &Wanted) -> &str {
    wanted.roots.first().map_or("", DatasetName::as_str)
}

fn ready(section: &Section) -> Result<Outcome, Failure> {
    if section.grade() < Grade::Fail {
        return Ok(Outcome::Success);
    }
    Err(Failure::new(Code::NotReady, format!("{} is not ready", section.subject)))
}
