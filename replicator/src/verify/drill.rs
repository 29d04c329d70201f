//! A restore drill: a clone of a snapshot of the target is made, mounted read-only where nobody else sees it, read, and
//! removed again. It carries the mark of what is gone from its first moment on, so that it and nothing else can be removed,
//! and one that a crash has left is removed by the next drill.

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use crate::host::Change;
use crate::host::DatasetState;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::host::PropertySource;
use crate::host::Snapshot;
use crate::marks;
use crate::marks::Gone;

/// Makes a clone of a snapshot, has it read, and removes it, also where reading failed.
///
/// # Errors
/// When it cannot be made, read or removed.
pub fn drill<T>(
    host: &mut dyn Host,
    snapshot: &Snapshot,
    now: i64,
    read: &mut dyn FnMut(&DatasetName, &SnapshotName) -> Result<T, HostError>,
) -> Result<T, HostError> {
    let dataset = snapshot.name.dataset();
    clean(host, dataset)?;
    let bad = |why: String| HostError::BadAnswer {
        host: "this machine".to_string(),
        operation: "a restore drill",
        why,
    };
    let clone = marks::drill(dataset, now).map_err(|error| bad(error.to_string()))?;
    let mark = Gone { since: now, root: Guid(0), newest: snapshot.guid, referenced: 0 };
    let set = [
        (marks::GONE, mark.to_string()),
        ("readonly", "on".to_string()),
        ("canmount", "noauto".to_string()),
        ("mountpoint", "none".to_string()),
    ];
    host.apply(&Change::Clone {
        snapshot: snapshot.name.clone(),
        guid: snapshot.guid,
        to: clone.clone(),
        set: set.map(|(name, value)| (name.to_string(), value)).to_vec(),
    })?;
    let done = read(&clone, &snapshot.name);
    let removed = clean(host, dataset);
    let done = done?;
    removed?;
    Ok(done)
}

/// Removes the clones of drills below a dataset. What is not surely one of them is left alone.
fn clean(host: &mut dyn Host, dataset: &DatasetName) -> Result<(), HostError> {
    let Inventory::Present(tree) = host.inventory(dataset, Depth::All)? else { return Ok(()) };
    let left: Vec<&DatasetState> = tree.datasets().iter().filter(|state| is_drill(state, dataset)).collect();
    for state in left {
        let names = [marks::GONE.to_string()];
        let properties = host.some_properties(&state.name, Depth::One, &names)?;
        let mark = properties.get(&state.name).and_then(|all| all.get(marks::GONE));
        let mark = mark.filter(|mark| mark.source == PropertySource::Local);
        let ours = mark.and_then(|mark| Gone::read(&mark.value)).is_some_and(|mark| mark.root == Guid(0));
        if ours {
            let (dataset, guid) = (state.name.clone(), state.guid);
            host.apply(&Change::Destroy { dataset, guid, bytes: state.written })?;
        }
    }
    Ok(())
}

/// Whether a dataset is a clone that was made here, with nothing in it that anybody could miss.
fn is_drill(state: &DatasetState, of: &DatasetName) -> bool {
    let origin = state.origin.as_ref().is_some_and(|origin| origin.dataset() == of);
    marks::is_drill(&state.name, of) && origin && state.snapshots.is_empty()
}
