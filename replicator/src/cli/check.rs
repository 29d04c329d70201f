//! `replicator check`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Failure;
use super::Outcome;
use super::config::From;
use super::format;
use crate::cancel::Cancel;
use crate::check;
use crate::check::Finding;
use crate::check::Section;
use crate::clock;
use crate::config::Config;
use crate::config::job::Job;
use crate::config::job::Link;
use crate::config::pair::Pair;
use crate::connect;
use crate::endpoint::Endpoint;
use crate::host::Host;
use crate::monitor::kstat;
use crate::receiver::clear;
use crate::receiver::partials;
use crate::receiver::partials::Memory;
use crate::survey;

/// Find out what would fail, before it does: for every job and target whether both sides can be reached, the rights
/// there, versions and features of ZFS, room, and clocks; whether the datasets of the configuration exist, and whether what
/// others send into keeps receives that broke off. Of a pair, all that `replicator pair check` looks at.
///
/// Nothing is changed. Each finding that is not good says what to do.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    from: From,

    /// As JSON.
    #[arg(long)]
    json: bool,

    /// How long each end of a job, or a pair, may take to answer everything, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

const HELP: &str = "\
The exit status is 0 when nothing will fail, also with warnings; 1 when something will; 8 when the configuration is broken.

Examples:
  replicator check
  replicator check --config new.toml --json";

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let (config, _) = arguments.from.usable()?;
    let mut sections = vec![this_machine(&config)];
    for job in &config.jobs {
        of_job(job, Duration::from_secs(arguments.timeout), cancel, &mut sections);
        if cancel.is_cancelled() {
            return Err(Failure::new(Outcome::Interrupted, "interrupted"));
        }
    }
    for pair in &config.pairs {
        of_pair(&config, pair, Duration::from_secs(arguments.timeout), cancel, &mut sections);
        if cancel.is_cancelled() {
            return Err(Failure::new(Outcome::Interrupted, "interrupted"));
        }
    }
    let text =
        if arguments.json { format!("{:#}\n", check::to_json(&sections)) } else { check::text(&sections) };
    super::print(&text)?;
    let fails = sections.iter().any(|section| section.grade() == check::Grade::Fail);
    Ok(if fails { Outcome::Failed } else { Outcome::Success })
}

/// What is asked of this machine whether or not anything is replicated.
fn this_machine(config: &Config) -> Section {
    let mut section = Section::new("this machine");
    let findings = &mut section.findings;
    for folder in
        [Some(config.folders.state.as_path()), config.folders.metrics.as_deref().and_then(Path::parent)]
    {
        let Some(folder) = folder else { continue };
        if folder.exists() {
            findings.push(Finding::ok("folder", format!("{} exists", folder.display())));
        } else {
            let text = format!("the folder {} does not exist", folder.display());
            findings.push(Finding::warn("folder", text, format!("mkdir -p {}", folder.display())));
        }
    }
    let about = config.policies.pools();
    let received = config.receives.iter().flat_map(|one| &one.roots).map(DatasetName::pool);
    let paired = config.pairs.iter().flat_map(|pair| &pair.roots).map(DatasetName::pool);
    let named: BTreeSet<&str> = about.named.iter().copied().chain(received).chain(paired).collect();
    let hangs: Vec<_> = named.into_iter().filter_map(hangs).collect();
    if !hangs.is_empty() {
        // Its datasets cannot be listed without waiting for it.
        findings.extend(hangs);
        return section;
    }
    let zfs = match Zfs::open() {
        Ok(zfs) => zfs,
        Err(error) => {
            let local = |endpoint: &Endpoint| endpoint.machine.is_none();
            let needs = !config.policies.entries.is_empty()
                || !config.receives.is_empty()
                || !config.pairs.is_empty()
                || config.jobs.iter().any(|job| {
                    local(&job.source) || job.targets.iter().any(|target| local(&target.endpoint))
                });
            if needs {
                findings.push(Finding::fail("zfs", error.to_string(), error.hint().to_string()));
            }
            return section;
        }
    };
    findings.push(Finding::ok("zfs", format!("OpenZFS {}", zfs.version())));
    findings.extend(received_into(&zfs, config));
    if config.policies.entries.is_empty() {
        return section;
    }
    if !rustix::process::geteuid().is_root() {
        let text = "this does not run as root, and policies take and destroy snapshots".to_string();
        findings.push(Finding::warn("rights", text, "run it as root, as the timers do".to_string()));
    }
    match survey::datasets(&zfs, config) {
        Err(error) => findings.push(Finding::fail("datasets", error.to_string(), error.hint())),
        Ok((known, troubles)) => {
            findings.extend(
                troubles.iter().map(|trouble| {
                    Finding::fail("datasets", trouble.error.to_string(), trouble.error.hint())
                }),
            );
            let resolved = config.policies.resolve(&known);
            let lost = |pool: &str| troubles.iter().any(|trouble| trouble.subject.pool() == pool);
            let (mut there, mut missing) = (0, 0);
            for one in resolved.datasets.values().filter(|one| !lost(one.dataset.pool())) {
                if one.exists {
                    there += 1;
                    continue;
                }
                missing += 1;
                let text = format!("{} has a policy and does not exist", one.dataset);
                let fix = "create it, or take it out of the configuration".to_string();
                findings.push(Finding::warn("datasets", text, fix));
            }
            if missing == 0 {
                findings.push(Finding::ok("datasets", format!("{there} with a policy")));
            }
        }
    }
    section
}

