//! Pruning of a dataset of a pair that stands still because of what its sizes say ([`super::sizes`]). It stands in the record
//! of each run that prunes until a person has done something about it, and whoever watches reads it there.

use serde::Deserialize;
use serde::Serialize;
use zfs_core::name::DatasetName;

use super::guards::Told;
use crate::transport::quote;

/// Why it stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The dataset lost most of its data at once.
    Lost,
    /// The active node has much less of it.
    Smaller,
    /// The active node does not have it.
    Missing,
    /// How large its snapshots are is not known.
    NoSizes,
}

impl Cause {
    /// In one word, for numbers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Smaller => "smaller",
            Self::Missing => "missing",
            Self::NoSizes => "no-sizes",
        }
    }

    /// Whether data may be lost. Else that is only not known.
    #[must_use]
    pub fn is_grave(self) -> bool {
        self != Self::NoSizes
    }
}

/// A dataset whose pruning stands still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// The pair.
    pub pair: String,
    /// The dataset.
    pub dataset: String,
    /// What kind of reason there is.
    pub cause: Cause,
    /// Why, in a sentence without its end.
    pub why: String,
    /// What to do about it, the same way.
    pub hint: String,
}

impl Paused {
    /// What a guard has told of a dataset of this pair, if it keeps the dataset from being pruned.
    #[must_use]
    pub fn of(pair: &str, told: &Told) -> Option<Self> {
        let (dataset, cause) = match told {
            Told::Lost { dataset, .. } => (dataset, Cause::Lost),
            Told::Smaller { dataset, .. } => (dataset, Cause::Smaller),
            Told::Missing { dataset, .. } => (dataset, Cause::Missing),
            Told::NoSizes { dataset, .. } => (dataset, Cause::NoSizes),
            Told::Drift { .. } | Told::Degraded { .. } | Told::PoolRoot { .. } => return None,
        };
        Some(Self {
            pair: pair.to_string(),
            dataset: dataset.to_string(),
            cause,
            why: told.to_string(),
            hint: hint(pair, dataset, cause),
        })
    }
}

fn hint(pair: &str, dataset: &DatasetName, cause: Cause) -> String {
    let shown =
        if dataset.as_str().contains(' ') { quote::sh(dataset.as_str()) } else { dataset.to_string() };
    match cause {
        Cause::Lost => format!(
            "look what is missing, the snapshots from before have it; if it was meant, run `replicator pair accept {pair} --dataset {shown}` on the active node"
        ),
        Cause::Smaller => format!(
            "find out what the active node has lost: `replicator pair status {pair}`; it ends when the next send has brought the same here"
        ),
        Cause::Missing => format!(
            "if it was meant, destroy the copy here as well: `zfs destroy -r {shown}`; else bring the service here with `replicator pair handover {pair}` on the active node, and the next run sends the dataset back"
        ),
        Cause::NoSizes => {
            format!("see whether `zfs list -t snapshot -o name,referenced {shown}` can list them")
        }
    }
}

#[cfg(test)]
mod tests {
    use zfs_core::Guid;

    use super::*;
    use crate::pair::sizes::Loss;
    use crate::pair::sizes::Size;

    #[test]
    fn what_keeps_a_dataset_from_being_pruned_is_told_with_what_to_do() {
        let dataset: DatasetName = "tank/a b".parse().expect("a name");
        let size = |short: &str, bytes| Size { short: short.to_string(), guid: Guid(1), at: 0, bytes };
        let loss = Loss { before: size("x", 2), after: size("y", 1), older: vec![Guid(1)] };
        let all = [
            (
                Told::Lost { dataset: dataset.clone(), loss: Box::new(loss) },
                "pair accept nfs --dataset 'tank/a b'",
            ),
            (Told::Smaller { dataset: dataset.clone(), active: 1, standby: 9, limit: 50 }, "pair status nfs"),
            (Told::Missing { dataset: dataset.clone(), standby: 9 }, "zfs destroy -r 'tank/a b'"),
            (Told::NoSizes { dataset: dataset.clone(), why: "no".to_string() }, "zfs list"),
        ];
        let mut words = Vec::new();
        for (told, hint) in all {
            let paused = Paused::of("nfs", &told).expect("it keeps something");
            assert_eq!((paused.pair.as_str(), paused.dataset.as_str()), ("nfs", "tank/a b"));
            assert_eq!(paused.why, told.to_string());
            assert!(paused.hint.contains(hint), "{}", paused.hint);
            assert_eq!(paused.cause.is_grave(), !matches!(told, Told::NoSizes { .. }));
            let json = serde_json::to_value(&paused).expect("JSON");
            assert_eq!(json["cause"], paused.cause.word());
            assert_eq!(serde_json::from_value::<Paused>(json).expect("read back"), paused);
            words.push(paused.cause.word());
        }
        words.dedup();
        assert_eq!(words.len(), 4);
        let drift = Told::Drift { dataset, before: 1, now: 2 };
        assert_eq!(Paused::of("nfs", &drift), None);
    }
}
