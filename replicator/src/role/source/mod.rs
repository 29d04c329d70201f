//! Those who say on which node the service is. Each answers in a bounded time, with what it knows and nothing more: an
//! error, a missing entry or two answers that differ are not known, and never "not here".

use std::time::Duration;

use super::decide::Names;
use super::observation::Glance;
use super::observation::Reading;
use crate::cancel::Cancel;
use crate::config::pair::Decider;
use crate::config::pair::Pair;

mod command;
mod etcd;
mod fixed;
mod pacemaker;
mod proxmox;

/// Why the service could not be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Another node has it.
    #[error("{key}: {node} has it")]
    Held {
        /// What was asked for.
        key: String,
        /// The node.
        node: String,
    },
    /// Who decides could not be asked, or said something that nothing follows from.
    #[error("{0}")]
    NotKnown(String),
}

/// Who says where the service is.
pub trait Source: Send {
    /// All that it can say, from every source that it has.
    fn observe(&mut self, cancel: &Cancel) -> Reading;

    /// Where the service is, from the cheapest source that is current: for the look before each step.
    fn glance(&mut self, cancel: &Cancel) -> Glance {
        self.observe(cancel).into()
    }

    /// Lets what was taken for this node last on, where that is this program's to do; to be called only by who goes on with
    /// it. Looking never does that. Nothing where this node has not taken anything.
    ///
    /// # Errors
    /// With the reason, when nobody answers or too little of it is left.
    fn renew(&mut self, _cancel: &Cancel) -> Result<(), String> {
        Ok(())
    }

    /// Takes the service for this node, where that is this program's to do: as it is promoted. Those who only watch a
    /// cluster have nothing to take.
    ///
    /// # Errors
    /// With the reason, when another node has it or nobody answers.
    fn claim(&mut self, _cancel: &Cancel) -> Result<(), NotTaken> {
        Ok(())
    }

    /// Gives the service to the other node, in one step in which always one of the two has it. Whether the other one has it
    /// now; not so where nobody has it, which changes nothing.
    ///
    /// # Errors
    /// With the reason, when a third node has it, or nobody answers.
    fn hand_over(&mut self, _cancel: &Cancel) -> Result<bool, String> {
        Ok(true)
    }

    /// Gives back what was taken, as this node is demoted. Nothing where it has not taken anything.
    ///
    /// # Errors
    /// With the reason, when nobody answers. It then ends by itself.
    fn release(&mut self, _cancel: &Cancel) -> Result<(), String> {
        Ok(())
    }
}

/// The one of a pair.
#[must_use]
pub fn of(pair: &Pair) -> Box<dyn Source> {
    let (names, timeout) = (Names::of(pair), pair.watch.timeout);
    match &pair.decider {
        Decider::Proxmox { guest, files, pvesh } => {
            Box::new(proxmox::Proxmox::new(*guest, files, pvesh.clone(), names, timeout))
        }
        Decider::Pacemaker { resource } => {
            Box::new(pacemaker::Pacemaker::new(resource.clone(), names, timeout))
        }
        Decider::Etcd { endpoints, key, ttl } => {
            Box::new(etcd::Etcd::new(endpoints.clone(), key.clone(), *ttl, names, timeout))
        }
        Decider::Command { argv } => Box::new(command::Command::new(argv.clone(), names, timeout)),
        Decider::Fixed(role) => Box::new(fixed::Fixed::new(*role, names)),
    }
}

impl Names {
    /// Of a pair: where the configuration does not name this node, it is what the kernel calls it, without a domain.
    #[must_use]
    pub fn of(pair: &Pair) -> Self {
        let here = pair.node.clone().unwrap_or_else(|| {
            let uname = rustix::system::uname();
            short(&uname.nodename().to_string_lossy()).to_string()
        });
        Self { here, peer: pair.peer.node.clone() }
    }

    /// The owner, where this node is called by a name.
    pub(super) fn owner(&self, node: &str) -> super::observation::Owner {
        use super::observation::Owner;
        if node == self.here { Owner::Here } else { Owner::Node(node.to_string()) }
    }
}

/// A name without its domain.
fn short(name: &str) -> &str {
    name.split_once('.').map_or(name, |(first, _)| first)
}

/// Seconds, for messages.
fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f32())
}
