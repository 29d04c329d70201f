//! Numbers for Prometheus, in the text format that its node exporter collects from files. Pure: facts come in, the text
//! of the file goes out. Moments are in seconds since 1970, so that an age is right also when the file is old.
//!
//! The format is written here: the crates for it keep counters over the life of a process, which is not what a file
//! made anew each time needs.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Level;
use super::health::Pool;
use super::lag::Look;
use super::lag::Way;
use super::snapshots::Watched;
use crate::pair::paused::Paused;
use crate::verify::memory::Checked;
use crate::verify::memory::Drill;

/// One run, as its record tells.
#[derive(Clone, Debug, PartialEq)]
pub struct LastRun {
    /// What it did: `snapshot`, `prune`, `replicate`, `check`, `verify`.
    pub part: String,
    /// When it ended, in seconds since 1970.
    pub ended: i64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Whether all of it succeeded.
    pub success: bool,
}

/// Everything that becomes a number.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// Datasets with a policy.
    pub datasets: &'a [Watched],
    /// Pools.
    pub pools: &'a [(String, Pool)],
    /// Targets of replications.
    pub ways: &'a [Way],
    /// How each check ended.
    pub checks: &'a [(&'a str, Level)],
    /// The last run of each part.
    pub runs: &'a [LastRun],
    /// What was verified: the name of the target with each dataset.
    pub verified: &'a [(&'a str, &'a Checked)],
    /// Datasets of pairs whose pruning stands still.
    pub paused: &'a [Paused],
    /// The clock.
    pub now: i64,
}

