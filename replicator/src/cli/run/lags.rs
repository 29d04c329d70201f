//! How far targets are behind and how full pools are, for the record of a run: from what this machine has and what runs
//! have seen at the targets. Nobody else is asked.

use zfs_core::Guid;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use crate::config::Config;
use crate::config::job::Job;
use crate::config::job::Target;
use crate::jobs::memory::Memory;
use crate::jobs::memory::TargetMemory;
use crate::monitor::facts;
use crate::monitor::facts::Fact;
use crate::monitor::health::Pool;
use crate::monitor::history::Lag;
use crate::monitor::history::PoolSize;
use crate::survey::Survey;

/// For each target that a run has seen, the dataset that is furthest behind. `now` is in seconds since 1970.
pub(super) fn lags(config: &Config, memory: &Memory, survey: &Survey, now: i64) -> Vec<Lag> {
    let mut lags = Vec::new();
    for job in &config.jobs {
        for target in &job.targets {
            let Some(seen) = memory.of(&job.name, &target.endpoint.to_string()) else { continue };
            lags.extend(lag(job, target, seen, survey, now));
        }
    }
    lags
}

fn lag(job: &Job, target: &Target, seen: &TargetMemory, survey: &Survey, now: i64) -> Option<Lag> {
    // The common snapshot is on both sides, and its date is the same.
    let own = |source: &str, copy: &str| match (&job.source.machine, &target.endpoint.machine) {
        (None, _) => Some(source.to_string()),
        (Some(_), None) => Some(copy.to_string()),
        (Some(_), Some(_)) => None,
    };
    let one = |source: &str, copy: &str, base: Option<u64>| {
        let taken = taken(survey, &own(source, copy)?.parse().ok()?, Guid(base?))?;
        Some(Lag {
            job: job.name.clone(),
            target: target.name.clone(),
            dataset: source.to_string(),
            seconds: u64::try_from(now.saturating_sub(taken)).unwrap_or(0),
        })
    };
    let all = seen.datasets.iter().filter_map(|base| one(&base.source, &base.target, base.base));
    all.max_by_key(|lag| lag.seconds)
}

fn taken(survey: &Survey, dataset: &DatasetName, guid: Guid) -> Option<i64> {
    let snapshots = &survey.datasets.get(dataset)?.snapshots;
    snapshots.iter().find(|one| one.guid == guid).map(|one| one.creation)
}

/// The sizes of the pools that could be looked at.
pub(super) fn pools(zfs: &Zfs, survey: &Survey) -> Vec<PoolSize> {
    let size = |pool: &String| match facts::pool(zfs, pool) {
        Ok(Fact::Pool(Pool::Known(status))) => {
            Some(PoolSize { pool: pool.clone(), size: status.size, free: status.free })
        }
        _ => None,
    };
    survey.capacity.keys().filter_map(size).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;
    use std::path::Path;

    use zfs_core::DatasetKind;
    use zfs_core::Txg;

    use super::*;
    use crate::config::place::Source;
    use crate::jobs::memory::BaseMemory;
    use crate::policy::Snapshot;
    use crate::survey::Seen;

    const TEXT: &str = "
        [[replication]]
        name = \"push\"
        source = \"tank/a\"
        [[replication.target]]
        name = \"nas\"
        to = \"nas:back/a\"
        [[replication.target]]
        name = \"usb\"
        to = \"usb/a\"
        [[replication]]
        name = \"pull\"
        source = \"far:pool/b\"
        [[replication.target]]
        name = \"here\"
        to = \"tank/b\"
    ";

    /// A dataset with snapshots that were taken at these times, which are their GUIDs as well.
    fn seen(survey: &mut Survey, dataset: &str, dates: &[u64]) {
        let name: DatasetName = dataset.parse().expect("a name");
        let snapshot = |date: &u64| Snapshot {
            name: name.snapshot(&date.to_string()).expect("a name"),
            guid: Guid(*date),
            createtxg: Txg(*date),
            creation: i64::try_from(*date).expect("small"),
        };
        let seen = Seen {
            name: name.clone(),
            guid: Guid(1),
            kind: DatasetKind::Filesystem,
            written: 0,
            origin: None,
            snapshots: dates.iter().map(snapshot).collect(),
            cloned: BTreeMap::new(),
            held: BTreeSet::new(),
        };
        survey.datasets.insert(name, seen);
    }

    #[test]
    fn the_dataset_that_is_furthest_behind_counts_and_what_is_not_known_does_not() {
        let (config, problems) = Config::parse(&[Source::new(Path::new("r.toml"), TEXT)]);
        assert_eq!(problems.errors(), 0, "{}", problems.render());
        let mut survey = Survey::default();
        seen(&mut survey, "tank/a", &[100, 200, 300]);
        seen(&mut survey, "tank/a/x", &[150, 250]);
        seen(&mut survey, "tank/b", &[120]);
        let base = |source: &str, target: &str, base: Option<u64>| BaseMemory {
            source: source.to_string(),
            target: target.to_string(),
            base,
        };
        let mut memory = Memory::default();
        let mut put = |job: &str, to: &str, datasets: Vec<BaseMemory>| {
            let (job, to) = (job.to_string(), to.to_string());
            memory.put(TargetMemory { job, to, pool: None, seen: 0, datasets, partial: false });
        };
        put(
            "push",
            "nas:back/a",
            vec![base("tank/a", "back/a", Some(200)), base("tank/a/x", "back/a/x", Some(150))],
        );
        // Gone here, never sent, and not of this machine.
        put("push", "usb/a", vec![base("tank/a", "usb/a", Some(7)), base("tank/a/x", "usb/a/x", None)]);
        put("pull", "tank/b", vec![base("pool/b", "tank/b", Some(120))]);
        let found = lags(&config, &memory, &survey, 400);
        let found: Vec<_> =
            found.iter().map(|one| (one.target.as_str(), one.dataset.as_str(), one.seconds)).collect();
        assert_eq!(found, [("nas", "tank/a/x", 250), ("here", "pool/b", 280)]);
        // A clock that went back makes nothing negative.
        assert_eq!(lags(&config, &memory, &survey, 0)[0].seconds, 0);
    }
}
