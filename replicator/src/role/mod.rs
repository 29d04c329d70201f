//! Who is active in a pair of nodes. A role is never stored: it is found anew each time, by a pure function, from what
//! was observed. What a role allows is decided in `crate::pair`.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

pub(crate) mod ask;
pub mod by_hand;
pub mod decide;
pub mod epochs;
pub mod observation;
pub mod roots;
pub mod source;
#[cfg(test)]
mod testing;
pub mod watch;

/// What this node is, for one pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The service runs here, or is about to: this node takes snapshots and sends them.
    Active,
    /// The other node has the service: this one receives.
    Standby,
    /// This node had the service and does not know that the other one has taken over what it wrote. It is neither
    /// source nor target until somebody decides.
    Isolated,
    /// Nothing can be said for sure. Nothing is taken, sent, received or pruned.
    Unknown,
}

impl Role {
    /// As it is printed.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Isolated => "isolated",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
