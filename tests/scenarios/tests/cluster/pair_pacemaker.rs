//! A pair that goes by a resource of a real Pacemaker on a real Corosync: its move is followed, and in maintenance, without its
//! programs and without a majority nobody knows anything.

use lab::Cluster;
use lab::Node;

use crate::deciders::*;
use crate::faults::until;
use crate::pair::ends;
use crate::replicas::*;

/// The settings of Corosync: three nodes with a vote each. On a busy machine a token takes its time.
fn corosync_conf() -> String {
    let node = |id| format!("node {{\nnodeid: {id}\nname: node{id}\nring0_addr: 10.77.0.{id}\n}}\n");
    let nodes: String = (1..=3).map(node).collect();
    format!(
        "totem {{\nversion: 2\ncluster_name: lab\ntoken: 10000\n}}\n\
         nodelist {{\n{nodes}}}\n\
         quorum {{\nprovider: corosync_votequorum\n}}\n\
         logging {{\nto_syslog: no\nto_logfile: yes\nlogfile: /tmp/corosync.log\n}}\n"
    )
}

/// A resource, which stays where it is: an agent by its provider and type, with parameters.
fn resource(agent: (&str, &str), parameters: &[(&str, &str)]) -> String {
    let (provider, kind) = agent;
    let pair =
        |(name, value): &(&str, &str)| format!(r#"<nvpair id="data-{name}" name="{name}" value="{value}"/>"#);
    let parameters: String = parameters.iter().map(pair).collect();
    let limit = |name: &str| {
        format!(r#"<op id="data-op-{name}" name="{name}" interval="0s" timeout="300s" on-fail="restart"/>"#)
    };
    format!(
        r#"<primitive id="data" class="ocf" provider="{provider}" type="{kind}">
        <meta_attributes id="data-meta"><nvpair id="data-stays" name="resource-stickiness" value="100"/></meta_attributes>
        <instance_attributes id="data-parameters">{parameters}</instance_attributes>
        <operations>{}{}</operations></primitive>"#,
        limit("start"),
        limit("stop")
    )
}

/// It is rather on the first node, and never on the one that has only a vote.
const PREFERS: &str = r#"<rsc_location id="data-first" rsc="data" node="node1" score="10"/>"#;
const NEVER: &str = r#"<rsc_location id="data-witness" rsc="data" node="node3" score="-INFINITY" resource-discovery="never"/>"#;

fn start_pacemaker(node: &Node) {
    sh(node, "setsid pacemakerd > /tmp/pacemakerd.log 2>&1 < /dev/null &");
}

/// Without giving any of them the time to tell the others.
fn kill_pacemaker(node: &Node) {
    sh(
        node,
        "pkill -9 -x pacemakerd; pkill -9 '^pacemaker-'
         while pgrep '^pacemaker' > /dev/null; do sleep 0.1; done",
    );
}

/// A command of the cluster, tried until it can be carried out.
fn cluster_does(node: &Node, command: &str) {
    let mut last = String::new();
    until(command, PATIENCE, || {
        let output = node.script(command).limit(PATIENCE).run().expect("the node answers");
        let said = format!("{}{}", output.out(), output.err());
        if !output.success() && said != last {
            eprintln!("{command}: {said}");
        }
        last = said;
        output.success()
    });
}

/// Corosync, as at the start of a machine.
fn start_corosync(node: &Node) {
    node.write_file("/etc/corosync/corosync.conf", corosync_conf()).expect("written");
    sh(
        node,
        "install -d -o hacluster -g haclient -m 750 /run/crm; mkdir -p /run/resource-agents
         corosync > /tmp/corosync.out 2>&1 < /dev/null",
    );
}

/// Waits until a node is in the majority, and starts Pacemaker there.
fn join(node: &Node) {
    cluster_does(node, "corosync-quorumtool -s | grep -E 'Quorate: +Yes'");
    start_pacemaker(node);
}

/// A cluster of all three, with a resource.
fn start(cluster: &Cluster, resource: &str) {
    cluster.nodes().iter().for_each(start_corosync);
    cluster.nodes().iter().for_each(join);
    let a = cluster.node(1);
    cluster_does(a, "crm_mon --one-shot --output-as=xml | grep -E 'current_dc present=.true.'");
    cluster_does(a, "crm_attribute --name stonith-enabled --update false");
    // In one step: it must not begin where it may not be.
    let xml = format!(
        "<configuration><resources>{resource}</resources><constraints>{PREFERS}{NEVER}</constraints></configuration>"
    );
    cluster_does(a, &format!("cibadmin --modify --allow-create --scope configuration --xml-text '{xml}'"));
}

#[test]
fn the_resource_of_a_real_pacemaker_says_who_may_be_active() {
    let cluster = three();
    let (a, b) = (cluster.node(1), cluster.node(2));
    for node in [a, b] {
        configure(node, "pacemaker = { resource = \"data\" }");
    }
    // Where no cluster runs nobody knows anything.
    is(a, ("unknown", "wait"), &["crm_mon"]);
    start(&cluster, &resource(("pacemaker", "Dummy"), &[]));
    becomes(a, ("standby", "promote"), Some("active"));
    becomes(b, ("standby", "nothing"), Some("active"));
    begin(&cluster);
    is(a, ("active", "nothing"), &[]);
    is(b, ("standby", "nothing"), &["node1"]);

    // It is moved, as people do it.
    change(a, "tank/data", 2);
    ends(a, "handover data", 0, &["node2 is active now, in epoch 2"]);
    cluster_does(a, "crm_resource --move --resource data --node node2");
    becomes(b, ("active", "nothing"), None);
    becomes(a, ("standby", "nothing"), Some("active"));

    // In maintenance a resource may be anywhere.
    cluster_does(a, "crm_attribute --name maintenance-mode --update true");
    becomes(b, ("unknown", "wait"), None);
    is(b, ("unknown", "wait"), &["HA is disarmed"]);
    becomes(a, ("unknown", "wait"), Some("active"));
    cluster_does(a, "crm_attribute --name maintenance-mode --update false");
    becomes(b, ("active", "nothing"), None);
    becomes(a, ("standby", "nothing"), Some("active"));

    // Its programs are killed on the active node: it knows nothing. Whether the others start the service elsewhere is their
    // business; nobody is active by that.
    kill_pacemaker(b);
    is(b, ("unknown", "wait"), &["crm_mon"]);
    assert_ne!(role(a).0, "active");
    start_pacemaker(b);
    becomes(b, ("active", "nothing"), None);
    becomes(a, ("standby", "nothing"), Some("active"));

    // Cut off from both others it stops what it has, and the service starts elsewhere.
    cluster_does(a, "crm_resource --clear --resource data");
    let links = [cluster.link(2, 1), cluster.link(2, 3)];
    for link in &links {
        link.cut();
    }
    becomes(b, ("unknown", "wait"), None);
    is(b, ("unknown", "wait"), &["cut off from the majority"]);
    becomes(a, ("standby", "promote"), Some("active"));
    ends(a, "promote data", 0, &["active now, in epoch 3"]);
    is(a, ("active", "nothing"), &[]);
    is(b, ("unknown", "wait"), &[]);
    for link in &links {
        link.heal();
    }
    becomes(b, ("isolated", "rejoin"), Some("active"));
    ends(b, "rejoin data", 0, &["node2 follows node1, in epoch 3"]);
    becomes(b, ("standby", "nothing"), Some("active"));
    becomes(a, ("active", "nothing"), None);
    ends(a, "send data", 0, &["node2 has all snapshots of node1"]);
    assert_same((a, "tank/data"), (b, "tank/data"));
}

/// Our resource agent, where Pacemaker looks for it.
const AGENT: &str = "mkdir -p /usr/lib/ocf/resource.d/replicator
    replicator pair resource-agent > /usr/lib/ocf/resource.d/replicator/pair
    chmod 755 /usr/lib/ocf/resource.d/replicator/pair";

#[test]
fn our_resource_agent_moves_the_service_and_takes_it_over_after_a_power_cut() {
    let cluster = three();
    let (a, b) = (cluster.node(1), cluster.node(2));
    for node in [a, b] {
        configure(node, "pacemaker = { resource = \"data\" }");
        sh(node, AGENT);
    }
    fill(a, "tank/data", 1);
    // Its start is the first promotion.
    let program = "/opt/replicator/bin/replicator";
    start(&cluster, &resource(("replicator", "pair"), &[("pair", "data"), ("binary", program)]));
    becomes(a, ("active", "nothing"), None);
    becomes(b, ("standby", "nothing"), Some("active"));
    ends(a, "send data", 0, &["node2 has all snapshots of node1"]);
    ends(a, "status data", 0, &["node1 active 1 of node1"]);

    // It is moved: what no run has sent goes along.
    sh(a, "echo 'the last words' > /tank/data/late");
    cluster_does(a, "crm_resource --move --resource data --node node2");
    becomes(b, ("active", "nothing"), None);
    assert_eq!(sh(b, "cat /tank/data/late"), "the last words");
    ends(b, "send data", 0, &["node1 has all snapshots of node2"]);
    becomes(a, ("standby", "nothing"), Some("active"));
    ends(b, "status data", 0, &["node2 active 2 of node2"]);

    // The node that has it loses its power, with something that was not sent.
    cluster_does(a, "crm_resource --clear --resource data");
    sh(b, "echo 'only here' > /tank/data/later; zpool sync");
    b.power_cut();
    becomes(a, ("active", "nothing"), None);
    assert_eq!(sh(a, "cat /tank/data/late"), "the last words");

    // It comes back, and starts nothing.
    b.boot().expect("it boots");
    sh(b, "zpool import -f -d /dev tank");
    configure(b, "pacemaker = { resource = \"data\" }");
    sh(b, AGENT);
    start_corosync(b);
    join(b);
    becomes(b, ("isolated", "rejoin"), Some("active"));
    ends(b, "rejoin data", 0, &["node2 follows node1, in epoch 3", "tank/data-divergent-2"]);
    ends(a, "send data", 0, &["node2 has all snapshots of node1"]);
    becomes(b, ("standby", "nothing"), Some("active"));
    is(a, ("active", "nothing"), &[]);
    assert_same((a, "tank/data"), (b, "tank/data"));
}
