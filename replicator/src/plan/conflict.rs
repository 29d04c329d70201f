//! Why there is no plan. Each variant carries the evidence of both sides; `Display` prints it, [`Conflict::hint`] says
//! what a person can do. Nothing here is ever resolved by destroying something on the target.

use std::fmt;

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::NameError;
use zfs_core::name::SnapshotName;

use crate::host::Base;
use crate::host::DatasetKind;
use crate::host::Snapshot;

/// The reason for which nothing is sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// There is nothing to send.
    #[error("{from} has no snapshots, so there is nothing to send")]
    NoSourceSnapshots {
        /// The source.
        from: DatasetName,
    },
    /// There are snapshots, and none of them is to be sent.
    #[error("none of the snapshots of {from} is selected")]
    NothingSelected {
        /// The source.
        from: DatasetName,
    },
    /// The user wants no first replication.
    #[error("{to} does not exist, and a first replication of {from} was not allowed")]
    InitialRefused {
        /// The source.
        from: DatasetName,
        /// The target.
        to: DatasetName,
    },
    /// A stream that is not raw needs the key of an encrypted dataset.
    #[error("the key of {dataset} is not loaded (its encryption root is {root})")]
    KeyNotLoaded {
        /// The dataset, on the source or on the target.
        dataset: DatasetName,
        /// Whose key it is.
        root: DatasetName,
    },
    /// The parent is not replicated, so that there is nothing to receive into.
    #[error("{from} cannot be sent, because {parent} above it is not replicated")]
    ParentNotReplicated {
        /// The source.
        from: DatasetName,
        /// The dataset of the source above it.
        parent: DatasetName,
    },
    /// A clone can be made on the target when the snapshot it is made of is there.
    #[error("{from} cannot be sent, because {} is not replicated, and it is a clone of {origin}", .origin.dataset())]
    OriginNotReplicated {
        /// The source.
        from: DatasetName,
        /// The snapshot of the source that it is a clone of.
        origin: SnapshotName,
    },
    /// The source became a clone when another dataset was promoted, and gave it all that the target has.
    #[error(
        "{from} starts at {origin} now, since {} was promoted; a stream from there cannot be received into {to}, which exists",
        .origin.dataset()
    )]
    Promoted {
        /// The source.
        from: DatasetName,
        /// The target.
        to: DatasetName,
        /// Where the source starts.
        origin: SnapshotName,
        /// That snapshot on the target.
        there: SnapshotName,
    },
    /// The streams need more than the target has.
    #[error("{to} has {available} bytes left, and about {needed} bytes are to be sent")]
    NoSpace {
        /// The target.
        to: DatasetName,
        /// The sum of the estimates.
        needed: u64,
        /// What may still be written there.
        available: u64,
    },
    /// A bug of a version of OpenZFS makes this transfer dangerous.
    #[error("{from} is not sent: {why}")]
    Bug {
        /// The source.
        from: DatasetName,
        /// What happens in which versions, with the number of the report.
        why: String,
    },
    /// Only encrypted datasets are to be sent.
    #[error("{from} is not encrypted, and only encrypted datasets are to be sent")]
    NotEncrypted {
        /// The source.
        from: DatasetName,
    },
    /// The streams need features that the target's pool does not have.
    #[error(
        "{from} cannot be received into {to}: its streams need {} (pool {from_pool}), which the pool {to_pool} does not have enabled",
        features_named(.features)
    )]
    FeatureMissing {
        /// The source.
        from: DatasetName,
        /// The target.
        to: DatasetName,
        /// Short names of features, at least one.
        features: Vec<String>,
        /// The source's pool.
        from_pool: String,
        /// The target's pool.
        to_pool: String,
    },
    /// A filesystem on one side, a volume on the other.
    #[error("{from} is a {from_kind} and {to} is a {to_kind}")]
    KindMismatch {
        /// The source.
        from: DatasetName,
        /// Its kind.
        from_kind: DatasetKind,
        /// The target.
        to: DatasetName,
        /// Its kind.
        to_kind: DatasetKind,
    },
    /// The target exists and was not made by a replication.
    #[error("{to} exists and has no snapshots ({written} bytes are written in it)")]
    TargetWithoutSnapshots {
        /// The target.
        to: DatasetName,
        /// Bytes written in it.
        written: u64,
    },
    /// Both sides have snapshots, and none is the same.
    #[error(
        "{from} and {to} have no snapshot in common\n{}\n{}",
        list("only on the source", .from_snapshots),
        list("only on the target", .to_snapshots)
    )]
    NoCommonBase {
        /// The source.
        from: DatasetName,
        /// The target.
        to: DatasetName,
        /// All snapshots of the source.
        from_snapshots: Vec<Snapshot>,
        /// All snapshots of the target.
        to_snapshots: Vec<Snapshot>,
    },
    /// Something happened to the target after the newest common snapshot.
    #[error(
        "{to} has changed since {}, the newest snapshot that both sides have\n{}\n{}\n  written on the target since its newest snapshot: {target_written} bytes",
        .base.name(),
        list("only on the target", .target_only),
        list("only on the source", .source_only)
    )]
    Diverged {
        /// The source.
        from: DatasetName,
        /// The target.
        to: DatasetName,
        /// The newest common snapshot, as the source knows it.
        base: Box<Base>,
        /// What the source has after it.
        source_only: Vec<Snapshot>,
        /// What the target has after it.
        target_only: Vec<Snapshot>,
        /// Bytes written in the target since its newest snapshot.
        target_written: u64,
    },
    /// The target changed, and cannot go on by itself once it was set aside: a promotion makes it an encryption root
    /// whose key is not loaded, and its streams are not raw.
    #[error(
        "{to} has changed since @{base}, and is an encryption root: setting it aside would unload its key, which its streams need"
    )]
    SetAsideUnloadsKey {
        /// The target.
        to: DatasetName,
        /// The newest common snapshot, by its short name on the target.
        base: String,
        /// Where it would be set aside.
        aside: DatasetName,
    },
    /// Snapshots that are to be sent have a name that the target uses for other ones.
    #[error("{to} has other snapshots with the names of some that {from} would send\n{}", list("to be sent", .snapshots))]
    NameClash {
        /// The source.
        from: DatasetName,
        /// The target.
        to: DatasetName,
        /// The snapshots of the source.
        snapshots: Vec<Snapshot>,
    },
    /// A snapshot's name fits on the source and does not fit on the target.
    #[error("@{snapshot} cannot be received into {to}: {error}")]
    NameTooLong {
        /// The target.
        to: DatasetName,
        /// The snapshot, without its dataset.
        snapshot: String,
        /// What is wrong with the name.
        error: Box<NameError>,
    },
    /// The target keeps a partial receive that is not ours to continue.
    #[error("{to} keeps the state of a receive that broke off, and it cannot go on: {problem}")]
    Partial {
        /// The target.
        to: DatasetName,
        /// Why.
        problem: PartialProblem,
    },
}