/// What others send into: whether it is there, and receives that broke off.
fn received_into(zfs: &Zfs, config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if config.receives.is_empty() {
        return findings;
    }
    for root in config.receives.iter().flat_map(|one| &one.roots) {
        match zfs.find_dataset(root) {
            Ok(Some(_)) => findings.push(Finding::ok("receive", format!("{root} exists"))),
            Ok(None) => {
                let text = format!("{root} is what others send into, and does not exist");
                let fix = "`replicator setup receiver` makes it; or take it out of the configuration";
                findings.push(Finding::warn("receive", text, fix.to_string()));
            }
            // It is told below.
            Err(_) => {}
        }
    }
    let (found, unread) = clear::find(zfs, &config.receives);
    for (root, error) in unread {
        let text = format!("{root} cannot be looked through: {error}");
        findings.push(Finding::fail("receive", text, error.hint().map(str::to_string)));
    }
    let memory = Memory::read(&config.folders.state).unwrap_or_else(|problem| {
        let fix = "run this as root, as the timers do".to_string();
        findings.push(Finding::warn("receive", problem, fix));
        Memory::default()
    });
    for one in partials::known(&found, &memory, clock::now().as_second()) {
        let idle = format::length(one.idle);
        let text = format!(
            "{} keeps a receive that broke off: {}, and nothing more for {idle}",
            one.dataset,
            one.size()
        );
        if !one.is_stale() {
            findings.push(Finding::ok("receive", text));
            continue;
        }
        let goes = match one.limit {
            Some(limit) => format!("a run throws it away after {}, and ", format::length(limit)),
            None => String::new(),
        };
        let fix = format!("{goes}`replicator tokens --discard {}` does it now", one.dataset);
        findings.push(Finding::warn("receive", text, fix));
    }
    findings
}

/// A pool of this machine that waits for its devices: whoever asks it may wait as well.
fn hangs(pool: &str) -> Option<Finding> {
    let pools = kstat::pools(Path::new(kstat::FOLDER)).ok()?;
    let state = pools.get(pool)?.as_deref()?;
    (state == "SUSPENDED").then(|| {
        Finding::fail(
            "pool",
            format!("the pool {pool} is SUSPENDED, and is not asked anything"),
            "see `zpool status`; `zpool clear` resumes a pool after its devices are back".to_string(),
        )
    })
}

