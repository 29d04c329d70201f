//! Plans and conflicts as JSON, for `--json`. GUIDs and transaction groups are strings, because many readers of JSON
//! keep numbers in 53 bits.

use serde_json::Value;
use serde_json::json;

use super::Action;
use super::Conflict;
use super::Plan;
use super::Step;
use crate::host::Base;
use crate::host::Snapshot;

impl Plan {
    /// The plan as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "source": self.source.as_str(),
            "target": self.target.as_str(),
            "common": self.common.as_ref().map(base),
            "estimated_bytes": self.estimated_bytes(),
            "steps": self.steps.iter().map(Step::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Step {
    /// The step as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.action {
            Action::Discard { partial } => json!({
                "action": "discard-partial",
                "bytes_received": partial.content.as_ref().ok().map(|content| content.bytes),
                "reason": self.reason,
            }),
            Action::Send { spec, into, creates } => json!({
                "action": match (&spec.resume, &spec.from) {
                    (Some(_), _) => "resume",
                    (None, None) => "full",
                    (None, Some(_)) => "incremental",
                },
                "from": spec.from.as_ref().map(base),
                "to": snapshot(&spec.to),
                "into": into.as_str(),
                "creates_target": creates,
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
