//! From one far machine to another, with the stream passing through this one.

use std::time::Duration;

use lab::Cluster;
use lab::Node;

use crate::faults::*;
use crate::replicas::*;
use crate::support::long;

/// node1, where the program runs; node2 with `tank`, node3 with `back`.
struct Relay {
    cluster: Cluster,
    how: String,
    source: String,
    target: String,
}

impl Relay {
    fn runner(&self) -> &Node {
        self.cluster.node(1)
    }

    fn from(&self) -> &Node {
        self.cluster.node(2)
    }

    fn to(&self) -> &Node {
        self.cluster.node(3)
    }

    fn arguments(&self, more: &str) -> String {
        format!("node2:{} node3:{} {} {more}", self.source, self.target, self.how)
    }

    fn as_planned(&self, more: &str, how: &str) -> String {
        as_planned(self.runner(), &[self.from(), self.to()], &self.arguments(more), how)
    }

    fn assert_same(&self) {
        assert_same((self.from(), &self.source), (self.to(), &self.target));
    }

    fn assert_quiet(&self) {
        self.cluster.nodes().iter().for_each(assert_quiet);
    }
}

fn over_each(test: impl Fn(&Relay)) {
    let cluster = Cluster::boot(3).expect("three nodes");
    sh(cluster.node(2), TANK);
    sh(cluster.node(3), BACK);
    let mut relay = Relay { cluster, how: String::new(), source: String::new(), target: String::new() };
    let all = [("libssh2", "zfs"), ("ssh", "agent"), ("libssh2", "agent"), ("ssh", "zfs")];
    for (transport, far_end) in &all[..if long() { 4 } else { 2 }] {
        relay.how = format!("--transport {transport} --far-end {far_end}");
        relay.source = format!("tank/{transport}-{far_end}");
        relay.target = format!("back/{transport}-{far_end}");
        test(&relay);
    }
}

#[test]
fn a_dataset_goes_from_one_far_machine_to_another() {
    over_each(|relay| {
        fill(relay.from(), &relay.source, 1);
        relay.as_planned("", "");
        change(relay.from(), &relay.source, 2);
        completely(relay.runner(), &[relay.from(), relay.to()], &relay.arguments(""));
        relay.assert_same();
        // Divergence is found here, too.
        sh(relay.to(), &format!("zfs snapshot {}@theirs", relay.target));
        change(relay.from(), &relay.source, 3);
        let before = (state(relay.from()), state(relay.to()));
        refused(relay.runner(), &relay.arguments(""), 3, &["@theirs", "@s3"]);
        assert_eq!(before, (state(relay.from()), state(relay.to())));
        relay.assert_quiet();
    });
}

/// F01, F08: either of its two links is cut, or it is told to stop; the next run goes on.
#[test]
fn a_relay_that_is_cut_goes_on() {
    over_each(|relay| {
        grow(relay.from(), &relay.source, 1);
        let mut kept = 0;
        for (link, far) in [(relay.cluster.link(1, 2), relay.from()), (relay.cluster.link(1, 3), relay.to())]
        {
            link.drop_after(2_500_000);
            let name = far.name();
            let more = "--retries 0 --idle-timeout 2 --compress off";
            refused(relay.runner(), &relay.arguments(more), 4, &[&name, "again"]);
            assert!(link.wait_silent(Duration::from_secs(1)), "the cut did not happen");
            link.heal();
            sh(far, "pkill -x sshd-session || true");
            relay.assert_quiet();
            kept = advanced(relay, kept);
        }
        relay.cluster.link(1, 3).bandwidth(Some(3_000_000));
        let run = relay
            .runner()
            .script(&format!("exec replicator replicate {}", relay.arguments("--compress off")))
            .spawn()
            .expect("started");
        std::thread::sleep(Duration::from_millis(1500));
        run.signal(15);
        broken_off(run, &[6]);
        relay.cluster.link(1, 3).bandwidth(None);
        relay.assert_quiet();
        let plan = relay.as_planned("", "");
        assert!(actions(&plan).iter().any(|action| action == "resume"), "{plan}");
        relay.assert_same();
    });
}

/// More than `kept` bytes are on the target; gives how many.
fn advanced(relay: &Relay, kept: u64) -> u64 {
    let token = sh(relay.to(), &format!("zfs get -H -o value receive_resume_token {}", relay.target));
    let now = arrived(relay.from(), &relay.source, &token);
    assert!(now > kept, "{kept} bytes had arrived, now {now}");
    now
}
