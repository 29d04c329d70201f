//! What the answers mean. Pure.

use std::collections::BTreeSet;

use zfs_core::name::DatasetName;

use super::Clocks;
use super::Finding;
use crate::host::About;
use crate::host::Change;
use crate::host::Version;
use crate::host::standing::Rights;
use crate::plan::Action;
use crate::plan::Step;
use crate::plan::TreePlan;

/// The oldest OpenZFS that all of this works with.
const OLDEST: Version = Version { major: 2, minor: 1, patch: 0 };

/// How many seconds clocks may differ. Replication goes by GUIDs and txgs and does not care; ages in checks and the
/// dates of retention do.
const APART: i64 = 60;

/// The most conflicts and notes of a plan that are told one by one.
const TOLD: usize = 20;

pub(super) fn version(host: &str, about: &About) -> Finding {
    match about.version {
        None => Finding::warn(
            "version",
            format!("the version of OpenZFS on {host} is not known, so that its bugs are not looked for"),
            "see what `zfs version` prints there".to_string(),
        ),
        Some(version) if version < OLDEST => Finding::fail(
            "version",
            format!("{host} has OpenZFS {version}"),
            format!("upgrade it to {OLDEST} or later"),
        ),
        Some(version) => Finding::ok("version", format!("{host} has OpenZFS {version}")),
    }
}

pub(super) fn rights(
    host: &str,
    dataset: &DatasetName,
    rights: &Rights,
    needed: &[&str],
    wanted: &[&str],
) -> Finding {
    let allow = |user: &str, missing: &[&str]| {
        format!("as root on {host}: zfs allow -u {user} {} {dataset}", missing.join(","))
    };
    match rights {
        Rights::All => Finding::ok("rights", format!("on {host} it may do all that is needed")),
        Rights::Unknown { why } => Finding::warn(
            "rights",
            format!("what it may do with {dataset} on {host} is not known before it is tried: {why}"),
            format!("it needs {}", needed.join(", ")),
        ),
        Rights::These { user, permissions } => {
            let (must, may) = (lacks(permissions, needed), lacks(permissions, wanted));
            if !must.is_empty() {
                let text = format!("{user} on {host} lacks {} on {dataset}", must.join(", "));
                Finding::fail("rights", text, allow(user, &must))
            } else if !may.is_empty() {
                let text = format!(
                    "{user} on {host} lacks {} on {dataset}, which some of what a run may have to do needs",
                    may.join(", ")
                );
                Finding::warn("rights", text, allow(user, &may))
            } else {
                Finding::ok("rights", format!("{user} on {host} has what is needed on {dataset}"))
            }
        }
    }
}

/// Which of these are not among the permissions. Where a narrower right is there, it is enough: nothing is received with
/// force, and what is encrypted is sent raw.
fn lacks<'n>(permissions: &BTreeSet<String>, list: &[&'n str]) -> Vec<&'n str> {
    let narrower = |one: &str| match one {
        "send" => permissions.contains("send:raw"),
        "receive" => permissions.contains("receive:append"),
        _ => false,
    };
    let has = |one: &str| permissions.contains(one) || narrower(one);
    list.iter().copied().filter(|one| !has(one)).collect()
}

pub(super) fn clock(host: &str, there: Option<i64>, here: Clocks) -> Finding {
    let Some(there) = there else {
        return Finding::ok("clock", format!("{host} does not tell its time"));
    };
    // The answer was made at some time between the question and its arrival.
    let apart = (here.before - there).max(there - here.after).max(0);
    if apart > APART {
        let side = if there > here.after { "ahead" } else { "behind" };
        let text = format!(
            "the clock of {host} is {apart} s {side}: ages and dates of snapshots do not mean the same on both machines"
        );
        return Finding::warn("clock", text, "have both follow NTP (chrony, systemd-timesyncd)".to_string());
    }
    Finding::ok("clock", format!("the clock of {host} agrees"))
}

/// What a run would do, and what keeps it from doing it.
pub(super) fn plan(plan: &TreePlan) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (dataset, conflict) in plan.conflicts().take(TOLD) {
        // One that is new has nothing to send, and will have.
        let finding = match conflict.kind() {
            "no-source-snapshots" => Finding::warn("plan", conflict.to_string(), conflict.hint()),
            "no-space" => Finding::fail("space", conflict.to_string(), conflict.hint()),
            "feature-missing" => Finding::fail("features", conflict.to_string(), conflict.hint()),
            "zfs-bug" => Finding::fail("bugs", conflict.to_string(), conflict.hint()),
            _ => Finding::fail("plan", format!("{dataset}: {conflict}"), conflict.hint()),
        };
        findings.push(finding);
    }
    let more = plan.conflicts().count().saturating_sub(TOLD);
    if more > 0 {
        findings.push(Finding::fail("plan", format!("{more} datasets more cannot be sent"), None));
    }
    findings.extend(plan.notes.iter().take(TOLD).map(|note| Finding::warn("plan", note.clone(), None)));
    findings.extend(plan.steps().filter_map(discarded).take(TOLD));
    let streams = plan.streams().count();
    let changes = plan.steps().filter(|step| matches!(step.action, Action::Change { .. })).count();
    let size = match plan.estimated_bytes() {
        Some(bytes) => format!("about {}", bytesize::ByteSize::b(bytes)),
        None => "a size that is not known".to_string(),
    };
    let s = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    findings.push(Finding::ok(
        "plan",
        match (streams, changes) {
            (0, 0) => "nothing to do now".to_string(),
            (0, changes) => format!("a run would make {}", s(changes, "change")),
            (streams, 0) => format!("a run would send {}, {size}", s(streams, "stream")),
            (streams, changes) => {
                format!(
                    "a run would send {}, {size}, and make {}",
                    s(streams, "stream"),
                    s(changes, "change")
                )
            }
        },
    ));
    findings
}

/// What a run will throw away of a receive that broke off: who may only add there may not.
fn discarded(step: &Step) -> Option<Finding> {
    let Action::Change { change: Change::DiscardPartial { dataset, .. }, .. } = &step.action else {
        return None;
    };
    Some(Finding::warn(
        "plan",
        format!("{dataset}: {}; a run throws away what arrived of it", step.reason),
        format!(
            "where the user there may not, as root on the target's machine: replicator tokens --discard {dataset}"
        ),
    ))
}
