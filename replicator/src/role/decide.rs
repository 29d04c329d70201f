//! Finds the role of a node from what was observed: a pure function. Each observation that decided something is a
//! reason in plain words, and whatever is doubtful makes the role unknown.
//!
//! Three things are asked in turn, each of which can only make the answer more careful. What the epochs on both pools
//! say holds whatever a cluster says: they travel with the data. Then nothing that was asked may be doubtful. Then the
//! owner counts, and of two nodes that hold it, only the one that was promoted is active.
//!
//! All of this is decided for each root by itself, and then for the node (`together`).

use serde::Serialize;

use super::Role;
use super::observation::About;
use super::observation::Epoch;
use super::observation::Ha;
use super::observation::Observation;
use super::observation::Owner;
use super::observation::PeerSaid;
use super::observation::Quorum;
use super::observation::Reading;
use super::observation::Seen;

mod together;

use together::together;

/// The two nodes, as the one who decides calls them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// This one.
    pub here: String,
    /// The other one.
    pub peer: String,
}

/// What a role is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To take, send, receive and prune as the timer does.
    Run,
    /// To change the role, while the cluster moves the service: that it is being moved is no doubt then.
    Change,
}

/// One reason for a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Which observation it comes from.
    pub about: About,
    /// In words.
    pub text: String,
}

/// What gets a pair on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// Nothing needs to be done.
    Nothing,
    /// This passes by itself; if it does not, what is not known has to be looked at.
    Wait,
    /// This node has to be promoted before it is active.
    Promote,
    /// The other node has taken over: what was written here is set aside, and this node follows.
    Rejoin,
    /// The service has left this node and nobody has taken over: promote the other one, or bring it back.
    Handover,
    /// This node has given the service away with all that it has, and the other one has yet to be promoted.
    Given,
    /// Both sides have been promoted to the same number: a person has to choose.
    Choose,
    /// Something is not as it should be, and only a person can find out what.
    Look,
}

impl Remedy {
    /// What to do, for a person.
    #[must_use]
    pub fn text(self, pair: &str, names: &Names) -> String {
        let Names { here, peer } = names;
        match self {
            Self::Nothing => "nothing".to_string(),
            Self::Wait => "wait for the next run; if it stays so, mend what is named above".to_string(),
            Self::Promote => format!(
                "`replicator pair promote {pair}` on {here}, which checks first that the data here are what they should be"
            ),
            Self::Rejoin => format!(
                "`replicator pair rejoin {pair}` on {here}: it keeps what was written here alone, and follows {peer}"
            ),
            Self::Handover => format!(
                "`replicator pair promote {pair}` on {peer} to go on there, or move the service back to {here}; a lease that ran out is taken again by promoting {here}"
            ),
            Self::Given => format!(
                "`replicator pair promote {pair}` on {peer}, which has everything; or on {here}, to take it back"
            ),
            Self::Choose => format!(
                "choose which of the two goes on. `replicator pair status {pair}` shows what only {here} has and what only {peer} has, in bytes and snapshots. On the other one stop the service, then `replicator pair rejoin {pair}` there: what only that one has is then missing in the service, and is kept under a name of its own, from which it can be copied back"
            ),
            Self::Look => {
                "do not promote before it is clear which node has the newer data: `replicator pair status` compares them".to_string()
            }
        }
    }
}

/// A root that a role does not count for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Without {
    /// The root.
    pub root: String,
    /// Why.
    pub why: String,
}

/// What a node is, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The role.
    pub role: Role,
    /// Never empty.
    pub reasons: Vec<Reason>,
    /// What to do about it.
    pub remedy: Remedy,
    /// The roots that the role does not count for: nothing is taken of them, sent, received or pruned.
    pub without: Vec<Without>,
}

impl Verdict {
    fn new(role: Role, remedy: Remedy, reasons: Vec<Reason>) -> Self {
        Self { role, reasons, remedy, without: Vec::new() }
    }

