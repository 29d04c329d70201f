//! Datasets of this machine that others send into, and what this machine sees to there by itself.

use serde_json::json;
use zfs_core::name::DatasetName;

use super::place::Place;

/// How long a receive that broke off may lie where nothing is said: a week, in seconds.
pub const PARTIAL_FOR: u64 = 7 * 86_400;

/// Some datasets that others send into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receive {
    /// Where it is written.
    pub place: Place,
    /// The datasets, with everything below them; never empty.
    pub roots: Vec<DatasetName>,
    /// For how many seconds a receive that broke off may lie there while nothing more comes; `None`: for ever.
    pub partial_for: Option<u64>,
}

impl Receive {
    /// For JSON: what a person wants to see of it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        json!({
            "place": self.place.to_string(),
            "roots": self.roots.iter().map(DatasetName::as_str).collect::<Vec<_>>(),
            "partial_for_seconds": self.partial_for,
        })
    }
}
