//! Puts the questions of a check to processes of their own, and makes a report of what comes in time.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use zfs_core::Zfs;

use super::Failure;
use super::probe;
use crate::codes::Code;
use crate::config::Config;
use crate::config::load::Location;
use crate::monitor::Level;
use crate::monitor::Report;
use crate::monitor::Unread;
use crate::monitor::ask;
use crate::monitor::ask::Answer;
use crate::monitor::ask::Ended;
use crate::monitor::capacity;
use crate::monitor::facts::Fact;
use crate::monitor::health;
use crate::monitor::health::Pool;
use crate::monitor::history;
use crate::monitor::kstat;
use crate::monitor::lag;
use crate::monitor::lag::Look;
use crate::monitor::lag::Way;
use crate::monitor::partials;
use crate::monitor::paused;
use crate::monitor::snapshots;
use crate::monitor::snapshots::Watched;
use crate::monitor::verified;
use crate::pair::paused::Paused;
use crate::policy::PerPeriod;
use crate::policy::Style;
use crate::receiver::partials::Memory;
use crate::verify::memory::Ran;
use crate::verify::memory::Verified;

/// How many records of runs are read: two timers that never do the same leave all parts in a few.
const RECORDS: usize = 64;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Check {
    /// Fresh snapshots.
    Snapshots,
    /// Pools.
    Health,
    /// Room in pools.
    Capacity,
    /// Replications.
    Replication,
    /// Copies that were read, and how many days ago that may be.
    Verified(u32),
}

/// How much of a pool is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// How it is.
    Pool,
    /// And the datasets with a policy.
    Datasets,
    /// And their snapshots.
    Snapshots,
}

/// What came of one pool.
#[derive(Clone, Debug)]
pub(in crate::cli) struct OfPool {
    /// Its name.
    pub(in crate::cli) name: String,
    /// How it is.
    pub(in crate::cli) pool: Pool,
    /// Its datasets, as far as they were asked for.
    pub(in crate::cli) datasets: Vec<Watched>,
    /// What could not be had of them.
    pub(in crate::cli) unread: Vec<Unread>,
}

/// Asks for one configuration.
pub(in crate::cli) struct Gatherer<'c> {
    config: &'c Config,
    file: PathBuf,
    program: PathBuf,
    timeout: Duration,
    now: i64,
}

impl<'c> Gatherer<'c> {
    /// For a configuration that was read from there.
    pub(in crate::cli) fn new(
        config: &'c Config,
        location: &Location,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let (Location::Native(file) | Location::Sanoid(file)) = location;
        let now = jiff::Timestamp::now().as_second();
        Ok(Self { config, file: file.clone(), program: super::program()?, timeout, now })
    }

    /// The clock when this began, in seconds since 1970.
    pub(in crate::cli) fn now(&self) -> i64 {
        self.now
    }

    /// Checks something.
    pub(in crate::cli) fn report(&self, check: Check) -> Report {
        let depth = match check {
            Check::Snapshots => Depth::Snapshots,
            Check::Health => Depth::Pool,
            Check::Capacity => Depth::Datasets,
            Check::Replication => return self.replication(&self.ways()),
            Check::Verified(days) => return self.verified(days),
        };
        match self.pools(depth) {
            Ok(pools) => self.judge(check, &pools),
            Err(why) => super::unknown(&without_pools(why)),
        }
    }

    /// A report on pools out of what came of them, which must have been asked for deeply enough.
    pub(super) fn judge(&self, check: Check, pools: &[OfPool]) -> Report {
        match check {
            Check::Health => {
                let pools: Vec<_> = pools.iter().map(|one| (one.name.clone(), one.pool.clone())).collect();
                health::judge(&pools)
            }
            Check::Capacity => self.capacity(pools),
            Check::Snapshots | Check::Replication | Check::Verified(_) => {
                let watched: Vec<_> = pools.iter().flat_map(|one| one.datasets.iter().cloned()).collect();
                let unread: Vec<_> = pools.iter().flat_map(|one| one.unread.iter().cloned()).collect();
                snapshots::judge(&watched, &unread, self.config.style, self.now)
            }
        }
    }

