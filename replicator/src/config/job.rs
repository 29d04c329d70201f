//! Replication jobs: from where to where, what of it, over which way, and what becomes of the copies. What a job does
//! is decided in [`crate::plan`] and done by [`crate::engine`].

use std::num::NonZeroU64;
use std::path::PathBuf;

use serde_json::json;

use super::dataset::Freshness;
use super::place::Place;
use crate::agent::Listen;
use crate::endpoint::Endpoint;
use crate::plan::Options;
use crate::policy::Retention;
use crate::transfer::Compression;
use crate::transfer::budget;
use crate::transfer::retry::Backoff;
use crate::transport::quote::Elevate;

/// What carries a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// The library inside this program.
    #[default]
    Libssh2,
    /// The `ssh` program of this machine.
    Ssh,
}

/// Who answers on the other machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FarEnd {
    /// The zfs command.
    #[default]
    Zfs,
    /// `replicator agent`.
    Agent,
    /// The agent where there is one, else the zfs command.
    Auto,
}

/// How streams go between this program and an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streams {
    /// In the ssh session.
    #[default]
    Ssh,
    /// Over a TLS connection beside it, where that can be had.
    Tls,
}

/// How another machine is reached. Means nothing for this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What carries the connection.
    pub carrier: Carrier,
    /// The port of sshd; `None`: 22, or what ssh_config says to the `ssh` program.
    pub port: Option<u16>,
    /// Private keys; none: those of the agent and of `~/.ssh`.
    pub identities: Vec<PathBuf>,
    /// Files to look the host key up in; none: the usual ones.
    pub known_hosts: Vec<PathBuf>,
    /// Options of the `ssh` program, as its `-o` takes them.
    pub ssh_options: Vec<String>,
    /// Who answers.
    pub far_end: FarEnd,
    /// How the user there comes to the rights that zfs needs.
    pub elevate: Elevate,
    /// How streams go to an agent.
    pub streams: Streams,
    /// Where an agent that is started there may listen, as `[ADDRESS:]PORT[-PORT]`; one that a key is tied to has its own.
    pub listen: Option<Listen>,
    /// Seconds that connecting may take.
    pub connect_timeout: u64,
    /// Seconds that the other machine may be silent.
    pub idle_timeout: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            carrier: Carrier::default(),
            port: None,
            identities: Vec::new(),
            known_hosts: Vec::new(),
            ssh_options: Vec::new(),
            far_end: FarEnd::default(),
            elevate: Elevate::No,
            streams: Streams::default(),
            listen: None,
            connect_timeout: 15,
            idle_timeout: 60,
        }
    }
}

/// How much a job may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Datasets at the same time.
    pub datasets: u32,
    /// Bytes per second over the line, all datasets of a target together.
    pub rate: Option<NonZeroU64>,
    /// Bytes of memory for blocks on their way.
    pub buffer: u64,
    /// Whether to compress.
    pub compression: Compression,
    /// Seconds without a byte after which a transfer is given up; `None` waits for ever.
    pub stall: Option<u64>,
    /// How often to try again what may pass by itself.
    pub retries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            datasets: 1,
            rate: None,
            buffer: budget::DEFAULT_TOTAL,
            compression: Compression::default(),
            stall: Some(60),
            retries: Backoff::default().attempts.saturating_sub(1),
        }
    }
}

/// Who destroys snapshots of a target that may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pruner {
    /// Nobody.
    #[default]
    Nobody,
    /// The machine that runs the job, by [`Target::retention`].
    Sender,
    /// The machine of the target, by a configuration of its own.
    Target,
}

/// Where a job goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// How it is called in messages.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// The dataset there.
    pub endpoint: Endpoint,
    /// The way there.
    pub link: Link,
    /// What it may take, where that differs from the job.
    pub limits: Limits,
    /// Whether it may be away without an alarm until its own limits are reached, as a disk that is plugged in at times.
    pub optional: bool,
    /// Whether what is there is read and compared by `replicator verify`.
    pub verify: bool,
    /// Who prunes there.
    pub pruner: Pruner,
    /// What is kept there, if the sender prunes.
    pub retention: Option<Retention>,
    /// How far the target may be behind: the age of the newest common snapshot.
    pub lag: Freshness,
    /// How long the newest common base is kept for a target that is away, in seconds; `None`: for ever.
    pub base_limit: Option<u64>,
    /// How old that base is when there is a warning. Always with a limit.
    pub base_warn: Option<u64>,
}

/// A replication job.
#[derive(Clone, Debug)]
pub struct Job {
    /// How it is called; unique.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// What is replicated.
    pub source: Endpoint,
    /// The way to the source.
    pub link: Link,
    /// What the planner needs to know.
    pub options: Options,
    /// Send although the target seems to have too little room.
    pub ignore_space: bool,
    /// Where to; never empty.
    pub targets: Vec<Target>,
}

impl Job {
    /// For JSON: what a person wants to see of it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let targets: Vec<_> = self.targets.iter().map(Target::to_json).collect();
        json!({
            "name": self.name,
            "place": self.place.to_string(),
            "source": self.source.to_string(),
            "recursive": self.options.recursive,
            "initial": self.options.initial,
            "divergence": self.options.divergence,
            "targets": targets,
        })
    }
}

impl Target {
    fn to_json(&self) -> serde_json::Value {
        json!({
            "name": self.name,
            "place": self.place.to_string(),
            "to": self.endpoint.to_string(),
            "optional": self.optional,
            "verify": self.verify,
            "prune": self.pruner.word(),
            "lag_warn_seconds": self.lag.warn,
            "lag_critical_seconds": self.lag.critical,
            "base_limit_seconds": self.base_limit,
            "base_warn_seconds": self.base_warn,
        })
    }
}

impl Pruner {
    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Nobody => "never",
            Self::Sender => "sender",
            Self::Target => "target",
        }
    }
}