/// Why a partial receive cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "Display says what each means")]
pub enum PartialProblem {
    Unreadable(String),
    SnapshotGone(Guid),
    BaseGone(Guid),
    BaseNotNewest(Guid),
    FullOverExisting,
    WrongOrder,
    ForeignMode,
    RawMismatch { token: bool, plan: bool },
    Excluded(String),
}

impl fmt::Display for PartialProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let raw = |raw: bool| if raw { "raw" } else { "not raw" };
        match self {
            Self::Unreadable(why) => write!(f, "its token is not understood ({why})"),
            Self::SnapshotGone(guid) => {
                write!(f, "the source no longer has the snapshot it was for (GUID {guid})")
            }
            Self::BaseGone(guid) => {
                write!(f, "the source no longer has its incremental source (GUID {guid})")
            }
            Self::BaseNotNewest(guid) => {
                write!(f, "its incremental source (GUID {guid}) is not the newest snapshot of the target")
            }
            Self::FullOverExisting => f.write_str("it is of a full stream, and the target has snapshots"),
            Self::WrongOrder => f.write_str("its incremental source is not older than its snapshot"),
            Self::ForeignMode => {
                f.write_str("it is of a redacted stream, or asks for something this program does not know")
            }
            Self::RawMismatch { token, plan } => {
                write!(f, "its stream was {}, and this replication is {}", raw(*token), raw(*plan))
            }
            Self::Excluded(snapshot) => write!(f, "@{snapshot} is not selected for sending"),
        }
    }
}

fn features_named(features: &[String]) -> String {
    let word = if features.len() == 1 { "feature" } else { "features" };
    format!("the {word} {}", features.join(", "))
}

/// How many snapshots of a list are printed.
const SHOWN: usize = 20;

fn list(title: &str, snapshots: &[Snapshot]) -> String {
    if snapshots.is_empty() {
        return format!("  {title}: none");
    }
    let mut text = format!("  {title}: {}", snapshots.len());
    // The newest are the ones that matter; the rest is counted.
    let skipped = snapshots.len().saturating_sub(SHOWN);
    if skipped > 0 {
        text.push_str(&format!("\n    … {skipped} older ones"));
    }
    for snapshot in &snapshots[skipped..] {
        text.push_str(&format!("\n    {} (GUID {})", snapshot.name, snapshot.guid));
    }
    text
}

