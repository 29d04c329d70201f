//! Whether a request of another machine may change a root of a pair: decided from what the root says and what the
//! request presents ([`judge`]), for what lies at the request's names ([`admit`]).
//!
//! The decision and what is then done are under one lock: a [`Permit`], which the answering side holds from before the
//! root is looked at until the receive has ended. A promotion closes the gate first ([`crate::lock::Gate`]): it waits
//! until the last permit is given back, and who streams gives it back within about a second, because the promotion is
//! looked for between the blocks. So a promotion falls either before the look, and is seen, or after the end of the
//! receive. What does not come through an agent (`zfs receive` by hand) is not stopped by this; there the kernel is the
//! last resort: a receive without force fails where the dataset has been written to.
//!
//! A request that is let in with a higher epoch than that of the root raises the root's: so each node of a pair knows
//! the newest promotion that its data follow.

use std::collections::BTreeMap;
use std::fmt;

use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::epoch::Belief;
use super::epoch::Doubt;
use super::epoch::Epoch;
use super::epoch::NodeName;
use super::epoch::believe;
use super::epoch::written;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Properties;
use crate::host::PropertySource;
use crate::host::ReceiveSpec;
use crate::marks;

/// What a node of a pair presents along with each request that changes the other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The root, by its name on the side that is asked.
    pub root: DatasetName,
    /// The epoch of that root on the side that asks.
    pub epoch: u64,
    /// The node that holds it: the one that asks.
    pub holder: NodeName,
}

/// Leave to change datasets of a host. While there is one, none of them is promoted.
pub trait Permit: Send {
    /// Whether somebody waits for it to be given back.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn is_recalled(&self) -> Result<bool, HostError>;
}

/// The most that a claim may be ahead: far more promotions than any pair sees, and far from the end of the numbers.
const AHEAD: u64 = 1 << 20;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The root has an epoch, and the request presents none.
    #[error("{root} belongs to a pair ({held}), and the request does not say for which epoch it comes")]
    NoClaim {
        /// The root.
        root: DatasetName,
        /// What the root says.
        held: Held,
    },
    /// What stands there as an epoch is not believed.
    #[error("the epoch of {root} is not known: {doubt}")]
    Unknown {
        /// The root.
        root: DatasetName,
        /// Why it is not believed.
        doubt: Doubt,
    },
    /// The request comes for an epoch that is over.
    #[error("{holder} comes for epoch {presented} of {root}, and it is in {held}")]
    Lower {
        /// The root.
        root: DatasetName,
        /// The epoch of the request.
        presented: u64,
        /// Who presents it.
        holder: NodeName,
        /// What the root says.
        held: Held,
    },
    /// Two nodes were promoted to the same epoch.
    #[error("both {holder} and {} were promoted to epoch {} of {root}", held.holder, held.number)]
    Both {
        /// The root.
        root: DatasetName,
        /// Who presents it.
        holder: NodeName,
        /// What the root says.
        held: Held,
    },
    /// The node itself holds the epoch: it has the service, or had it and does not know better.
    #[error("{root} is held by this node itself ({held}): nothing is received into the active side")]
    Active {
        /// The root.
        root: DatasetName,
        /// What the root says.
        held: Held,
    },
    /// Both nodes have the same name.
    #[error("the request comes from a node that is called {0}, as this one is")]
    SameName(NodeName),
    /// The dataset is writable and mounted: somebody may write there.
    #[error("{0} is mounted and writable: somebody may write there")]
    Writable(DatasetName),
    /// The request is about another root than the one that lies there.
    #[error("the request comes for {claimed}, and the root of the pair is {root}")]
    OtherRoot {
        /// The root that lies there.
        root: DatasetName,
        /// The root that was presented.
        claimed: DatasetName,
    },
    /// The number is further ahead than promotions can have brought it.
    #[error("epoch {presented} of {root} is too far ahead of {held} to be true")]
    TooFar {
        /// The root.
        root: DatasetName,
        /// The epoch of the request.
        presented: u64,
        /// The newest epoch known here; 0 where there is none.
        held: u64,
    },
    /// The request would set the epoch itself.
    #[error("{} is set by promotions and by nobody else", marks::EPOCH)]
    Forged,
    /// The root is being promoted or given away.
    #[error("{0} is just being promoted on this node, or given away")]
    Promoting(DatasetName),
}

