//! Asks both nodes of a pair for what is judged. What cannot be had is left open with its reason, and keeps nothing else from
//! being looked at.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::machine;
use super::service;
use crate::agent::Hello;
use crate::cancel::Cancel;
use crate::cli::Failure;
use crate::cli::pair::setup::Setup;
use crate::cli::pair::setup::now;
use crate::config::Config;
use crate::connect;
use crate::host::About;
use crate::host::Depth;
use crate::host::Host;
use crate::pair::check::Facts;
use crate::pair::check::cluster;
use crate::pair::check::copies::Found;
use crate::pair::check::copies::Key;
use crate::pair::check::copies::Mounts;
use crate::pair::check::copies::Sides;
use crate::pair::check::keys::Spoken;
use crate::pair::check::keys::Unreached;
use crate::pair::check::keys::Way;
use crate::pair::check::pools::Pool;
use crate::pair::check::pools::written_a_day;
use crate::pair::verbs::Node;
use crate::pair::verbs::look::Root;
use crate::pair::verbs::look::look;
use crate::pair::verbs::look::look_own;
use crate::role::decide::Names;
use crate::role::observation::Seen;
use crate::role::source;
use crate::transport::TransportError;

/// Printed on the other node where its key starts any command.
const WORD: &str = "replicator-pair-check";

/// The most bytes that are read of what the other node says to that.
const ANSWER: usize = 64 << 10;

/// Everything about one pair, from this node.
pub(super) fn gather(setup: &mut Setup, config: &Config, cancel: &Cancel) -> Facts {
    let names = Names { here: setup.name.to_string(), peer: setup.peer.to_string() };
    let pair = setup.pair.clone();
    let hanging = hanging(setup, &pair.roots);
    let mut there = setup.connect();
    let way = way(setup, &there, cancel);
    let away = way.reached.as_ref().err().map(|unreached| unreached.why.clone()).unwrap_or_default();
    let roots: Vec<_> = pair
        .roots
        .iter()
        .map(|name| Sides {
            name: name.clone(),
            here: match hanging.get(name.pool()) {
                Some(why) => Err(why.clone()),
                None => here(setup, name),
            },
            there: match &mut there {
                Ok(host) => of_peer(host.as_mut(), setup.peer.as_str(), name),
                Err(_) => Err(away.clone()),
            },
        })
        .collect();
    let pools: BTreeSet<_> = pair.roots.iter().map(DatasetName::pool).collect();
    let pools = pools.into_iter().map(|pool| Pool {
        name: pool.to_string(),
        here: match hanging.get(pool) {
            Some(why) => Err(why.clone()),
            None => about(setup.node.host(), pool),
        },
        there: match &mut there {
            Ok(host) => about(host.as_mut(), pool),
            Err(_) => Err(away.clone()),
        },
    });
    let pools = pools.collect();
    let zfs = Zfs::open().map_err(|error| error.to_string());
    let now = now();
    let daily = roots.iter().map(|root| {
        let written = match (&root.here, &zfs) {
            (Ok(found), Ok(zfs)) => daily(zfs, &found.root, now),
            (Err(why), _) | (_, Err(why)) => Err(why.clone()),
        };
        (root.name.clone(), Seen::from(written))
    });
    let daily = daily.collect();
    let reading = source::of(&pair).observe(cancel);
    let guest = service::guest(&pair, &names, cancel);
    let (nfs, nfs_by_hand) = service::nfs(&pair, &names, &reading, guest.as_ref(), cancel);
    let cluster = cluster::Facts {
        corosync: service::corosync(&pair, cancel),
        watchdog: service::watchdog(&pair, cancel),
        decider: pair.decider.clone(),
        reading,
    };
    Facts {
        pair: pair.name.clone(),
        now,
        root: rustix::process::geteuid().is_root(),
        keys: machine::keys(&pair, cancel),
        machine: machine::look(&pair, config, &roots, hanging.values().next(), cancel),
        names,
        roots,
        pools,
        daily,
        way,
        guest,
        nfs,
        nfs_by_hand,
        cluster,
    }
}

/// The pools that hang, each with what to say of it: whoever asks one hangs with it.
fn hanging(setup: &mut Setup, roots: &[DatasetName]) -> BTreeMap<String, String> {
    let pools: BTreeSet<_> = roots.iter().map(DatasetName::pool).collect();
    let mut all = BTreeMap::new();
    for pool in pools {
        if let Ok(Some(state)) = setup.node.health(pool)
            && state == "SUSPENDED"
        {
            all.insert(pool.to_string(), format!("the pool {pool} is suspended"));
        }
    }
    all
}

/// The way to the other node, over which its agent was asked.
fn way(setup: &Setup, there: &Result<Box<dyn Host>, Failure>, cancel: &Cancel) -> Way {
    let peer = &setup.pair.peer;
    let reached = match there {
        Ok(host) => {
            let (version, program) = host.spoken().unwrap_or_default();
            Ok(Spoken { version, program })
        }
        Err(failure) => {
            Err(Unreached { why: failure.message().to_string(), fix: failure.hint().map(str::to_string) })
        }
    };
    let any_command = match &reached {
        Ok(_) => Seen::from(any_command(setup, cancel).map_err(|error| error.to_string())),
        Err(unreached) => Seen::unknown(unreached.why.clone()),
    };
    Way { machine: peer.machine.to_string(), reached, any_command, program: Hello::ours().describe() }
}

