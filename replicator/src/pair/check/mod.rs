//! Whether a pair is set up so that a takeover works: each part as it was found, as data, and what follows from it. Nobody
//! is asked here; `replicator pair check` gathers the facts. What could not be found out is a finding of its own with the
//! reason, and is never taken for good.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;

use jiff::Timestamp;
use zfs_core::name::DatasetName;

use crate::check::Finding;
use crate::check::Section;
use crate::role::Role;
use crate::role::decide::Names;
use crate::role::observation::Seen;
use crate::transport::printable;

pub mod cluster;
pub mod copies;
#[cfg(test)]
mod copies_tests;
pub mod exports;
#[cfg(test)]
mod exports_tests;
pub mod guest;
pub mod keys;
pub mod machine;
pub mod pools;
#[cfg(test)]
mod tests;

/// The most things that are named in one finding.
const NAMED: usize = 3;

/// Everything that is looked at of one pair, from one of its nodes.
#[derive(Clone, Debug)]
pub struct Facts {
    /// How the pair is called.
    pub pair: String,
    /// Its nodes.
    pub names: Names,
    /// In seconds since 1970, by this node.
    pub now: i64,
    /// Whether this runs as root.
    pub root: bool,
    /// The roots, on both nodes.
    pub roots: Vec<copies::Sides>,
    /// The pools that they are on.
    pub pools: Vec<pools::Pool>,
    /// Bytes that are written a day, for each root.
    pub daily: BTreeMap<DatasetName, Seen<u64>>,
    /// The way to the other node.
    pub way: keys::Way,
    /// The keys that get in here.
    pub keys: Seen<Vec<keys::Line>>,
    /// This machine.
    pub machine: machine::Facts,
    /// The guest that has the service, where Proxmox VE decides.
    pub guest: Option<Seen<guest::Guest>>,
    /// The NFS server, where one can be looked at from here.
    pub nfs: Seen<exports::Nfs>,
    /// What to do where it cannot.
    pub nfs_by_hand: String,
    /// Who decides where the service is.
    pub cluster: cluster::Facts,
}

/// All that follows, by what it is about.
#[must_use]
pub fn sections(facts: &Facts) -> Vec<Section> {
    let (here, peer) = (&facts.names.here, &facts.names.peer);
    let active = copies::active(&facts.roots, &facts.names);
    let role = |node: &String| match &active {
        Ok(Some(active)) if active == node => Role::Active,
        Ok(Some(_)) => Role::Standby,
        Ok(None) | Err(_) => Role::Unknown,
    };
    let is = |node: &String| match (&active, role(node)) {
        (Ok(Some(_)), known) => known.to_string(),
        (Ok(None), _) => "not promoted".to_string(),
        (Err(_), _) => "its role is not known".to_string(),
    };
    let places = places(facts);
    let subject = |about: &str| Section::new(format!("pair {}: {about}", facts.pair));

    let mut ours = subject(&format!("{here}, this node, {}", is(here)));
    if !facts.root {
        let text = "this does not run as root, and cannot look at everything";
        ours.findings.push(Finding::warn("rights", text, "run it as root, as the timers do".to_string()));
    }
    ours.findings.extend(of_epochs(&active, &facts.pair));
    let roots: Vec<_> = facts.roots.iter().map(|root| (&root.name, root.here.as_ref())).collect();
    let node = copies::Node { name: here, role: role(here), pair: &facts.pair };
    ours.findings.extend(copies::findings(&node, &roots));
    ours.findings.extend(machine::findings(&facts.machine, &facts.names));
    let wanted =
        keys::Wanted { node: here, peer, roots: facts.roots.iter().map(|root| &root.name).collect() };
    ours.findings.extend(keys::of_this_node(&facts.keys, &wanted));

    let mut theirs = subject(&format!("{peer}, the other node, {}", is(peer)));
    theirs.findings.extend(keys::of_the_way(&facts.way, peer));
    let mut both = subject("both nodes");
    if facts.way.reached.is_ok() {
        let roots: Vec<_> = facts.roots.iter().map(|root| (&root.name, root.there.as_ref())).collect();
        let node = copies::Node { name: peer, role: role(peer), pair: &facts.pair };
        theirs.findings.extend(copies::findings(&node, &roots));
        let active = active.as_ref().ok().and_then(Option::as_deref);
        both.findings.extend(pools::versions(&facts.pools, &facts.names));
        both.findings.extend(pools::features(&facts.pools, &facts.names, active));
        both.findings.extend(pools::room(&facts.roots, &facts.daily, &facts.names, active));
    }
    both.findings.push(compare(facts, &places));

    let mut service = subject("the service");
    let mut served: Vec<(DatasetName, PathBuf)> = places.clone().into_iter().collect();
    match &facts.guest {
        None => {}
        Some(Seen::Unknown(why)) => {
            let fix = "look by hand for `shared=1` on each bind mount of the guest, and for its hookscript";
            service.findings.push(unknown("guest", "the configuration of the guest", why, fix.to_string()));
        }
        Some(Seen::Known(guest)) => {
            service.findings.extend(guest::findings(guest, &places));
            served = guest.inside(&places);
        }
    }
    match &facts.nfs {
        Seen::Unknown(why) => {
            let by_hand = facts.nfs_by_hand.clone();
            service.findings.push(unknown("exports", "what is exported by NFS", why, by_hand));
        }
        Seen::Known(nfs) => service.findings.extend(exports::findings(nfs, &served)),
    }

    let mut cluster = subject("the cluster");
    cluster.findings.extend(cluster::findings(&facts.cluster, &facts.names));
    vec![ours, theirs, both, service, cluster]
}

