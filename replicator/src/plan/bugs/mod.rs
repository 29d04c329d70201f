//! Bugs of OpenZFS that a plan must not run into: which of the rows in [`table`] concern a transfer, and whether the
//! machine in question has a version with the fix. A row only speaks when that version is known. For people the table
//! stands in `docs/openzfs-bugs.md`.

mod table;
#[cfg(test)]
mod tests;

use super::conflict::Conflict;
use super::steps::Action;
use super::steps::Side;
use super::steps::Step;
use crate::host::About;
use crate::host::Base;
use crate::host::DatasetState;
use crate::host::Encryption;
use crate::host::Version;
use crate::marks::Mark;

/// What a row looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Transfer {
    /// The source is encrypted.
    encrypted: bool,
    /// A stream is raw.
    raw: bool,
    /// A stream is not raw.
    plain: bool,
    /// A stream starts from a snapshot or a bookmark.
    incremental: bool,
    /// A stream goes into a dataset that is there already.
    existing: bool,
    /// A stream is resumed.
    resumed: bool,
    /// A stream that starts from a bookmark is resumed.
    resumed_from_bookmark: bool,
    /// Streams that are not raw are encrypted on the target.
    into_encrypted: bool,
    /// The target exists, is encrypted, and has its key from another dataset.
    inherits_key: bool,
    /// The target was a source itself: it has bookmarks of this program.
    turned_round: bool,
    /// Whether the feature is active on the source's pool, and on the target's.
    large_blocks: (bool, bool),
    /// The same.
    large_microzap: (bool, bool),
}

/// What a plan does about a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Nothing is sent.
    Refuse,
    /// It is said, and sent all the same: what it takes to run into it is rare, not known here, or ends in an error.
    Warn,
}

struct Bug {
    /// The numbers of the reports.
    reports: &'static [&'static str],
    what: &'static str,
    /// The first fixed version of each branch; none where it is not fixed.
    fixed: &'static [(u32, u32, u32)],
    /// Which machine must have the fix.
    at: Side,
    concerns: fn(Transfer) -> bool,
    answer: Answer,
}

impl Bug {
    /// Fixed from the first listed version of its branch on; branches after the last one have the fix from their
    /// start, branches before the first and between two of them never got it.
    fn is_in(&self, version: Version) -> bool {
        let version = (version.major, version.minor, version.patch);
        let branch = |v: (u32, u32, u32)| (v.0, v.1);
        match self.fixed.iter().find(|fixed| branch(**fixed) == branch(version)) {
            Some(fixed) => version < *fixed,
            None => self.fixed.last().is_none_or(|last| branch(version) < branch(*last)),
        }
    }

    fn text(&self, version: Version) -> String {
        let machine = match self.at {
            Side::Source => "the source's",
            Side::Target => "the target's",
        };
        format!("{} (openzfs {}; {machine} OpenZFS is {version})", self.what, self.reports.join(", "))
    }
}

/// Refuses steps that would run into a bug; gives what there is to say about others. `encryption` is the target's, or
/// what it will inherit.
pub(super) fn check(
    source: &DatasetState,
    target: Option<&DatasetState>,
    encryption: Option<&Encryption>,
    steps: &[Step],
    pools: Option<(&About, &About)>,
) -> Result<Vec<String>, Conflict> {
    match pools {
        Some(pools) => check_rows(table::BUGS, source, target, encryption, steps, pools),
        None => Ok(Vec::new()),
    }
}

fn check_rows(
    rows: &[Bug],
    source: &DatasetState,
    target: Option<&DatasetState>,
    encryption: Option<&Encryption>,
    steps: &[Step],
    (from, to): (&About, &About),
) -> Result<Vec<String>, Conflict> {
    let transfer = Transfer::of(source, target, encryption, steps, (from, to));
    let mut said = Vec::new();
    for bug in rows {
        let version = match bug.at {
            Side::Source => from.version,
            Side::Target => to.version,
        };
        let Some(version) = version.filter(|version| bug.is_in(*version)) else { continue };
        match bug.answer {
            _ if !(bug.concerns)(transfer) => {}
            Answer::Refuse => {
                return Err(Conflict::Bug { from: source.name.clone(), why: bug.text(version) });
            }
            Answer::Warn => said.push(format!("{}: {}", source.name, bug.text(version))),
        }
    }
    Ok(said)
}

/// What to say where a version is not known, so that no row can speak.
pub(super) fn unknown_versions(pools: (&About, &About)) -> Vec<String> {
    let sides = [("source", pools.0), ("target", pools.1)];
    let unknown = sides.into_iter().filter(|(_, about)| about.version.is_none());
    let text = |(side, about): (&str, &About)| {
        format!(
            "the version of OpenZFS at the {side} (pool {}) is not known: its bugs are not looked for",
            about.pool
        )
    };
    unknown.map(text).collect()
}

impl Transfer {
    fn of(
        source: &DatasetState,
        target: Option<&DatasetState>,
        encryption: Option<&Encryption>,
        steps: &[Step],
        pools: (&About, &About),
    ) -> Self {
        let active = |feature: &str| {
            (super::features::active(pools.0, feature), super::features::active(pools.1, feature))
        };
        let mut transfer = Self {
            encrypted: source.encrypted(),
            turned_round: target
                .is_some_and(|target| target.bookmarks.iter().any(|one| Mark::of(one).is_some())),
            large_blocks: active("large_blocks"),
            large_microzap: active("large_microzap"),
            ..Self::default()
        };
        for step in steps {
            let Action::Send { spec, creates, .. } = &step.action else { continue };
            transfer.raw |= spec.raw;
            transfer.plain |= !spec.raw;
            transfer.incremental |= spec.from.is_some();
            transfer.existing |= creates.is_none() && target.is_some();
            transfer.resumed |= spec.resume.is_some();
            transfer.resumed_from_bookmark |=
                spec.resume.is_some() && matches!(spec.from, Some(Base::Bookmark(..)));
            transfer.into_encrypted |= !spec.raw && encryption.is_some();
        }
        transfer.inherits_key = target.is_some_and(|target| {
            target.encryption.as_ref().is_some_and(|encryption| encryption.root != target.name)
        });
        transfer
    }
}