    fn one(role: Role, remedy: Remedy, about: About, text: impl Into<String>) -> Self {
        Self::new(role, remedy, vec![reason(about, text)])
    }

    /// Whether the service may be started here: it belongs here, and nothing but a promotion can be missing.
    #[must_use]
    pub fn may_start(&self) -> bool {
        match self.role {
            Role::Active => true,
            Role::Standby => self.remedy == Remedy::Promote,
            Role::Isolated | Role::Unknown => false,
        }
    }

    /// Whether this node may send what the other one lacks: it has the service, or had it and nobody has taken over.
    #[must_use]
    pub fn may_give(&self) -> bool {
        self.role == Role::Active || self.role == Role::Isolated && self.remedy == Remedy::Handover
    }

    /// Why, on one line.
    #[must_use]
    pub fn why(&self) -> String {
        self.reasons.iter().map(|reason| reason.text.as_str()).collect::<Vec<_>>().join("; ")
    }
}

fn reason(about: About, text: impl Into<String>) -> Reason {
    Reason { about, text: text.into() }
}

/// The role of this node. All observations must agree in everything.
#[must_use]
pub fn decide(names: &Names, observations: &[Observation], purpose: Purpose) -> Verdict {
    let Some((first, others)) = observations.split_first() else {
        return Verdict::one(Role::Unknown, Remedy::Wait, About::Observations, "nothing was observed");
    };
    let mut differing: Vec<About> = others.iter().flat_map(|other| first.differs(other)).collect();
    differing.sort_unstable();
    differing.dedup();
    if differing.is_empty() {
        let roots: Vec<_> =
            first.epoch.each().map(|(name, ours)| Root::new(names, first, name, ours)).collect();
        let verdicts = roots.iter().map(|root| (root, of_root(names, first, root, purpose))).collect();
        return together(names, &first.epoch, verdicts, purpose);
    }
    let reasons = differing.into_iter().map(|about| {
        let shown: Vec<_> = observations.iter().map(|one| one.show(about)).collect();
        reason(about, format!("what was observed does not agree: {}", shown.join(" / ")))
    });
    Verdict::new(Role::Unknown, Remedy::Wait, reasons.collect())
}

/// One root, as both nodes have it.
struct Root<'o> {
    name: &'o str,
    /// What it says here.
    ours: &'o Seen<Option<Epoch>>,
    /// What it says on the other node, as far as that is known.
    theirs: Option<&'o Option<Epoch>>,
    /// The newest epoch that this node holds on any of its roots.
    held: Option<&'o Epoch>,
}

impl<'o> Root<'o> {
    fn new(names: &Names, seen: &'o Observation, name: &'o str, ours: &'o Seen<Option<Epoch>>) -> Self {
        let theirs = match &seen.peer {
            PeerSaid::Answered { epoch, .. } => epoch.of(name).and_then(Seen::known),
            PeerSaid::Unreachable(_) | PeerSaid::NotAsked => None,
        };
        let known = seen.epoch.each().filter_map(|(_, epoch)| epoch.known()?.as_ref());
        let held = known.filter(|epoch| epoch.holder == names.here).max_by_key(|epoch| epoch.number);
        Self { name, ours, theirs, held }
    }

    /// Its epoch on the other node, where it has one.
    fn their_epoch(&self) -> Option<&'o Epoch> {
        self.theirs.and_then(Option::as_ref)
    }

    /// The number of its epoch here; 0 where it has none, or none is known.
    fn number(&self) -> u64 {
        self.ours.known().and_then(Option::as_ref).map_or(0, |epoch| epoch.number)
    }

    /// Before what is said of it; nothing where a pair has one root.
    fn prefix(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!("{}: ", self.name) }
    }
}

