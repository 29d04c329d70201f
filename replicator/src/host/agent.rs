//! A machine with this program, reached over a [`Transport`]: `replicator agent` runs there for as long as this host
//! lives and answers one request at a time. The frames and messages are in [`crate::agent`]; what the agent says is
//! checked and bounded as anything from another machine.

use std::collections::BTreeMap;
use std::time::Duration;

use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;

use super::About;
use super::Change;
use super::DatasetKind;
use super::Depth;
use super::Host;
use super::HostError;
use super::Incoming;
use super::Inventory;
use super::Outgoing;
use super::Properties;
use super::Property;
use super::ReceiveSpec;
use super::RemovalCost;
use super::SendSpec;
use crate::agent::COUNTS;
use crate::agent::EPOCHS;
use crate::agent::Kind;
use crate::agent::Part;
use crate::agent::ReceiveRequest;
use crate::agent::Request;
use crate::agent::Text;
use crate::agent::WireClaim;
use crate::cancel::Cancel;
use crate::compare::content::Share;
use crate::compare::content::Take;
use crate::inspect::holds::Held;
use crate::marks::FirstCopy;
use crate::pair::Claim;
use crate::pair::NodeName;
use crate::transport::Transport;
use crate::transport::TransportError;
use crate::transport::quote::Elevate;

mod content;
mod link;
mod listing;
mod streams;
mod worker;

use link::Link;
use listing::Listing;
use streams::AgentIncoming;
use streams::AgentOutgoing;
use worker::Worker;

/// The operation of an error that says why no agent could be started.
pub const START: &str = "start the agent";

/// What was going on when an agent ended, or said nothing any more, although the connection to its machine stood.
pub const WAITING: &str = "waiting for the agent";

/// How many names go into one request.
const NAMES_AT_ONCE: usize = 1000;

/// How many estimates go into one request: each may carry a token of several KiB.
const ESTIMATES_AT_ONCE: usize = 60;

/// How the agent is started.
#[derive(Clone, Debug)]
pub struct AgentCommand {
    /// The program, looked for in PATH and where `zfs` is looked for.
    pub program: String,
    /// Its arguments. A machine that ties the key to a command of its own does not look at them.
    pub arguments: Vec<String>,
    /// How it gets other rights.
    pub elevate: Elevate,
    /// How long it may take to say hello, from the open connection on.
    pub patience: Duration,
    /// How long it may be silent while it owes an answer. What a stream has to move is watched by the transfer.
    pub silence: Duration,
    /// The name or address at which the conversation goes on over a connection of its own, where the agent has one to
    /// offer; `None`: it stays where it began.
    pub fast: Option<String>,
}

impl Default for AgentCommand {
    /// `replicator agent` with all that the user there may do: who may start any command may do that anyway.
    fn default() -> Self {
        Self {
            program: "replicator".to_string(),
            arguments: ["agent", "--everywhere", "--allow", "all"].map(str::to_string).to_vec(),
            elevate: Elevate::No,
            patience: Duration::from_secs(30),
            // A listing of a large pool, or a wait for the pool, may take minutes.
            silence: Duration::from_secs(600),
            fast: None,
        }
    }
}

/// A machine with an agent.
pub struct AgentHost {
    link: Link,
    /// For another connection to the same machine; never used itself.
    template: Box<dyn Transport>,
    breaker: Option<Cancel>,
    command: AgentCommand,
    /// What is presented with each change and each receive.
    claim: Option<WireClaim>,
}

impl AgentHost {
    /// Over this transport. Connects when it is first used.
    ///
    /// # Errors
    /// When the transport has no second connection to offer, or a thread cannot be started.
    pub fn new(transport: Box<dyn Transport>, command: AgentCommand) -> Result<Self, HostError> {
        let label = transport.peer().to_string();
        let (template, breaker) = (transport.another()?, transport.breaker());
        let worker = Worker::new(transport)?;
        let link = Link::new(worker, label, command.clone());
        Ok(Self { link, template, breaker, command, claim: None })
    }

    /// Starts the agent now, to fail early and to fall back to another way.
    ///
    /// # Errors
    /// [`HostError::NoAgent`] when the machine can be reached but has none; [`HostError::AgentVersion`] when it cannot
    /// speak with this program; whatever keeps the connection from being made.
    pub fn start(&mut self) -> Result<(), HostError> {
        self.link.start()
    }
}

impl AgentHost {
    fn wire(&self, claim: &Claim, what: &'static str) -> Result<WireClaim, HostError> {
        WireClaim::new(claim).ok_or_else(|| HostError::Cannot {
            host: self.link.label.clone(),
            has: "no promotion to rely on".to_string(),
            what,
        })
    }

