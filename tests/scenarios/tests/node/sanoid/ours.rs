//! What we decide about a case, through the functions that every run of ours goes through.

use std::collections::BTreeMap;
use std::path::Path;

use replicator::config::Config;
use replicator::config::dataset::Known;
use replicator::config::dataset::Policy;
use replicator::config::place::Source;
use replicator::config::resolve::Effective;
use replicator::policy::Due;
use replicator::policy::Pruning;
use replicator::policy::Snapshot;
use replicator::policy::Style;
use replicator::policy::Zone;
use replicator::policy::due;
use replicator::policy::prune;
use zfs_core::name::DatasetName;

use super::case::Case;

/// The policies of all datasets, in the zone of the case instead of this process's.
pub(super) fn policies(case: &Case) -> BTreeMap<DatasetName, Effective> {
    let (config, problems) =
        Config::parse_sanoid(&Source::new(Path::new("/sanoid.conf"), &*case.config), None);
    assert_eq!(problems.errors(), 0, "{}\n{case}", problems.render());
    let known: Vec<_> = case.datasets.iter().cloned().map(Known::new).collect();
    let mut resolved = config.policies.resolve(&known).datasets;
    let zone: Zone = case.zone.parse().expect("a zone of the node");
    for effective in resolved.values_mut() {
        effective.policy.schedule.zone = zone.clone();
        effective.policy.naming.zone = zone.clone();
    }
    resolved
}

/// What is due and what is not; nothing where no snapshots are taken.
pub(super) fn due_of(case: &Case, dataset: &DatasetName, snapshots: &[Snapshot]) -> Vec<Due> {
    let policy = case.policies.get(dataset).map(|effective| &effective.policy);
    let Some(policy) = policy.filter(|policy| policy.snapshot) else { return Vec::new() };
    due(&policy.schedule, Style::Sanoid, &policy.naming, snapshots, case.timestamp())
}

/// Names of snapshots that may go.
pub(super) fn prunes(case: &Case, policy: &Policy, snapshots: &[Snapshot]) -> Vec<String> {
    if !policy.prune {
        return Vec::new();
    }
    let decisions = prune(Pruning {
        snapshots,
        retention: &policy.retention,
        naming: &policy.naming,
        zone: &policy.schedule.zone,
        needed: &[],
        targets: &[],
        capacity: Some(case.capacity),
        now: case.timestamp(),
    });
    decisions.iter().filter(|one| !one.keep).map(|one| one.snapshot.name.to_string()).collect()
}
