//! The holds of this machine: which process of ours each is of, and the end of those whose process is gone.

use zfs_core::Zfs;
use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;

use super::LABEL;
use crate::host::Depth;
use crate::host::HostError;
use crate::inspect::holds::Held;
use crate::inspect::holds::Owner;

pub(super) fn list(zfs: &Zfs, root: &DatasetName, depth: Depth) -> Result<Vec<Held>, HostError> {
    let mut all = Vec::new();
    match depth {
        Depth::One => of_dataset(zfs, root, &mut all)?,
        Depth::All => {
            for dataset in zfs.tree(root)? {
                of_dataset(zfs, &dataset?.name, &mut all)?;
            }
        }
    }
    Ok(all)
}

fn of_dataset(zfs: &Zfs, dataset: &DatasetName, all: &mut Vec<Held>) -> Result<(), HostError> {
    for found in zfs.snapshots_with_numbers(dataset, ["userrefs"])? {
        let (zfs_core::Snapshot { name, .. }, [holds]) = found?;
        // Asked for only where there are some; where the count is missing, it is asked for as well.
        if holds == Some(0) {
            continue;
        }
        for hold in zfs.holds(&name)? {
            all.push(Held::new(name.clone(), hold.tag, Some(hold.created), |process| Some(runs(process))));
        }
    }
    Ok(())
}

/// Releases holds. All are looked at before the first goes: whoever asks may be another machine.
pub(super) fn release(zfs: &Zfs, holds: &[(SnapshotName, HoldTag)]) -> Result<(), HostError> {
    for (snapshot, tag) in holds {
        let held = Held::new(snapshot.clone(), tag.clone(), None, |process| Some(runs(process)));
        if !matches!(held.owner, Owner::Gone(_)) {
            let (host, tag) = (LABEL.to_string(), held.tag_text());
            return Err(HostError::NotStale { host, snapshot: snapshot.clone(), tag });
        }
    }
    // One call is of one pool.
    holds.iter().try_for_each(|hold| Ok(zfs.release(std::slice::from_ref(hold))?))
}

/// Whether a process of this machine is there. When that cannot be found out, it counts as there.
fn runs(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    let Some(process) = process else { return false };
    rustix::process::test_kill_process(process) != Err(rustix::io::Errno::SRCH)
}
