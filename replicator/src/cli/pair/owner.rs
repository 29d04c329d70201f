//! What who decides about the service has to say to a verb that a person calls by hand. A hook is called by the cluster itself,
//! and looks at more than this.

use super::Failure;
use super::setup::Setup;
use crate::cancel::Cancel;
use crate::codes::Code;
use crate::config::pair::Decider;
use crate::role::observation::Owner;
use crate::role::source;

/// What Pacemaker sets for the agents of its resources.
const BY_PACEMAKER: &str = "OCF_RESOURCE_INSTANCE";

/// Whether somebody decides whom this program only listens to, and who is not the one who calls.
fn listens(decider: &Decider, by_pacemaker: bool) -> bool {
    match decider {
        Decider::Proxmox { .. } | Decider::Command { .. } => true,
        Decider::Pacemaker { .. } => !by_pacemaker,
        // A promotion takes the lease itself; and what people have written down they know.
        Decider::Etcd { .. } | Decider::Fixed(_) => false,
    }
}

/// Where the service is, if that is known.
fn ask(setup: &Setup, cancel: &Cancel) -> Option<Owner> {
    if !listens(&setup.pair.decider, std::env::var_os(BY_PACEMAKER).is_some()) {
        return None;
    }
    source::of(&setup.pair).glance(cancel).owner.known().cloned()
}

/// Whether this node may be promoted.
///
/// # Errors
/// When the service is on another node, as is known.
pub(super) fn may_promote(setup: &Setup, cancel: &Cancel) -> Result<(), Failure> {
    against_promotion(&setup.pair.decider, ask(setup, cancel).as_ref(), setup.name.as_str())
}

/// Whether this node may follow.
///
/// # Errors
/// When the service is here, as is known.
pub(super) fn may_rejoin(setup: &Setup, cancel: &Cancel) -> Result<(), Failure> {
    against_rejoin(&setup.pair.decider, ask(setup, cancel).as_ref(), setup.peer.as_str())
}

fn against_promotion(decider: &Decider, owner: Option<&Owner>, here: &str) -> Result<(), Failure> {
    let Some(Owner::Node(node)) = owner else { return Ok(()) };
    let message = format!("the service is on {node} ({}), so {here} is not promoted", decider.text());
    let hint = format!("move the service to {here} first; --force, if it does not run on {node} any more");
    Err(Failure::new(Code::PairRefused, message).hinted(hint))
}

fn against_rejoin(decider: &Decider, owner: Option<&Owner>, peer: &str) -> Result<(), Failure> {
    if owner != Some(&Owner::Here) {
        return Ok(());
    }
    let message = format!("the service is here ({}), and a node that follows has none", decider.text());
    let hint = format!("move the service to {peer} first; --force, if it is stopped and stays so");
    Err(Failure::new(Code::PairRefused, message).hinted(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Outcome;
    use crate::role::Role;

    #[test]
    fn who_decides_is_asked_unless_it_is_the_one_who_calls() {
        let resource = || "nfs".to_string();
        assert!(listens(&Decider::Command { argv: Vec::new() }, true));
        assert!(listens(&Decider::Pacemaker { resource: resource() }, false));
        assert!(!listens(&Decider::Pacemaker { resource: resource() }, true));
        assert!(!listens(&Decider::Fixed(Role::Standby), false));
    }

    #[test]
    fn only_what_is_known_stands_against_a_verb() {
        let decider = Decider::Command { argv: vec!["where".to_string()] };
        let node = || Owner::Node("b".to_string());
        let promotes = |owner: Option<Owner>| against_promotion(&decider, owner.as_ref(), "a");
        let rejoins = |owner: Option<Owner>| against_rejoin(&decider, owner.as_ref(), "b");
        for owner in [None, Some(Owner::Here), Some(Owner::Nowhere)] {
            assert!(promotes(owner.clone()).is_ok(), "{owner:?}");
        }
        for owner in [None, Some(node()), Some(Owner::Nowhere)] {
            assert!(rejoins(owner.clone()).is_ok(), "{owner:?}");
        }
        for failure in [promotes(Some(node())), rejoins(Some(Owner::Here))] {
            let failure = failure.expect_err("it says so");
            assert_eq!((failure.code, failure.outcome), (Code::PairRefused, Outcome::Conflict));
            assert!(failure.hint().is_some_and(|hint| hint.contains("--force")), "{failure:?}");
        }
    }
}