/// The file.
#[must_use]
pub fn render(facts: &Facts<'_>) -> String {
    let mut page = Page::default();
    snapshots(&mut page, facts);
    pools(&mut page, facts);
    replications(&mut page, facts);
    verified(&mut page, facts);
    for one in facts.paused {
        let (pair, dataset) = (one.pair.as_str(), one.dataset.as_str());
        let labels = [("pair", pair), ("dataset", dataset), ("cause", one.cause.word())];
        page.add(&PAUSED, &labels, 1);
    }
    for (check, level) in facts.checks {
        page.add(&CHECK, &[("check", check)], level.status());
    }
    for run in facts.runs {
        let part = [("part", run.part.as_str())];
        page.add(&RUN_TIME, &part, run.ended);
        page.add(&RUN_SECONDS, &part, run.seconds);
        page.add(&RUN_SUCCESS, &part, u8::from(run.success));
    }
    page.add(&BUILD, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.add(&WRITTEN, &[], facts.now);
    page.text()
}

fn snapshots(page: &mut Page, facts: &Facts<'_>) {
    for one in facts.datasets {
        page.add(&EXISTS, &[("dataset", &one.dataset)], u8::from(one.exists));
        for (period, seen) in one.seen.iter() {
            let limits = one.monitor.periods[period];
            if seen.count == 0 && limits.is_none() {
                continue;
            }
            let labels = [("dataset", one.dataset.as_str()), ("period", period.word())];
            page.add(&SNAPSHOTS, &labels, seen.count);
            if let Some(newest) = seen.newest {
                page.add(&NEWEST, &labels, newest);
                page.add(&AGE, &labels, facts.now.saturating_sub(newest).max(0));
            }
            let Some(limits) = limits.filter(|_| one.monitor.on) else { continue };
            for (level, limit) in [("warning", limits.warn), ("critical", limits.critical)] {
                let Some(limit) = limit else { continue };
                page.add(&LIMIT, &[labels[0], labels[1], ("level", level)], limit);
            }
        }
    }
}

fn pools(page: &mut Page, facts: &Facts<'_>) {
    for (name, pool) in facts.pools {
        let labels = [("pool", name.as_str())];
        let state = match pool {
            Pool::Known(status) => status.health.as_str(),
            Pool::State { state, .. } => state.as_deref().unwrap_or("UNKNOWN"),
            Pool::Missing => "MISSING",
        };
        page.add(&STATE, &[labels[0], ("state", state)], 1);
        let Pool::Known(status) = pool else { continue };
        page.add(&SIZE, &labels, status.size);
        page.add(&FREE, &labels, status.free);
        page.add(&CAPACITY, &labels, f64::from(status.capacity) / 100.0);
        for device in &status.devices {
            for (kind, count) in
                [("read", device.read), ("write", device.write), ("checksum", device.checksum)]
            {
                page.add(&ERRORS, &[labels[0], ("device", &device.name), ("kind", kind)], count);
            }
        }
    }
}

fn replications(page: &mut Page, facts: &Facts<'_>) {
    for way in facts.ways {
        // Not `job`: Prometheus has a label of that name itself.
        let labels = [("replication", way.job.as_str()), ("target", way.target.as_str())];
        page.add(&REACHED, &labels, u8::from(matches!(way.look, Look::Both(_))));
        let datasets = match &way.look {
            Look::Both(datasets) | Look::Bookmarks { datasets, .. } => datasets.as_slice(),
            Look::Nothing { .. } => &[],
        };
        for one in datasets {
            let labels = [labels[0], labels[1], ("dataset", one.source.as_str())];
            if let Some(common) = one.common {
                page.add(&COMMON, &labels, common);
                page.add(&LAG, &labels, facts.now.saturating_sub(common).max(0));
            }
            page.add(&CONFLICT, &labels, u8::from(one.conflict.is_some()));
        }
    }
}

fn verified(page: &mut Page, facts: &Facts<'_>) {
    for (target, one) in facts.verified {
        let labels =
            [("replication", one.job.as_str()), ("target", target), ("dataset", one.source.as_str())];
        page.add(&VERIFIED, &labels, one.at);
        page.add(&VERIFIED_GOOD, &labels, u8::from(one.is_good()));
        page.add(&VERIFIED_DIFFERENCES, &labels, one.differing());
        if let Some(drill) = &one.drill {
            page.add(&DRILL_GOOD, &labels, u8::from(*drill == Drill::Good));
        }
    }
}

/// What is told of a number.
struct Family {
    name: &'static str,
    help: &'static str,
}

const fn family(name: &'static str, help: &'static str) -> Family {
    Family { name, help }
}

const EXISTS: Family = family("replicator_dataset_exists", "Whether a dataset that has a policy exists.");
const SNAPSHOTS: Family = family("replicator_snapshots", "Snapshots that were taken for a period.");
const NEWEST: Family = family(
    "replicator_snapshot_newest_timestamp_seconds",
    "When the newest snapshot of a period was taken, in seconds since 1970.",
);
const AGE: Family = family(
    "replicator_snapshot_age_seconds",
    "How old the newest snapshot of a period was when this file was written.",
);
const LIMIT: Family =
    family("replicator_snapshot_limit_seconds", "How old the newest snapshot of a period may be.");
const STATE: Family = family("replicator_pool_state", "1 for the state that a pool is in.");
const SIZE: Family = family("replicator_pool_size_bytes", "The size of a pool.");
const FREE: Family = family("replicator_pool_free_bytes", "What is not in use of a pool.");
const CAPACITY: Family = family("replicator_pool_capacity_ratio", "Which part of a pool is in use, 0 to 1.");
const ERRORS: Family =
    family("replicator_pool_device_errors", "Errors of a device since the pool was imported or cleared.");
const REACHED: Family = family(
    "replicator_replication_reached",
    "Whether source and target of a replication could be looked at.",
);
const COMMON: Family = family(
    "replicator_replication_common_timestamp_seconds",
    "When the newest snapshot was taken that source and target have, in seconds since 1970.",
);
const LAG: Family = family(
    "replicator_replication_lag_seconds",
    "How old the newest snapshot that source and target have was when this file was written.",
);
const CONFLICT: Family =
    family("replicator_replication_conflict", "Whether a dataset cannot be sent because of a conflict.");
const VERIFIED: Family = family(
    "replicator_verified_timestamp_seconds",
    "When a copy was last read and compared, in seconds since 1970.",
);
const VERIFIED_GOOD: Family =
    family("replicator_verified_good", "Whether the copy could be read then and was the same.");
const VERIFIED_DIFFERENCES: Family = family(
    "replicator_verified_differences",
    "Files or segments of the copy, or of what a restore drill brought back, that differed then.",
);
const DRILL_GOOD: Family =
    family("replicator_drill_good", "Whether what the restore drill brought back was the same.");
const PAUSED: Family = family(
    "replicator_pair_prune_paused",
    "1 for a dataset of a pair that is not pruned because data may be lost.",
);
const CHECK: Family =
    family("replicator_check_status", "How a check ended: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.");
const RUN_TIME: Family = family(
    "replicator_last_run_timestamp_seconds",
    "When the last run of a part ended, in seconds since 1970.",
);
const RUN_SECONDS: Family =
    family("replicator_last_run_duration_seconds", "How long the last run of a part took.");
const RUN_SUCCESS: Family =
    family("replicator_last_run_success", "Whether the last run of a part succeeded.");
const BUILD: Family = family("replicator_build_info", "The version of replicator.");
const WRITTEN: Family =
    family("replicator_metrics_timestamp_seconds", "When this file was written, in seconds since 1970.");

/// The families of a file with their samples. Those of one family have to stand together.
#[derive(Default)]
struct Page {
    order: Vec<&'static str>,
    families: BTreeMap<&'static str, (&'static str, String)>,
}

impl Page {
    fn add(&mut self, family: &Family, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let (_, samples) = self.families.entry(family.name).or_insert_with(|| {
            self.order.push(family.name);
            (family.help, String::new())
        });
        samples.push_str(family.name);
        if !labels.is_empty() {
            let labels: Vec<_> =
                labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
            samples.push_str(&format!("{{{}}}", labels.join(",")));
        }
        // Writing into a text does not fail.
        let _ = writeln!(samples, " {value}");
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for name in &self.order {
            let Some((help, samples)) = self.families.get(name) else { continue };
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{samples}");
        }
        text
    }
}

/// The value of a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
