//! A stand-in for Proxmox VE. It is not Proxmox VE and holds nothing of it: it was made for tests from what is documented
//! of the files of pmxcfs and of the answers of `pvesh`, and does only what a look at a guest meets.
//!
//! A [`Cluster`] has nodes and one guest, and changes by events in words ([`Cluster::event`]). For each node it gives the
//! files that this node would see ([`Cluster::files`]): a node that is cut off goes on to see what it saw last, without a
//! quorum, and a dead node's guest is "running" for five minutes more. [`PVESH`] is the program beside these files.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::json;

/// A `pvesh` that prints the files beside it, or fails in the way that the file `mode` says.
pub const PVESH: &str = r#"#!/bin/sh
# A stand-in for the pvesh of Proxmox VE, for tests: it prints files that a test has written.
cd "$(dirname "$0")" || exit 1
mode=$(cat mode)
[ "$mode" = hangs ] && exec sleep 1000
if [ "$mode" = refused ]; then
    echo "403 Permission check failed (/, Sys.Audit)" >&2
    exit 255
fi
[ "$1" = get ] || { echo "ERROR: unknown command '$1'" >&2; exit 255; }
case "$2" in
    /cluster/resources) cat resources.json ;;
    /cluster/ha/status/current) cat ha.json ;;
    *) echo "No '$2' handler defined" >&2; exit 2 ;;
esac
"#;

/// How long the state of a guest is believed after its node has died, in seconds.
const STALE: u64 = 300;

/// What the cluster has agreed on.
#[derive(Clone)]
struct Truth {
    version: u32,
    node: String,
    running: bool,
    lock: Option<String>,
    managed: bool,
    crm_state: String,
    armed: String,
}

struct Node {
    /// When it went off.
    off: Option<u64>,
    /// What it saw when it was cut off.
    cut: Option<Truth>,
    pvesh: String,
    pmxcfs: String,
}

/// Nodes with one guest, a container that HA manages.
pub struct Cluster {
    guest: u32,
    now: u64,
    truth: Truth,
    nodes: BTreeMap<String, Node>,
    /// Guests that have nothing to do with it, each with its node.
    others: BTreeMap<u32, String>,
}

impl Cluster {
    /// Of these nodes, the guest on the first one.
    ///
    /// # Panics
    /// Without a node.
    #[must_use]
    pub fn new(guest: u32, nodes: &[&str]) -> Self {
        let node =
            || Node { off: None, cut: None, pvesh: "works".to_string(), pmxcfs: "mounted".to_string() };
        let truth = Truth {
            version: 1,
            node: nodes.first().expect("a node").to_string(),
            running: true,
            lock: None,
            managed: true,
            crm_state: "started".to_string(),
            armed: "armed".to_string(),
        };
        let nodes = nodes.iter().map(|name| (name.to_string(), node())).collect();
        Self { guest, now: 0, truth, nodes, others: BTreeMap::new() }
    }

    /// So many seconds have gone by since the beginning.
    pub fn at(&mut self, seconds: u64) {
        self.now = seconds;
    }

    /// Whether a node runs.
    #[must_use]
    pub fn is_on(&self, node: &str) -> bool {
        self.nodes.get(node).is_some_and(|node| node.off.is_none())
    }