/// An epoch and its holder, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The epoch.
    pub number: u64,
    /// Its holder.
    pub holder: NodeName,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {} of {}", self.number, self.holder)
    }
}

impl From<&Epoch> for Held {
    fn from(epoch: &Epoch) -> Self {
        Self { number: epoch.number, holder: epoch.holder.clone() }
    }
}

/// The kinds of refusals, as they go over the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each is the variant of `Refusal` of that name")]
pub enum Kind {
    NoClaim,
    Unknown,
    Lower,
    Both,
    Active,
    SameName,
    Writable,
    OtherRoot,
    TooFar,
    Forged,
    Promoting,
    /// Anything else, and what this version does not know.
    #[serde(other)]
    Other,
}

impl Refusal {
    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoClaim { .. } => Kind::NoClaim,
            Self::Unknown { .. } => Kind::Unknown,
            Self::Lower { .. } => Kind::Lower,
            Self::Both { .. } => Kind::Both,
            Self::Active { .. } => Kind::Active,
            Self::SameName(_) => Kind::SameName,
            Self::Writable(_) => Kind::Writable,
            Self::OtherRoot { .. } => Kind::OtherRoot,
            Self::TooFar { .. } => Kind::TooFar,
            Self::Forged => Kind::Forged,
            Self::Promoting(_) => Kind::Promoting,
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoClaim { root, .. } => format!(
                "replicate it as a pair of the configuration; where {root} is part of no pair any more, `zfs inherit {} {root}`",
                marks::EPOCH
            ),
            Self::Unknown { root, .. } => format!(
                "`zfs get all {root}` shows it; where it is a copy that belongs to no pair, `zfs inherit -S {0} {root}` or `zfs inherit {0} {root}` removes it",
                marks::EPOCH
            ),
            Self::Lower { holder, .. } => format!(
                "{holder} was active before; `replicator pair rejoin` there keeps what it wrote since, and lets it follow"
            ),
            Self::Both { .. } => {
                "neither receives from the other; decide which one goes on, `replicator pair promote --force` there, and `replicator pair rejoin` on the other one".to_string()
            }
            Self::Active { .. } => {
                "`replicator pair status` shows who has the service; if it is the other node, `replicator pair rejoin` here lets this one follow".to_string()
            }
            Self::SameName(_) => "give the nodes different names in the configuration of the pair".to_string(),
            Self::Writable(dataset) => format!(
                "stop what uses it, and `zfs set readonly=on {dataset}`; what was written there since is found by `replicator pair rejoin`"
            ),
            Self::OtherRoot { .. } => "give the pair the same roots on both nodes".to_string(),
            Self::TooFar { .. } => "look at the epochs of both nodes with `replicator pair status`".to_string(),
            Self::Forged => "use `replicator pair promote`".to_string(),
            Self::Promoting(_) => crate::lock::CLOSED.to_string(),
        }
    }
}

/// What follows for a root that a request may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to no pair, or already is in the epoch of the request.
    Go,
    /// It takes over the epoch of the request.
    Adopt,
}