    fn ask_for_properties(
        &mut self,
        root: &DatasetName,
        depth: Depth,
        names: Option<&[String]>,
    ) -> Result<Properties, HostError> {
        const ASKED: &str = "get the properties of";
        let mut all = Properties::new();
        let request = Request::properties(root, depth, names);
        self.link.exchange(&request, ASKED, &mut |part| {
            let Part::Properties { dataset, rows } = part else {
                return Err("another answer than properties".to_string());
            };
            let dataset = dataset.0;
            if !dataset.is_within(root) || (depth == Depth::One && dataset != *root) {
                return Err(format!("{dataset}, which was not asked for"));
            }
            let count = rows.len();
            let one: &mut BTreeMap<_, _> = all.entry(dataset).or_default();
            one.extend(
                rows.into_iter()
                    .map(|(name, value, source)| (name, Property { value, source: source.into() })),
            );
            Ok(count)
        })?;
        if all.contains_key(root) { Ok(all) } else { Err(self.link.bad(ASKED, format!("nothing of {root}"))) }
    }
}

impl Host for AgentHost {
    fn label(&self) -> &str {
        &self.link.label
    }

    fn inventory(&mut self, root: &DatasetName, depth: Depth) -> Result<Inventory, HostError> {
        const ASKED: &str = "list";
        let mut listing = Listing::new(root.clone(), depth);
        let request = Request::inventory(root, depth);
        self.link.exchange(&request, ASKED, &mut |part| listing.take(part))?;
        listing.finish().map_err(|why| self.link.bad(ASKED, why))
    }

    fn about(&mut self, pool: &str) -> Result<About, HostError> {
        const ASKED: &str = "the question about the pool";
        let request = Request::about(pool).map_err(|error| TransportError::Local {
            what: "cannot ask about a pool".to_string(),
            cause: error.to_string(),
        })?;
        let mut found = None;
        self.link.exchange(&request, ASKED, &mut |part| match part {
            Part::About(about) if found.is_none() => {
                found = Some(about.about(pool)?);
                Ok(0)
            }
            _ => Err("another answer than one about a pool".to_string()),
        })?;
        found.ok_or_else(|| self.link.bad(ASKED, "nothing"))
    }

    fn properties(&mut self, root: &DatasetName, depth: Depth) -> Result<Properties, HostError> {
        self.ask_for_properties(root, depth, None)
    }

    fn some_properties(
        &mut self,
        root: &DatasetName,
        depth: Depth,
        names: &[String],
    ) -> Result<Properties, HostError> {
        self.ask_for_properties(root, depth, Some(names))
    }

    fn spoken(&self) -> Option<(u16, String)> {
        self.link.spoken()
    }

    fn answers_itself(&self) -> bool {
        true
    }

    fn removal_cost(&mut self, dataset: &DatasetName) -> Result<RemovalCost, HostError> {
        const ASKED: &str = "the question what is in a dataset";
        let mut cost = None;
        let request = Request::RemovalCost { dataset: Text(dataset.clone()) };
        self.link.exchange(&request, ASKED, &mut |part| match part {
            Part::RemovalCost { bytes, mounted, held, cloned } if cost.is_none() => {
                let (held, cloned) = (held.map(|name| name.0), cloned.map(|name| name.0));
                cost = Some(RemovalCost { bytes, mounted, held, cloned });
                Ok(0)
            }
            _ => Err("another answer than one about a dataset".to_string()),
        })?;
        cost.ok_or_else(|| self.link.bad(ASKED, "nothing"))
    }

    fn dates(&mut self, root: &DatasetName, depth: Depth) -> Result<Vec<(SnapshotName, i64)>, HostError> {
        const ASKED: &str = "the question for the dates of snapshots";
        let mut dates = Vec::new();
        let request = Request::Dates { root: Text(root.clone()), all: depth == Depth::All };
        self.link.exchange(&request, ASKED, &mut |part| {
            let Part::Dates(some) = part else { return Err("another answer than dates".to_string()) };
            let count = some.len();
            for (name, date) in some {
                let asked = match depth {
                    Depth::One => name.0.dataset() == root,
                    Depth::All => name.0.dataset().is_within(root),
                };
                if !asked {
                    return Err(format!("{}, which was not asked for", name.0));
                }
                dates.push((name.0, date));
            }
            Ok(count)
        })?;
        Ok(dates)
    }

