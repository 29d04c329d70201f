//! Plans and conflicts as JSON, for `--json`. GUIDs and transaction groups are strings, because many readers of JSON
//! keep numbers in 53 bits.

use serde_json::Value;
use serde_json::json;
use zfs_core::Guid;
use zfs_core::name::SnapshotName;

use super::Action;
use super::Conflict;
use super::DatasetPlan;
use super::Side;
use super::Step;
use super::TreePlan;
use crate::host::Base;
use crate::host::Change;
use crate::host::Snapshot;

impl TreePlan {
    /// The plan as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "source": self.source.as_str(),
            "target": self.target.as_str(),
            "estimated_bytes": self.estimated_bytes(),
            "before": steps(&self.before),
            "datasets": self.datasets.iter().map(DatasetPlan::to_json).collect::<Vec<_>>(),
            "after": steps(&self.after),
            "kept": self.kept.iter().map(|kept| json!({
                "dataset": kept.dataset.as_str(),
                "reason": kept.reason,
            })).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}

impl DatasetPlan {
    /// The part of one dataset as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut value = json!({
            "source": self.source.as_str(),
            "target": self.target.as_str(),
            "common": self.common.as_ref().map(base),
            "waits_for": self.after,
        });
        match &self.steps {
            Ok(list) => value["steps"] = steps(list),
            Err(conflict) => value["conflict"] = conflict.to_json(),
        }
        value
    }
}

fn steps(steps: &[Step]) -> Value {
    steps.iter().map(Step::to_json).collect()
}

impl Step {
    /// The step as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.action {
            Action::Change { side, change } => {
                let mut value = json!({
                    "action": change.kind(),
                    "side": match side {
                        Side::Source => "source",
                        Side::Target => "target",
                    },
                    "what": change.to_string(),
                    "reason": self.reason,
                });
                match change {
                    Change::DestroySnapshots { snapshots, .. } => {
                        let one = |(name, guid): &(SnapshotName, Guid)| json!({ "name": name.as_str(), "guid": guid.to_string() });
                        value["snapshots"] = snapshots.iter().map(one).collect();
                    }
                    Change::Destroy { bytes, .. } => value["lost_bytes"] = json!(bytes),
                    _ => {}
                }
                value
            }
            Action::Send { spec, into, creates, origin } => json!({
                "action": match (&spec.resume, &spec.from) {
                    (Some(_), _) => "resume",
                    (None, None) => "full",
                    (None, Some(_)) => "incremental",
                },
                "from": spec.from.as_ref().map(base),
                "to": snapshot(&spec.to),
                "into": into.as_str(),
                "creates_target": creates.is_some(),
                "sets": creates.iter().flatten().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
                "origin": origin.as_ref().map(SnapshotName::as_str),
                "raw": spec.raw,
                "estimated_bytes": self.estimated_bytes,
                "reason": self.reason,
            }),
        }
    }
}

impl Conflict {
    /// The conflict as JSON, with the whole lists of both sides.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let list = |snapshots: &[Snapshot]| snapshots.iter().map(snapshot).collect::<Vec<_>>();
        let mut value = json!({ "kind": self.kind(), "message": self.to_string(), "hint": self.hint() });
        let details = match self {
            Self::NoCommonBase { from_snapshots, to_snapshots, .. } => {
                json!({ "source_only": list(from_snapshots), "target_only": list(to_snapshots) })
            }
            Self::Diverged { base: common, source_only, target_only, target_written, .. } => json!({
                "base": base(common),
                "source_only": list(source_only),
                "target_only": list(target_only),
                "target_written_bytes": target_written,
            }),
            Self::NameClash { snapshots, .. } => json!({ "snapshots": list(snapshots) }),
            Self::FeatureMissing { features, from_pool, to_pool, .. } => json!({
                "features": features,
                "source_pool": from_pool,
                "target_pool": to_pool,
            }),
            Self::Promoted { origin, there, .. } => json!({
                "origin": origin.as_str(),
                "origin_on_target": there.as_str(),
            }),
            _ => return value,
        };
        value["details"] = details;
        value
    }
}

fn snapshot(snapshot: &Snapshot) -> Value {
    json!({
        "name": snapshot.name.as_str(),
        "guid": snapshot.guid.to_string(),
        "createtxg": snapshot.createtxg.to_string(),
    })
}

fn base(base: &Base) -> Value {
    json!({ "name": base.name(), "guid": base.guid().to_string() })
}
