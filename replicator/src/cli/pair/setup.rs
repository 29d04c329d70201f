//! What the verbs of a pair have in common: the pair out of the configuration, this node, the way to the other one, and how
//! roots are sent.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Failure;
use super::Outcome;
use crate::cancel::Cancel;
use crate::cli;
use crate::cli::config::From;
use crate::cli::format;
use crate::config::Config;
use crate::config::job::FarEnd;
use crate::config::job::Link;
use crate::config::pair::Pair;
use crate::connect;
use crate::endpoint::Endpoint;
use crate::engine::Observer;
use crate::engine::Place;
use crate::engine::Run;
use crate::engine::RunError;
use crate::host::Depth;
use crate::host::Host;
use crate::host::Inventory;
use crate::jobs::Done;
use crate::jobs::keep_others_out;
use crate::lock::RunLock;
use crate::pair::NodeName;
use crate::pair::guards::Told;
use crate::pair::guards::pool_root;
use crate::pair::verbs::Node;
use crate::pair::verbs::Refused;
use crate::pair::verbs::VerbError;
use crate::pair::verbs::look::look;
use crate::pair::verbs::node::LocalNode;
use crate::pair::verbs::promote;
use crate::pair::verbs::rejoin::Asked;
use crate::pair::verbs::rejoin::Rejoined;
use crate::pair::verbs::rejoin::rejoin;
use crate::pair::verbs::send::Sending;
use crate::pair::verbs::send::send;
use crate::plan::Step;
use crate::role::source;
use crate::transfer::Budget;
use crate::transfer::Limiter;
use crate::transfer::Moved;
use crate::transfer::Patience;
use crate::transfer::Settings;
use crate::transfer::retry::Backoff;

/// What each verb takes.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// The pair, as the configuration calls it; not needed where there is only one.
    #[arg(value_name = "PAIR")]
    pub(super) pair: Option<String>,

    /// As JSON.
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) from: From,
}

/// The pair of that name, or the only one.
pub(super) fn named<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c Pair, Failure> {
    let mut found = config.pairs.iter().filter(|pair| name.is_none_or(|name| pair.name == name));
    let all: Vec<_> = config.pairs.iter().map(|pair| pair.name.as_str()).collect();
    let hint = match all.as_slice() {
        [] => "add a [pair.NAME] to it, on both nodes".to_string(),
        all => format!("it has {}", all.join(", ")),
    };
    match (found.next(), found.next()) {
        (Some(pair), None) => Ok(pair),
        (Some(_), Some(_)) => {
            let message = "the configuration has several pairs: say which one";
            Err(Failure::new(Outcome::Usage, message).hinted(hint))
        }
        (None, _) => {
            let which = name.map_or_else(String::new, |name| format!(" {name}"));
            Err(Failure::new(Outcome::Failed, format!("the configuration has no pair{which}")).hinted(hint))
        }
    }
}

/// A pair and this node of it.
pub(in crate::cli) struct Setup {
    /// The folder of what this program remembers.
    pub(super) state: PathBuf,
    pub(super) pair: Pair,
    pub(super) node: LocalNode,
    pub(super) name: NodeName,
    pub(super) peer: NodeName,
    cancel: Cancel,
}

impl Setup {
    pub(super) fn new(common: &Common, cancel: &Cancel) -> Result<Self, Failure> {
        let (config, _) = common.from.usable()?;
        let pair = named(&config, common.pair.as_deref())?.clone();
        Self::of(config.folders.state.clone(), pair, cancel)
    }

    /// This node of a pair. `state` is the folder of what this program remembers.
    pub(in crate::cli) fn of(state: PathBuf, pair: Pair, cancel: &Cancel) -> Result<Self, Failure> {
        let bad = |error| Failure::from(VerbError::from(Refused::Name(error)));
        let name = match &pair.node {
            Some(name) => name.parse(),
            None => NodeName::of_this_machine(),
        };
        let (name, peer): (NodeName, NodeName) = (name.map_err(bad)?, pair.peer.node.parse().map_err(bad)?);
        if name == peer {
            let message = format!("both nodes of the pair {} are called {name}", pair.name);
            return Err(Failure::new(Outcome::Configuration, message));
        }
        let node = LocalNode::new(name.clone(), Zfs::open()?, cancel.clone());
        let node = node.decided_by(source::of(&pair));
        Ok(Self { state, pair, node, name, peer, cancel: cancel.clone() })
    }

    /// The other node, which has to have an agent.
    pub(super) fn connect(&self) -> Result<Box<dyn Host>, Failure> {
        let Some(root) = self.pair.roots.first() else {
            return Err(Failure::new(Outcome::Configuration, "the pair has no roots"));
        };
        let endpoint = Endpoint { machine: Some(self.pair.peer.machine.clone()), dataset: root.clone() };
        let link = Link { far_end: FarEnd::Agent, ..self.pair.peer.link.clone() };
        Ok(connect::host(&link, &endpoint, None, &self.cancel)?)
    }