/// The role of this node as far as one root says.
fn of_root(names: &Names, seen: &Observation, root: &Root<'_>, purpose: Purpose) -> Verdict {
    if let Some(verdict) = by_epochs(names, root) {
        return verdict;
    }
    let word = match by_hand(names, seen) {
        Ok(word) => word,
        Err(verdict) => return verdict,
    };
    let holds = root.ours.known().and_then(Option::as_ref).is_some_and(|ours| ours.holder == names.here);
    // A start where the service is and was changes nothing.
    let again = purpose == Purpose::Change && holds && word.reading.owner.known() == Some(&Owner::Here);
    let mut doubts = doubts(&word.reading, purpose, again);
    if let Some(why) = root.ours.why() {
        let text = format!("the epoch of this node is not known: {}{why}", root.prefix());
        doubts.push(reason(About::Epoch, text));
    }
    let (Some(owner), Some(ours), true) = (word.reading.owner.known(), root.ours.known(), doubts.is_empty())
    else {
        return Verdict::new(Role::Unknown, Remedy::Wait, doubts);
    };
    let mut verdict = by_owner(names, seen, root, &word, owner, ours.as_ref());
    if let Some(said) = word.said {
        verdict.reasons.insert(0, said);
    }
    verdict
}

/// What the epochs of a root on the two pools say together, where that is enough. Where that of this node is not known, it
/// counts what this node holds otherwise: a promotion is one of all roots.
fn by_epochs(names: &Names, root: &Root<'_>) -> Option<Verdict> {
    let theirs = root.their_epoch()?;
    let ours = match root.ours {
        Seen::Known(ours) => ours.as_ref()?,
        Seen::Unknown(_) => root.held?,
    };
    let Names { here, peer } = names;
    if ours.number == theirs.number && ours.holder != theirs.holder {
        let text = format!(
            "both nodes were promoted to epoch {}: {} says the pool here, {} says that of {peer}; each may have what the other has not",
            ours.number, ours.holder, theirs.holder
        );
        return Some(Verdict::one(Role::Isolated, Remedy::Choose, About::Epoch, text));
    }
    if ours.holder == *here && theirs.number > ours.number {
        let text = format!(
            "{} has taken over: {peer} has the epoch {theirs}, and this node still has {ours}; what was written here since may not be there",
            theirs.holder
        );
        return Some(Verdict::one(Role::Isolated, Remedy::Rejoin, About::Epoch, text));
    }
    None
}

/// What counts as the word of the one who decides.
struct Word {
    reading: Reading,
    /// That it is the word of a person.
    said: Option<Reason>,
}

/// Puts what a person has said in the place of what the cluster does not know. Where a cluster that works says otherwise,
/// one of the two is wrong, and nothing is known.
fn by_hand(names: &Names, seen: &Observation) -> Result<Word, Verdict> {
    let unknown = |remedy, text: String| Verdict::one(Role::Unknown, remedy, About::ByHand, text);
    let said = match &seen.by_hand {
        Seen::Unknown(why) => {
            let text = format!("it is not known whether a person has set a role: {why}");
            return Err(unknown(Remedy::Wait, text));
        }
        Seen::Known(None) => return Ok(Word { reading: seen.reading.clone(), said: None }),
        Seen::Known(Some(said)) => said,
    };
    let text = format!("{} was set by hand until {}", said.role, said.until);
    let reading = &seen.reading;
    let works = matches!(reading.quorum.known(), Some(Quorum::Quorate | Quorum::NoSuch));
    let against = |owner: &&Owner| match said.role {
        Role::Active => matches!(owner, Owner::Node(_)),
        Role::Standby => matches!(owner, Owner::Here),
        Role::Isolated | Role::Unknown => false,
    };
    if let Some(owner) = reading.owner.known().filter(against)
        && works
    {
        let text = format!("{text}, and the service is {owner}");
        return Err(unknown(Remedy::Look, text));
    }
    let owner = match said.role {
        Role::Active => Owner::Here,
        Role::Standby => Owner::Node(names.peer.clone()),
        Role::Unknown => return Err(unknown(Remedy::Wait, text)),
        Role::Isolated => {
            return Err(Verdict::one(Role::Isolated, Remedy::Wait, About::ByHand, text));
        }
    };
    let said = Some(reason(About::ByHand, text));
    Ok(Word { reading: Reading::of_owner(Seen::Known(owner)), said })
}

