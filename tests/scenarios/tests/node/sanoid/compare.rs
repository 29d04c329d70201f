//! The comparison of one case. What sanoid takes for the last preferred time is calculated as well ([`super::theirs`]) and
//! must explain what it did; where that is not our slot, one of the mistakes that are mended must be at work. A mistake
//! that is only assumed would hide ours.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use replicator::policy::Naming;
use replicator::policy::Snapshot;
use replicator::policy::Style;
use replicator::policy::due;
use zfs_core::name::DatasetName;

use super::case::Case;
use super::ours;
use super::real::Real;
use super::theirs;

/// All differences, in words, and counts of what was compared.
pub(super) fn compare(case: &Case, real: &Real, counts: &mut BTreeMap<&'static str, u64>) -> Vec<String> {
    let mut differences = Vec::new();
    if real.status != Some(0) {
        differences.push(format!("sanoid ended with {:?}: {}", real.status, real.errors));
        return differences;
    }
    let mut count = |what, times: usize| *counts.entry(what).or_default() += times as u64;
    let none = Vec::new();
    let mut seen = BTreeSet::new();
    for (dataset, effective) in &case.policies {
        let policy = &effective.policy;
        let snapshots = case.snapshots.get(dataset).unwrap_or(&none);
        let odd = case.odd.contains(dataset);
        if policy.snapshot {
            let below = case.datasets.iter().any(|other| other != dataset && other.is_within(dataset));
            for due in due(&policy.schedule, Style::Sanoid, &policy.naming, snapshots, case.timestamp()) {
                let name = policy.naming.name(case.timestamp(), due.period, |_| false);
                let name = dataset.snapshot(&name).expect("a valid name").to_string();
                let alone = real.takes.contains(&(name.clone(), false));
                let all = real.takes.contains(&(name.clone(), true));
                seen.extend([(name.clone(), false), (name, true)]);
                count(if due.due { "due" } else { "not due" }, 1);
                let it = || format!("{dataset} {}: sanoid takes {}, {due}", due.period, alone || all);
                let theirs = theirs::preferred(case, &policy.schedule, due.period);
                let newest =
                    snapshots.iter().filter(|one| policy.naming.period(one.name.short()) == Some(due.period));
                let newest = newest.map(|one| one.creation).max();
                if newest.is_none_or(|newest| newest < theirs) != (alone || all) {
                    differences.push(format!("{} (it looks at {theirs})", it()));
                }
                if theirs != due.slot {
                    match theirs::mistake(case, due.period, due.slot) {
                        Some(mistake) => count(mistake, 1),
                        None => differences.push(format!("{} (its preferred time is {theirs})", it())),
                    }
                } else if (alone || all) != due.due {
                    // We take rather one more.
                    if odd && due.due {
                        count("due by wrong dates", 1);
                    } else {
                        differences.push(it());
                    }
                }
                if !odd && due.due != newest.is_none_or(|newest| newest < due.slot) {
                    differences.push(it());
                }
                if due.due && below && (alone || all) && all == effective.together.is_empty() {
                    differences.push(format!(
                        "{dataset}: sanoid takes all below: {all}, we {:?}",
                        effective.together
                    ));
                }
            }
        }
        let goes: BTreeSet<_> = ours::prunes(case, policy, snapshots).into_iter().collect();
        let theirs: BTreeSet<_> = real.prunes.iter().filter(|name| of(name, dataset)).cloned().collect();
        count("goes", goes.len());
        count("stays", snapshots.len() - goes.len());
        if odd {
            // Those with wrong dates stay and take no place of others; which ones are counted differs with the order.
            if goes.len() > theirs.len() {
                differences.push(format!("{dataset} has wrong dates: {goes:?} go, in sanoid {theirs:?}"));
            }
        } else {
            let newest = newest(&policy.naming, snapshots);
            let mut expected = theirs.clone();
            if newest.as_ref().is_some_and(|newest| expected.remove(newest)) {
                count("the newest would go", 1);
            }
            if goes != expected {
                let more: Vec<_> = goes.difference(&expected).collect();
                let less: Vec<_> = expected.difference(&goes).collect();
                differences.push(format!("{dataset}: go only here: {more:?}, go only in sanoid: {less:?}"));
            }
        }
    }
    let strange = real.takes.iter().filter(|one| !seen.contains(one));
    differences.extend(strange.map(|(name, _)| format!("only sanoid takes {name}")));
    let strange = real.prunes.iter().filter(|name| !case.policies.keys().any(|dataset| of(name, dataset)));
    differences.extend(strange.map(|name| format!("only sanoid destroys {name}")));
    differences
}

fn of(name: &str, dataset: &DatasetName) -> bool {
    name.split('@').next() == Some(dataset.as_str())
}

fn newest(naming: &Naming, snapshots: &[Snapshot]) -> Option<String> {
    let ours = snapshots.iter().filter(|one| naming.period(one.name.short()).is_some());
    ours.max_by_key(|one| one.createtxg).map(|one| one.name.to_string())
}