/// Whether the key that leads to the agent starts anything else: then what was asked for has been done.
fn any_command(setup: &Setup, cancel: &Cancel) -> Result<bool, TransportError> {
    let peer = &setup.pair.peer;
    let mut transport = connect::transport(&peer.link, &peer.machine, cancel)?;
    let machine = transport.peer().to_string();
    let process = transport.start(&format!("echo {WORD}"))?;
    let mut said = Vec::new();
    let ended = process.finish(&mut |piece| {
        said.extend_from_slice(piece);
        if said.len() > ANSWER {
            let what = "in answer to a command that prints a word";
            return Err(TransportError::TooMuch { peer: machine.clone(), what, limit: ANSWER });
        }
        Ok(())
    });
    match ended {
        // An agent says hello, and ends when nobody answers; how it ends does not matter.
        Ok(_) | Err(TransportError::StdinClosed { .. } | TransportError::TooMuch { .. }) => {
            Ok(String::from_utf8_lossy(&said).lines().any(|line| line.trim() == WORD))
        }
        Err(error) => Err(error),
    }
}

/// A root of this node.
fn here(setup: &mut Setup, name: &DatasetName) -> Result<Found, String> {
    let node = setup.name.to_string();
    let side = look_own(setup.node.host(), &node, std::slice::from_ref(name));
    let mut roots = side.map_err(|error| error.to_string())?.roots;
    let root = roots.pop().ok_or_else(|| "nothing was said of it".to_string())?;
    let mounts = setup.node.mounts().map(Mounts::All).map_err(|error| error.to_string()).into();
    let keys = keys(setup.node.host(), &root, true);
    Ok(Found { root, mounts, keys })
}

/// The same of the other node, as far as its agent tells.
fn of_peer(host: &mut dyn Host, node: &str, name: &DatasetName) -> Result<Found, String> {
    let side = look(host, node, std::slice::from_ref(name)).map_err(|error| error.to_string())?;
    let root = side.roots.into_iter().next().ok_or_else(|| "nothing was said of it".to_string())?;
    let mounts = match &root.tree {
        Some(_) => {
            let writable = host.is_mounted_writable(name).map_err(|error| error.to_string());
            Seen::from(writable.map(Mounts::Root))
        }
        None => Seen::unknown("it is not there"),
    };
    let keys = keys(host, &root, false);
    Ok(Found { root, mounts, keys })
}

/// The datasets that have a key, each with where that comes from. Only files of this node can be looked for.
fn keys(host: &mut dyn Host, root: &Root, own: bool) -> BTreeMap<DatasetName, Key> {
    let encrypted = root.datasets().filter_map(|state| state.encryption.as_ref());
    let all: BTreeSet<_> = encrypted.map(|how| how.root.clone()).collect();
    let mut keys = BTreeMap::new();
    for dataset in all {
        let asked = host.some_properties(&dataset, Depth::One, &["keylocation".to_string()]);
        let location = asked.map_err(|error| error.to_string()).and_then(|mut found| {
            let property = found.remove(&dataset).and_then(|mut all| all.remove("keylocation"));
            let value = property.map(|property| property.value).filter(|value| value != "none");
            value.ok_or_else(|| "it was not told".to_string())
        });
        let path = location.as_ref().ok().and_then(|location| location.strip_prefix("file://"));
        let there = |path: &str| std::fs::metadata(path).map(drop).map_err(|error| error.to_string());
        let file = path.filter(|_| own).map(there);
        keys.insert(dataset, Key { location: location.into(), file });
    }
    keys
}

fn about(host: &mut dyn Host, pool: &str) -> Result<About, String> {
    host.about(pool).map_err(|error| error.to_string())
}

/// Bytes that are written a day into a root and what is below it, by the snapshots of this node, which both have.
fn daily(zfs: &Zfs, root: &Root, now: i64) -> Result<u64, String> {
    let mut sum = None;
    for state in root.datasets() {
        let error = |error: zfs_core::Error| error.to_string();
        let mut all = Vec::new();
        for found in zfs.snapshots_with_numbers(&state.name, ["creation", "written"]).map_err(error)? {
            let (snapshot, numbers) = found.map_err(error)?;
            if let [Some(creation), written] = numbers {
                let at = i64::try_from(creation).unwrap_or(i64::MAX);
                all.push((snapshot.createtxg, at, written.unwrap_or(0)));
            }
        }
        all.sort_unstable();
        let all: Vec<_> = all.into_iter().map(|(_, at, written)| (at, written)).collect();
        if let Some(written) = written_a_day(&all, now) {
            sum = Some(sum.unwrap_or(0u64).saturating_add(written));
        }
    }
    sum.ok_or_else(|| format!("{} has too few snapshots", root.name))
}