    fn snapshot_guids(&mut self, snapshots: &[SnapshotName]) -> Result<Vec<Option<Guid>>, HostError> {
        const ASKED: &str = "list";
        let mut all = Vec::with_capacity(snapshots.len());
        for names in snapshots.chunks(NAMES_AT_ONCE) {
            let mut some = Vec::new();
            self.link.exchange(&Request::snapshot_guids(names), ASKED, &mut |part| match part {
                Part::Guids(guids) if some.len() + guids.len() <= names.len() => {
                    some.extend(guids.into_iter().map(|guid| guid.map(Guid)));
                    Ok(0)
                }
                _ => Err("another answer than a GUID for each snapshot".to_string()),
            })?;
            if some.len() != names.len() {
                let why = format!("{} GUIDs for {} snapshots", some.len(), names.len());
                return Err(self.link.bad(ASKED, why));
            }
            all.append(&mut some);
        }
        Ok(all)
    }

    fn estimate(&mut self, streams: &[SendSpec]) -> Result<Vec<Option<u64>>, HostError> {
        const ASKED: &str = "estimate";
        let mut all = Vec::with_capacity(streams.len());
        for specs in streams.chunks(ESTIMATES_AT_ONCE) {
            let mut some = Vec::new();
            let request = Request::Estimate { streams: specs.iter().map(Into::into).collect() };
            self.link.exchange(&request, ASKED, &mut |part| match part {
                Part::Sizes(sizes) if some.len() + sizes.len() <= specs.len() => {
                    some.extend(sizes);
                    Ok(0)
                }
                _ => Err("another answer than a size for each stream".to_string()),
            })?;
            if some.len() != specs.len() {
                let why = format!("{} sizes for {} streams", some.len(), specs.len());
                return Err(self.link.bad(ASKED, why));
            }
            all.append(&mut some);
        }
        Ok(all)
    }

    fn has_zstd(&mut self) -> Result<bool, HostError> {
        // Each agent of this version of the protocol does it itself.
        Ok(true)
    }

