//! Where two ways to replicate a dataset would leave different things behind. Pure.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::json;
use zfs_core::Guid;
use zfs_core::name::DatasetName;

use crate::cli::compat::syncoid::Foreseen;
use crate::host::Change;
use crate::host::DatasetState;
use crate::plan::Action;
use crate::plan::DatasetPlan;
use crate::plan::TreePlan;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// The dataset of the target, or of this machine for policies.
    pub(super) dataset: String,
    /// What kind it is, for programs.
    pub(super) kind: &'static str,
    /// For people.
    pub(super) text: String,
}

impl Difference {
    pub(super) fn new(dataset: &impl ToString, kind: &'static str, text: impl Into<String>) -> Self {
        Self { dataset: dataset.to_string(), kind, text: text.into() }
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        json!({ "dataset": self.dataset, "kind": self.kind, "text": self.text })
    }
}

/// Where what syncoid is foreseen to do and a plan of ours part. `targets` is the target as it is.
pub(super) fn differences(
    old: &BTreeMap<DatasetName, Foreseen>,
    new: &TreePlan,
    targets: &[DatasetState],
) -> Vec<Difference> {
    let planned: BTreeMap<&DatasetName, &DatasetPlan> =
        new.datasets.iter().map(|dataset| (&dataset.target, dataset)).collect();
    let names: BTreeSet<&DatasetName> = old.keys().chain(planned.keys().copied()).collect();
    let mut all = Vec::new();
    for name in names {
        match (old.get(name), planned.get(name)) {
            (Some(old), Some(plan)) => all.extend(of_dataset(name, old, plan, &before(new, name, targets))),
            (Some(old), None) if old.passed_over.is_none() => {
                let text = "syncoid replicates it, and replicator leaves it out";
                all.push(Difference::new(name, "left-out", text));
            }
            (None, Some(_)) => {
                let text = "syncoid leaves it out, and replicator replicates it";
                all.push(Difference::new(name, "added", text));
            }
            _ => {}
        }
    }
    all
}

/// What the target has under a name once the plan has renamed what it renames.
fn before(plan: &TreePlan, name: &DatasetName, targets: &[DatasetState]) -> BTreeMap<Guid, String> {
    let renamed = plan.before.iter().find_map(|step| match &step.action {
        Action::Change { change: Change::Rename { from, to, .. }, .. } => {
            let below = name.strip_prefix(to)?;
            if below.is_empty() { Some(from.clone()) } else { from.child(below).ok() }
        }
        _ => None,
    });
    let name = renamed.as_ref().unwrap_or(name);
    let found = targets.iter().find(|target| target.name == *name);
    let snapshots = found.into_iter().flat_map(|target| &target.snapshots);
    snapshots.map(|one| (one.guid, one.name.short().to_string())).collect()
}

fn of_dataset(
    name: &DatasetName,
    old: &Foreseen,
    plan: &DatasetPlan,
    before: &BTreeMap<Guid, String>,
) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut say = |kind, text: String| all.push(Difference::new(name, kind, text));
    if let Some(why) = &old.passed_over {
        say("added", format!("syncoid passes it over ({why}), and replicator replicates it"));
        return all;
    }
    if !old.goes.is_empty() {
        say("kept", format!("syncoid destroys {}; replicator keeps it", some(&old.goes)));
    } else if old.undone > 0 {
        say("kept", format!("syncoid undoes {} bytes written there; replicator keeps them", old.undone));
    }
    match (&plan.steps, &old.fails) {
        (Err(conflict), None) => say("stops", format!("replicator stops: {conflict}; syncoid goes on")),
        (Ok(_), Some(why)) => say("goes-on", format!("syncoid fails: {why}; replicator goes on")),
        (Err(_), Some(_)) => {}
        (Ok(_), None) => {
            let mut has = before.clone();
            has.extend(plan.streams().map(|spec| (spec.to.guid, spec.to.name.short().to_string())));
            let goes: BTreeSet<_> = old.goes.iter().collect();
            let only = |one: &BTreeMap<Guid, String>, other: &BTreeMap<Guid, String>| {
                let missing = one.iter().filter(|(guid, _)| !other.contains_key(guid));
                missing
                    .map(|(_, short)| short.clone())
                    .filter(|short| !goes.contains(short))
                    .collect::<Vec<_>>()
            };
            let (lacks, more) = (only(&old.has, &has), only(&has, &old.has));
            if !lacks.is_empty() {
                say("not-sent", format!("syncoid sends {}; replicator does not", some(&lacks)));
            }
            if !more.is_empty() {
                say("sent", format!("replicator sends {}; syncoid does not", some(&more)));
            }
            let raw = plan.streams().any(|spec| spec.raw);
            if old.decrypted && raw {
                say("raw", "syncoid sends it decrypted; replicator sends it raw".to_string());
            }
        }
    }
    all
}

/// The first few of many names.
pub(super) fn some(names: &[String]) -> String {
    const FEW: usize = 4;
    let mut text = names.iter().take(FEW).map(|name| format!("@{name}")).collect::<Vec<_>>().join(", ");
    if names.len() > FEW {
        text.push_str(&format!(" and {} more", names.len() - FEW));
    }
    text
}
