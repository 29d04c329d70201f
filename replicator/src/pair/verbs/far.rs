//! The other node, root by root: what it has, and of what is not seen there why. That a root is proven not to be there,
//! that its pool is missing, that nobody answers any more and that somebody refuses to are different things. Only who is
//! away cannot object to a promotion; who could be asked, and says nothing because a key or a version does not fit, may well
//! be the active node.

use std::collections::BTreeMap;

use zfs_core::DatasetKind;
use zfs_core::ErrorKind;
use zfs_core::name::DatasetName;

use super::Refused;
use super::VerbError;
use super::look::Root;
use super::look::Side;
use super::look::look_in;
use crate::host::Host;
use crate::host::HostError;
use crate::host::agent::WAITING;
use crate::pair::epoch::NodeName;
use crate::transport::TransportError;

/// The other side.
#[derive(Clone, Debug)]
pub struct Far {
    side: Side,
    unseen: BTreeMap<DatasetName, String>,
    writable: BTreeMap<DatasetName, DatasetName>,
}

impl Far {
    /// All of it was seen.
    #[must_use]
    pub fn seen(side: Side) -> Self {
        Self { side, unseen: BTreeMap::new(), writable: BTreeMap::new() }
    }

    /// Nobody there can be asked, and why.
    #[must_use]
    pub fn away(roots: &[DatasetName], why: &str) -> Self {
        let side = Side { node: String::new(), roots: Vec::new() };
        let unseen = roots.iter().map(|root| (root.clone(), why.to_string())).collect();
        Self { side, unseen, writable: BTreeMap::new() }
    }

    /// The name of the node; empty where it is away.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.side.node
    }

    /// The roots that were seen.
    #[must_use]
    pub fn roots(&self) -> &[Root] {
        &self.side.roots
    }

    /// The same root there, where it was seen.
    #[must_use]
    pub fn root(&self, name: &DatasetName) -> Option<&Root> {
        self.side.roots.iter().find(|root| root.name == *name)
    }

    /// The roots that were not seen, each with the reason.
    #[must_use]
    pub fn unseen(&self) -> &BTreeMap<DatasetName, String> {
        &self.unseen
    }

    /// A dataset of a root that the other node holds, which can be written to there now.
    #[must_use]
    pub fn writable(&self, root: &DatasetName) -> Option<&DatasetName> {
        self.writable.get(root)
    }
}

/// Whether an error says that nobody is there: no connection, no answer in time, or a connection that broke. Not so where
/// the machine answers and whoever was started there does not.
#[must_use]
pub fn is_away(error: &HostError) -> bool {
    match error {
        // The machine has told how its agent ended.
        HostError::Transport(TransportError::Lost { phase, .. }) => *phase != WAITING,
        HostError::Transport(TransportError::Connect { .. } | TransportError::Timeout { .. }) => true,
        _ => false,
    }
}

/// Asks the other node for each root. `here` is the name of this node; where it is forced to go on, what cannot be asked is
/// only not known.
///
/// # Errors
/// When the other node is there and cannot be asked; when this process is to stop.
pub fn ask(
    host: &mut dyn Host,
    (here, there): (&NodeName, &NodeName),
    roots: &[DatasetName],
    force: bool,
) -> Result<Far, VerbError> {
    let mut far = Far::seen(Side { node: there.to_string(), roots: Vec::new() });
    let (mut lost, mut why) = (0, String::new());
    for name in roots {
        // After two roots in a row for which nobody answered there is nobody for the third either.
        if lost > 1 {
            far.unseen.insert(name.clone(), why.clone());
            continue;
        }
        let mut found = see(host, here, name);
        if matches!(&found, Err(HostError::Transport(TransportError::Lost { .. }))) {
            // Which may have other reasons than that the node is gone.
            found = see(host, here, name);
        }
        match found {
            Ok((root, writable)) => {
                lost = 0;
                far.side.roots.push(root);
                far.writable.extend(writable.map(|dataset| (name.clone(), dataset)));
            }
            Err(error) if error.is_cancelled() => return Err(error.into()),
            Err(error) if is_no_pool(&error) => {
                far.unseen.insert(name.clone(), format!("it has no pool {}", name.pool()));
            }
            Err(error) if is_away(&error) => {
                lost += 1;
                why = error.to_string();
                far.unseen.insert(name.clone(), why.clone());
            }
            Err(error) if force => drop(far.unseen.insert(name.clone(), error.to_string())),
            Err(error) => return Err(not_asked(there, &error).into()),
        }
    }
    Ok(far)
}

