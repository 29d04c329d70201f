//! What can be observed about a pair, each of it known or not known with the reason. Nothing is concluded here, and
//! what was not said is never taken for a no.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::Role;
use super::epochs::Epochs;

/// Something that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen<T> {
    /// The answer.
    Known(T),
    /// There is none, for this reason.
    Unknown(String),
}

impl<T> Seen<T> {
    /// Not known, for this reason.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown(why.into())
    }

    /// The answer, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// The reason why there is no answer.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(why) => Some(why),
        }
    }

    /// Another answer in its place, the reason stays.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::Known(value) => Seen::Known(change(value)),
            Self::Unknown(why) => Seen::Unknown(why),
        }
    }
}

impl<T: PartialEq> Seen<T> {
    /// Whether two say the same. Two that are not known do, whatever their reasons.
    pub fn agrees(&self, other: &Self) -> bool {
        self.known() == other.known()
    }

    /// What two sources say together: the answer when both give it, and else why it cannot be relied on.
    #[must_use]
    pub fn and(self, other: Self, differ: impl FnOnce(&T, &T) -> String) -> Self {
        match (self, other) {
            (Self::Unknown(one), Self::Unknown(two)) => Self::Unknown(format!("{one}; {two}")),
            (Self::Unknown(why), _) | (_, Self::Unknown(why)) => Self::Unknown(why),
            (Self::Known(one), Self::Known(two)) if one == two => Self::Known(one),
            (Self::Known(one), Self::Known(two)) => Self::Unknown(differ(&one, &two)),
        }
    }
}

impl<T> From<Result<T, String>> for Seen<T> {
    fn from(result: Result<T, String>) -> Self {
        match result {
            Ok(value) => Self::Known(value),
            Err(why) => Self::Unknown(why),
        }
    }
}

/// Where the service is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// On this node.
    Here,
    /// On another one, which need not be of the pair.
    Node(String),
    /// On none, and that is known for sure.
    Nowhere,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("here"),
            Self::Node(name) => write!(f, "on {name}"),
            Self::Nowhere => f.write_str("nowhere"),
        }
    }
}

/// Whether this node is in the majority, whose word on the owner counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quorum {
    /// It is.
    Quorate,
    /// It is not: what it knows of the cluster may be old.
    Lost,
    /// Who decides knows nothing of the kind.
    NoSuch,
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quorate => "this node is in the majority",
            Self::Lost => "this node is cut off from the majority",
            Self::NoSuch => "who decides knows of no majority",
        })
    }
}

/// Whether the cluster moves the service by itself, and ends a node before it gives its service to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ha {
    /// It does.
    Armed,
    /// It was told not to: no node is fenced, and none restarts.
    Disarmed,
    /// The service is moved by people only.
    NoHa,
}

impl fmt::Display for Ha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Armed => "armed",
            Self::Disarmed => "disarmed",
            Self::NoHa => "none: the service is moved by people only",
        })
    }
}

/// A number that goes up with each promotion, and the node that was promoted. It is kept with the data, on both pools.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Epoch {
    /// The number.
    pub number: u64,
    /// The name of the node.
    pub holder: String,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.number, self.holder)
    }
}

/// What the other node says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerSaid {
    /// It answered.
    Answered {
        /// What it takes itself for, from what it sees without us; not known where it was not asked for that.
        role: Seen<Role>,
        /// The epochs of its pools.
        epoch: Epochs,
    },
    /// It did not, for this reason.
    Unreachable(String),
    /// Nobody asked it.
    NotAsked,
}

impl PeerSaid {
    /// Whether two say the same. Two that did not answer do, whatever their reasons.
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Answered { role: one, epoch: our }, Self::Answered { role: two, epoch: their }) => {
                one.agrees(two) && our.agrees(their)
            }
            (Self::Unreachable(_), Self::Unreachable(_)) | (Self::NotAsked, Self::NotAsked) => true,
            _ => false,
        }
    }
}

/// What a person has said about this node, for a while.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Override {
    /// What this node is to be taken for.
    pub role: Role,
    /// When that ends by itself.
    #[serde(serialize_with = "as_text")]
    pub until: Timestamp,
}

fn as_text<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// What the one who decides says, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Reading {
    /// Where the service is.
    pub owner: Seen<Owner>,
    /// Whether it is on its way to another node.
    pub moving: Seen<bool>,
    /// Whether the word of this node counts.
    pub quorum: Seen<Quorum>,
    /// Whether the cluster acts by itself.
    pub ha: Seen<Ha>,
}

impl Reading {
    /// Nothing is known, for this reason.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        Self {
            owner: Seen::unknown(why),
            moving: Seen::unknown(why),
            quorum: Seen::unknown(why),
            ha: Seen::unknown(why),
        }
    }

    /// Of one who knows where the service is, and nothing of majorities or of what a cluster does.
    #[must_use]
    pub fn of_owner(owner: Seen<Owner>) -> Self {
        Self {
            owner,
            moving: Seen::Known(false),
            quorum: Seen::Known(Quorum::NoSuch),
            ha: Seen::Known(Ha::NoHa),
        }
    }
}

/// What is cheap to ask again before each step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Glance {
    /// Where the service is.
    pub owner: Seen<Owner>,
    /// Whether the word of this node counts.
    pub quorum: Seen<Quorum>,
}