/// Everything that is not known, or known to be too little to act on. `again`: the service is here and was before.
fn doubts(reading: &Reading, purpose: Purpose, again: bool) -> Vec<Reason> {
    let mut all = Vec::new();
    let mut doubt = |about, text: String| all.push(reason(about, text));
    if let Some(why) = reading.owner.why() {
        doubt(About::Owner, format!("it is not known where the service is: {why}"));
    }
    match &reading.moving {
        Seen::Unknown(why) => {
            doubt(About::Moving, format!("it is not known whether the service is being moved: {why}"));
        }
        Seen::Known(true) if purpose == Purpose::Run => {
            doubt(About::Moving, "the service is being moved".to_string());
        }
        Seen::Known(_) => {}
    }
    match &reading.quorum {
        Seen::Unknown(why) => {
            doubt(About::Quorum, format!("it is not known whether this node is in the majority: {why}"));
        }
        Seen::Known(Quorum::Lost) => doubt(
            About::Quorum,
            "this node is cut off from the majority: what it knows of the cluster may be old".to_string(),
        ),
        Seen::Known(Quorum::Quorate | Quorum::NoSuch) => {}
    }
    match &reading.ha {
        Seen::Unknown(why) => doubt(About::Ha, format!("it is not known whether HA is armed: {why}")),
        Seen::Known(Ha::Disarmed) if again => {}
        Seen::Known(Ha::Disarmed) => doubt(
            About::Ha,
            "HA is disarmed: no node is ended before its service starts elsewhere, so nothing is sent until it is armed"
                .to_string(),
        ),
        Seen::Known(Ha::Armed | Ha::NoHa) => {}
    }
    all
}

/// The role where nothing is doubtful.
fn by_owner(
    names: &Names,
    seen: &Observation,
    root: &Root<'_>,
    word: &Word,
    owner: &Owner,
    ours: Option<&Epoch>,
) -> Verdict {
    let Names { here, peer } = names;
    let held = ours.is_some_and(|epoch| epoch.holder == *here);
    let shown = ours.map_or_else(|| "no epoch".to_string(), |epoch| format!("the epoch {epoch}"));
    if let Some(epoch) = ours.filter(|epoch| epoch.holder != *here && epoch.holder != *peer) {
        let text = format!("the epoch of this node is held by {}, which is not of this pair", epoch.holder);
        return Verdict::one(Role::Unknown, Remedy::Look, About::Epoch, text);
    }
    match owner {
        Owner::Here if held => active(seen, word, &shown),
        Owner::Here => {
            let (remedy, text) = unpromoted(names, root, ours, &shown);
            let reasons = vec![reason(About::Owner, "the service is here"), reason(About::Epoch, text)];
            Verdict::new(Role::Standby, remedy, reasons)
        }
        Owner::Node(name) if name != peer => {
            let text = format!("the service is on {name}, which is not of this pair");
            Verdict::one(Role::Unknown, Remedy::Look, About::Owner, text)
        }
        _ if held => {
            let text = format!(
                "this node has {shown}, and nobody is known to have taken over: what was written here may be nowhere else"
            );
            let reasons =
                vec![reason(About::Owner, format!("the service is {owner}")), reason(About::Epoch, text)];
            Verdict::new(Role::Isolated, Remedy::Handover, reasons)
        }
        _ => following(names, root, owner, ours, &shown),
    }
}

/// Whether an epoch is the one that a node gets to which `before` was given away: the next one, of the other node.
fn follows_on(next: &Epoch, before: Option<&Epoch>) -> bool {
    before.is_some_and(|before| {
        before.holder != next.holder && before.number.checked_add(1) == Some(next.number)
    })
}