    fn send<'a>(&'a mut self, spec: &SendSpec) -> Result<Box<dyn Outgoing + 'a>, HostError> {
        if spec.flags.is_some() {
            return Err(HostError::Cannot {
                host: self.label().to_string(),
                has: "an agent".to_string(),
                what: "send with flags of another's choice",
            });
        }
        let id = self.link.ask(&Request::Send(spec.into()), SEND)?;
        Ok(Box::new(AgentOutgoing::new(&mut self.link, id)))
    }

    fn receive<'a>(&'a mut self, spec: &ReceiveSpec) -> Result<Box<dyn Incoming + 'a>, HostError> {
        if self.claim.is_some() {
            self.link.needs(EPOCHS, EPOCH)?;
        }
        let request = ReceiveRequest::from(spec).claiming(self.claim.clone());
        let id = self.link.ask(&Request::Receive(request), RECEIVE)?;
        let frame = self.link.await_reply(id, RECEIVE)?;
        match frame.kind {
            Kind::Part if self.link.parse::<Part>(&frame, RECEIVE)? == Part::Ready => {
                Ok(Box::new(AgentIncoming::new(&mut self.link, id)))
            }
            Kind::Answer => {
                let answer = self.link.parse(&frame, RECEIVE)?;
                self.link.outcome(answer, RECEIVE)?;
                Err(self.link.broken(RECEIVE, "it is done before it began"))
            }
            kind => Err(self.link.broken(RECEIVE, format!("{kind} instead of an answer"))),
        }
    }

    fn read(
        &mut self,
        snapshot: &SnapshotName,
        kind: DatasetKind,
        take: &mut Take<'_>,
    ) -> Result<(), HostError> {
        self.content(snapshot, kind, Share::ALL, take)
    }

    fn read_share(
        &mut self,
        snapshot: &SnapshotName,
        kind: DatasetKind,
        share: Share,
        take: &mut Take<'_>,
    ) -> Result<(), HostError> {
        self.content(snapshot, kind, share, take)
    }

    fn holds(&mut self, root: &DatasetName, depth: Depth) -> Result<Vec<Held>, HostError> {
        self.held(root, depth)
    }

    fn release(&mut self, holds: &[(SnapshotName, HoldTag)]) -> Result<(), HostError> {
        self.release_holds(holds)
    }

    fn apply(&mut self, change: &Change) -> Result<(), HostError> {
        match change {
            // In requests that fit into a frame whatever the names are. Those that are there, or gone, are fine.
            Change::Bookmark { bookmarks } if bookmarks.len() > NAMES_AT_ONCE => {
                let mut parts = bookmarks.chunks(NAMES_AT_ONCE);
                parts.try_for_each(|some| self.apply(&Change::Bookmark { bookmarks: some.to_vec() }))
            }
            Change::DestroyBookmarks { bookmarks } if bookmarks.len() > NAMES_AT_ONCE => {
                let mut parts = bookmarks.chunks(NAMES_AT_ONCE);
                parts.try_for_each(|some| self.apply(&Change::DestroyBookmarks { bookmarks: some.to_vec() }))
            }
            Change::PruneSnapshots { dataset, snapshots } if snapshots.len() > NAMES_AT_ONCE => {
                let mut parts = snapshots.chunks(NAMES_AT_ONCE);
                parts.try_for_each(|some| {
                    self.apply(&Change::PruneSnapshots { dataset: dataset.clone(), snapshots: some.to_vec() })
                })
            }
            change => {
                let request = match self.claim.clone() {
                    None => Request::Apply(change.into()),
                    Some(claim) => {
                        self.link.needs(EPOCHS, EPOCH)?;
                        Request::ApplyFor { claim, change: change.into() }
                    }
                };
                self.link.exchange(&request, change.kind(), &mut |_| Err("more than how it went".to_string()))
            }
        }
    }

    fn present(&mut self, claim: &Claim) -> Result<(), HostError> {
        self.link.needs(EPOCHS, EPOCH)?;
        let wire = self.wire(claim, EPOCH)?;
        let request = Request::Claim(wire.clone());
        self.link.exchange(&request, EPOCH, &mut |_| Err("more than how it went".to_string()))?;
        self.claim = Some(wire);
        Ok(())
    }

    fn overtake(&mut self, claim: &Claim, both: &[(DatasetName, Guid)]) -> Result<(), HostError> {
        const ASKED: &str = "let another node of a pair go on";
        self.link.needs(EPOCHS, ASKED)?;
        let claim = self.wire(claim, ASKED)?;
        let both = both.iter().map(|(dataset, guid)| (Text(dataset.clone()), guid.0)).collect();
        let request = Request::Overtake { claim, both };
        self.link.exchange(&request, ASKED, &mut |_| Err("more than how it went".to_string()))
    }

    fn count_first(&mut self, claim: &Claim, count: FirstCopy) -> Result<(), HostError> {
        const ASKED: &str = "count what has come of a pair";
        self.link.needs(COUNTS, ASKED)?;
        let request = Request::Count { claim: self.wire(claim, ASKED)?, there: count.there, of: count.of };
        self.link.exchange(&request, ASKED, &mut |_| Err("more than how it went".to_string()))
    }

    fn take_over(&mut self, roots: &[DatasetName], node: &NodeName, epoch: u64) -> Result<(), HostError> {
        const ASKED: &str = "take over a pair";
        self.link.needs(EPOCHS, ASKED)?;
        let epoch = std::num::NonZeroU64::new(epoch).ok_or_else(|| HostError::Cannot {
            host: self.link.label.clone(),
            has: "no promotion to rely on".to_string(),
            what: ASKED,
        })?;
        let (roots, receiver) = (roots.iter().cloned().map(Text).collect(), Some(Text(node.clone())));
        let request = Request::TakeOver { roots, epoch, receiver };
        self.link.exchange(&request, ASKED, &mut |_| Err("more than how it went".to_string()))
    }

    /// Agents of all versions tell whether a dataset is mounted, with what its removal would cost.
    fn is_mounted_writable(&mut self, dataset: &DatasetName) -> Result<bool, HostError> {
        match self.removal_cost(dataset) {
            Ok(cost) if cost.mounted => {}
            Ok(_) => return Ok(false),
            Err(error) if error.zfs_kind() == Some(ErrorKind::NotFound) => return Ok(false),
            Err(error) => return Err(error),
        }
        let found = self.some_properties(dataset, Depth::One, &["readonly".to_string()])?;
        let readonly = found.get(dataset).and_then(|properties| properties.get("readonly"));
        // The kernel does not tell what nobody set: it can be written to then.
        Ok(readonly.is_none_or(|property| property.value != "on"))
    }

    fn lock(&mut self, root: &DatasetName, depth: Depth, sender: &str) -> Result<(), HostError> {
        self.link.lock(root, depth, sender)
    }

    fn breaker(&self) -> Option<Cancel> {
        self.breaker.clone()
    }

    fn another(&self) -> Result<Box<dyn Host>, HostError> {
        let mut another = Self::new(self.template.another()?, self.command.clone())?;
        another.claim.clone_from(&self.claim);
        Ok(Box::new(another))
    }
}

const SEND: &str = "send";
const RECEIVE: &str = "receive";
const EPOCH: &str = "check the epoch of a pair";

#[cfg(test)]
mod tests;
