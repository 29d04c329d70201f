//! Who decides where the service is: whether a cluster of two nodes can still decide anything, and whether it ends a node
//! before it gives its service to the other one.

use super::shown;
use super::unknown;
use crate::check::Finding;
use crate::config::pair::Decider;
use crate::role::decide::Names;
use crate::role::observation::Ha;
use crate::role::observation::Owner;
use crate::role::observation::Quorum;
use crate::role::observation::Reading;
use crate::role::observation::Seen;

/// What is known of who decides.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Who that is.
    pub decider: Decider,
    /// What it says now.
    pub reading: Reading,
    /// What stands in corosync.conf; none where who decides has no such thing.
    pub corosync: Option<Seen<Corosync>>,
    /// Whether the watchdog of Proxmox VE is at work; none elsewhere.
    pub watchdog: Option<Seen<bool>>,
}

/// corosync.conf(5) and votequorum(5), as far as two nodes depend on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corosync {
    /// How many nodes it lists.
    pub nodes: usize,
    /// Their votes.
    pub votes: u32,
    /// Whether one of two nodes is enough.
    pub two_node: bool,
    /// Whether a cluster waits at its start until it has seen all nodes; as it is written.
    pub wait_for_all: Option<bool>,
    /// What stands for a further vote: `net`, `disk`.
    pub device: Option<String>,
}

impl Corosync {
    /// Reads a file.
    ///
    /// # Errors
    /// When it has no list of nodes.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut found = Self::default();
        let mut sections: Vec<String> = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_suffix('{') {
                sections.push(name.trim().to_string());
                if sections == ["nodelist", "node"] {
                    found.nodes += 1;
                    found.votes = found.votes.saturating_add(1);
                }
            } else if line == "}" {
                sections.pop();
            } else if let Some((key, value)) = line.split_once(':') {
                let path: Vec<_> = sections.iter().map(String::as_str).collect();
                found.take(&path, key.trim(), value.trim());
            }
        }
        if found.nodes == 0 { Err("it has no list of nodes".to_string()) } else { Ok(found) }
    }

    fn take(&mut self, path: &[&str], key: &str, value: &str) {
        match (path, key) {
            (["quorum"], "two_node") => self.two_node = value == "1",
            (["quorum"], "wait_for_all") => self.wait_for_all = Some(value == "1"),
            (["quorum", "device"], "model") => self.device = Some(value.to_string()),
            // One was counted where its section began.
            (["nodelist", "node"], "quorum_votes") => {
                let votes: u32 = value.parse().unwrap_or(1);
                self.votes = self.votes.saturating_sub(1).saturating_add(votes);
            }
            _ => {}
        }
    }
}

/// What there is to say of it.
pub(super) fn findings(facts: &Facts, names: &Names) -> Vec<Finding> {
    let mut all = vec![owner(facts, names)];
    all.extend(quorum(&facts.reading));
    if let Some(corosync) = &facts.corosync {
        all.extend(votes(corosync, &facts.decider));
    }
    all.extend(fencing(facts));
    if let Some(watchdog) = &facts.watchdog {
        all.push(match watchdog {
            Seen::Known(true) => Finding::ok("fencing", "the watchdog of Proxmox VE is at work here"),
            Seen::Known(false) => {
                let text = "the watchdog of Proxmox VE is not at work here: a node that is cut off goes on with the guest";
                Finding::fail("fencing", text, "systemctl enable --now watchdog-mux.service".to_string())
            }
            Seen::Unknown(why) => {
                let fix = "see `systemctl status watchdog-mux.service`".to_string();
                unknown("fencing", "whether the watchdog of Proxmox VE is at work here", why, fix)
            }
        });
    }
    all
}

fn owner(facts: &Facts, names: &Names) -> Finding {
    let by = shown(&facts.decider.text());
    match &facts.reading.owner {
        Seen::Unknown(why) => {
            let fix = "replicator pair role shows each thing that is asked".to_string();
            unknown("owner", format!("where the service is, by {by},"), why, fix)
        }
        Seen::Known(Owner::Here) => {
            Finding::ok("owner", format!("the service is on {}, by {by}", names.here))
        }
        Seen::Known(Owner::Node(node)) if *node == names.peer => {
            Finding::ok("owner", format!("the service is on {node}, by {by}"))
        }
        Seen::Known(Owner::Node(node)) => {
            let text = format!("the service is on {}, which is no node of the pair, by {by}", shown(node));
            let fix = format!("keep it on {} and {}, as by a rule of the cluster", names.here, names.peer);
            Finding::fail("owner", text, fix)
        }
        Seen::Known(Owner::Nowhere) => Finding::ok("owner", format!("the service runs nowhere now, by {by}")),
    }
}

