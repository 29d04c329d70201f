//! A pair: two nodes with datasets of the same names on pools of their own, of which one has the service. What it
//! means for a run is decided in `crate::pair`, who has the service in [`crate::role`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use zfs_core::name::DatasetName;

use super::dataset::Freshness;
use super::job::FarEnd;
use super::job::Job;
use super::job::Limits;
use super::job::Link;
use super::job::Pruner;
use super::job::Target;
use super::place::Place;
use crate::endpoint::Endpoint;
use crate::endpoint::Machine;
use crate::plan::Options;
use crate::role::Role;

/// A pair, as one of its nodes sees it.
#[derive(Clone, Debug)]
pub struct Pair {
    /// How it is called; unique, the same on both nodes.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// The datasets at which replication begins, with all below; the same names on both nodes, none below another.
    pub roots: Vec<DatasetName>,
    /// The name of this node, as the decider knows it; `None`: the nodename of uname(2) without its domain.
    pub node: Option<String>,
    /// The other node.
    pub peer: Peer,
    /// Who says where the service is.
    pub decider: Decider,
    /// How it is observed.
    pub watch: Watch,
    /// When to stop rather than go on.
    pub guards: Guards,
    /// How long the final send of a node that gives the service away may take while somebody waits.
    pub final_send: Duration,
    /// What the planner needs to know. Always recursive; divergence is never anything but `stop` outside a rejoin.
    pub options: Options,
    /// What replication may take.
    pub limits: Limits,
}

impl Pair {
    /// Each root as a job into the other node, for who looks after what both have in common: on either node the newest
    /// common snapshot stays, as a snapshot, because after a takeover it is the base of the other direction. No run
    /// carries these out; that is for the active node, with its epoch.
    #[must_use]
    pub fn jobs(&self) -> Vec<Job> {
        let job = |root: &DatasetName| Job {
            name: format!("pair {}: {root}", self.name),
            place: self.place.clone(),
            source: Endpoint { machine: None, dataset: root.clone() },
            link: Link::default(),
            options: Options { recursive: true, bookmarks: false, ..self.options.clone() },
            ignore_space: false,
            targets: vec![Target {
                name: self.peer.node.clone(),
                place: self.place.clone(),
                endpoint: Endpoint { machine: Some(self.peer.machine.clone()), dataset: root.clone() },
                link: Link { far_end: FarEnd::Agent, ..self.peer.link.clone() },
                limits: self.limits,
                optional: false,
                // Which node has the copy changes with the roles.
                verify: false,
                pruner: Pruner::Target,
                retention: None,
                lag: Freshness { warn: None, critical: None },
                base_limit: None,
                base_warn: None,
            }],
        };
        self.roots.iter().map(job).collect()
    }

    /// For JSON: what a person wants to see of it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let roots: Vec<_> = self.roots.iter().map(DatasetName::as_str).collect();
        json!({
            "name": self.name,
            "place": self.place.to_string(),
            "roots": roots,
            "node": self.node,
            "peer": { "node": self.peer.node, "host": self.peer.machine.to_string() },
            "decider": self.decider.to_json(),
            "watch": {
                "times": self.watch.times,
                "distance_seconds": self.watch.distance.as_secs(),
                "timeout_seconds": self.watch.timeout.as_secs(),
            },
            "guards": {
                "source_below_percent": self.guards.source_below,
                "drift_percent": self.guards.drift,
                "promote_age_seconds": self.guards.promote_age.map(|age| age.as_secs()),
            },
            "final_send_seconds": self.final_send.as_secs(),
        })
    }
}

/// The other node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name, as the decider knows it.
    pub node: String,
    /// How it is reached.
    pub machine: Machine,
    /// The way there. The far end is always an agent.
    pub link: Link,
}

/// Who says on which node the service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decider {
    /// Proxmox VE: the node that has the guest's configuration.
    Proxmox {
        /// The guest, a container or a virtual machine.
        guest: u32,
        /// Where pmxcfs is mounted; `/etc/pve` unless a test says otherwise.
        files: PathBuf,
        /// The program `pvesh`.
        pvesh: PathBuf,
    },
    /// Pacemaker: the node on which a resource runs.
    Pacemaker {
        /// The resource.
        resource: String,
    },
    /// A lease in etcd, which this program takes and renews itself.
    Etcd {
        /// Its members.
        endpoints: Vec<SocketAddr>,
        /// Under which key.
        key: String,
        /// How long the lease lives without being renewed.
        ttl: Duration,
    },
    /// A command: 0 here, 1 on the other node, anything else unknown.
    Command {
        /// The program and its arguments; no shell.
        argv: Vec<String>,
    },
    /// Always the same, for a pair that people switch by hand.
    Fixed(Role),
}

impl Decider {
    /// In a few words, for tables.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Proxmox { guest, .. } => format!("Proxmox VE, guest {guest}"),
            Self::Pacemaker { resource } => format!("Pacemaker, resource {resource}"),
            Self::Etcd { key, .. } => format!("etcd, key {key}"),
            Self::Command { argv } => format!("command {}", argv.join(" ")),
            Self::Fixed(role) => format!("fixed: {role}"),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Proxmox { guest, files, pvesh } => {
                json!({ "proxmox": { "guest": guest, "files": files, "pvesh": pvesh } })
            }
            Self::Pacemaker { resource } => json!({ "pacemaker": { "resource": resource } }),
            Self::Etcd { endpoints, key, ttl } => {
                json!({ "etcd": { "endpoints": endpoints, "key": key, "ttl_seconds": ttl.as_secs() } })
            }
            Self::Command { argv } => json!({ "command": argv }),
            Self::Fixed(role) => json!({ "fixed": role }),
        }
    }
}

/// How the role is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// How many observations must agree.
    pub times: u32,
    /// How far they are apart.
    pub distance: Duration,
    /// How long one question may take.
    pub timeout: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        Self { times: 3, distance: Duration::from_secs(2), timeout: Duration::from_secs(5) }
    }
}

/// When to stop although everything else allows to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guards {
    /// A dataset that has less than so many per cent of what it had a day before, or of what the standby has, is not
    /// pruned.
    pub source_below: u8,
    /// A change of so many per cent within a day is told.
    pub drift: u8,
    /// How old the newest snapshot may be when this node is promoted without being forced; `None`: any age.
    pub promote_age: Option<Duration>,
}

impl Default for Guards {
    fn default() -> Self {
        Self { source_below: 50, drift: 20, promote_age: None }
    }
}