/// Decides about one root. `writable` is a dataset of those that are asked about which is mounted and writable.
///
/// # Errors
/// When the request may not change it.
pub fn judge(
    node: &NodeName,
    root: &DatasetName,
    belief: &Belief,
    writable: Option<&DatasetName>,
    claim: Option<&Claim>,
) -> Result<Verdict, Refusal> {
    let root = || root.clone();
    let held = match belief {
        Belief::Unknown(doubt) => return Err(Refusal::Unknown { root: root(), doubt: doubt.clone() }),
        Belief::None => None,
        Belief::Known(epoch) => Some(epoch),
    };
    let Some(claim) = claim else {
        return match held {
            // As before there were pairs.
            None => Ok(Verdict::Go),
            Some(held) => Err(Refusal::NoClaim { root: root(), held: held.into() }),
        };
    };
    if claim.holder == *node {
        return Err(Refusal::SameName(node.clone()));
    }
    if claim.root != root() {
        return Err(Refusal::OtherRoot { root: root(), claimed: claim.root.clone() });
    }
    if let Some(held) = held {
        if held.number > claim.epoch {
            let (presented, holder) = (claim.epoch, claim.holder.clone());
            return Err(Refusal::Lower { root: root(), presented, holder, held: held.into() });
        }
        if held.number == claim.epoch && held.holder != claim.holder {
            return Err(Refusal::Both { root: root(), holder: claim.holder.clone(), held: held.into() });
        }
        if held.holder == *node {
            return Err(Refusal::Active { root: root(), held: held.into() });
        }
    }
    let number = held.map_or(0, |held| held.number);
    if claim.epoch.saturating_sub(number) > AHEAD {
        return Err(Refusal::TooFar { root: root(), presented: claim.epoch, held: number });
    }
    if let Some(dataset) = writable {
        return Err(Refusal::Writable(dataset.clone()));
    }
    Ok(if number == claim.epoch { Verdict::Go } else { Verdict::Adopt })
}

/// The names that a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Datasets that it changes, or makes.
    into: Vec<DatasetName>,
    /// Those with which all below is changed, too.
    below: Vec<DatasetName>,
    /// The properties that it sets.
    sets_epoch: bool,
}

impl Asked {
    /// By nothing yet: whether a claim would be let in.
    #[must_use]
    pub fn root(root: &DatasetName) -> Self {
        Self { into: vec![root.clone()], ..Self::default() }
    }

    /// By a stream.
    #[must_use]
    pub fn receive(spec: &ReceiveSpec) -> Self {
        let into = vec![spec.to.dataset().clone()];
        Self { into, sets_epoch: sets_epoch(&spec.set), ..Self::default() }
    }

    /// By a change. `origin` is the dataset whose snapshots a promotion takes. `None` for bookmarks, which change
    /// nothing that a promotion depends on: the active side, too, may be replicated to third machines.
    #[must_use]
    pub fn change(change: &Change, origin: Option<&DatasetName>) -> Option<Self> {
        let one = |dataset: &DatasetName| Self { into: vec![dataset.clone()], ..Self::default() };
        Some(match change {
            Change::Bookmark { .. } | Change::DestroyBookmarks { .. } => return None,
            Change::CreateFilesystem { dataset, set } | Change::SetProperties { dataset, set } => {
                Self { sets_epoch: sets_epoch(set), ..one(dataset) }
            }
            Change::UnsetProperties { dataset, names } => {
                Self { sets_epoch: names.iter().any(|name| name == marks::EPOCH), ..one(dataset) }
            }
            Change::Clone { to, set, .. } => Self { sets_epoch: sets_epoch(set), ..one(to) },
            Change::Rename { from, to, .. } => {
                Self { into: vec![from.clone(), to.clone()], below: vec![from.clone()], sets_epoch: false }
            }
            Change::Promote { dataset } => {
                let into = std::iter::once(dataset).chain(origin).cloned().collect();
                Self { into, ..Self::default() }
            }
            Change::DestroySnapshots { dataset, .. }
            | Change::PruneSnapshots { dataset, .. }
            | Change::DiscardPartial { dataset, .. } => one(dataset),
            Change::Destroy { dataset, .. } => Self { below: vec![dataset.clone()], ..one(dataset) },
        })
    }
}

fn sets_epoch(set: &[(String, String)]) -> bool {
    set.iter().any(|(name, _)| name == marks::EPOCH)
}

/// Why [`admit`] lets a request not in.
#[derive(Debug)]
pub enum NotAdmitted {
    /// It may not.
    Refused(Box<Refusal>),
    /// The host could not be asked.
    Host(Box<HostError>),
}

impl From<Refusal> for NotAdmitted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<HostError> for NotAdmitted {
    fn from(error: HostError) -> Self {
        Self::Host(Box::new(error))
    }
}

