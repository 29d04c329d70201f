//! Partial receives, and whether a source can go on with them. What decides is the planner, so that what is said here
//! is what a run would do.

use serde_json::Value;
use serde_json::json;
use zfs_core::name::DatasetName;

use crate::host::Base;
use crate::host::Inventory;
use crate::host::Partial;
use crate::host::Tree;
use crate::plan;
use crate::plan::Options;
use crate::plan::Sides;

/// A dataset with a receive that did not end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The dataset that was being received.
    pub dataset: DatasetName,
    /// What it waits for.
    pub partial: Partial,
    /// Whether the source can go on with it: the stream that would be resumed, or why not. `None` where nobody asked
    /// a source.
    pub resumable: Option<Result<String, String>>,
}

impl Waiting {
    /// Whether something is known that keeps it from going on.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        let readable = self.partial.content.as_ref().is_ok_and(|content| !content.foreign);
        !readable || matches!(self.resumable, Some(Err(_)))
    }

    /// As JSON. GUIDs are strings, because many readers of JSON keep numbers in 53 bits.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut value = json!({ "dataset": self.dataset.as_str(), "token": self.partial.token });
        match &self.partial.content {
            Ok(content) => {
                value["to_guid"] = json!(content.to_guid.to_string());
                value["from_guid"] = json!(content.from_guid.map(|guid| guid.to_string()));
                value["bytes"] = json!(content.bytes);
                value["raw"] = json!(content.raw);
                value["foreign"] = json!(content.foreign);
            }
            Err(why) => value["unreadable"] = json!(why),
        }
        match &self.resumable {
            None => {}
            Some(Ok(stream)) => value["resumes"] = json!(stream),
            Some(Err(why)) => value["stuck"] = json!(why),
        }
        value
    }
}

/// The partial receives of a tree.
#[must_use]
pub fn waiting(tree: &Tree) -> Vec<Waiting> {
    let with = tree.datasets().iter().filter_map(|one| Some((one, one.partial.clone()?)));
    with.map(|(one, partial)| Waiting { dataset: one.name.clone(), partial, resumable: None }).collect()
}

/// Asks the planner what a replication from `source` would do with each of them.
#[must_use]
pub fn against(source: &Tree, tree: &Tree, recursive: bool) -> Vec<Waiting> {
    let target = Inventory::Present(tree.clone());
    let root = &tree.root().name;
    let sides = Sides::new(source, &target, root, 0);
    // By name, because what is renamed on the target first is not what waits there now.
    let options = Options { recursive, follow_renames: false, ..Options::default() };
    let plan = plan::plan(sides, &options);
    let mut all = waiting(tree);
    for one in &mut all {
        let planned = plan.datasets.iter().find(|dataset| dataset.target == one.dataset);
        one.resumable = Some(match planned.map(|dataset| (dataset, &dataset.steps)) {
            None => Err(format!("{} has no dataset for it", source.root().name)),
            Some((_, Err(conflict))) => Err(conflict.to_string()),
            Some((dataset, Ok(_))) => match dataset.streams().find(|spec| spec.resume.is_some()) {
                Some(spec) => Ok(match spec.from.as_ref().map(Base::short) {
                    Some(from) => format!("{from} → @{}", spec.to.name.short()),
                    None => format!("@{} in full", spec.to.name.short()),
                }),
                None => Err("a run would not go on with it".to_string()),
            },
        });
    }
    all
}
