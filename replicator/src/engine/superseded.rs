//! Which older bookmarks may go at the end of a run. A bookmark is dropped only for a newer base, and that lies on
//! another machine, where somebody may have destroyed it since it was received or listed: so it is looked at once more,
//! right before.

use std::collections::HashSet;

use zfs_core::Guid;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::Report;
use crate::host::Host;
use crate::plan::TreePlan;

/// Those of `bookmarks` whose datasets have reached their end and whose newer base the target has right now. What stays
/// for another reason is told to `note`.
pub(super) fn superseded(
    plan: &TreePlan,
    report: &Report,
    bookmarks: &[(BookmarkName, Guid)],
    target: &mut dyn Host,
    note: &mut dyn FnMut(&str),
) -> Vec<(BookmarkName, Guid)> {
    let ended = report.datasets.iter().filter(|one| one.error.is_none()).map(|one| &one.source);
    let ended: HashSet<&DatasetName> = ended.collect();
    let asked: HashSet<&DatasetName> =
        bookmarks.iter().map(|(name, _)| name.dataset()).filter(|name| ended.contains(name)).collect();
    let (mut datasets, mut names, mut guids) = (Vec::new(), Vec::<SnapshotName>::new(), Vec::new());
    for dataset in plan.datasets.iter().filter(|dataset| asked.contains(&dataset.source)) {
        if let (Some(there), Some(guid)) = (dataset.newest_there(), dataset.newest()) {
            datasets.push(&dataset.source);
            names.push(there.clone());
            guids.push(guid);
        }
    }
    if names.is_empty() {
        return Vec::new();
    }
    let found = match target.snapshot_guids(&names) {
        Ok(found) => found,
        // They do no harm, and the next run removes them.
        Err(error) => {
            note(&format!("older bookmarks stay for now: {error}"));
            return Vec::new();
        }
    };
    let mut proven: HashSet<&DatasetName> = HashSet::new();
    for (((dataset, name), expected), found) in datasets.into_iter().zip(&names).zip(guids).zip(found) {
        if found == Some(expected) {
            proven.insert(dataset);
        } else {
            note(&format!(
                "the older bookmarks of {dataset} stay: {} does not have {name} as it was received any more",
                target.label()
            ));
        }
    }
    bookmarks.iter().filter(|(name, _)| proven.contains(name.dataset())).cloned().collect()
}
