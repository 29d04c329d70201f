//! What has to hold after every event, whatever the log says: never are both nodes active, and of each dataset the newest
//! snapshot that both nodes have stays on both until they have a newer one.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::look::Both;
use super::look::Seen;

/// What was seen before.
#[derive(Default)]
pub(super) struct Laws {
    /// The newest common snapshot of each dataset, by its GUID.
    common: BTreeMap<String, String>,
}

fn all(seen: &Seen) -> BTreeSet<&str> {
    seen.datasets.values().flat_map(|found| found.snapshots.iter().map(|(_, guid)| guid.as_str())).collect()
}

impl Laws {
    /// Holds what is seen now against what was. `meddled`: somebody may have taken away what was common.
    pub(super) fn hold(&mut self, seen: &Both, meddled: bool) -> Result<(), String> {
        let on: Vec<_> = seen.iter().filter_map(|(name, seen)| Some((name, seen.as_ref()?))).collect();
        if on.len() == 2 && on.iter().all(|(_, seen)| seen.role == "active") {
            return Err("both nodes are active".to_string());
        }
        let [(_, a), (_, b)] = on.as_slice() else { return Ok(()) };
        let (guids_a, guids_b) = (all(a), all(b));
        if !meddled {
            for (dataset, guid) in &self.common {
                let still = guids_a.contains(guid.as_str()) && guids_b.contains(guid.as_str());
                if !still && newest(a, b, dataset).is_none() {
                    return Err(format!("the nodes have no snapshot of {dataset} in common any more"));
                }
            }
        }
        self.common = a
            .datasets
            .keys()
            .filter_map(|dataset| Some((dataset.clone(), newest(a, b, dataset)?.to_string())))
            .collect();
        Ok(())
    }
}

/// The newest snapshot of a dataset that both have.
fn newest<'s>(a: &'s Seen, b: &Seen, dataset: &str) -> Option<&'s str> {
    let (ours, theirs) = (a.datasets.get(dataset)?, b.datasets.get(dataset)?);
    let there: BTreeSet<_> = theirs.snapshots.iter().map(|(_, guid)| guid).collect();
    ours.snapshots.iter().rev().map(|(_, guid)| guid).find(|guid| there.contains(guid)).map(String::as_str)
}
