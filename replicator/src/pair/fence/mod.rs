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
//! the newest promotion that its data follow. A node that holds the root itself lets go of it by [`overtake`] alone. A root
//! that a rejoin has left half done lets nobody in ([`unfinished`]).

use zfs_core::name::DatasetName;

use super::epoch::Belief;
use super::epoch::NodeName;
use crate::host::HostError;

mod admit;
mod overtake;
mod refusal;
mod unfinished;

pub use admit::Admitted;
pub use admit::Asked;
pub use admit::NotAdmitted;
pub use admit::admit;
pub use overtake::LEFT_OUT;
pub use overtake::overtake;
pub use overtake::own;
pub use refusal::Held;
pub use refusal::Kind;
pub use refusal::Refusal;
pub use unfinished::counted;
pub use unfinished::first_copy;
pub use unfinished::rejoining;
pub use unfinished::unfinished;

/// What a node of a pair presents along with each request that changes the other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The root, by its name on the side that is asked.
    pub root: DatasetName,
    /// The epoch of that root on the side that asks.
    pub epoch: u64,
    /// The node that holds it: the one that asks.
    pub holder: NodeName,
    /// What the one that asks calls the one that is asked. A cluster may know it by another name than its machine has,
    /// and only by its own name does a node know that it holds an epoch itself.
    pub receiver: NodeName,
}

/// Leave to change datasets of a host. While there is one, none of them is promoted.
pub trait Permit: Send {
    /// Whether somebody waits for it to be given back.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn is_recalled(&self) -> Result<bool, HostError>;

    /// Whether a promotion on this machine, which is root's to do, knows of it at all.
    fn is_seen_by_root(&self) -> bool {
        true
    }
}

/// The most that a claim may be ahead: far more promotions than any pair sees, and far from the end of the numbers.
const AHEAD: u64 = 1 << 20;

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

#[cfg(test)]
mod tests {
    use zfs_core::Guid;

    use super::*;
    use crate::pair::Doubt;
    use crate::pair::Epoch;

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
        Claim { root: name("tank/a"), epoch, holder: node(holder), receiver: node("here") }
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
        for kind in [Kind::NoClaim, Kind::Lower, Kind::Promoting, Kind::Unfinished] {
            let text = serde_json::to_string(&kind).expect("JSON");
            assert_eq!(serde_json::from_str::<Kind>(&text).expect("a kind"), kind);
        }
        assert_eq!(serde_json::from_str::<Kind>(r#""from-the-future""#).expect("a kind"), Kind::Other);
    }
}
