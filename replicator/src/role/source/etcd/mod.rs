//! A lease in etcd with a key for the pair, whose value is the name of the node that has the service. Only the node that
//! has it renews it, in each run and before each of its steps, so it has to live longer than runs are apart; and only while
//! it can serve, which is for who calls [`Source::renew`] to know. A look alone renews nothing. A promotion takes it, a
//! demotion gives it back. A handover binds the key to the name of the other node and a new lease, in one transaction that
//! compares with what this node had: no third one can come in between, and from then on the other node renews it by the
//! lease that it finds at the key, whoever has granted it.
//!
//! What it proves: etcd answers by its majority, and while the key is bound to a lease that lives no other node can have
//! taken it. How long that is counts from before the question was sent, on a clock that is not set. What it does not prove:
//! that the service runs here, and that it has ended elsewhere, where a lease has run out and nobody has looked. So the
//! receiving side checks the epoch all the same, and a key that is gone makes no node active: promoting one takes it.

use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;

use super::super::decide::Names;
use super::super::observation::Ha;
use super::super::observation::Owner;
use super::super::observation::Quorum;
use super::super::observation::Reading;
use super::super::observation::Seen;
use super::NotTaken;
use super::Source;
use super::seconds;
use crate::cancel::Cancel;

mod client;

use client::Client;
use client::Entry;

/// What is left of a lease has to be more, for it to be believed: what follows a look takes time.
const MARGIN: Duration = Duration::from_secs(5);

/// The lease of a pair.
pub(super) struct Etcd {
    client: Client,
    key: String,
    ttl: Duration,
    names: Names,
}

impl Etcd {
    pub(super) fn new(
        endpoints: Vec<SocketAddr>,
        key: String,
        ttl: Duration,
        names: Names,
        timeout: Duration,
    ) -> Self {
        Self { client: Client::new(endpoints, timeout), key, ttl, names }
    }

    /// Lets a lease last on, where that leaves enough of it.
    fn prolong(&self, lease: i64, cancel: &Cancel) -> Result<(), String> {
        let asked = Instant::now();
        enough(self.client.keep_alive(lease, cancel)?, asked)
    }

    /// Whether enough is left of a lease.
    fn lasts(&self, lease: i64, cancel: &Cancel) -> Result<(), String> {
        let asked = Instant::now();
        enough(self.client.time_to_live(lease, cancel)?, asked)
    }

    fn owner(&self, cancel: &Cancel) -> Result<Owner, String> {
        match self.client.get(&self.key, cancel)? {
            None => Ok(Owner::Nowhere),
            Some(Entry { lease: None, node }) => Err(unbound(&node)),
            Some(Entry { lease: Some(lease), node }) => {
                let owner = self.names.owner(&node);
                if owner == Owner::Here {
                    self.lasts(lease, cancel)?;
                }
                Ok(owner)
            }
        }
    }

    fn say(&self, why: &str) -> String {
        format!("etcd key {}: {why}", self.key)
    }
}

/// Whether what is left of a lease is enough, from before it was asked for.
fn enough(left: Option<Duration>, asked: Instant) -> Result<(), String> {
    let left = left.ok_or("the lease of this node has run out")?.saturating_sub(asked.elapsed());
    if left <= MARGIN {
        return Err(format!("only {} of the lease of this node are left", seconds(left)));
    }
    Ok(())
}

fn unbound(node: &str) -> String {
    format!("the key has no lease, so it was not taken by this program; it says {node}")
}

impl Source for Etcd {
    fn observe(&mut self, cancel: &Cancel) -> Reading {
        // Whoever answers has asked the majority.
        match self.owner(cancel) {
            Ok(owner) => Reading {
                owner: Seen::Known(owner),
                moving: Seen::Known(false),
                quorum: Seen::Known(Quorum::Quorate),
                ha: Seen::Known(Ha::NoHa),
            },
            Err(why) => Reading::unknown(&self.say(&why)),
        }
    }

    fn renew(&mut self, cancel: &Cancel) -> Result<(), String> {
        let renewed = || match self.client.get(&self.key, cancel)? {
            Some(Entry { node, lease: Some(lease) }) if node == self.names.here => {
                self.prolong(lease, cancel)
            }
            _ => Ok(()),
        };
        renewed().map_err(|why| self.say(&why))
    }

    fn claim(&mut self, cancel: &Cancel) -> Result<(), NotTaken> {
        let taken = || -> Result<Option<String>, String> {
            let lease = self.client.grant(self.ttl, cancel)?;
            let found = match self.client.put_if_absent(&self.key, &self.names.here, lease, cancel) {
                Ok(true) => return Ok(None),
                Ok(false) => self.client.get(&self.key, cancel),
                Err(why) => Err(why),
            };
            // Without its key the lease is of no use; where this fails it runs out. Where the key was taken and the answer
            // was lost, the key goes with it: nobody has the service then, and it is tried again.
            let _ = self.client.revoke(lease, cancel);
            match found? {
                Some(Entry { node, lease: Some(lease) }) if node == self.names.here => {
                    self.prolong(lease, cancel).map(|()| None)
                }
                Some(Entry { node, lease: None }) => Err(unbound(&node)),
                Some(Entry { node, .. }) => Ok(Some(node)),
                None => Err("somebody had it a moment ago".to_string()),
            }
        };
        match taken() {
            Ok(None) => Ok(()),
            Ok(Some(node)) => Err(NotTaken::Held { key: format!("etcd key {}", self.key), node }),
            Err(why) => Err(NotTaken::NotKnown(self.say(&why))),
        }
    }

    fn hand_over(&mut self, cancel: &Cancel) -> Result<bool, String> {
        let Names { here, peer } = &self.names;
        let given = || -> Result<bool, String> {
            let ours = match self.client.get(&self.key, cancel)? {
                None => return Ok(false),
                // It is theirs already, as after a transaction whose answer was lost.
                Some(Entry { node, lease: Some(_) }) if node == *peer => return Ok(true),
                Some(Entry { node, lease: Some(lease) }) if node == *here => lease,
                Some(Entry { node, lease: None }) => return Err(unbound(&node)),
                Some(Entry { node, .. }) => return Err(format!("{node} has it")),
            };
            let lease = self.client.grant(self.ttl, cancel)?;
            // Where the answer to this is lost, the key may be bound to the new lease: then it must not end.
            if self.client.put_if_ours(&self.key, (here, ours), peer, lease, cancel)? {
                // Nothing is bound to it any more. Where this fails it runs out.
                let _ = self.client.revoke(ours, cancel);
                return Ok(true);
            }
            let _ = self.client.revoke(lease, cancel);
            Err("it changed while it was handed over".to_string())
        };
        given().map_err(|why| self.say(&why))
    }

    fn release(&mut self, cancel: &Cancel) -> Result<(), String> {
        let given = || match self.client.get(&self.key, cancel)? {
            Some(Entry { node, lease: Some(lease) }) if node == self.names.here => {
                self.client.revoke(lease, cancel)
            }
            _ => Ok(()),
        };
        given().map_err(|why| self.say(&why))
    }
}

#[cfg(test)]
mod tests;