/// What to do where the service is here and this node does not hold the epoch.
fn unpromoted(names: &Names, root: &Root<'_>, ours: Option<&Epoch>, shown: &str) -> (Remedy, String) {
    let peer = &names.peer;
    let number = ours.map_or(0, |ours| ours.number);
    let newer = root.their_epoch().filter(|theirs| theirs.holder == names.here && theirs.number > number);
    match newer {
        None => (Remedy::Promote, format!("this node was not promoted: it has {shown}")),
        // An epoch that is believed was written on this very pool, which then has followed until just before.
        Some(theirs) if follows_on(theirs, ours) => (
            Remedy::Promote,
            format!(
                "{peer} has handed it over, in epoch {theirs}, and this node was not promoted yet: it has {shown}"
            ),
        ),
        Some(theirs) => (
            Remedy::Look,
            format!(
                "this node was not promoted: it has {shown}, and {peer} says {theirs}: the pool here is not the one that was promoted, as after a disk was replaced"
            ),
        ),
    }
}

/// The service is here, and so is the epoch.
fn active(seen: &Observation, word: &Word, shown: &str) -> Verdict {
    let mut reasons = vec![reason(About::Owner, "the service is here")];
    if word.said.is_none() {
        reasons.push(reason(About::Quorum, seen.show(About::Quorum)));
        let ha = match word.reading.ha {
            Seen::Known(Ha::Armed) => "HA is armed",
            Seen::Known(Ha::Disarmed) => "HA is disarmed, and a start where the service is changes nothing",
            _ => "HA has nothing to do with the service: people move it",
        };
        reasons.push(reason(About::Ha, ha));
    }
    reasons.push(reason(About::Epoch, format!("this node has {shown}")));
    match &seen.peer {
        PeerSaid::Answered { role: Seen::Known(Role::Active), epoch } => {
            let epoch = match epoch.all() {
                Seen::Known(Some(epoch)) => format!(" of the epoch {epoch}"),
                _ => String::new(),
            };
            let text = format!("the other node takes itself{epoch} for active too: it may not know yet");
            reasons.push(reason(About::Peer, text));
            return Verdict::new(Role::Unknown, Remedy::Wait, reasons);
        }
        PeerSaid::Answered { .. } => {}
        PeerSaid::Unreachable(_) | PeerSaid::NotAsked => {
            reasons.push(reason(About::Peer, format!("the other node {}", seen.show(About::Peer))));
        }
    }
    Verdict::new(Role::Active, Remedy::Nothing, reasons)
}

/// The service is not here, and this node does not hold the epoch.
fn following(names: &Names, root: &Root<'_>, owner: &Owner, ours: Option<&Epoch>, shown: &str) -> Verdict {
    let peer = &names.peer;
    let mut reasons = vec![reason(About::Owner, format!("the service is {owner}"))];
    let number = root.their_epoch().map_or(0, |theirs| theirs.number);
    if let (Some(theirs), Some(newer)) = (root.theirs, ours.filter(|ours| ours.number > number)) {
        if newer.holder == *peer && follows_on(newer, theirs.as_ref()) {
            let text = format!(
                "this node has handed it over with all that it has, in epoch {newer}, and {peer} was not promoted yet"
            );
            reasons.push(reason(About::Epoch, text));
            return Verdict::new(Role::Standby, Remedy::Given, reasons);
        }
        let theirs = theirs.as_ref().map_or_else(|| "none".to_string(), ToString::to_string);
        let text = format!(
            "this node has followed {shown}, and {peer} has {theirs}: the pool there is not the one that was promoted, as after a disk was replaced"
        );
        reasons.push(reason(About::Epoch, text));
        return Verdict::new(Role::Unknown, Remedy::Look, reasons);
    }
    reasons.push(reason(About::Epoch, format!("this node has {shown}")));
    Verdict::new(Role::Standby, Remedy::Nothing, reasons)
}

#[cfg(test)]
mod tests;