fn quorum(reading: &Reading) -> Option<Finding> {
    match &reading.quorum {
        Seen::Known(Quorum::Quorate) => Some(Finding::ok("quorum", "this node is in the majority")),
        Seen::Known(Quorum::Lost) => {
            let text = "this node is cut off from the majority: nothing is taken, sent or promoted";
            Some(Finding::fail(
                "quorum",
                text,
                "see what the cluster says of its nodes and links".to_string(),
            ))
        }
        Seen::Known(Quorum::NoSuch) => None,
        Seen::Unknown(why) => {
            let fix = "see what the cluster says of its nodes and links".to_string();
            Some(unknown("quorum", "whether this node is in the majority", why, fix))
        }
    }
}

/// Whether the cluster can decide when a node has died.
fn votes(corosync: &Seen<Corosync>, decider: &Decider) -> Vec<Finding> {
    let corosync = match corosync {
        Seen::Known(corosync) => corosync,
        Seen::Unknown(why) => {
            let fix = "see corosync.conf: with two nodes a QDevice, or a third node".to_string();
            return vec![unknown("votes", "whether the cluster can decide without one node", why, fix)];
        }
    };
    let by_proxmox = matches!(decider, Decider::Proxmox { .. });
    let third =
        "give the cluster a third vote: a QDevice (pvecm qdevice setup ADDRESS), or a small third node";
    let nodes = corosync.nodes;
    if let Some(model) = &corosync.device {
        return vec![Finding::ok("votes", format!("{nodes} nodes and a QDevice ({})", shown(model)))];
    }
    match (corosync.two_node, nodes) {
        (true, _) if by_proxmox => {
            let text = "two_node is 1: Proxmox VE cannot fence with it, so that both nodes may run the guest";
            vec![Finding::fail("votes", text, third.to_string())]
        }
        (true, _) if corosync.wait_for_all == Some(false) => {
            let text =
                "two_node is 1 and wait_for_all 0: after a restart each node takes itself for the cluster";
            let fix = "remove wait_for_all from corosync.conf: two_node brings it along";
            vec![Finding::fail("votes", text, fix.to_string())]
        }
        (true, _) => {
            let text = "two_node is 1, with wait_for_all: fencing decides which node goes on";
            vec![Finding::ok("votes", text)]
        }
        (false, 1) => {
            let text = "the cluster has one node: nobody takes over";
            vec![Finding::fail("votes", text, "add the other node to it".to_string())]
        }
        (false, 2) => {
            // With votes that differ one node decides, and nothing without it.
            let text = if corosync.votes > 2 {
                "the two nodes have different votes: without the one that has more nothing is decided"
            } else {
                "the cluster has two nodes and two votes: when one of them dies the other one decides nothing"
            };
            let fix = if by_proxmox { third } else { "give it a QDevice, or two_node: 1 and fencing" };
            vec![Finding::fail("votes", text, fix.to_string())]
        }
        (false, nodes) => {
            vec![Finding::ok("votes", format!("{nodes} nodes: a majority is left without one"))]
        }
    }
}