    /// The targets, what others send into, and what the runs say of pairs.
    pub(super) fn replication(&self, ways: &[Way]) -> Report {
        let mut report = lag::judge(ways, self.now);
        if !self.config.receives.is_empty() {
            match Memory::read(&self.config.folders.state) {
                Ok(memory) => partials::add(&mut report, &memory.partials),
                Err(why) => partials::not_known(&mut report, &why),
            }
        }
        match self.paused() {
            Ok(all) => paused::add(&mut report, &all.iter().collect::<Vec<_>>()),
            Err(why) => paused::not_known(&mut report, &why),
        }
        report
    }

    /// The datasets of pairs whose pruning stands still, by the records of runs.
    ///
    /// # Errors
    /// When they cannot be read; only root may.
    pub(super) fn paused(&self) -> Result<Vec<Paused>, String> {
        if self.config.pairs.is_empty() {
            return Ok(Vec::new());
        }
        let state = &self.config.folders.state;
        let history = history::read(state, RECORDS)
            .map_err(|error| format!("the records of runs in {} cannot be read: {error}", state.display()))?;
        let of_pairs = self.config.pairs.iter().flat_map(|pair| history.paused(&pair.name));
        Ok(of_pairs.cloned().collect())
    }

    /// Whether any target is to be verified.
    fn verifies(&self) -> bool {
        self.config.jobs.iter().flat_map(|job| &job.targets).any(|target| target.verify)
    }

    fn verified(&self, days: u32) -> Report {
        let memory = match Verified::read(&self.config.folders.state) {
            Ok(memory) => memory,
            // Nothing is missed where there is nothing to be remembered.
            Err(_) if !self.verifies() => Verified::default(),
            Err(why) => return Report::unknown(&why),
        };
        verified::judge(&to_verify(self.config, &memory), u64::from(days) * 86_400, self.now)
    }

    /// What is wrong with copies, and the last run that read some. Nothing is wrong where nobody ever reads any.
    pub(in crate::cli) fn copies(&self) -> Copies {
        let memory = match Verified::read(&self.config.folders.state) {
            Ok(memory) => memory,
            Err(why) => {
                return Copies { unknown: self.verifies().then_some(why), ..Copies::default() };
            }
        };
        let never = memory.datasets.is_empty() && memory.targets.is_empty();
        let targets = if never { Vec::new() } else { to_verify(self.config, &memory) };
        let longest = u64::from(super::DAYS) * 86_400;
        let found = targets.iter().flat_map(|one| verified::find(one, longest, self.now)).collect();
        Copies { found, ran: memory.last, unknown: None }
    }

    fn capacity(&self, pools: &[OfPool]) -> Report {
        let datasets = pools.iter().flat_map(|one| &one.datasets);
        let mut limits = capacity::limits(datasets.map(|one| (one.dataset.as_str(), &one.monitor)));
        // Of a pool whose datasets are not known at least those that are named.
        let silent = |name: &str| pools.iter().any(|one| one.name == name && one.datasets.is_empty());
        let named = self.named();
        let of_named = capacity::limits(named.iter().map(|one| (one.dataset.as_str(), &one.monitor)));
        limits.extend(of_named.into_iter().filter(|(name, _)| silent(name)));
        let judged: Vec<_> = pools
            .iter()
            .filter_map(|one| {
                let of_pool = limits.get(&one.name).copied();
                // Nobody may have set a limit there, but that is not known.
                let of_pool = of_pool.or_else(|| (!one.unread.is_empty()).then(capacity::Limits::default))?;
                Some((one.name.clone(), of_pool, one.pool.clone()))
            })
            .collect();
        capacity::judge(&judged)
    }

    /// The policies of the datasets that are named, as if none existed.
    fn named(&self) -> Vec<Watched> {
        let resolved = self.config.policies.resolve(&[]);
        let watched = resolved.datasets.into_values().map(|one| Watched {
            dataset: one.dataset.to_string(),
            exists: false,
            monitor: one.policy.monitor,
            seen: PerPeriod::default(),
        });
        watched.collect()
    }