impl Conflict {
    /// A short word for each kind, for `--json`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoSourceSnapshots { .. } => "no-source-snapshots",
            Self::NothingSelected { .. } => "nothing-selected",
            Self::InitialRefused { .. } => "initial-refused",
            Self::KeyNotLoaded { .. } => "key-not-loaded",
            Self::ParentNotReplicated { .. } => "parent-not-replicated",
            Self::NoSpace { .. } => "no-space",
            Self::Bug { .. } => "zfs-bug",
            Self::NotEncrypted { .. } => "not-encrypted",
            Self::FeatureMissing { .. } => "feature-missing",
            Self::OriginNotReplicated { .. } => "origin-not-replicated",
            Self::Promoted { .. } => "promoted",
            Self::KindMismatch { .. } => "kind-mismatch",
            Self::TargetWithoutSnapshots { .. } => "target-without-snapshots",
            Self::NoCommonBase { .. } => "no-common-base",
            Self::Diverged { .. } => "diverged",
            Self::SetAsideUnloadsKey { .. } => "set-aside-unloads-key",
            Self::NameClash { .. } => "name-clash",
            Self::NameTooLong { .. } => "name-too-long",
            Self::Partial { .. } => "partial-receive",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoSourceSnapshots { from } => format!("take one first: zfs snapshot {from}@NAME"),
            Self::NothingSelected { .. } => "look at the patterns for snapshots".to_string(),
            Self::InitialRefused { .. } => {
                "check that the name of the target is right; if it is, run once with --initial all or newest".to_string()
            }
            Self::KeyNotLoaded { root, .. } => format!("load it with `zfs load-key {root}`"),
            Self::ParentNotReplicated { parent, .. } => {
                format!("resolve what keeps {parent} from being sent; its children follow")
            }
            Self::NoSpace { .. } => {
                "make room on the target, or run with --ignore-space if the estimate is wrong".to_string()
            }
            Self::Bug { .. } => "upgrade OpenZFS on the machine that is named".to_string(),
            Self::NotEncrypted { .. } => {
                "leave it out with --exclude, or run without --require-encrypted".to_string()
            }
            Self::FeatureMissing { features, to_pool, .. } => {
                let set: Vec<_> = features.iter().map(|one| format!("`zpool set feature@{one}=enabled {to_pool}`")).collect();
                format!(
                    "enable it with {}, or all that its OpenZFS knows with `zpool upgrade {to_pool}` (upgrade OpenZFS there if it does not know it; older versions cannot use the pool afterwards)",
                    set.join(" and ")
                )
            }
            Self::OriginNotReplicated { origin, .. } => {
                format!("resolve what keeps {} from being sent; its clones follow", origin.dataset())
            }
            Self::Promoted { there, .. } => format!(
                "run the same command with --divergence preserve: what the target has is moved aside, and the dataset is received anew as a clone of {there}, so that nothing is sent twice"
            ),
            Self::KindMismatch { .. } | Self::TargetWithoutSnapshots { .. } | Self::NoCommonBase { .. } => {
                "choose another name for the target, or move what is there aside with `zfs rename`; nothing there is overwritten"
                    .to_string()
            }
            Self::Diverged { to, target_only, target_written, .. } => {
                let mut hint = String::from(
                    "run again with --divergence preserve: it sets the target aside under another name, with all it has, and goes on. Or ",
                );
                if target_only.is_empty() && *target_written > 0 {
                    hint.push_str(&format!(
                        "undo its changes yourself, if nobody needs them, with `zfs rollback` to its newest snapshot, and keep it from changing with `zfs set readonly=on {to}`"
                    ));
                } else {
                    hint.push_str("destroy its own snapshots yourself, if nobody needs them");
                }
                hint
            }
            Self::SetAsideUnloadsKey { to, base, aside } => format!(
                "do it yourself and load the key in between: `zfs rename {to} {aside}`, `zfs clone -o readonly=on {aside}@{base} {to}`, `zfs promote {to}`, `zfs load-key {to}`; then run the same command again, which goes on from there"
            ),
            Self::NameClash { .. } => "rename these snapshots on the source or on the target".to_string(),
            Self::NameTooLong { .. } => "choose a shorter name for the target".to_string(),
            Self::Partial { to, .. } => format!(
                "run again with --discard-partial to throw away what arrived of it (snapshots are not touched), and start that stream anew; where the user there may only add, do it on the target's machine as root: `replicator tokens --discard {to}`"
            ),
        }
    }
}