/// A request that was let in. To be kept until what it asked for is done.
#[must_use = "the datasets can be promoted as soon as it is dropped"]
pub struct Admitted {
    permit: Box<dyn Permit>,
    claim: Option<Claim>,
}

impl Admitted {
    /// Whether it has to give way to a promotion.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn is_recalled(&self) -> Result<bool, HostError> {
        self.permit.is_recalled()
    }

    /// After a success: the root that the request has made, where it has, takes over the epoch, too.
    ///
    /// # Errors
    /// When it cannot be looked at or written.
    pub fn done(self, host: &mut dyn Host) -> Result<(), HostError> {
        let Some(claim) = &self.claim else { return Ok(()) };
        match look(host, &claim.root)? {
            Looked { exists: true, property: None } => adopt(host, claim),
            _ => Ok(()),
        }
    }
}

/// Lets a request in, or not, under the lock that a promotion needs.
///
/// # Errors
/// When it may not change what it names, or the host cannot be asked.
pub fn admit(
    host: &mut dyn Host,
    node: &NodeName,
    asked: &Asked,
    claim: Option<&Claim>,
) -> Result<Admitted, NotAdmitted> {
    if asked.sets_epoch {
        return Err(Refusal::Forged.into());
    }
    let mut guarded = asked.into.clone();
    for dataset in &asked.below {
        guarded.extend(below(host, dataset)?.into_keys());
    }
    let closed = |dataset: &str| dataset.parse().map_or(Refusal::Forged, Refusal::Promoting);
    let permit = match host.permit(&guarded) {
        Err(HostError::Closed { dataset, .. }) => return Err(closed(&dataset).into()),
        permit => permit?,
    };
    // From here on none of them is promoted.
    let mut roots = BTreeMap::new();
    for dataset in &asked.into {
        roots.extend(above(host, dataset)?);
    }
    for dataset in &asked.below {
        for (root, belief) in below(host, dataset)? {
            if !guarded.contains(&root) {
                return Err(Refusal::Promoting(root).into());
            }
            roots.insert(root, belief);
        }
    }
    let mut adopts = false;
    for (root, belief) in &roots {
        let writable = writable(host, root, asked)?;
        adopts |= judge(node, root, belief, writable.as_ref(), claim)? == Verdict::Adopt;
    }
    if let Some(claim) = claim {
        let within = asked.into.iter().all(|dataset| dataset.is_within(&claim.root));
        if !within {
            let outside = asked.into.iter().find(|dataset| !dataset.is_within(&claim.root));
            let (root, claimed) = (outside.unwrap_or(&claim.root).clone(), claim.root.clone());
            return Err(Refusal::OtherRoot { root, claimed }.into());
        }
        if roots.is_empty() {
            // Before the first replication, and where the root is still without an epoch.
            let writable = writable(host, &claim.root, asked)?;
            judge(node, &claim.root, &Belief::None, writable.as_ref(), Some(claim))?;
            adopts = look(host, &claim.root)?.exists;
        }
        if adopts {
            adopt(host, claim)?;
        }
    }
    Ok(Admitted { permit, claim: claim.cloned() })
}

/// Writes the epoch of a claim down on its root.
fn adopt(host: &mut dyn Host, claim: &Claim) -> Result<(), HostError> {
    let pool = host.about(claim.root.pool())?.guid;
    let epoch = Epoch { number: claim.epoch, holder: claim.holder.clone(), pool };
    host.apply(&Change::SetProperties { dataset: claim.root.clone(), set: vec![written(&epoch)] })
}

/// A dataset that the request is about, or its root, which is mounted and writable.
fn writable(
    host: &mut dyn Host,
    root: &DatasetName,
    asked: &Asked,
) -> Result<Option<DatasetName>, HostError> {
    for dataset in std::iter::once(root).chain(asked.into.iter().filter(|dataset| dataset.is_within(root))) {
        if host.is_mounted_writable(dataset)? {
            return Ok(Some(dataset.clone()));
        }
    }
    Ok(None)
}

