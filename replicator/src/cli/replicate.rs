//! `replicator replicate SRC DST`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use zfs_core::Zfs;

use super::Failure;
use super::Outcome;
use super::format;
use super::progress::Progress;
use super::progress::title;
use crate::cancel::Cancel;
use crate::endpoint::Endpoint;
use crate::endpoint::Machine;
use crate::host::Host;
use crate::host::local::Local;
use crate::host::zfs_cli::ZfsCli;
use crate::plan::Conflict;
use crate::plan::Initial;
use crate::plan::Options;
use crate::plan::Plan;
use crate::replicate;
use crate::replicate::ReplicateError;
use crate::replicate::Report;
use crate::replicate::Side;
use crate::transport::Timeouts;
use crate::transport::Transport;
use crate::transport::ssh::SshOptions;
use crate::transport::ssh::SshTransport;
use crate::transport::system_ssh::SystemSsh;
use crate::transport::system_ssh::SystemSshOptions;

/// Bring the snapshots of a dataset to another pool or another machine.
///
/// The first run sends the oldest snapshot in full and then every later one; each further run sends what is new,
/// starting at the newest snapshot that both sides have, recognised by its GUID. A run that was cut off is continued
/// by the next one. A new target is made read-only and is not mounted.
///
/// When the target has snapshots or changes of its own, nothing is sent and both sides' extra snapshots are printed:
/// this command never rolls back, never overwrites and never destroys a snapshot.
///
/// SRC and DST are names of datasets here, or HOST:POOL/DATASET or USER@HOST:POOL/DATASET on another machine, which
/// needs only sshd and the zfs command. A colon before the first slash ends the name of a machine; where a local pool
/// has a colon in its name, put another one in front.
///
/// SSH keys come from the agent and from ~/.ssh; the host key must be in known_hosts. No password is ever asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The dataset to replicate.
    #[arg(value_name = "SRC")]
    source: String,

    /// Where it goes. Its parent must exist.
    #[arg(value_name = "DST")]
    target: String,

    /// Only print what would be done; a run does exactly that.
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Which snapshots a first replication sends.
    #[arg(long, value_enum, default_value_t)]
    initial: Initial,

    /// Throw away a partial receive on the target that cannot be continued. Snapshots are never touched.
    #[arg(long)]
    discard_partial: bool,

    /// Print the plan and the result as JSON on standard output.
    #[arg(long)]
    json: bool,

    /// Print nothing but errors.
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    ssh: SshArguments,
}

const EXAMPLES: &str = "\
Examples:
  replicator replicate tank/data backup/data
  replicator replicate tank/data root@nas:backup/data --dry-run
  replicator replicate root@nas:tank/data backup/data --port 2222 --identity ~/.ssh/backup";

/// How to reach another machine.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "SSH")]
struct SshArguments {
    /// What carries the connection.
    #[arg(long, value_enum, default_value_t)]
    transport: Carrier,

    /// An option for the ssh program, as its -o takes it. May be given several times. Host keys stay strictly checked.
    #[arg(long, value_name = "OPT")]
    ssh_option: Vec<String>,

    /// The port of sshd on the other machine: 22, or what ssh_config says to the ssh program.
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,

    /// A private key; only named keys are offered then. May be given several times.
    #[arg(short, long, value_name = "FILE")]
    identity: Vec<PathBuf>,

    /// A file to look the host key up in, instead of ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts.
    #[arg(long, value_name = "FILE")]
    known_hosts: Vec<PathBuf>,

    /// How many seconds connecting may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=86400))]
    connect_timeout: u64,

    /// How many seconds the other machine may be silent, also to keepalives, before it is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..=86400))]
    idle_timeout: u64,
}

/// The two clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Carrier {
    /// The library inside this program; it reads no ssh_config.
    #[default]
    Libssh2,
    /// The ssh program of this machine, with its ssh_config, jump hosts, certificates and hardware keys.
    Ssh,
}

impl SshArguments {
    /// A connection that stands.
    fn transport(&self, machine: &Machine, cancel: &Cancel) -> Result<Box<dyn Transport>, Failure> {
        if self.transport == Carrier::Libssh2 && !self.ssh_option.is_empty() {
            let hint = "add --transport ssh".to_string();
            return Err(Failure::new(Outcome::Usage, "--ssh-option is for the ssh program only").hinted(hint));
        }
        let defaults = Timeouts::default();
        let idle = Duration::from_secs(self.idle_timeout);
        let timeouts = Timeouts {
            connect: Duration::from_secs(self.connect_timeout),
            idle,
            // Several chances to answer before time is up.
            keepalive: defaults.keepalive.min(idle / 3).max(Duration::from_secs(1)),
            ..defaults
        };
        if self.transport == Carrier::Ssh {
            let mut transport = SystemSsh::new(SystemSshOptions {
                user: machine.user.clone(),
                port: self.port,
                identities: self.identity.clone(),
                known_hosts: self.known_hosts.clone(),
                ssh_options: self.ssh_option.clone(),
                timeouts,
                cancel: cancel.clone(),
                ..SystemSshOptions::new(&machine.host)
            })?;
            transport.connect()?;
            return Ok(Box::new(transport));
        }
        let mut transport = SshTransport::new(SshOptions {
            user: machine.user.clone(),
            host: machine.host.clone(),
            port: self.port.unwrap_or(22),
            identities: self.identity.clone(),
            known_hosts: self.known_hosts.clone(),
            timeouts,
            cancel: cancel.clone(),
        })?;
        transport.connect()?;
        Ok(Box::new(transport))
    }