    /// Something happens:
    ///
    /// - `guest on NODE`, `guest locked WORD`, `guest unlocked`, `guest stopped`, `guest running`
    /// - `ha STATE` (the state of the guest), `ha managed`, `ha unmanaged`, `ha armed`, `ha disarmed` and the like
    /// - `off NODE`, `on NODE`, `cut NODE`, `heal NODE`
    /// - `pvesh NODE works`, `hangs`, `refused` or `blind` (without the right to see the guest)
    /// - `pmxcfs NODE mounted` or `gone`
    /// - `other NUMBER on NODE`: a guest that has nothing to do with it
    ///
    /// `false` when these words are none of its own.
    ///
    /// # Panics
    /// When the cluster could not do that: without a quorum nothing is moved.
    pub fn event(&mut self, words: &[&str]) -> bool {
        if let ["guest" | "ha", ..] = words {
            assert!(self.majority(), "{words:?}: there is no quorum");
            self.truth.version += 1;
        }
        match words {
            ["guest", "on", node] => {
                assert!(self.nodes.contains_key(*node), "{node}");
                self.truth.node = (*node).to_string();
            }
            ["guest", "locked", word] => self.truth.lock = Some((*word).to_string()),
            ["guest", "unlocked"] => self.truth.lock = None,
            ["guest", "stopped"] => self.truth.running = false,
            ["guest", "running"] => self.truth.running = true,
            ["ha", "managed"] => self.truth.managed = true,
            ["ha", "unmanaged"] => self.truth.managed = false,
            ["ha", state @ ("armed" | "disarmed" | "disarming" | "standby")] => {
                self.truth.armed = (*state).to_string();
            }
            ["ha", state] => self.truth.crm_state = (*state).to_string(),
            ["off", node] => self.node(node).off = Some(self.now),
            ["on", node] => {
                let node = self.node(node);
                (node.off, node.cut) = (None, None);
            }
            ["cut", node] => self.node(node).cut = Some(self.truth.clone()),
            ["heal", node] => self.node(node).cut = None,
            ["pvesh", node, how] => self.node(node).pvesh = (*how).to_string(),
            ["other", guest, "on", node] => {
                let guest = guest.parse().expect("a number");
                assert_ne!(guest, self.guest);
                self.others.insert(guest, (*node).to_string());
            }
            ["pmxcfs", node, how] => self.node(node).pmxcfs = (*how).to_string(),
            _ => return false,
        }
        true
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.get_mut(name).unwrap_or_else(|| panic!("there is no node {name}"))
    }

    /// Whether the nodes that run and see each other are more than half of all.
    fn majority(&self) -> bool {
        let together = self.nodes.values().filter(|node| node.off.is_none() && node.cut.is_none()).count();
        together * 2 > self.nodes.len()
    }

    /// The files of a node, by name, all of them: one that is not among them is not there.
    ///
    /// # Panics
    /// For a node that there is not, or that is off.
    #[must_use]
    pub fn files(&self, name: &str) -> Vec<(&'static str, String)> {
        let node = &self.nodes[name];
        assert!(node.off.is_none(), "{name} is off");
        let truth = node.cut.as_ref().unwrap_or(&self.truth);
        let quorate = u8::from(node.cut.is_none() && self.majority());
        let text = |value: &Value| format!("{value:#}\n");
        let mut files = vec![
            ("mode", format!("{}\n", node.pvesh)),
            ("resources.json", text(&self.resources(truth, node.pvesh == "blind"))),
            ("ha.json", text(&self.ha(name, truth, quorate))),
        ];
        if node.pmxcfs == "mounted" {
            files.push((".vmlist", text(&self.vmlist(truth))));
            files.push((".members", text(&self.members(name, quorate))));
        }
        files
    }

    fn vmlist(&self, truth: &Truth) -> Value {
        let one = |node: &str| json!({ "node": node, "type": "lxc", "version": truth.version });
        let mut ids: BTreeMap<String, Value> =
            self.others.iter().map(|(guest, node)| (guest.to_string(), one(node))).collect();
        ids.insert(self.guest.to_string(), one(&truth.node));
        json!({ "version": truth.version, "ids": ids })
    }

    fn members(&self, name: &str, quorate: u8) -> Value {
        let list: BTreeMap<_, _> = self
            .nodes
            .iter()
            .zip(1..)
            .map(|((other, node), id)| {
                let seen = other == name || (quorate == 1 && node.cut.is_none() && node.off.is_none());
                (other, json!({ "id": id, "online": u8::from(seen), "ip": format!("192.0.2.{id}") }))
            })
            .collect();
        json!({
            "nodename": name,
            "version": 4,
            "cluster": { "name": "home", "version": 3, "nodes": self.nodes.len(), "quorate": quorate },
            "nodelist": list,
        })
    }