/// Looks at both ends of a job, each end with the whole time. An end that does not answer keeps nobody from being told
/// about the others.
fn of_job(job: &Job, patience: Duration, cancel: &Cancel, sections: &mut Vec<Section>) {
    let mut clock = || jiff::Timestamp::now().as_second();
    // One flag for both hosts: while a target is looked at, the source is asked, too.
    let cancel = cancel.child();
    let mut source = None;
    let mut section = Section::new(format!("job {}: from {}", job.name, job.source));
    section.findings = within(patience, &cancel, &job.source, || {
        let mut host = host(&job.source, &job.link, &cancel)?;
        let findings = check::source(&mut *host, job, &mut clock);
        source = Some(host);
        Ok(findings)
    });
    let usable = section.grade() < check::Grade::Fail;
    let reached = source.is_some();
    sections.push(section);
    if !reached {
        return;
    }
    for target in &job.targets {
        let mut section = Section::new(format!("job {}: to {} ({})", job.name, target.name, target.endpoint));
        section.findings = within(patience, &cancel, &target.endpoint, || {
            let mut there = host(&target.endpoint, &target.link, &cancel)?;
            if usable {
                let mut from = match source.take() {
                    Some(from) => from,
                    None => host(&job.source, &job.link, &cancel)?,
                };
                let findings = check::target(&mut *from, &mut *there, job, target, &mut clock);
                source = Some(from);
                Ok(findings)
            } else {
                Ok(check::reached(&mut *there))
            }
        });
        if cancel.is_cancelled() {
            // Nobody knows what it was asked last.
            source = None;
        }
        // A disk that is not always there need not be there now.
        if target.optional {
            section.findings.iter_mut().for_each(Finding::may_be_away);
        }
        sections.push(section);
    }
}

/// Looks at a pair as `pair check` does, with the time that one end of a job has.
fn of_pair(config: &Config, pair: &Pair, patience: Duration, cancel: &Cancel, sections: &mut Vec<Section>) {
    let Some(root) = pair.roots.first() else { return };
    let end = Endpoint { machine: Some(pair.peer.machine.clone()), dataset: root.clone() };
    let cancel = cancel.child();
    let mut found = Vec::new();
    let late = within(patience, &cancel, &end, || {
        found = super::pair::check::of_pair(config, pair, &cancel);
        Ok(Vec::new())
    });
    if let Some(last) = found.last_mut() {
        last.findings.extend(late);
    }
    sections.extend(found);
}

/// Asks an end, and gives up when the time is over. What was found before then is kept, good or not.
fn within(
    patience: Duration,
    cancel: &Cancel,
    end: &Endpoint,
    ask: impl FnOnce() -> Result<Vec<Finding>, Finding>,
) -> Vec<Finding> {
    cancel.reset();
    let (done, wait) = mpsc::channel::<()>();
    let flag = cancel.clone();
    let watch = std::thread::spawn(move || {
        let over = wait.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout);
        if over {
            flag.cancel();
        }
        over
    });
    let mut findings = ask().unwrap_or_else(|finding| vec![finding]);
    drop(done);
    if watch.join().unwrap_or_default() {
        // Beside what was found: an answer that did not come is not always a failure of its own, as with a size.
        let text = format!("not everything about {end} was answered within {} seconds", patience.as_secs());
        let fix = "look after `zpool status` and the load on both sides, or wait longer with --timeout";
        findings.push(Finding::fail("reach", text, fix.to_string()));
    }
    findings
}

fn host(endpoint: &Endpoint, link: &Link, cancel: &Cancel) -> Result<Box<dyn Host>, Finding> {
    if let Some(finding) = endpoint.machine.is_none().then(|| hangs(endpoint.dataset.pool())).flatten() {
        return Err(finding);
    }
    connect::host(link, endpoint, None, cancel)
        .map_err(|error| Finding::fail("reach", error.to_string(), error.hint()))
}
