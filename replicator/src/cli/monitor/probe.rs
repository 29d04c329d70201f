//! `replicator monitor probe`: what checks start for questions that may hang. Not for people.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use zfs_core::Guid;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Failure;
use super::From;
use super::Outcome;
use crate::cancel::Cancel;
use crate::config::Config;
use crate::config::job::Job;
use crate::config::job::Link;
use crate::config::job::Target;
use crate::config::load;
use crate::connect;
use crate::host::Host;
use crate::marks::TargetId;
use crate::monitor::facts;
use crate::monitor::facts::Fact;
use crate::monitor::lag::Look;
use crate::monitor::look;

/// Answer a question of a check, one fact a line.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
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
    let config = config.ok_or_else(|| Failure::new(Outcome::Configuration, "the configuration is broken"))?;
    if let Some(pool) = &arguments.pool {
        of_pool(arguments, &config, pool)?;
    }
    if let (Some(job), Some(target)) = (&arguments.job, &arguments.target) {
        let found = config.jobs.iter().find(|one| one.name == *job);
        let found = found.and_then(|job| Some((job, job.targets.iter().find(|one| one.name == *target)?)));
        let Some((job, target)) = found else {
            return Err(Failure::new(Outcome::Usage, format!("no job {job} with a target {target}")));
        };
        of_target(&config, job, target, arguments.timeout)?;
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
    let name = name.map_err(|error| Failure::new(Outcome::Usage, error.to_string()))?;
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
    let link = |link: &Link| patient(link, timeout);
    let mut source = connect::host(&link(&job.link), &job.source, None, &cancel)?;
    let tree = look::source(&mut *source, &job.source.dataset, &job.options)?;
    let known = pools_of_targets(config, job);
    let others = |dataset: &DatasetName| others(config, job, target, &known, dataset);
    let alone = is_alone(config, job, target, &known);
    let by_bookmarks = |source: &mut dyn Host, why: String| {
        let root = &target.endpoint.dataset;
        look::bookmarks(source, &tree, root, &others, alone, why)
    };
    // First what is known without the target: it may be away, and nobody waits for long.
    say(&Fact::Target(by_bookmarks(&mut *source, format!("it did not answer within {timeout} s"))?))?;
    let mut attempt = || -> Result<Look, Failure> {
        let mut there = connect::host(&link(&target.link), &target.endpoint, None, &cancel)?;
        let there = (&mut *there as &mut dyn Host, &target.endpoint.dataset);
        Ok(look::both((&mut *source, &tree), there, &job.options, now())?)
    };
    let found = match attempt() {
        Ok(found) => found,
        Err(failure) => by_bookmarks(&mut *source, failure.message().to_string())?,
    };
    say(&Fact::Target(found))
}

/// A way that is given up in time to say so.
fn patient(link: &Link, timeout: u64) -> Link {
    let most = (timeout * 7 / 10).max(2);
    let (connect, idle) = (link.connect_timeout.min(most), link.idle_timeout.min(most));
    Link { connect_timeout: connect, idle_timeout: idle, ..link.clone() }
}

/// The GUIDs of the local pools that are targets of replications.
fn pools_of_targets(config: &Config, job: &Job) -> Vec<(String, Guid)> {
    if job.source.machine.is_some() && config.jobs.iter().all(|job| job.source.machine.is_some()) {
        return Vec::new();
    }
    let Ok(zfs) = Zfs::open() else { return Vec::new() };
    let local = config.jobs.iter().flat_map(|job| &job.targets).filter(|one| one.endpoint.machine.is_none());
    let pools: BTreeSet<_> = local.map(|target| target.endpoint.dataset.pool().to_string()).collect();
    pools.into_iter().filter_map(|pool| zfs.pool(&pool).ok().map(|found| (pool, found.guid))).collect()
}

/// The targets that have something of this job's source, but for one of them.
fn beside<'c>(
    config: &'c Config,
    job: &'c Job,
    target: &'c Target,
) -> impl Iterator<Item = (&'c Job, &'c Target)> {
    let touches = |other: &Job| {
        let (a, b) = (&other.source.dataset, &job.source.dataset);
        other.source.machine == job.source.machine && (a.is_within(b) || b.is_within(a))
    };
    let jobs = config.jobs.iter().filter(move |other| touches(other));
    let all = jobs.flat_map(|job| job.targets.iter().map(move |target| (job, target)));
    all.filter(move |(other, one)| !(other.name == job.name && one.name == target.name))
}

/// Whether the pools of all targets beside this one are known.
fn is_alone(config: &Config, job: &Job, target: &Target, known: &[(String, Guid)]) -> bool {
    beside(config, job, target).all(|(_, one)| pool_of(one, known).is_some())
}

fn pool_of(target: &Target, known: &[(String, Guid)]) -> Option<Guid> {
    let pool = target.endpoint.machine.is_none().then(|| target.endpoint.dataset.pool())?;
    known.iter().find(|(name, _)| name == pool).map(|(_, guid)| *guid)
}

/// Under which ids the other targets keep bookmarks of a dataset.
fn others(
    config: &Config,
    job: &Job,
    target: &Target,
    known: &[(String, Guid)],
    dataset: &DatasetName,
) -> BTreeSet<TargetId> {
    let ids = beside(config, job, target).filter_map(|(job, one)| {
        let below = dataset.strip_prefix(&job.source.dataset)?;
        let root = &one.endpoint.dataset;
        let there = if below.is_empty() { root.clone() } else { root.child(below).ok()? };
        Some(TargetId::new(pool_of(one, known)?, &there))
    });
    ids.collect()
}

/// The longest that a check may wait, for who asks.
pub(super) fn arguments_for(config: &std::path::Path, timeout: Duration) -> Vec<std::ffi::OsString> {
    let seconds = timeout.as_secs().max(1).to_string();
    ["monitor", "probe", "--timeout", &seconds, "--config"]
        .into_iter()
        .map(std::ffi::OsString::from)
        .chain([config.as_os_str().to_owned()])
        .collect()
}