    /// All pools that the configuration is about, by name.
    ///
    /// # Errors
    /// Why not even the pools are known.
    pub(super) fn pools(&self, depth: Depth) -> Result<Vec<OfPool>, String> {
        let about = self.config.policies.pools();
        let imported = kstat::pools(Path::new(kstat::FOLDER))
            .map_err(|error| format!("{} cannot be read: {error}", kstat::FOLDER))?;
        let there: Vec<_> = imported.iter().filter(|(pool, _)| about.contains(pool)).collect();
        let questions: Vec<_> = there.iter().map(|(pool, _)| self.about_pool(pool, depth)).collect();
        let answers = ask::ask(&self.program, &questions, self.timeout);
        let mut pools = Vec::new();
        for ((name, state), answer) in there.into_iter().zip(answers) {
            pools.push(self.of_pool(name, state.as_deref(), &answer, depth));
        }
        for name in about.named.iter().filter(|name| !imported.contains_key(**name)) {
            pools.push(self.missing(name));
        }
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pools)
    }

    fn about_pool(&self, pool: &str, depth: Depth) -> Vec<OsString> {
        let mut arguments = probe::arguments_for(&self.file, self.timeout);
        arguments.extend(["--pool", pool].map(OsString::from));
        arguments.extend(match depth {
            Depth::Pool => None,
            Depth::Datasets => Some(OsString::from("--datasets")),
            Depth::Snapshots => Some(OsString::from("--snapshots")),
        });
        arguments
    }

    fn missing(&self, name: &str) -> OfPool {
        let named: Vec<_> = self.named();
        let here = named.into_iter().filter(|one| one.dataset.split('/').next() == Some(name));
        // To sanoid these are datasets without snapshots; here it is one cause, told once.
        let (datasets, unread) = match self.config.style {
            Style::Sanoid => (here.collect(), Vec::new()),
            Style::Ours => {
                let why = "the pool is not imported".to_string();
                (Vec::new(), vec![Unread { what: name.to_string(), level: Level::Critical, why }])
            }
        };
        OfPool { name: name.to_string(), pool: Pool::Missing, datasets, unread }
    }

    fn of_pool(&self, name: &str, state: Option<&str>, answer: &Answer, depth: Depth) -> OfPool {
        let (mut pool, mut datasets, mut unread) = (None, Vec::new(), Vec::new());
        let trouble = |why: String| {
            // A pool that waits for its devices is no riddle.
            let works = state.is_none_or(|state| matches!(state, "ONLINE" | "DEGRADED"));
            let level = if works { Level::Unknown } else { Level::Critical };
            Unread { what: name.to_string(), level, why }
        };
        for line in &answer.lines {
            match Fact::read(line) {
                Ok(Fact::Pool(found)) => pool = Some(found),
                Ok(Fact::Dataset(found)) => datasets.push(*found),
                Ok(Fact::Trouble(why)) | Err(why) => unread.push(trouble(why)),
                Ok(Fact::Target(_)) => {}
            }
        }
        let why = match &answer.ended {
            Ended::Well => None,
            Ended::Failed(why) => Some(why.clone()),
            Ended::Late => Some(late(self.timeout)),
        };
        if let Some(why) = &why {
            let says = state.map(|state| format!(" (the pool is {state})")).unwrap_or_default();
            if depth == Depth::Snapshots || datasets.is_empty() {
                unread.push(trouble(format!("{why}{says}")));
            }
        }
        let pool = pool.unwrap_or_else(|| Pool::State {
            state: state.map(str::to_string),
            why: why.or_else(|| Some(unread.first()?.why.clone())).unwrap_or_else(|| "no answer".to_string()),
        });
        OfPool { name: name.to_string(), pool, datasets, unread }
    }

    /// All targets of all jobs.
    pub(super) fn ways(&self) -> Vec<Way> {
        let all: Vec<_> = self
            .config
            .jobs
            .iter()
            .flat_map(|job| job.targets.iter().map(move |target| (job, target)))
            .collect();
        let question = |job: &str, target: &str| {
            let mut arguments = probe::arguments_for(&self.file, self.timeout);
            // With an equals sign: a name may begin with a dash.
            arguments.extend([format!("--job={job}"), format!("--target={target}")].map(OsString::from));
            arguments
        };
        let questions: Vec<_> = all.iter().map(|(job, target)| question(&job.name, &target.name)).collect();
        let answers = ask::ask(&self.program, &questions, self.timeout);
        let way =
            |((job, target), answer): ((&crate::config::job::Job, &crate::config::job::Target), Answer)| {
                Way {
                    job: job.name.clone(),
                    target: target.name.clone(),
                    optional: target.optional,
                    limits: target.lag,
                    look: look(&answer, self.timeout),
                }
            };
        all.into_iter().zip(answers).map(way).collect()
    }

    /// The datasets and pools for numbers, as one.
    pub(in crate::cli) fn everything(&self) -> Result<(Vec<OfPool>, Vec<Way>), Failure> {
        std::thread::scope(|scope| {
            let ways = scope.spawn(|| self.ways());
            let pools = self.pools(Depth::Snapshots);
            let lost = |_| {
                Failure::new(Code::Defect, "a defect of this program: the question for replications panicked")
            };
            let ways = ways.join().map_err(lost)?;
            Ok((pools.map_err(without_pools)?, ways))
        })
    }
}