/// The other node is there, and nothing can be learned from it.
#[must_use]
pub fn not_asked(node: &NodeName, error: &HostError) -> Refused {
    let hint = match error {
        // There is no way round it.
        HostError::NoAgent { .. } | HostError::AgentVersion { .. } | HostError::Cannot { .. } => {
            format!("a pair needs replicator on both nodes: install this version on {node}")
        }
        error => {
            error.hint().unwrap_or_else(|| "`replicator pair status` shows what can be reached".to_string())
        }
    };
    Refused::NotAsked { node: node.to_string(), why: error.to_string(), hint }
}

/// One root, and a dataset of it that can be written to there, where that node holds it.
fn see(
    host: &mut dyn Host,
    here: &NodeName,
    name: &DatasetName,
) -> Result<(Root, Option<DatasetName>), HostError> {
    let pool = host.about(name.pool())?.guid;
    let root = look_in(host, name, pool)?;
    if root.epoch().is_none_or(|epoch| epoch.holder == *here) {
        return Ok((root, None));
    }
    let mut writable = None;
    // What is not set read-only may be mounted nowhere, as after a power cut. Of a volume nobody knows who has it open.
    for state in root.datasets().filter(|state| root.value(&state.name, "readonly") != "on") {
        if state.kind == DatasetKind::Volume || host.is_mounted_writable(&state.name)? {
            writable = Some(state.name.clone());
            break;
        }
    }
    Ok((root, writable))
}

fn is_no_pool(error: &HostError) -> bool {
    matches!(error, HostError::NoPool { .. }) || error.zfs_kind() == Some(ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_who_cannot_be_reached_is_away() {
        let far = || "far".to_string();
        let why = || "why".to_string();
        let away = [
            TransportError::Connect { host: far(), port: 22, cause: "no route to host".to_string() },
            TransportError::Timeout { peer: far(), phase: "connecting", limit: Duration::from_secs(5) },
            TransportError::Lost { peer: far(), phase: "sending", cause: why() },
        ];
        for error in away.map(HostError::from) {
            assert!(is_away(&error), "{error}");
        }
        let there = [
            HostError::NoAgent { host: far(), program: "replicator".to_string(), message: why() },
            HostError::AgentVersion { host: far(), ours: "7".to_string(), theirs: "3".to_string() },
            HostError::Refused { host: far(), why: why() },
            HostError::BadAnswer { host: far(), operation: "list", why: why() },
            HostError::Cannot { host: far(), has: why(), what: "check the epoch of a pair" },
            HostError::Cancelled,
            TransportError::Lookup { host: far(), cause: why() }.into(),
            TransportError::Handshake { host: far(), port: 22, cause: why() }.into(),
            TransportError::Refused { peer: far(), cause: why() }.into(),
            TransportError::Authentication { peer: far(), tried: Vec::new(), methods: why() }.into(),
            // It was started there, and has ended.
            TransportError::Lost { peer: far(), phase: WAITING, cause: "the agent ended".to_string() }.into(),
        ];
        for error in there {
            assert!(!is_away(&error), "{error}");
            let node = "far".parse().expect("a name");
            let refused = not_asked(&node, &error);
            assert!(refused.hint().contains("--force") && !refused.to_string().is_empty(), "{refused}");
        }
    }
}