/// Whether a node is ended before the other one gets its service.
fn fencing(facts: &Facts) -> Option<Finding> {
    let arms = match &facts.decider {
        Decider::Proxmox { guest, .. } => {
            format!("ha-manager add ct:{guest}, or vm:{guest} for a virtual machine")
        }
        Decider::Pacemaker { .. } => {
            "pcs property set maintenance-mode=false, and fencing for both nodes".to_string()
        }
        Decider::Etcd { .. } | Decider::Command { .. } | Decider::Fixed(_) => return None,
    };
    Some(match &facts.reading.ha {
        Seen::Known(Ha::Armed) => {
            Finding::ok("fencing", "the cluster is armed, and moves the service by itself")
        }
        Seen::Known(Ha::Disarmed) => {
            let text = "the cluster was told to leave nodes and services alone: nobody takes over";
            let fix = match &facts.decider {
                Decider::Proxmox { .. } => "arm it again: ha-manager crm-command".to_string(),
                _ => arms,
            };
            Finding::fail("fencing", text, fix)
        }
        Seen::Known(Ha::NoHa) => {
            let text = "the service is moved by people only: when its node dies it starts nowhere by itself";
            Finding::warn("fencing", text, arms)
        }
        Seen::Unknown(why) => unknown("fencing", "whether the cluster is armed", why, arms),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::check::Grade;

    const CONF: &str = "\
logging {
  debug: off
}

nodelist {
  node {
    name: elitedesk
    nodeid: 1
    quorum_votes: 1
    ring0_addr: 192.0.2.1
  }
  node {
    name: thinkpad
    nodeid: 2
    quorum_votes: 1
    ring0_addr: 192.0.2.2
  }
}

quorum {
  provider: corosync_votequorum
}

totem {
  cluster_name: home
  interface {
    linknumber: 0
  }
}
";

    fn proxmox() -> Decider {
        Decider::Proxmox {
            guest: 103,
            files: PathBuf::from("/etc/pve"),
            pvesh: PathBuf::from("/usr/bin/pvesh"),
        }
    }

    fn pacemaker() -> Decider {
        Decider::Pacemaker { resource: "nfs".to_string() }
    }

    fn with(text: &str) -> Corosync {
        let line = "provider: corosync_votequorum";
        Corosync::parse(&CONF.replace(line, &format!("{line}\n{text}"))).expect("a file")
    }

    #[test]
    fn a_file_of_corosync_is_read() {
        let found = Corosync::parse(CONF).expect("a file");
        assert_eq!(found, Corosync { nodes: 2, votes: 2, ..Corosync::default() });
        let found = with(
            "  two_node: 1\n  wait_for_all: 0\n  device {\n    model: net\n    net {\n      host: w\n    }\n  }",
        );
        assert_eq!(
            (found.two_node, found.wait_for_all, found.device.as_deref()),
            (true, Some(false), Some("net"))
        );
        let three = CONF.replacen("quorum_votes: 1", "quorum_votes: 2", 1);
        assert_eq!(Corosync::parse(&three).map(|found| found.votes), Ok(3));
        assert!(Corosync::parse("quorum {\n}\n").is_err());
    }

    #[test]
    fn two_nodes_need_a_third_vote_or_fencing() {
        let grade = |corosync: Corosync, decider: &Decider| {
            let found = votes(&Seen::Known(corosync), decider);
            assert_eq!(found.len(), 1);
            found[0].grade
        };
        for decider in [proxmox(), pacemaker()] {
            assert_eq!(grade(Corosync::parse(CONF).expect("a file"), &decider), Grade::Fail);
            assert_eq!(grade(with("  device {\n    model: net\n  }"), &decider), Grade::Ok);
            assert_eq!(grade(Corosync { nodes: 3, votes: 3, ..Corosync::default() }, &decider), Grade::Ok);
            assert_eq!(grade(Corosync { nodes: 2, votes: 3, ..Corosync::default() }, &decider), Grade::Fail);
            assert_eq!(grade(Corosync { nodes: 1, votes: 1, ..Corosync::default() }, &decider), Grade::Fail);
        }
        assert_eq!(grade(with("  two_node: 1"), &proxmox()), Grade::Fail);
        assert_eq!(grade(with("  two_node: 1"), &pacemaker()), Grade::Ok);
        assert_eq!(grade(with("  two_node: 1\n  wait_for_all: 0"), &pacemaker()), Grade::Fail);
        let unread = votes(&Seen::unknown("no such file"), &proxmox());
        assert_eq!(unread[0].grade, Grade::Warn);
    }

    #[test]
    fn a_cluster_that_does_not_fence_is_found() {
        let names = Names { here: "elitedesk".to_string(), peer: "thinkpad".to_string() };
        let reading = |owner: Owner, ha: Ha| Reading {
            owner: Seen::Known(owner),
            moving: Seen::Known(false),
            quorum: Seen::Known(Quorum::Quorate),
            ha: Seen::Known(ha),
        };
        let grades = |decider: Decider, reading: Reading, watchdog: Option<Seen<bool>>| {
            let facts = Facts { decider, reading, corosync: None, watchdog };
            findings(&facts, &names).iter().map(|one| one.grade).collect::<Vec<_>>()
        };
        let armed = || reading(Owner::Here, Ha::Armed);
        assert_eq!(grades(proxmox(), armed(), Some(Seen::Known(true))), [Grade::Ok; 4]);
        let idle = grades(proxmox(), armed(), Some(Seen::Known(false)));
        assert_eq!(idle, [Grade::Ok, Grade::Ok, Grade::Ok, Grade::Fail]);
        let disarmed = grades(proxmox(), reading(Owner::Here, Ha::Disarmed), None);
        assert_eq!(disarmed, [Grade::Ok, Grade::Ok, Grade::Fail]);
        let alone = grades(proxmox(), reading(Owner::Node("third".to_string()), Ha::NoHa), None);
        assert_eq!(alone, [Grade::Fail, Grade::Ok, Grade::Warn]);
        // Nothing of it is good where nothing is known.
        let blind =
            grades(proxmox(), Reading::unknown("pvesh: it did not answer"), Some(Seen::unknown("none")));
        assert_eq!(blind, [Grade::Warn; 4]);
        let fixed = Decider::Fixed(crate::role::Role::Active);
        let by_hand = Reading::of_owner(Seen::Known(Owner::Here));
        assert_eq!(grades(fixed, by_hand, None), [Grade::Ok]);
    }
}