/// Where not even the pools are known, it is mostly because there is no ZFS: that is told as by every other command.
fn without_pools(why: String) -> Failure {
    match Zfs::open() {
        Err(error) => error.into(),
        Ok(_) => {
            Failure::new(Code::NoZfs, why).hinted("check that /proc is mounted, and `zpool list`".to_string())
        }
    }
}

/// What is known of copies.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Copies {
    /// What is wrong with them.
    pub(in crate::cli) found: Vec<verified::Found>,
    /// The last run that read some.
    pub(in crate::cli) ran: Option<Ran>,
    /// Why nothing is known.
    pub(in crate::cli) unknown: Option<String>,
}

/// The targets that are to be verified, with what was found of each.
pub(super) fn to_verify<'v>(config: &'v Config, memory: &'v Verified) -> Vec<verified::Target<'v>> {
    let mut targets = Vec::new();
    for job in &config.jobs {
        for target in job.targets.iter().filter(|target| target.verify) {
            let to = target.endpoint.to_string();
            targets.push(verified::Target {
                job: &job.name,
                target: &target.name,
                optional: target.optional,
                machines: (
                    job.source.machine.as_ref().map(ToString::to_string),
                    target.endpoint.machine.as_ref().map(ToString::to_string),
                ),
                overview: memory.overview(&job.name, &to),
                checked: memory.of(&job.name, &to).collect(),
            });
        }
    }
    targets
}

fn late(timeout: Duration) -> String {
    format!("no answer within {} s", timeout.as_secs())
}

/// The last that was said of a target.
fn look(answer: &Answer, timeout: Duration) -> Look {
    let said = answer.lines.iter().rev().find_map(|line| match Fact::read(line) {
        Ok(Fact::Target(look)) => Some(look),
        _ => None,
    });
    let why = match &answer.ended {
        Ended::Well => "no answer".to_string(),
        Ended::Failed(why) => why.clone(),
        Ended::Late => late(timeout),
    };
    said.unwrap_or(Look::Nothing { why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::place::Source;

    const TARGETS: &str = "[[replication]]\nname = 'data'\nsource = 'tank/data'\n\
        [[replication.target]]\nname = 'nas'\nto = 'nas:back/data'\n\
        [[replication.target]]\nname = 'usb'\nto = 'usb/data'\noptional = true\n\
        [[replication.target]]\nname = 'raw'\nto = 'raw:back/data'\nverify = false\n";

    #[test]
    fn who_may_be_away_is_known_and_what_nobody_is_to_read_is_not_judged() {
        let source = Source::new(Path::new("/etc/x.toml"), TARGETS);
        let (config, problems) = Config::parse(&[source]);
        assert_eq!(problems.errors(), 0, "{}", problems.render());
        let memory = Verified::default();
        let targets = to_verify(&config, &memory);
        let named: Vec<_> = targets.iter().map(|one| (one.target, one.optional)).collect();
        assert_eq!(named, [("nas", false), ("usb", true)]);
        let found = |at: usize| verified::find(&targets[at], 86_400, 1000);
        assert_eq!(found(0).iter().map(|one| one.level).collect::<Vec<_>>(), [Level::Warning]);
        assert_eq!(found(1), []);
    }
}
