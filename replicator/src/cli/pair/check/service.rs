//! The service and who moves it: the guest's configuration, what is exported where it runs, the votes of the cluster.

use std::path::PathBuf;

use super::machine::said;
use crate::cancel::Cancel;
use crate::config::pair::Decider;
use crate::config::pair::Pair;
use crate::pair::check::cluster::Corosync;
use crate::pair::check::exports::Nfs;
use crate::pair::check::exports::SCRIPT;
use crate::pair::check::guest::Guest;
use crate::pair::check::guest::Kind;
use crate::role::ask;
use crate::role::decide::Names;
use crate::role::observation::Owner;
use crate::role::observation::Reading;
use crate::role::observation::Seen;

/// The guest that has the service, by its configuration, which each node of a cluster can read. None where no guest has it.
pub(super) fn guest(pair: &Pair, names: &Names, cancel: &Cancel) -> Option<Seen<Guest>> {
    let Decider::Proxmox { guest, files, .. } = &pair.decider else { return None };
    let mut candidates = Vec::new();
    for node in [&names.here, &names.peer] {
        for (folder, kind) in [("lxc", Kind::Container), ("qemu-server", Kind::Machine)] {
            let file = files.join("nodes").join(node).join(folder).join(format!("{guest}.conf"));
            candidates.push((file, kind));
        }
    }
    let paths: Vec<_> = candidates.iter().map(|(file, _)| file.as_path()).collect();
    let read = ask::read(&paths, pair.watch.timeout, cancel);
    let mut why = "it has no such file for either node".to_string();
    for (found, (_, kind)) in read.into_iter().zip(&candidates) {
        match found {
            Ok(text) => {
                let text = String::from_utf8_lossy(&text);
                return Some(Seen::Known(Guest::parse(*guest, *kind, &text)));
            }
            // The guest is on one node only.
            Err(error) if error.contains("No such file") => {}
            Err(error) => why = error,
        }
    }
    Some(Seen::Unknown(format!("{}: {why}", files.display())))
}

/// What is exported by NFS, and what to do by hand where that cannot be looked at from here.
pub(super) fn nfs(
    pair: &Pair,
    names: &Names,
    reading: &Reading,
    guest: Option<&Seen<Guest>>,
    cancel: &Cancel,
) -> (Seen<Nfs>, String) {
    let timeout = pair.watch.timeout;
    let by_hand =
        "look where the server is: `exportfs -v` has an fsid= for each export, the same on both nodes";
    let Some(guest) = guest else {
        let text = said("/bin/sh", &["-c", SCRIPT], timeout, cancel);
        return (text.map(|text| Nfs::read(&names.here, &text)).into(), by_hand.to_string());
    };
    let unknown = |why: String, fix: String| (Seen::Unknown(why), fix);
    let guest = match guest {
        Seen::Known(guest) => guest,
        Seen::Unknown(why) => return unknown(why.clone(), by_hand.to_string()),
    };
    let server = format!("guest {}", guest.id);
    if guest.kind == Kind::Machine {
        let why = format!("{server} is a virtual machine, whose files are not looked into");
        return unknown(why, format!("in {server}: `exportfs -v` has an fsid= for each export"));
    }
    match &reading.owner {
        Seen::Known(Owner::Here) => {
            let id = guest.id.to_string();
            let text = said("pct", &["exec", &id, "--", "/bin/sh", "-c", SCRIPT], timeout, cancel);
            let fix = format!("pct exec {id} -- exportfs -v, where each export has an fsid=");
            (text.map(|text| Nfs::read(&server, &text)).into(), fix)
        }
        Seen::Known(Owner::Node(node)) => {
            let why = format!("{server} runs on {node}, and takes its files along");
            unknown(why, format!("replicator pair check {} on {node}", pair.name))
        }
        Seen::Known(Owner::Nowhere) => {
            let why = format!("{server} does not run");
            unknown(why, format!("replicator pair check {} on the node where it runs", pair.name))
        }
        Seen::Unknown(why) => {
            unknown(format!("where {server} runs is not known: {why}"), by_hand.to_string())
        }
    }
}

/// What corosync.conf says; none where who decides goes without it.
pub(super) fn corosync(pair: &Pair, cancel: &Cancel) -> Option<Seen<Corosync>> {
    let own = PathBuf::from("/etc/corosync/corosync.conf");
    let files = match &pair.decider {
        Decider::Proxmox { files, .. } => vec![files.join("corosync.conf"), own],
        Decider::Pacemaker { .. } => vec![own],
        Decider::Etcd { .. } | Decider::Command { .. } | Decider::Fixed(_) => return None,
    };
    let paths: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    let mut why = String::new();
    for found in ask::read(&paths, pair.watch.timeout, cancel) {
        match found.and_then(|text| Corosync::parse(&String::from_utf8_lossy(&text))) {
            Ok(corosync) => return Some(Seen::Known(corosync)),
            Err(error) => why = error,
        }
    }
    Some(Seen::Unknown(why))
}

/// Whether the watchdog of Proxmox VE is at work here; none where no guest of it has the service.
pub(super) fn watchdog(pair: &Pair, cancel: &Cancel) -> Option<Seen<bool>> {
    if !matches!(pair.decider, Decider::Proxmox { .. }) {
        return None;
    }
    let arguments = ["show", "--property=ActiveState", "--value", "watchdog-mux.service"];
    let state = said("systemctl", &arguments, pair.watch.timeout, cancel);
    Some(state.map(|state| state.trim() == "active").into())
}
