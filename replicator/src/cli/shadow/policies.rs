//! What sanoid would take and prune now, beside what our configuration would.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use jiff::Timestamp;
use zfs_core::name::DatasetName;

use super::differ::Difference;
use super::differ::some;
use crate::policy::Period;
use crate::prune;
use crate::survey::Survey;
use crate::take;

/// By dataset: what is due for it, and the short names of what goes.
type Sides<T> = BTreeMap<DatasetName, BTreeSet<T>>;

/// Where the policies of both part. Targets are not asked: what they keep from being pruned is more than sanoid would
/// keep.
pub(super) fn differences(theirs: &Survey, ours: &Survey, now: Timestamp) -> Vec<Difference> {
    let surveys = (theirs, ours);
    let mut all = Vec::new();
    let (theirs, ours) = (due(surveys.0, now), due(surveys.1, now));
    let words = |periods: &[&Period]| periods.iter().map(|one| one.word()).collect::<Vec<_>>().join(", ");
    for name in names(&theirs, &ours) {
        let (lacks, more) = parted(name, &theirs, &ours);
        if !lacks.is_empty() {
            let text = format!("sanoid takes {} now; replicator does not", words(&lacks));
            all.push(Difference::new(name, "not-taken", text));
        }
        if !more.is_empty() {
            let text = format!("replicator takes {} now; sanoid does not", words(&more));
            all.push(Difference::new(name, "taken", text));
        }
    }
    let (theirs, ours) = (going(surveys.0, now), going(surveys.1, now));
    let owned = |names: &[&String]| some(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
    for name in names(&theirs, &ours) {
        let (lacks, more) = parted(name, &theirs, &ours);
        if !lacks.is_empty() {
            let text = format!("sanoid prunes {} now; replicator keeps it", owned(&lacks));
            all.push(Difference::new(name, "kept", text));
        }
        if !more.is_empty() {
            let text = format!("replicator prunes {} now; sanoid keeps it", owned(&more));
            all.push(Difference::new(name, "pruned", text));
        }
    }
    all
}

fn due(survey: &Survey, now: Timestamp) -> Sides<Period> {
    let plan = take::plan(survey, &BTreeSet::new(), now);
    let mut all = Sides::new();
    for unit in &plan.units {
        let periods: BTreeSet<Period> = unit.names.iter().map(|name| name.period).collect();
        for dataset in unit.datasets() {
            all.entry(dataset.clone()).or_default().extend(&periods);
        }
    }
    all
}

fn going(survey: &Survey, now: Timestamp) -> Sides<String> {
    let nothing = prune::Protections::new();
    let plan = prune::plan(survey, &BTreeSet::new(), &nothing, now);
    let going = |dataset: &prune::DatasetPlan<'_>| {
        dataset.going().map(|one| one.snapshot.name.short().to_string()).collect()
    };
    plan.datasets.iter().map(|one| (one.dataset.clone(), going(one))).collect()
}

fn names<'s, T>(theirs: &'s Sides<T>, ours: &'s Sides<T>) -> BTreeSet<&'s DatasetName> {
    theirs.keys().chain(ours.keys()).collect()
}

/// What only one of both has for a dataset.
fn parted<'s, T: Ord>(
    name: &DatasetName,
    theirs: &'s Sides<T>,
    ours: &'s Sides<T>,
) -> (Vec<&'s T>, Vec<&'s T>) {
    let of = |sides: &'s Sides<T>| sides.get(name).into_iter().flatten().collect::<BTreeSet<_>>();
    let (theirs, ours) = (of(theirs), of(ours));
    (theirs.difference(&ours).copied().collect(), ours.difference(&theirs).copied().collect())
}