impl From<Reading> for Glance {
    fn from(reading: Reading) -> Self {
        Self { owner: reading.owner, quorum: reading.quorum }
    }
}

/// Everything that a role is found from, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Observation {
    /// What the one who decides says.
    pub reading: Reading,
    /// What the other node says.
    pub peer: PeerSaid,
    /// The epochs of the pools here.
    pub epoch: Epochs,
    /// What a person has said; `None` where nobody has, or the time is over.
    pub by_hand: Seen<Option<Override>>,
}

/// What an observation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// Where the service is.
    Owner,
    /// Whether it is on its way.
    Moving,
    /// The majority.
    Quorum,
    /// What the cluster does by itself.
    Ha,
    /// The other node.
    Peer,
    /// The epochs of the pools.
    Epoch,
    /// The word of a person.
    ByHand,
    /// All of them together.
    Observations,
}

impl About {
    /// As it is printed.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Owner => "service",
            Self::Moving => "moving",
            Self::Quorum => "quorum",
            Self::Ha => "HA",
            Self::Peer => "peer",
            Self::Epoch => "epoch",
            Self::ByHand => "by hand",
            Self::Observations => "observations",
        }
    }
}

impl Observation {
    /// What it differs in from another one.
    #[must_use]
    pub fn differs(&self, other: &Self) -> Vec<About> {
        let (one, two) = (&self.reading, &other.reading);
        let all = [
            (About::Owner, one.owner.agrees(&two.owner)),
            (About::Moving, one.moving.agrees(&two.moving)),
            (About::Quorum, one.quorum.agrees(&two.quorum)),
            (About::Ha, one.ha.agrees(&two.ha)),
            (About::Peer, self.peer.agrees(&other.peer)),
            (About::Epoch, self.epoch.agrees(&other.epoch)),
            (About::ByHand, self.by_hand.agrees(&other.by_hand)),
        ];
        all.into_iter().filter(|(_, same)| !same).map(|(about, _)| about).collect()
    }

    /// One line about one part of it.
    #[must_use]
    pub fn show(&self, about: About) -> String {
        let or_why = |seen: Option<String>, why: Option<&str>| {
            seen.unwrap_or_else(|| format!("not known: {}", why.unwrap_or_default()))
        };
        let reading = &self.reading;
        match about {
            About::Owner => or_why(reading.owner.known().map(ToString::to_string), reading.owner.why()),
            About::Moving => or_why(
                reading.moving.known().map(|moving| if *moving { "yes" } else { "no" }.to_string()),
                reading.moving.why(),
            ),
            About::Quorum => or_why(reading.quorum.known().map(ToString::to_string), reading.quorum.why()),
            About::Ha => or_why(reading.ha.known().map(ToString::to_string), reading.ha.why()),
            About::Epoch => self.epoch.to_string(),
            About::ByHand => or_why(
                self.by_hand.known().map(|said| match said {
                    None => "nothing was said".to_string(),
                    Some(said) => format!("{} until {}", said.role, said.until),
                }),
                self.by_hand.why(),
            ),
            About::Peer => match &self.peer {
                PeerSaid::Answered { role: Seen::Known(role), epoch } => {
                    format!("takes itself for {role}, epoch {epoch}")
                }
                PeerSaid::Answered { role: Seen::Unknown(_), epoch } => format!("answers, epoch {epoch}"),
                PeerSaid::Unreachable(why) => format!("does not answer: {why}"),
                PeerSaid::NotAsked => "was not asked".to_string(),
            },
            About::Observations => String::new(),
        }
    }

    /// The parts, in the order in which they are printed.
    pub const PARTS: [About; 7] =
        [About::Owner, About::Moving, About::Quorum, About::Ha, About::Epoch, About::Peer, About::ByHand];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sources_are_believed_together_or_not_at_all() {
        let differ = |one: &u8, two: &u8| format!("{one} and {two}");
        let known = Seen::Known;
        assert_eq!(known(1).and(known(1), differ), known(1));
        assert_eq!(known(1).and(known(2), differ), Seen::unknown("1 and 2"));
        assert_eq!(known(1).and(Seen::unknown("no"), differ), Seen::unknown("no"));
        assert_eq!(Seen::unknown("no").and(known(1), differ), Seen::unknown("no"));
        assert_eq!(Seen::unknown("a").and(Seen::unknown("b"), differ), Seen::unknown("a; b"));
    }

    #[test]
    fn reasons_do_not_make_a_difference_and_answers_do() {
        let base = Observation {
            reading: Reading::of_owner(Seen::Known(Owner::Here)),
            peer: PeerSaid::Unreachable("3.1 s".to_string()),
            epoch: Epochs::from(Seen::unknown("a")),
            by_hand: Seen::Known(None),
        };
        let mut other = base.clone();
        other.peer = PeerSaid::Unreachable("2.9 s".to_string());
        other.epoch = Seen::unknown("b").into();
        assert!(base.differs(&other).is_empty());
        other.epoch = Seen::Known(None).into();
        other.peer = PeerSaid::NotAsked;
        other.reading.owner = Seen::unknown("x");
        assert_eq!(base.differs(&other), [About::Owner, About::Peer, About::Epoch]);
    }
}
