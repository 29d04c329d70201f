//! The epochs of the roots of a pair, on this node and on the other one, and whether the pools that they are on work.

use std::path::Path;

use zfs_core::ErrorKind;
use zfs_core::name::DatasetName;

use super::epochs::Epochs;
use super::observation::Epoch;
use super::observation::PeerSaid;
use super::observation::Seen;
use crate::cancel::Cancel;
use crate::config::pair::Pair;
use crate::connect;
use crate::endpoint::Endpoint;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::marks;
use crate::monitor::kstat;
use crate::pair::Belief;
use crate::pair::epoch::believe;
use crate::pair::guards;

/// The epochs of a node, root by root. A root that is proven absent has none, as one of a new disk.
pub fn epochs(host: &mut dyn Host, roots: &[DatasetName]) -> Epochs {
    Epochs::new(roots.iter().map(|root| (root.to_string(), of_root(host, root))))
}

fn of_root(host: &mut dyn Host, root: &DatasetName) -> Seen<Option<Epoch>> {
    // The pool first: a dataset of a pool that is not there is missing, and not absent.
    let pool = match host.about(root.pool()) {
        Ok(about) => about.guid,
        Err(error) => return Seen::unknown(error.to_string()),
    };
    let property = match host.some_properties(root, Depth::One, &[marks::EPOCH.to_string()]) {
        Ok(mut found) => found.remove(root).and_then(|mut properties| properties.remove(marks::EPOCH)),
        Err(error) if is_absent(&error) => None,
        Err(error) => return Seen::unknown(error.to_string()),
    };
    match believe(property.as_ref(), pool) {
        Belief::None => Seen::Known(None),
        Belief::Known(epoch) => {
            Seen::Known(Some(Epoch { number: epoch.number, holder: epoch.holder.to_string() }))
        }
        Belief::Unknown(doubt) => Seen::unknown(doubt.to_string()),
    }
}

fn is_absent(error: &HostError) -> bool {
    matches!(error.zfs_kind(), Some(ErrorKind::NotFound | ErrorKind::ParentNotFound))
}

/// The epochs of this node. A pool that hangs is not asked: whoever does hangs with it. The roots on other pools are.
pub fn epochs_here(host: &mut dyn Host, roots: &[DatasetName]) -> Epochs {
    let pools = kstat::pools(Path::new(kstat::FOLDER)).unwrap_or_default();
    Epochs::new(roots.iter().map(|root| {
        let hangs =
            pools.get(root.pool()).and_then(Option::as_deref).is_some_and(|state| state == "SUSPENDED");
        let epoch = match hangs {
            true => Seen::unknown(format!("the pool {} is suspended", root.pool())),
            false => of_root(host, root),
        };
        (root.to_string(), epoch)
    }))
}

/// Whether the pools of all these roots work, by what the kernel says of them without being kept waiting.
///
/// # Errors
/// With the first pool that does not, or of which nobody knows.
pub fn work(roots: &[DatasetName]) -> Result<(), String> {
    let pools = kstat::pools(Path::new(kstat::FOLDER)).map_err(|error| error.to_string())?;
    for root in roots {
        let state = pools.get(root.pool()).and_then(Option::as_deref);
        guards::health(root.pool(), state).map_err(|refusal| refusal.to_string())?;
    }
    Ok(())
}

/// The other node. It is connected to once, and where that fails not again for the same decision: each further try
/// would take as long and say the same.
pub struct Other {
    pair: Pair,
    host: Result<Option<Box<dyn Host>>, String>,
}

impl Other {
    /// That of a pair; nothing is asked yet.
    #[must_use]
    pub fn new(pair: &Pair) -> Self {
        Self { pair: pair.clone(), host: Ok(None) }
    }

    /// What it has for an epoch. Its role it is not asked for.
    pub fn ask(&mut self, cancel: &Cancel) -> PeerSaid {
        let mut host = match std::mem::replace(&mut self.host, Ok(None)) {
            Ok(Some(host)) => host,
            Ok(None) => match self.connect(cancel) {
                Ok(host) => host,
                Err(why) => return self.lost(why),
            },
            Err(why) => return self.lost(why),
        };
        let epoch = epochs(&mut *host, &self.pair.roots);
        self.host = Ok(Some(host));
        PeerSaid::Answered { role: Seen::unknown("it was not asked"), epoch }
    }

    fn lost(&mut self, why: String) -> PeerSaid {
        self.host = Err(why.clone());
        PeerSaid::Unreachable(why)
    }

    fn connect(&self, cancel: &Cancel) -> Result<Box<dyn Host>, String> {
        let mut link = self.pair.peer.link.clone();
        let most = self.pair.watch.timeout.as_secs().max(1);
        link.connect_timeout = link.connect_timeout.min(most);
        // Long enough for the keepalives.
        link.idle_timeout = link.idle_timeout.min(most.max(2));
        let first = self.pair.roots.first().ok_or("the pair has no roots")?;
        let endpoint = Endpoint { machine: Some(self.pair.peer.machine.clone()), dataset: first.clone() };
        connect::host(&link, &endpoint, None, cancel).map_err(|error| error.to_string())
    }
}
