//! The ways on which a replication can go between two machines: over libssh2 or the system's ssh, with the agent or
//! only the zfs command at the far end, pushed or pulled. A test that is handed to [`over_every_way`] runs on all eight
//! in the long set. In the short one it runs on one of them, which one depends on the test: all tests together have every
//! way.

use lab::Cluster;
use lab::Node;
use lab::Output;

use crate::replicas::*;

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) transport: &'static str,
    pub(crate) far_end: &'static str,
    pub(crate) pull: bool,
}

const fn way(transport: &'static str, far_end: &'static str, pull: bool) -> Way {
    Way { transport, far_end, pull }
}

/// All of them.
pub(crate) const WAYS: [Way; 8] = [
    way("libssh2", "agent", false),
    way("ssh", "zfs", true),
    way("libssh2", "zfs", true),
    way("ssh", "agent", false),
    way("ssh", "agent", true),
    way("libssh2", "zfs", false),
    way("ssh", "zfs", false),
    way("libssh2", "agent", true),
];

/// The ways of the test that asks.
#[track_caller]
pub(crate) fn ways() -> &'static [Way] {
    if crate::support::long() {
        return &WAYS;
    }
    let place = std::panic::Location::caller();
    let sum = place.line() as usize + place.file().bytes().map(usize::from).sum::<usize>();
    let at = sum % WAYS.len();
    &WAYS[at..=at]
}

/// A way between two nodes, with a dataset of its own on either side that does not exist yet.
pub(crate) struct Route<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) way: Way,
    /// Where the snapshots come from: node1, with the pool `tank`.
    pub(crate) from: &'a Node,
    /// Where they go: node2, with the pool `back`.
    pub(crate) to: &'a Node,
    /// The one of them on which the program runs, and the other one.
    pub(crate) here: &'a Node,
    pub(crate) far: &'a Node,
    /// The dataset that is sent, in `tank`.
    pub(crate) source: String,
    /// The dataset that is received, in `back`.
    pub(crate) target: String,
}

/// Runs a test on its ways, with one pair of nodes for all.
#[track_caller]
pub(crate) fn over_every_way(test: impl Fn(&Route<'_>)) {
    let ways = ways();
    let cluster = pair();
    for way in ways {
        eprintln!("-- {way:?}");
        test(&Route::new(&cluster, *way));
    }
}

impl<'a> Route<'a> {
    pub(crate) fn new(cluster: &'a Cluster, way: Way) -> Self {
        let (from, to) = (cluster.node(1), cluster.node(2));
        let (here, far) = if way.pull { (to, from) } else { (from, to) };
        let direction = if way.pull { "pull" } else { "push" };
        let label = format!("{}-{}-{direction}", way.transport, way.far_end);
        let (source, target) = (format!("tank/{label}"), format!("back/{label}"));
        Self { cluster, way, from, to, here, far, source, target }
    }

    /// The arguments of `replicate` and `plan` for these two datasets, or for ones below them.
    pub(crate) fn arguments(&self, below: &str, more: &str) -> String {
        let (source, target) = if self.way.pull {
            (format!("node1:{}{below}", self.source), format!("{}{below}", self.target))
        } else {
            (format!("{}{below}", self.source), format!("node2:{}{below}", self.target))
        };
        let Way { transport, far_end, .. } = self.way;
        format!("'{source}' '{target}' --transport {transport} --far-end {far_end} {more}")
    }

    /// Plans, runs, and checks that the run did what the plan said.
    pub(crate) fn as_planned(&self, more: &str, how: &str) -> String {
        as_planned(self.here, &[self.from, self.to], &self.arguments("", more), how)
    }

    /// The same, after which nothing may be left to do.
    pub(crate) fn completely(&self, more: &str) -> String {
        completely(self.here, &[self.from, self.to], &self.arguments("", more))
    }

    /// Runs and does not judge.
    pub(crate) fn run(&self, more: &str) -> Output {
        replicator(self.here, &format!("replicate {}", self.arguments("", more)))
    }

    /// A run that must end with this status and these words in its message.
    pub(crate) fn refused(&self, more: &str, code: i32, words: &[&str]) -> String {
        refused(self.here, &self.arguments("", more), code, words)
    }

    /// A dry run that must end with this status.
    pub(crate) fn plan(&self, more: &str, code: i32) -> Output {
        let output = replicator(self.here, &format!("plan {}", self.arguments("", more)));
        assert_eq!(
            output.code(),
            code,
            "plan {}\n{}\n{}",
            self.arguments("", more),
            output.out(),
            output.err()
        );
        output
    }

    /// Both sides have the same snapshots with the same GUIDs and files.
    pub(crate) fn assert_same(&self) {
        assert_same((self.from, &self.source), (self.to, &self.target));
    }

    /// Everything that a refused run must leave as it was, on both nodes.
    pub(crate) fn state(&self) -> (String, String) {
        (state(self.from), state(self.to))
    }
}

#[test]
fn a_replica_goes_on_over_every_way() {
    over_every_way(|route| {
        fill(route.from, &route.source, 2);
        route.completely("");
        change(route.from, &route.source, 3);
        route.completely("");
        route.assert_same();
        assert_eq!(sh(route.to, &format!("zfs get -H -o value readonly {}", route.target)), "on");
    });
}
