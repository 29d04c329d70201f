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
use crate::codes::Code;
use crate::config::Config;
use crate::config::job::FarEnd;
use crate::config::job::Link;
use crate::config::pair::Pair;
use crate::connect;
use crate::connect::ConnectError;
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
use crate::pair::verbs::demote::close_what_was_left;
use crate::pair::verbs::far::is_away;
use crate::pair::verbs::far::not_asked;
use crate::pair::verbs::look::Root;
use crate::pair::verbs::look::look;
use crate::pair::verbs::node::LocalNode;
use crate::pair::verbs::promote;
use crate::pair::verbs::rejoin::Asked;
use crate::pair::verbs::rejoin::Rejoined;
use crate::pair::verbs::rejoin::rejoin;
use crate::pair::verbs::send::Sending;
use crate::pair::verbs::send::send;
use crate::pair::verbs::working;
use crate::plan::Step;
use crate::role::source;
use crate::role::watch::Fence;
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
            let message = format!("the configuration has no pair{which}");
            Err(Failure::new(Code::NotConfigured, message).hinted(hint))
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
    /// What the last send of a demotion goes by, where a cluster has asked for it.
    pub(super) gives: Option<Arc<Fence>>,
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
        Ok(Self { state, pair, node, name, peer, gives: None, cancel: cancel.clone() })
    }

    /// From now on each step on this node looks first whether it may still be taken.
    pub(in crate::cli) fn fence_by(&mut self, fence: Arc<Fence>) {
        self.node.fence_by(fence);
    }

    /// The other node, which has to have an agent.
    pub(super) fn connect(&self) -> Result<Box<dyn Host>, Failure> {
        Ok(self.link(self.first_root()?)?)
    }

    /// The same, for what goes on without it where nobody is there. Somebody who is there and cannot be asked may have
    /// something to say, and is only passed over by force.
    pub(super) fn reach(&self, force: bool) -> Result<Result<Box<dyn Host>, String>, Failure> {
        match self.link(self.first_root()?) {
            Ok(host) => Ok(Ok(host)),
            Err(ConnectError::Host(error)) if error.is_cancelled() => Err(error.into()),
            Err(ConnectError::Host(error)) if force || is_away(&error) => Ok(Err(error.to_string())),
            Err(ConnectError::Host(error)) => Err(VerbError::from(not_asked(&self.peer, &error)).into()),
            Err(error @ ConnectError::NoZfs(_)) => Err(error.into()),
        }
    }

    fn first_root(&self) -> Result<&DatasetName, Failure> {
        let none = || Failure::new(Outcome::Configuration, "the pair has no roots");
        self.pair.roots.first().ok_or_else(none)
    }

    fn link(&self, root: &DatasetName) -> Result<Box<dyn Host>, ConnectError> {
        let endpoint = Endpoint { machine: Some(self.pair.peer.machine.clone()), dataset: root.clone() };
        let link = Link { far_end: FarEnd::Agent, ..self.pair.peer.link.clone() };
        connect::host(&link, &endpoint, None, &self.cancel)
    }

    pub(super) fn asked(&self, force: bool) -> promote::Asked {
        let datasets = self.pair.options.datasets.clone();
        promote::Asked { force, guards: self.pair.guards, datasets, now: now() }
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
        for told in self.pool_roots() {
            observer.note(&format!("warning: {told}"));
        }
        let locks = self.locks(there.as_mut())?;
        let (options, run, cancel) = (self.pair.options.clone(), self.sending(), self.cancel.clone());
        let how =
            Sending { options: &options, run: &run, locks: &locks, observer, cancel: &cancel, now: now() };
        let (mut all, mut failed) = (Vec::new(), None);
        // One root that cannot be sent, or not even looked at, keeps no other from it.
        for root in self.pair.roots.clone() {
            let number = match self.held(&root) {
                Ok(Some(number)) => number,
                Ok(None) => continue,
                Err(error) => {
                    failed = failed.or(Some(error));
                    continue;
                }
            };
            let who = (number, &self.name, &self.peer);
            match send(self.node.host(), there.as_mut(), &root, who, &how) {
                Ok(done) => all.push((root, done)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(all),
        }
    }

    /// The epoch in which this node holds a root, if it does.
    fn held(&mut self, root: &DatasetName) -> Result<Option<u64>, VerbError> {
        working(&mut self.node, root.pool())?;
        let side = look(self.node.host(), self.name.as_str(), std::slice::from_ref(root))?;
        let held = side.roots.iter().filter_map(Root::epoch).find(|epoch| epoch.holder == self.name);
        Ok(held.map(|epoch| epoch.number))
    }

    /// Closes this node where the service has left it and nothing is mounted that could be written to, as after its power
    /// went: what was written before gets its last snapshot.
    pub(in crate::cli) fn close_what_was_left(&mut self, tell: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        let (roots, datasets) = (self.pair.roots.clone(), self.pair.options.datasets.clone());
        let done = close_what_was_left(&mut self.node, &roots, &datasets, tell)?;
        match done.and_then(|done| done.failed.into_iter().next()) {
            Some((_, error)) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Data in the root datasets of the pools of the pair, which go nowhere. What is wrong with a pool is told by who needs it.
    pub(super) fn pool_roots(&mut self) -> Vec<Told> {
        let pools: BTreeSet<_> = self.pair.roots.iter().map(DatasetName::pool).collect();
        let mut all = Vec::new();
        for pool in pools {
            let Ok(pool) = DatasetName::try_from(pool) else { continue };
            if self.pair.roots.contains(&pool) || working(&mut self.node, pool.as_str()).is_err() {
                continue;
            }
            if let Ok(Inventory::Present(tree)) = self.node.host().inventory(&pool, Depth::One) {
                all.extend(pool_root(tree.root()));
            }
        }
        all
    }

    /// Lets this node follow, if it has nothing of its own.
    pub(in crate::cli) fn follow(&mut self, tell: &mut dyn FnMut(&str)) -> Result<Rejoined, Failure> {
        let mut there = self.connect()?;
        let datasets = self.pair.options.datasets.clone();
        let asked = Asked { only_follow: true, datasets, ..Asked::default() };
        Ok(rejoin(&mut self.node, &self.pair.roots, there.as_mut(), &self.peer, &asked, tell)?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::place::Source;

    const PAIR: &str = "[pair.nfs]\nroots = ['tank/a']\npeer = { node = 'b' }\nproxmox = { guest = 103 }\n";

    fn config(text: &str) -> Config {
        let (config, problems) = Config::parse(&[Source::new(std::path::Path::new("/etc/x.toml"), text)]);
        assert_eq!(problems.errors(), 0, "{}", problems.render());
        config
    }

    #[test]
    fn a_pair_that_the_configuration_does_not_have_is_told_with_those_that_it_has() {
        let one = config(PAIR);
        assert_eq!(named(&one, None).expect("the only one").name, "nfs");
        let failure = named(&one, Some("smb")).expect_err("no such pair");
        assert_eq!((failure.code, failure.outcome), (Code::NotConfigured, Outcome::Failed));
        assert_eq!(failure.hint(), Some("it has nfs"));
        let failure =
            named(&config("[[dataset]]\nname = 'tank'\ndaily = 1\n"), None).expect_err("none at all");
        assert_eq!(failure.code, Code::NotConfigured);
    }

    #[test]
    fn a_node_needs_a_name_that_can_be_written_down() {
        let mut pair = config(PAIR).pairs.remove(0);
        pair.node = Some("not a name".to_string());
        let setup = Setup::of(PathBuf::from("/nonexistent"), pair, &Cancel::new());
        let failure = setup.err().expect("no name");
        assert_eq!((failure.code, failure.outcome), (Code::NodeName, Outcome::Failed));
    }
}