/// Where this node mounts what it mounts of the pair.
fn places(facts: &Facts) -> BTreeMap<DatasetName, PathBuf> {
    let roots = facts.roots.iter().filter_map(|root| root.here.as_ref().ok());
    // One whose mountpoint is no place is told where the mounts are.
    roots.filter_map(|one| one.root.places().ok()).flatten().collect()
}

fn of_epochs(active: &Result<Option<String>, String>, pair: &str) -> Option<Finding> {
    match active {
        Ok(Some(_)) => None,
        Ok(None) => {
            let text = "no node was promoted yet: nothing is sent";
            let fix = format!("on the node that has the service: replicator pair promote {pair}");
            Some(Finding::warn("epoch", text, fix))
        }
        Err(why) => {
            let text = format!("which node was promoted last is not known: {why}");
            Some(Finding::fail("epoch", text, format!("replicator pair status {pair}")))
        }
    }
}

/// What the agent of the other node does not tell, and what to compare with what the same command says there.
fn compare(facts: &Facts, places: &BTreeMap<DatasetName, PathBuf>) -> Finding {
    let peer = &facts.names.peer;
    let text = format!(
        "the timers, locks, clock, key files and mountpoints of {peer}, and the keys that get in there, are not known: an agent does not tell them"
    );
    let mut parts: Vec<String> = Vec::new();
    // A guest takes its files along, and they are the same on both nodes.
    if let (Seen::Known(nfs), None) = (&facts.nfs, &facts.guest) {
        parts.push(format!("fsid {}", nfs.fsids()));
    }
    let places: Vec<_> = places.values().map(|place| shown(&place.to_string_lossy())).collect();
    parts.push(format!(
        "mountpoints {}",
        if places.is_empty() { "none".to_string() } else { places.join(" ") }
    ));
    parts.push(match Timestamp::from_second(facts.now) {
        Ok(now) => format!("clock {now}"),
        Err(_) => format!("clock {}", facts.now),
    });
    let fix = format!(
        "on {peer}, at the same time: replicator pair check {}; there this line has to end alike: {}",
        facts.pair,
        parts.join("; ")
    );
    Finding::warn("compare", text, fix)
}

/// Something that could not be found out.
fn unknown(aspect: &'static str, what: impl Display, why: &str, fix: impl Into<Option<String>>) -> Finding {
    Finding::warn(aspect, format!("{what} is not known: {why}"), fix)
}

/// Some of them by name: `a, b, c and 5 more`.
fn some<T: Display>(all: &[T]) -> String {
    let named: Vec<_> = all.iter().take(NAMED).map(ToString::to_string).collect();
    let more = all.len().saturating_sub(NAMED);
    match (named.as_slice(), more) {
        ([first, middle @ .., last], 0) => {
            let begin: Vec<_> = std::iter::once(first).chain(middle).map(String::as_str).collect();
            format!("{} and {last}", begin.join(", "))
        }
        (_, 0) => named.concat(),
        _ => format!("{} and {more} more", named.join(", ")),
    }
}

/// `a is`, `a and b are`.
fn are<T: Display>(all: &[T]) -> String {
    format!("{} {}", some(all), if all.len() == 1 { "is" } else { "are" })
}

/// The first of them, as arguments of a command.
fn arguments<T: Display>(all: &[T]) -> String {
    let mut named: Vec<_> = all.iter().take(NAMED).map(ToString::to_string).collect();
    if all.len() > NAMED {
        named.push("…".to_string());
    }
    named.join(" ")
}

/// What stands in a file of somebody else, as text that can be printed.
fn shown(text: &str) -> String {
    printable(text.as_bytes(), 200)
}
