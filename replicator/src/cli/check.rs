//! `replicator check`.

use std::path::Path;

use zfs_core::Zfs;

use super::Failure;
use super::Outcome;
use super::config::From;
use crate::cancel::Cancel;
use crate::check;
use crate::check::Finding;
use crate::check::Section;
use crate::config::Config;
use crate::config::job::Job;
use crate::config::job::Link;
use crate::connect;
use crate::endpoint::Endpoint;
use crate::host::Host;
use crate::monitor::kstat;
use crate::survey;

/// Find out what would fail, before it does: for every job and target whether both sides can be reached, the rights
/// there, versions and features of ZFS, room, and clocks; and whether the datasets of the configuration exist.
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
        of_job(job, cancel, &mut sections);
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
    let hangs: Vec<_> = about.named.iter().filter_map(|pool| hangs(pool)).collect();
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

fn of_job(job: &Job, cancel: &Cancel, sections: &mut Vec<Section>) {
    let mut clock = || jiff::Timestamp::now().as_second();
    let mut section = Section::new(format!("job {}: from {}", job.name, job.source));
    let mut source = match host(&job.source, &job.link, cancel) {
        Ok(host) => host,
        Err(finding) => {
            section.findings.push(finding);
            sections.push(section);
            return;
        }
    };
    section.findings = check::source(&mut *source, job, &mut clock);
    let usable = section.grade() < check::Grade::Fail;
    sections.push(section);
    for target in &job.targets {
        let mut section = Section::new(format!("job {}: to {} ({})", job.name, target.name, target.endpoint));
        match host(&target.endpoint, &target.link, cancel) {
            Err(finding) => section.findings.push(finding),
            Ok(mut host) if usable => {
                section.findings = check::target(&mut *source, &mut *host, job, target, &mut clock);
            }
            Ok(mut host) => {
                section.findings = check::reached(&mut *host);
            }
        }
        // A disk that is not always there need not be there now.
        if target.optional {
            section.findings.iter_mut().for_each(Finding::may_be_away);
        }
        sections.push(section);
    }
}

fn host(endpoint: &Endpoint, link: &Link, cancel: &Cancel) -> Result<Box<dyn Host>, Finding> {
    if let Some(finding) = endpoint.machine.is_none().then(|| hangs(endpoint.dataset.pool())).flatten() {
        return Err(finding);
    }
    connect::host(link, endpoint, None, cancel)
        .map_err(|error| Finding::fail("reach", error.to_string(), error.hint()))
}