    fn host(
        &self,
        endpoint: &Endpoint,
        local: Option<&Zfs>,
        cancel: &Cancel,
    ) -> Result<Box<dyn Host>, Failure> {
        match (&endpoint.machine, local) {
            (Some(machine), _) => Ok(Box::new(ZfsCli::new(self.transport(machine, cancel)?))),
            (None, Some(zfs)) => Ok(Box::new(Local::new(zfs.clone()))),
            (None, None) => Ok(Box::new(Local::new(Zfs::open()?))),
        }
    }
}

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let source: Endpoint = arguments.source.parse()?;
    let target: Endpoint = arguments.target.parse()?;
    if source.machine.is_some() && target.machine.is_some() {
        let hint = "run this on one of the two machines".to_string();
        return Err(Failure::new(Outcome::Usage, "only one side may be another machine").hinted(hint));
    }
    if source == target {
        return Err(ReplicateError::SameDataset(source.dataset).into());
    }
    // The local side first: without ZFS here there is no reason to connect anywhere.
    let zfs = Zfs::open()?;
    let ssh = &arguments.ssh;
    let mut source_host = ssh.host(&source, Some(&zfs), cancel)?;
    let mut target_host = ssh.host(&target, Some(&zfs), cancel)?;
    let options = Options { initial: arguments.initial, discard_partial: arguments.discard_partial };

    let plan = {
        let mut source = Side { host: source_host.as_mut(), dataset: source.dataset.clone() };
        let mut target = Side { host: target_host.as_mut(), dataset: target.dataset.clone() };
        replicate::prepare(&mut source, &mut target, options, true)
    };
    let plan = match plan {
        Ok(plan) => plan,
        Err(ReplicateError::Conflict(conflict)) => return Err(stopped(conflict, arguments.json)?),
        Err(error) => return Err(error.into()),
    };
    if arguments.dry_run {
        let text = if arguments.json {
            format!("{:#}\n", json!({ "dry_run": true, "plan": plan.to_json() }))
        } else {
            describe(&plan, &source, &target)
        };
        super::print(&text)?;
        return Ok(Outcome::Success);
    }
    let progress = Progress::new(arguments.quiet);
    let done = replicate::execute(&plan, source_host.as_mut(), target_host.as_mut(), &progress, cancel);
    progress.clear();
    let report = done?;
    finished(arguments, &plan, report, &target)?;
    Ok(Outcome::Success)
}

/// A conflict is printed as JSON on standard output where that was asked for, and told on standard error always.
fn stopped(conflict: Conflict, as_json: bool) -> Result<Failure, Failure> {
    if as_json {
        super::print(&format!("{:#}\n", json!({ "conflict": conflict.to_json() })))?;
    }
    Ok(ReplicateError::Conflict(conflict).into())
}

fn finished(arguments: &Arguments, plan: &Plan, report: Report, target: &Endpoint) -> Result<(), Failure> {
    if arguments.json {
        let result = json!({ "steps": report.steps, "bytes": report.bytes });
        return super::print(&format!("{:#}\n", json!({ "plan": plan.to_json(), "result": result })));
    }
    if arguments.quiet {
        return Ok(());
    }
    if plan.steps.is_empty() {
        return super::print(&format!("{target} is up to date\n"));
    }
    let (steps, bytes) = (report.steps, format::bytes(report.bytes));
    let s = if steps == 1 { "" } else { "s" };
    super::print(&format!("{target} is up to date now: {steps} step{s}, {bytes}\n"))
}

/// The plan for people.
fn describe(plan: &Plan, source: &Endpoint, target: &Endpoint) -> String {
    if plan.steps.is_empty() {
        return format!("{target} is up to date: nothing to send\n");
    }
    let mut text = format!("{source} -> {target}\n");
    if let Some(common) = &plan.common {
        text.push_str(&format!("  newest common snapshot: {} (GUID {})\n", common.name(), common.guid()));
    }
    for (at, step) in plan.steps.iter().enumerate() {
        let size = match &step.action {
            crate::plan::Action::Send { spec, .. } => {
                let raw = if spec.raw { ", raw" } else { "" };
                format!(" ({}{raw})", format::maybe_bytes(step.estimated_bytes))
            }
            crate::plan::Action::Discard { .. } => String::new(),
        };
        text.push_str(&format!("  {}. {}{size}: {}\n", at + 1, title(step), step.reason));
    }
    text.push_str(&format!(
        "  in all {}; nothing was changed\n",
        format::maybe_bytes(plan.estimated_bytes())
    ));
    text
}
