//! The pools of this machine as those use them who take and destroy snapshots by a policy: a few calls with an answer
//! for each name. Behind a trait, so that what is done about a refused name can be tested without ZFS.

use serde_json::json;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::PropertySet;
use zfs_core::Zfs;
use zfs_core::name::SnapshotName;
use zfs_core::snapshot::WhenInUse;

/// Why the kernel refused a name, or a whole call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// What it means.
    pub kind: ErrorKind,
    /// The same in words.
    pub text: String,
    /// What the reader can do about it.
    pub hint: Option<String>,
}

impl Fault {
    /// For JSON, with the snapshot that it is about.
    #[must_use]
    pub fn to_json(&self, snapshot: &SnapshotName) -> serde_json::Value {
        json!({ "snapshot": snapshot.as_str(), "message": self.text, "hint": self.hint })
    }
}

/// A call that was refused: nothing of it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why the whole call was.
    pub whole: Fault,
    /// The names that the kernel refused, if it named any.
    pub names: Vec<(String, Fault)>,
}

/// What became of snapshots that were to be destroyed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destroyed {
    /// Those that are gone, also those that were gone before.
    pub gone: Vec<SnapshotName>,
    /// Those that are still there.
    pub failed: Vec<(SnapshotName, Fault)>,
}

/// The pools of a machine.
pub trait Pools {
    /// Takes snapshots of one pool in one transaction group, one a dataset: all or none.
    ///
    /// # Errors
    /// With the names that were refused, where the kernel names them.
    fn take(&self, snapshots: &[SnapshotName]) -> Result<(), Refused>;

    /// Destroys snapshots of one pool that still have these GUIDs, as many as possible, never deferred.
    fn destroy(&self, snapshots: &[(SnapshotName, Guid)]) -> Destroyed;

    /// The tags of the holds on a snapshot, for messages.
    ///
    /// # Errors
    /// When they cannot be read.
    fn holds(&self, snapshot: &SnapshotName) -> Result<Vec<String>, Fault>;
}

impl Pools for Zfs {
    fn take(&self, snapshots: &[SnapshotName]) -> Result<(), Refused> {
        self.snapshot(snapshots, &PropertySet::new()).map_err(|error| Refused {
            names: error
                .failures()
                .iter()
                .map(|failure| {
                    (
                        failure.name.clone(),
                        Fault { kind: failure.kind, text: failure.kind.to_string(), hint: None },
                    )
                })
                .collect(),
            whole: fault(&error),
        })
    }

    fn destroy(&self, snapshots: &[(SnapshotName, Guid)]) -> Destroyed {
        let mut all = Destroyed::default();
        let mut doomed = Vec::with_capacity(snapshots.len());
        for (name, guid) in snapshots {
            match self.find_snapshot(name) {
                Ok(Some(found)) if found.guid == *guid => doomed.push(name.clone()),
                Ok(Some(found)) => {
                    let text = format!("another snapshot has its name now (GUID {})", found.guid);
                    all.failed.push((name.clone(), Fault { kind: ErrorKind::Exists, text, hint: None }));
                }
                Ok(None) => all.gone.push(name.clone()),
                Err(error) => all.failed.push((name.clone(), fault(&error))),
            }
        }
        match self.destroy_snapshots(&doomed, WhenInUse::Keep) {
            Ok(outcome) => {
                all.gone.extend(outcome.destroyed);
                for failure in outcome.failed {
                    let fault = Fault { kind: failure.kind, text: failure.kind.to_string(), hint: None };
                    match doomed.iter().find(|name| name.as_str() == failure.name) {
                        Some(name) => all.failed.push((name.clone(), fault)),
                        // Of a name that was not given nothing can be said: it is not counted as gone either.
                        None => all.gone.retain(|name| name.as_str() != failure.name),
                    }
                }
            }
            // Nobody knows how far it came: what is gone is seen by the next run.
            Err(error) => all.failed.extend(doomed.into_iter().map(|name| (name, fault(&error)))),
        }
        all
    }

    fn holds(&self, snapshot: &SnapshotName) -> Result<Vec<String>, Fault> {
        let holds = Zfs::holds(self, snapshot).map_err(|error| fault(&error))?;
        Ok(holds.iter().map(|hold| crate::transport::printable(hold.tag.as_bytes(), 200)).collect())
    }
}

fn fault(error: &zfs_core::Error) -> Fault {
    Fault { kind: error.kind(), text: error.to_string(), hint: error.hint().map(str::to_string) }
}