/// What a dataset says.
struct Looked {
    exists: bool,
    property: Option<crate::host::Property>,
}

fn look(host: &mut dyn Host, dataset: &DatasetName) -> Result<Looked, HostError> {
    let mut found = match host.some_properties(dataset, Depth::One, &[marks::EPOCH.to_string()]) {
        Ok(found) => found,
        Err(error) if is_missing(&error) => return Ok(Looked { exists: false, property: None }),
        Err(error) => return Err(error),
    };
    let property = found.get_mut(dataset).and_then(|properties| properties.remove(marks::EPOCH));
    Ok(Looked { exists: true, property: property.filter(|one| one.source != PropertySource::None) })
}

fn is_missing(error: &HostError) -> bool {
    matches!(error.zfs_kind(), Some(ErrorKind::NotFound | ErrorKind::ParentNotFound))
        || matches!(error, HostError::NoPool { .. })
}

/// The root that a dataset lies in, whether the dataset exists or not, with what is believed of its epoch.
fn above(host: &mut dyn Host, dataset: &DatasetName) -> Result<Option<(DatasetName, Belief)>, HostError> {
    let mut next = Some(dataset.clone());
    let mut inherited = None;
    while let Some(name) = next {
        next = name.parent();
        let looked = look(host, &name)?;
        match looked.property {
            Some(property) if property.source == PropertySource::Inherited => inherited = Some(name),
            Some(property) => {
                let pool = host.about(name.pool())?.guid;
                return Ok(Some((name, believe(Some(&property), pool))));
            }
            // Nothing lies below a root without inheriting from it.
            None if looked.exists => break,
            None => {}
        }
    }
    Ok(inherited.map(|name| (name, Belief::Unknown(Doubt::Inherited))))
}

