//! `replicator monitor probe`: what checks start for questions that may hang. Not for people.

use std::io::Write;
use std::time::Duration;

use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Failure;
use super::From;
use super::Outcome;
use crate::cancel::Cancel;
use crate::codes::Code;
use crate::config::Config;
use crate::config::job::Job;
use crate::config::job::Link;
use crate::config::job::Target;
use crate::config::load;
use crate::connect;
use crate::host::Host;
use crate::jobs::memory::Memory;
use crate::monitor::facts;
use crate::monitor::facts::Fact;
use crate::monitor::lag::Look;
use crate::monitor::look;

/// Answer a question of a check, one fact a line.
#[derive(Debug, clap::Args)]
#[command(
    hide = true,
    after_help = "Examples:\n  replicator monitor probe --pool tank --datasets --timeout 5\n  replicator monitor probe --job data --target nas"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    from: From,

    /// How this pool is.
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,

    /// And its datasets that have a policy.
    #[arg(long, requires = "pool")]
    datasets: bool,

    /// And the snapshots of these.
    #[arg(long, requires = "pool")]
    snapshots: bool,

    /// How far a target of this job is behind.
    #[arg(long, value_name = "NAME", requires = "target", conflicts_with = "pool")]
    job: Option<String>,

    /// Which target.
    #[arg(long, value_name = "NAME", requires = "job")]
    target: Option<String>,

    /// In how many seconds nobody waits for the answer any more.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let (config, problems) = load::read(&arguments.from.location());
    let config = config.filter(|_| problems.errors() == 0);
    let broken = "the configuration is broken; `replicator config check` tells where";
    let config = config.ok_or_else(|| Failure::new(Outcome::Configuration, broken))?;
    if let Some(pool) = &arguments.pool {
        // A failure is an answer as well.
        of_pool(arguments, &config, pool)
            .or_else(|failure| say(&Fact::Trouble(failure.message().to_string())))?;
    }
    if let (Some(job), Some(target)) = (&arguments.job, &arguments.target) {
        let found = config.jobs.iter().find(|one| one.name == *job);
        let found = found.and_then(|job| Some((job, job.targets.iter().find(|one| one.name == *target)?)));
        let Some((job, target)) = found else {
            return Err(Failure::new(Outcome::Usage, format!("no job {job} with a target {target}")));
        };
        of_target(&config, job, target, arguments.timeout)
            .or_else(|failure| say(&Fact::Target(Look::Nothing { why: failure.message().to_string() })))?;
    }
    Ok(Outcome::Success)
}

/// At once, so that it is known even if the next question is never answered.
fn say(fact: &Fact) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", fact.line()).and_then(|()| out.flush()).map_err(Failure::from)
}

fn of_pool(arguments: &Arguments, config: &Config, pool: &str) -> Result<(), Failure> {
    let name = DatasetName::try_from(pool);
    let name = name.map_err(|error| Failure::new(Code::Endpoint, error.to_string()))?;
    let zfs = Zfs::open()?;
    say(&facts::pool(&zfs, pool)?)?;
    let found = match (arguments.snapshots, arguments.datasets) {
        (true, _) => facts::snapshots(&zfs, config, &name, now())?,
        (false, true) => facts::policies(&zfs, config, &name)?,
        (false, false) => Vec::new(),
    };
    found.iter().try_for_each(say)
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn of_target(config: &Config, job: &Job, target: &Target, timeout: u64) -> Result<(), Failure> {
    let cancel = Cancel::new();
    let mut source = connect::host(&patient(&job.link, timeout), &job.source, None, &cancel)?;
    let tree = look::source(&mut *source, &job.source.dataset, &job.options)?;
    // Without it, or where only root may read it, less is known of a target that is away, and nothing else.
    let memory = Memory::read(&config.folders.state).unwrap_or_default();
    let seen = memory.of(&job.name, &target.endpoint.to_string());
    let root = &target.endpoint.dataset;
    let alone = |source: &mut dyn Host, why: String| look::bookmarks(source, &tree, root, seen, why);
    // First what is known without the target: it may be away, and nobody waits for long.
    say(&Fact::Target(alone(&mut *source, format!("it did not answer within {timeout} s"))?))?;
    let mut attempt = || -> Result<Look, Failure> {
        let mut there = connect::host(&patient(&target.link, timeout), &target.endpoint, None, &cancel)?;
        Ok(look::both((&mut *source, &tree), (&mut *there, root), &job.options, now())?)
    };
    let found = match attempt() {
        Ok(found) => found,
        Err(failure) => alone(&mut *source, failure.message().to_string())?,
    };
    say(&Fact::Target(found))
}

/// A way that is given up in time to say so.
fn patient(link: &Link, timeout: u64) -> Link {
    let most = (timeout * 7 / 10).max(2);
    let (connect, idle) = (link.connect_timeout.min(most), link.idle_timeout.min(most));
    Link { connect_timeout: connect, idle_timeout: idle, ..link.clone() }
}

/// How such a question is put, for a configuration and the time that there is.
pub(super) fn arguments_for(config: &std::path::Path, timeout: Duration) -> Vec<std::ffi::OsString> {
    let seconds = timeout.as_secs().max(1).to_string();
    ["monitor", "probe", "--timeout", &seconds, "--config"]
        .into_iter()
        .map(std::ffi::OsString::from)
        .chain([config.as_os_str().to_owned()])
        .collect()
}