    pub(super) fn asked(&self, force: bool) -> promote::Asked {
        promote::Asked { force, guards: self.pair.guards, now: now() }
    }

    /// How roots are sent.
    pub(super) fn sending(&self) -> Run {
        let limits = &self.pair.limits;
        let patience = Patience { bytes: limits.stall.map(Duration::from_secs), ..Patience::default() };
        let transfer = Settings {
            budget: Budget::new(limits.buffer),
            limiter: limits.rate.map_or_else(Limiter::none, Limiter::new),
            patience,
            compression: limits.compression,
            ..Settings::default()
        };
        let backoff = Backoff { attempts: limits.retries.saturating_add(1), ..Backoff::default() };
        Run { transfer, jobs: usize::try_from(limits.datasets).unwrap_or(1).max(1), backoff, lock: None }
    }

    /// Sends all roots that this node holds, and gives what was done for each.
    pub(in crate::cli) fn send(
        &mut self,
        observer: &dyn Observer,
    ) -> Result<Vec<(DatasetName, Done)>, Failure> {
        let mut there = self.connect()?;
        for told in self.pool_roots()? {
            observer.note(&format!("warning: {told}"));
        }
        let side = look(self.node.host(), self.name.as_str(), &self.pair.roots)?;
        let locks = self.locks(there.as_mut())?;
        let (options, run, cancel) = (self.pair.options.clone(), self.sending(), self.cancel.clone());
        let how =
            Sending { options: &options, run: &run, locks: &locks, observer, cancel: &cancel, now: now() };
        let (mut all, mut failed) = (Vec::new(), None);
        for root in &side.roots {
            let Some(epoch) = root.epoch().filter(|epoch| epoch.holder == self.name) else { continue };
            // One root that cannot be sent keeps no other from it.
            let who = (epoch.number, &self.name, &self.peer);
            match send(self.node.host(), there.as_mut(), &root.name, who, &how) {
                Ok(done) => all.push((root.name.clone(), done)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(all),
        }
    }

    /// Data in the root datasets of the pools of the pair, which go nowhere.
    pub(super) fn pool_roots(&mut self) -> Result<Vec<Told>, Failure> {
        let pools: BTreeSet<_> = self.pair.roots.iter().map(DatasetName::pool).collect();
        let mut all = Vec::new();
        for pool in pools {
            let Ok(pool) = DatasetName::try_from(pool) else { continue };
            if self.pair.roots.contains(&pool) {
                continue;
            }
            if let Inventory::Present(tree) = self.node.host().inventory(&pool, Depth::One)? {
                all.extend(pool_root(tree.root()));
            }
        }
        Ok(all)
    }

    /// Lets this node follow, if it has nothing of its own.
    pub(in crate::cli) fn follow(&mut self, tell: &mut dyn FnMut(&str)) -> Result<Rejoined, Failure> {
        let mut there = self.connect()?;
        let asked = Asked { only_follow: true, ..Asked::default() };
        Ok(rejoin(&mut self.node, &self.pair.roots, there.as_mut(), &self.peer, asked, tell)?)
    }

    /// Keeps other runs out of the roots of the other node.
    pub(super) fn locks(
        &self,
        there: &mut dyn Host,
    ) -> Result<BTreeMap<DatasetName, Arc<RunLock>>, VerbError> {
        let mut locks = BTreeMap::new();
        for root in &self.pair.roots {
            let lock = RunLock::take(Some(&self.pair.peer.machine.host), root, Depth::All)?;
            keep_others_out(there, root, Depth::All, &lock, &self.cancel)?;
            locks.insert(root.clone(), Arc::new(lock));
        }
        Ok(locks)
    }
}

/// Sends all roots that this node holds.
pub(super) fn send_all(common: &Common, cancel: &Cancel) -> Result<(), Failure> {
    Setup::new(common, cancel)?.send(&Lines).map(drop)
}

pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A line for each stream, on standard error.
pub(super) struct Lines;

impl Observer for Lines {
    fn step_started(&self, _: Place, _: &Step) {}

    fn progress(&self, _: Place, _: Moved) {}

    fn step_finished(&self, _: Place, step: &Step, moved: Moved) {
        if let Some(spec) = step.stream() {
            cli::say(&format!("sent {}, {}", spec.to.name, format::bytes(moved.plain)));
        }
    }

    fn retry(&self, dataset: &DatasetName, error: &RunError, after: Duration) {
        cli::say(&format!("{dataset}: {error}; tries again in {}", format::duration(after)));
    }

    fn note(&self, text: &str) {
        cli::say(text);
    }
}