/// The roots below a dataset.
fn below(host: &mut dyn Host, dataset: &DatasetName) -> Result<BTreeMap<DatasetName, Belief>, HostError> {
    let found: Properties = match host.some_properties(dataset, Depth::All, &[marks::EPOCH.to_string()]) {
        Ok(found) => found,
        Err(error) if is_missing(&error) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut roots = BTreeMap::new();
    let mut pool: Option<Guid> = None;
    for (name, properties) in &found {
        let Some(property) = properties.get(marks::EPOCH) else { continue };
        if matches!(property.source, PropertySource::Inherited | PropertySource::None) {
            continue;
        }
        let pool = match pool {
            Some(pool) => pool,
            None => *pool.insert(host.about(name.pool())?.guid),
        };
        roots.insert(name.clone(), believe(Some(property), pool));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DatasetName {
        text.parse().expect("a name")
    }

    fn node(text: &str) -> NodeName {
        text.parse().expect("a name")
    }

    fn known(number: u64, holder: &str) -> Belief {
        Belief::Known(Epoch { number, holder: node(holder), pool: Guid(1) })
    }

    fn claim(epoch: u64, holder: &str) -> Claim {
        Claim { root: name("tank/a"), epoch, holder: node(holder) }
    }

    fn verdict(belief: &Belief, claim: Option<&Claim>) -> Result<Verdict, Kind> {
        judge(&node("here"), &name("tank/a"), belief, None, claim).map_err(|refusal| {
            assert!(refusal.to_string().len() > 20 && refusal.hint().len() > 10, "{refusal}");
            refusal.kind()
        })
    }

    /// Everything that a root can say against everything that a request can present.
    #[test]
    fn who_may_change_a_root() {
        use Verdict::Adopt;
        use Verdict::Go;
        let unknown = Belief::Unknown(Doubt::Received);
        for (belief, presented, expected) in [
            (Belief::None, None, Ok(Go)),
            (Belief::None, Some((3, "far")), Ok(Adopt)),
            (Belief::None, Some((3, "here")), Err(Kind::SameName)),
            (Belief::None, Some((AHEAD + 1, "far")), Err(Kind::TooFar)),
            (unknown.clone(), None, Err(Kind::Unknown)),
            (unknown, Some((3, "far")), Err(Kind::Unknown)),
            // The other one holds it.
            (known(3, "far"), None, Err(Kind::NoClaim)),
            (known(3, "far"), Some((2, "far")), Err(Kind::Lower)),
            (known(3, "far"), Some((3, "far")), Ok(Go)),
            (known(3, "far"), Some((4, "far")), Ok(Adopt)),
            (known(3, "far"), Some((3, "third")), Err(Kind::Both)),
            (known(3, "far"), Some((4, "third")), Ok(Adopt)),
            (known(3, "far"), Some((u64::MAX, "far")), Err(Kind::TooFar)),
            // This one holds it.
            (known(3, "here"), None, Err(Kind::NoClaim)),
            (known(3, "here"), Some((2, "far")), Err(Kind::Lower)),
            (known(3, "here"), Some((3, "far")), Err(Kind::Both)),
            (known(3, "here"), Some((4, "far")), Err(Kind::Active)),
        ] {
            let presented = presented.map(|(epoch, holder)| claim(epoch, holder));
            assert_eq!(verdict(&belief, presented.as_ref()), expected, "{belief:?} {presented:?}");
        }
    }

    #[test]
    fn what_somebody_may_write_to_is_not_received_into() {
        let of = |belief: &Belief, claim: Option<&Claim>| {
            let writable = name("tank/a/b");
            judge(&node("here"), &name("tank/a"), belief, Some(&writable), claim).map_err(|why| why.kind())
        };
        assert_eq!(of(&known(3, "far"), Some(&claim(3, "far"))), Err(Kind::Writable));
        assert_eq!(of(&known(3, "far"), Some(&claim(4, "far"))), Err(Kind::Writable));
        assert_eq!(of(&Belief::None, Some(&claim(1, "far"))), Err(Kind::Writable));
        // What is worse comes first, and what belongs to no pair is as before.
        assert_eq!(of(&known(4, "far"), Some(&claim(3, "far"))), Err(Kind::Lower));
        assert_eq!(of(&Belief::None, None), Ok(Verdict::Go));
    }

    #[test]
    fn a_claim_is_for_one_root() {
        let other = Claim { root: name("tank/b"), ..claim(3, "far") };
        assert_eq!(verdict(&known(3, "far"), Some(&other)), Err(Kind::OtherRoot));
    }

    #[test]
    fn a_kind_of_a_later_version_is_still_a_refusal() {
        for kind in [Kind::NoClaim, Kind::Lower, Kind::Promoting] {
            let text = serde_json::to_string(&kind).expect("JSON");
            assert_eq!(serde_json::from_str::<Kind>(&text).expect("a kind"), kind);
        }
        assert_eq!(serde_json::from_str::<Kind>(r#""from-the-future""#).expect("a kind"), Kind::Other);
    }

    #[test]
    fn bookmarks_are_for_everybody_and_the_rest_names_what_it_changes() {
        let set = vec![(marks::EPOCH.to_string(), "1".to_string())];
        let dataset = name("tank/a");
        assert_eq!(Asked::change(&Change::Bookmark { bookmarks: Vec::new() }, None), None);
        assert_eq!(Asked::change(&Change::DestroyBookmarks { bookmarks: Vec::new() }, None), None);
        for change in [
            Change::CreateFilesystem { dataset: dataset.clone(), set: set.clone() },
            Change::SetProperties { dataset: dataset.clone(), set: set.clone() },
            Change::UnsetProperties { dataset: dataset.clone(), names: vec![marks::EPOCH.to_string()] },
            Change::Clone {
                snapshot: dataset.snapshot("s").expect("a name"),
                guid: Guid(1),
                to: dataset.clone(),
                set,
            },
        ] {
            let asked = Asked::change(&change, None).expect("it changes something");
            assert!(asked.sets_epoch && asked.into == [dataset.clone()], "{change}");
        }
        let promote = Change::Promote { dataset: dataset.clone() };
        let asked = Asked::change(&promote, Some(&name("tank/b"))).expect("it changes something");
        assert_eq!(asked.into, [dataset, name("tank/b")]);
    }
}