    fn resources(&self, truth: &Truth, blind: bool) -> Value {
        let died = self.nodes[&truth.node].off;
        let status = match (truth.running, died) {
            (false, _) => "stopped",
            // Nobody says that it has ended.
            (true, Some(when)) if self.now >= when + STALE => "unknown",
            (true, _) => "running",
        };
        let mut guest = json!({
            "id": format!("lxc/{}", self.guest), "vmid": self.guest, "node": truth.node, "type": "lxc",
            "status": status, "name": "nfs-server", "template": 0, "maxcpu": 2,
        });
        if let Some(lock) = &truth.lock {
            guest["lock"] = json!(lock);
        }
        if truth.managed {
            guest["hastate"] = json!(truth.crm_state);
        }
        // The list is sorted by nobody.
        let mut all: Vec<Value> = self
            .others
            .iter()
            .map(|(other, node)| {
                json!({
                    "id": format!("lxc/{other}"), "vmid": other, "node": node, "type": "lxc",
                    "status": "running", "name": "another", "template": 0, "maxcpu": 1,
                })
            })
            .collect();
        if !blind {
            all.push(guest);
        }
        json!(all)
    }

    fn ha(&self, name: &str, truth: &Truth, quorate: u8) -> Value {
        let status = if quorate == 1 { "OK".to_string() } else { format!("No quorum on node '{name}'!") };
        let mut all = vec![
            json!({ "id": "quorum", "type": "quorum", "node": name, "status": status, "quorate": quorate }),
            json!({
                "id": "fencing", "type": "fencing", "node": name, "status": truth.armed,
                "armed-state": truth.armed,
            }),
        ];
        if truth.managed {
            let sid = format!("ct:{}", self.guest);
            all.push(json!({
                "id": format!("service:{sid}"), "type": "service", "sid": sid, "node": truth.node,
                "status": format!("{} ({})", truth.node, truth.crm_state), "state": truth.crm_state,
                "crm_state": truth.crm_state, "request_state": "started",
            }));
        }
        json!(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(cluster: &Cluster, node: &str, name: &str) -> Value {
        let files = cluster.files(node);
        let (_, text) = files.iter().find(|(file, _)| *file == name).expect("there");
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn a_node_that_is_cut_off_sees_what_it_saw_last() {
        let mut cluster = Cluster::new(103, &["a", "b", "c"]);
        cluster.event(&["cut", "a"]);
        cluster.event(&["guest", "on", "b"]);
        assert_eq!(file(&cluster, "a", ".vmlist")["ids"]["103"]["node"], "a");
        assert_eq!(file(&cluster, "b", ".vmlist")["ids"]["103"]["node"], "b");
        let quorate = |node| file(&cluster, node, ".members")["cluster"]["quorate"].clone();
        assert_eq!((quorate("a"), quorate("b")), (0.into(), 1.into()));
        assert_eq!(file(&cluster, "a", "ha.json")[0]["quorate"], 0);
        cluster.event(&["other", "1030", "on", "c"]);
        assert_eq!(file(&cluster, "b", ".vmlist")["ids"]["1030"]["node"], "c");
        cluster.event(&["heal", "a"]);
        assert_eq!(file(&cluster, "a", ".vmlist")["ids"]["103"]["node"], "b");
        assert!(!cluster.event(&["promote", "b"]));
    }

    #[test]
    fn a_dead_node_runs_its_guest_for_five_minutes() {
        let mut cluster = Cluster::new(103, &["a", "b", "c"]);
        let status = |cluster: &Cluster| file(cluster, "b", "resources.json")[0]["status"].clone();
        cluster.at(10);
        cluster.event(&["off", "a"]);
        cluster.at(300);
        assert_eq!((status(&cluster), cluster.is_on("a")), ("running".into(), false));
        cluster.at(310);
        assert_eq!(status(&cluster), "unknown");
    }
}
