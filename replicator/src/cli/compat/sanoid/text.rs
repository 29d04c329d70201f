//! The lines of sanoid that people search for in their journals, word for word where a program may look for them.

use std::fmt::Write;

use zfs_core::name::SnapshotName;

use crate::config::resolve::Effective;
use crate::config::value::Command;
use crate::policy::Period;
use crate::policy::Reason;
use crate::policy::Snapshot;
use crate::prune::DatasetPlan;
use crate::take::Unit;

/// The version of sanoid whose options and rules these are.
const LIKE: &str = "2.3.0";

/// What `--version` prints.
pub(super) fn version() -> String {
    format!(
        "sanoid version {LIKE}\n(by replicator {}, with the options and rules of that)\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// What is about to be taken of a dataset, with the command before.
pub(super) fn taking(unit: &Unit) -> String {
    let mut text = String::new();
    if unit.names.is_empty() {
        return text;
    }
    if let Some(hook) = &unit.hooks.pre_snapshot {
        text.push_str(&executing("pre_snapshot_script", &hook.command, unit.dataset.as_str()));
    }
    let all = if unit.together.is_empty() { "" } else { " (zfs recursive)" };
    for name in &unit.names {
        let _ = writeln!(text, "taking snapshot {}@{}{all}", unit.dataset, name.short);
    }
    text
}

/// The command after that.
pub(super) fn taken(unit: &Unit) -> String {
    match &unit.hooks.post_snapshot {
        Some(hook) if !unit.names.is_empty() => {
            executing("post_snapshot_script", &hook.command, unit.dataset.as_str())
        }
        _ => String::new(),
    }
}

/// Whether the snapshots of a dataset stay because the pool has room.
pub(super) fn is_deferred(dataset: &DatasetPlan<'_>) -> bool {
    dataset.decisions.iter().any(|one| matches!(one.reason, Reason::Deferred { .. }))
}

/// What is about to be destroyed, with the command before.
pub(super) fn pruning(dataset: &DatasetPlan<'_>, name: &SnapshotName, readonly: bool) -> String {
    let hook = dataset.hooks.pre_prune.as_ref().filter(|_| !readonly);
    let before = hook.map(|hook| executing("pre_pruning_script", &hook.command, dataset.dataset.as_str()));
    format!("{}INFO: pruning {name} ... \n", before.unwrap_or_default())
}

/// That a command is run.
fn executing(key: &str, command: &Command, dataset: &str) -> String {
    let command = match command {
        Command::Nothing => return String::new(),
        Command::Shell(line) => line.clone(),
        Command::Program(words) => words.join(" "),
    };
    format!("executing {key} '{command}' on dataset '{dataset}'\n")
}

/// What a dataset has and should have. Ages are counted from `now`, in seconds since 1970.
pub(super) fn filesystem(effective: &Effective, snapshots: &[Snapshot], now: i64) -> String {
    let policy = &effective.policy;
    let of = |one: &Snapshot| policy.naming.period(one.name.short());
    let ours: Vec<_> = snapshots.iter().filter_map(|one| Some((of(one)?, one))).collect();
    let hours = |one: &Snapshot| now.saturating_sub(one.creation) as f64 / 3600.0;
    let newest = |period: Option<Period>| {
        let fitting = ours.iter().filter(|(of, _)| period.is_none_or(|period| *of == period));
        fitting.map(|(_, one)| *one).max_by_key(|one| one.creation)
    };
    let mut text = format!("Filesystem {} has:\n     {} total snapshots ", effective.dataset, ours.len());
    match newest(None) {
        None => text.push_str("(no current snapshots)"),
        Some(one) => {
            let _ = writeln!(text, "(newest: {:.1} hours old)", hours(one));
        }
    }
    for period in Period::ALL {
        let Some(one) = newest(Some(period)) else { continue };
        let count = ours.iter().filter(|(of, _)| *of == period).count();
        let desired = policy.retention.periods[period].map_or(0, |keep| keep.count);
        let _ = writeln!(text, "          {count} {period}\n              desired: {desired}");
        let _ =
            writeln!(text, "              newest: {:.1} hours old, named {}", hours(one), one.name.short());
    }
    text + "\n\n"
}
