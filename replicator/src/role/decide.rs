//! Finds the role of a node from what was observed: a pure function. Each observation that decided something is a
//! reason in plain words, and whatever is doubtful makes the role unknown.
//!
//! Three things are asked in turn, each of which can only make the answer more careful. What the epochs on both pools
//! say holds whatever a cluster says: they travel with the data. Then nothing that was asked may be doubtful. Then the
//! owner counts, and of two nodes that hold it, only the one that was promoted is active.

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
            Self::Choose => format!(
                "stop the service on one of the two nodes, then `replicator pair rejoin {pair}` there: nothing of it is lost"
            ),
            Self::Look => {
                "do not promote before it is clear which node has the newer data: `replicator pair status` compares them".to_string()
            }
        }
    }
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
}

impl Verdict {
    fn new(role: Role, remedy: Remedy, reasons: Vec<Reason>) -> Self {
        Self { role, reasons, remedy }
    }

    fn one(role: Role, remedy: Remedy, about: About, text: impl Into<String>) -> Self {
        Self::new(role, remedy, vec![reason(about, text)])
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
        return of_one(names, first, purpose);
    }
    let reasons = differing.into_iter().map(|about| {
        let shown: Vec<_> = observations.iter().map(|one| one.show(about)).collect();
        reason(about, format!("what was observed does not agree: {}", shown.join(" / ")))
    });
    Verdict::new(Role::Unknown, Remedy::Wait, reasons.collect())
}

/// The role by what was observed once, or every time alike.
fn of_one(names: &Names, seen: &Observation, purpose: Purpose) -> Verdict {
    if let Some(verdict) = by_epochs(names, seen) {
        return verdict;
    }
    let word = match by_hand(names, seen) {
        Ok(word) => word,
        Err(verdict) => return verdict,
    };
    let mut doubts = doubts(&word.reading, purpose);
    if let Some(why) = seen.epoch.why() {
        doubts.push(reason(About::Epoch, format!("the epoch of this node is not known: {why}")));
    }
    let (Some(owner), Some(ours), true) = (word.reading.owner.known(), seen.epoch.known(), doubts.is_empty())
    else {
        return Verdict::new(Role::Unknown, Remedy::Wait, doubts);
    };
    let mut verdict = by_owner(names, seen, &word, owner, ours.as_ref());
    if let Some(said) = word.said {
        verdict.reasons.insert(0, said);
    }
    verdict
}

/// What the epochs of the two pools say together, where that is enough.
fn by_epochs(names: &Names, seen: &Observation) -> Option<Verdict> {
    let ours = seen.epoch.known()?.as_ref();
    let PeerSaid::Answered { epoch: Seen::Known(Some(theirs)), .. } = &seen.peer else { return None };
    let ours = ours?;
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

/// Everything that is not known, or known to be too little to act on.
fn doubts(reading: &Reading, purpose: Purpose) -> Vec<Reason> {
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
fn by_owner(names: &Names, seen: &Observation, word: &Word, owner: &Owner, ours: Option<&Epoch>) -> Verdict {
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
            let mut text = format!("this node was not promoted: it has {shown}");
            let mut remedy = Remedy::Promote;
            if let PeerSaid::Answered { epoch: Seen::Known(Some(theirs)), .. } = &seen.peer
                && theirs.holder == *here
            {
                remedy = Remedy::Look;
                text.push_str(&format!(
                    ", and {peer} says {theirs}: the pool here is not the one that was promoted, as after a disk was replaced"
                ));
            }
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
        _ => following(names, seen, owner, ours, &shown),
    }
}

/// The service is here, and so is the epoch.
fn active(seen: &Observation, word: &Word, shown: &str) -> Verdict {
    let mut reasons = vec![reason(About::Owner, "the service is here")];
    if word.said.is_none() {
        reasons.push(reason(About::Quorum, seen.show(About::Quorum)));
        let ha = match word.reading.ha {
            Seen::Known(Ha::Armed) => "HA is armed",
            _ => "HA has nothing to do with the service: people move it",
        };
        reasons.push(reason(About::Ha, ha));
    }
    reasons.push(reason(About::Epoch, format!("this node has {shown}")));
    match &seen.peer {
        PeerSaid::Answered { role: Seen::Known(Role::Active), epoch } => {
            let epoch = epoch.known().and_then(Option::as_ref);
            let epoch = epoch.map_or_else(String::new, |epoch| format!(" of the epoch {epoch}"));
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
fn following(names: &Names, seen: &Observation, owner: &Owner, ours: Option<&Epoch>, shown: &str) -> Verdict {
    let peer = &names.peer;
    let mut reasons = vec![reason(About::Owner, format!("the service is {owner}"))];
    if let PeerSaid::Answered { epoch: Seen::Known(theirs), .. } = &seen.peer {
        let number = theirs.as_ref().map_or(0, |epoch| epoch.number);
        if ours.is_some_and(|epoch| epoch.number > number) {
            let theirs = theirs.as_ref().map_or_else(|| "none".to_string(), ToString::to_string);
            let text = format!(
                "this node has followed {shown}, and {peer} has {theirs}: the pool there is not the one that was promoted, as after a disk was replaced"
            );
            reasons.push(reason(About::Epoch, text));
            return Verdict::new(Role::Unknown, Remedy::Look, reasons);
        }
    }
    reasons.push(reason(About::Epoch, format!("this node has {shown}")));
    Verdict::new(Role::Standby, Remedy::Nothing, reasons)
}

#[cfg(test)]
mod tests;
