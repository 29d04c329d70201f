//! `replicator run` with a configuration: snapshots on time, targets that come and go, runs side by side, and machines
//! that lose their power in the middle.

use std::collections::BTreeSet;
use std::time::Duration;

use lab::Node;
use lab::Output;

use crate::faults::Random;
use crate::faults::until;
use crate::replicas::*;

/// A time to begin at: noon of some day.
const NOON: u64 = 1_795_435_200;
const HOUR: u64 = 3600;
/// From one run to the next: in the next hour, and a minute less than one, so that what is kept for so many hours is
/// not a matter of how long a run takes. To begin at [`LATE`] in an hour.
const STEP: u64 = HOUR - 60;
const LATE: u64 = 40 * 60;

/// Puts a configuration where the program looks for it.
fn configure(node: &Node, text: &str) {
    sh(node, "mkdir -p -m 755 /etc/replicator; rm -f /etc/replicator/replicator.toml");
    node.write_file("/etc/replicator/replicator.toml", text).expect("written");
    sh(node, "chmod 644 /etc/replicator/replicator.toml; replicator config check");
}

fn set_clock(node: &Node, time: u64) {
    sh(node, &format!("date --utc --set @{time} > /dev/null"));
}

/// Runs the program, which must end with this status.
fn run(node: &Node, arguments: &str, code: i32) -> String {
    let output = replicator(node, arguments);
    judged(arguments, &output, code)
}

fn judged(what: &str, output: &Output, code: i32) -> String {
    let text = format!("{}\n{}", output.out(), output.err());
    assert_eq!(output.code(), code, "{what}\n{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// Short names of the snapshots of a dataset, in the order they were taken.
fn snapshots(node: &Node, dataset: &str) -> Vec<String> {
    let list = sh(
        node,
        &format!("zfs list -H -t snapshot -d 1 -s createtxg -o name '{dataset}' 2>/dev/null || true"),
    );
    list.lines().map(|line| line.split_once('@').expect("a snapshot").1.to_string()).collect()
}

/// What `run --json` says of a run.
fn record(node: &Node, arguments: &str, code: i32) -> serde_json::Value {
    let output = replicator(node, &format!("run --json {arguments}"));
    judged(arguments, &output, code);
    let record = serde_json::from_str(&output.out()).expect("JSON");
    let newest = sh(node, "cat /var/lib/replicator/runs/$(ls /var/lib/replicator/runs | sort | tail -1)");
    let kept: serde_json::Value = serde_json::from_str(&newest).expect("JSON");
    assert_eq!(record, kept, "the record that is kept is the one that is printed");
    record
}

const POLICY: &str = "[[dataset]]\nname = \"tank\"\nrecursive = true\nchildren_only = true\nhourly = 4\n";

fn job(name: &str, source: &str, target: &str, more: &str) -> String {
    format!(
        "[[replication]]\nname = \"{name}\"\nsource = \"{source}\"\n{more}\n[[replication.target]]\nname = \"{name}-nas\"\nto = \"{target}\"\n"
    )
}

#[test]
fn a_target_that_is_away_stops_neither_snapshots_nor_pruning_and_goes_on_from_its_base() {
    let cluster = pair();
    let (one, two) = (cluster.node(1), cluster.node(2));
    sh(one, "zfs create tank/a; zfs create tank/a/x; zfs create tank/b");
    configure(one, &format!("{POLICY}{}", job("out", "tank/a", "node2:back/a", "recursive = true")));
    let mut time = NOON + LATE;
    let mut hour = |code: i32, arguments: &str| {
        time += STEP;
        set_clock(one, time);
        sh(one, &format!("echo {time} > /tank/a/file; echo {time} > /tank/a/x/file"));
        record(one, arguments, code)
    };
    let first = hour(0, "");
    assert_eq!(first["phases"]["snapshot"]["taken"], 3);
    assert_eq!(first["phases"]["snapshot"]["calls"], 1);
    assert_eq!(first["phases"]["check"]["summary"], "nothing is left undone");
    for _ in 0..5 {
        hour(0, "");
    }
    // The oldest may go there by no rule, and here by ours: the target keeps all.
    assert_eq!((snapshots(one, "tank/a").len(), snapshots(two, "back/a").len()), (5, 6));
    let base = snapshots(one, "tank/a/x").pop().expect("some");
    assert_eq!(snapshots(two, "back/a/x").last(), Some(&base));

    // It is away for twelve hours.
    sh(two, "zpool export back");
    for _ in 0..12 {
        let record = hour(1, "");
        assert_eq!(record["phases"]["replicate"]["jobs"][0]["state"], "failed");
        assert_eq!(record["phases"]["snapshot"]["failures"], 0);
        assert_eq!(record["phases"]["prune"]["failures"], 0);
    }
    let left = snapshots(one, "tank/a/x");
    assert_eq!(left.len(), 6, "the base, and what the rules keep: {left:?}");
    assert_eq!(left[0], base);
    let explained = run(one, "prune --explain tank/a/x", 0);
    assert!(
        explained.contains(&format!("keep    @{base}: the last known base of target out-nas")),
        "{explained}"
    );
    // The other dataset is nobody's base.
    assert_eq!(snapshots(one, "tank/b").len(), 5);

    // Over the line as well, not only its pool.
    sh(two, "zpool import -d /dev back");
    cluster.link(1, 2).cut();
    let record = hour(4, "");
    cluster.link(1, 2).heal();
    assert_eq!(record["phases"]["prune"]["targets"]["not_asked"][0]["job"], "out");
    assert_eq!(snapshots(one, "tank/a/x")[0], base);

    // When it is back it gets what there is since, and its old base may go.
    let record = hour(0, "");
    assert_eq!(record["phases"]["replicate"]["jobs"][0]["datasets"], 2);
    assert_eq!(snapshots(two, "back/a/x").last(), snapshots(one, "tank/a/x").last());
    assert!(!snapshots(one, "tank/a/x").contains(&base));
    for dataset in ["a", "a/x"] {
        let common: BTreeSet<_> = snapshots(one, &format!("tank/{dataset}")).into_iter().collect();
        let there: BTreeSet<_> = snapshots(two, &format!("back/{dataset}")).into_iter().collect();
        assert!(common.is_subset(&there));
    }
    // A dry run changes nothing and says what would be.
    set_clock(one, time + HOUR);
    let before = (state(one), state(two));
    let said = run(one, "run --dry-run", 0);
    assert!(said.contains("would take @autosnap_") && said.contains("3 snapshots in 1 call"), "{said}");
    assert_eq!(before, (state(one), state(two)));
}

/// While `tank/big` is on its way for five hours of the node's clock, snapshots are on time, and `tank/small` is
/// replicated each hour. `told` is what is said of the big one; it goes to `back/tank/big`, the small one beside it.
fn one_takes_long(jobs: &str, told: &str) {
    let cluster = pair();
    let (one, two) = (cluster.node(1), cluster.node(2));
    sh(one, "zfs create tank/big; zfs create tank/small");
    sh(two, "zfs create -o mountpoint=none back/tank");
    configure(one, &format!("{POLICY}{jobs}"));
    set_clock(one, NOON + 60);
    run(one, "run", 0);
    // Enough to be under way for five hours of this machine's clock.
    sh(one, "for i in 1 2 3; do head -c 4000000 /dev/urandom > /tank/big/f$i; done");
    set_clock(one, NOON + HOUR + 60);
    run(one, "run --only snapshot", 0);
    cluster.link(1, 2).bandwidth(Some(200_000));
    let before = cluster.link(1, 2).counters().payload;
    let script = "exec replicator run --only replicate";
    let first = one.script(script).limit(Duration::from_secs(280)).spawn().expect("started");
    until("the big one is under way", Duration::from_secs(60), || {
        cluster.link(1, 2).counters().payload - before > 300_000 || first.finished()
    });
    for hour in 2..7 {
        assert!(!first.finished(), "{}", String::from_utf8_lossy(&first.stderr()));
        set_clock(one, NOON + hour * HOUR + 60);
        // On time, whatever is on its way.
        let record = record(one, "--only snapshot,prune,check", 0);
        assert_eq!(record["phases"]["snapshot"]["taken"], 2, "{record:#}");
        let said = run(one, "run --only replicate", 0);
        assert!(said.contains(told), "{said}");
        assert_eq!(snapshots(two, "back/tank/small").last(), snapshots(one, "tank/small").last(), "{said}");
    }
    cluster.link(1, 2).bandwidth(None);
    judged("the first run", &first.wait().expect("it ends"), 0);
    run(one, "run", 0);
    for dataset in ["big", "small"] {
        let (here, there) =
            (snapshots(one, &format!("tank/{dataset}")), snapshots(two, &format!("back/tank/{dataset}")));
        assert_eq!(here.last(), there.last());
    }
    for node in [one, two] {
        let left = sh(node, "ls /run/lock/replicator 2>/dev/null || true");
        let mut left = left.lines().filter(|name| name.starts_with("tree") || name.starts_with("alone"));
        assert_eq!(left.next(), None);
    }
}

#[test]
fn a_second_run_passes_over_the_job_that_is_in_transfer_and_does_the_rest_on_time() {
    let jobs = [
        job("big", "tank/big", "node2:back/tank/big", ""),
        job("small", "tank/small", "node2:back/tank/small", ""),
    ];
    one_takes_long(&jobs.concat(), "big to big-nas: passed over: another run into node2:back/tank/big");
}

const ALL: &str = "recursive = true\nexclude = [\".\"]\nset = { mountpoint = \"none\" }";

#[test]
fn a_second_run_passes_over_the_dataset_that_is_in_transfer_and_does_the_rest_on_time() {
    let jobs = job("all", "tank", "node2:back/tank", ALL);
    one_takes_long(&jobs, "all to all-nas: tank/big: passed over: another run into node2:back/tank/big");
}

#[test]
fn so_it_is_with_an_agent() {
    let agent = "[replication.target.ssh]\nfar_end = \"agent\"\n";
    let jobs = format!("{}{agent}", job("all", "tank", "node2:back/tank", ALL));
    one_takes_long(&jobs, "all to all-nas: tank/big: passed over: another run into node2:back/tank/big");
}

#[test]
fn one_dataset_that_fails_stops_no_other_and_shows_in_the_status() {
    let cluster = pair();
    let (one, two) = (cluster.node(1), cluster.node(2));
    sh(one, "for d in a b c; do zfs create tank/$d; done");
    let jobs = job(
        "out",
        "tank",
        "node2:back/tank",
        "recursive = true\nexclude = [\".\"]\nset = { mountpoint = \"none\" }",
    );
    configure(one, &format!("{POLICY}{jobs}"));
    set_clock(one, NOON + 60);
    sh(two, "zfs create back/tank");
    run(one, "run", 0);
    // Somebody took a snapshot of his own on the target.
    sh(two, "zfs snapshot back/tank/b@mine");
    set_clock(one, NOON + HOUR + 60);
    let record = record(one, "", 3);
    let job = &record["phases"]["replicate"]["jobs"][0];
    assert_eq!(job["failed"].as_array().expect("a list").len(), 1, "{job:#}");
    assert_eq!(job["failed"][0]["dataset"], "tank/b");
    for dataset in ["a", "c"] {
        let (here, there) =
            (snapshots(one, &format!("tank/{dataset}")), snapshots(two, &format!("back/tank/{dataset}")));
        assert_eq!(here, there);
    }
    // A dataset and a pool that are not there are told, and everything else is taken.
    let more = "[[dataset]]\nname = [\"tank/none\", \"nopool/x\"]\nhourly = 1\n";
    configure(one, &format!("{POLICY}{more}"));
    set_clock(one, NOON + 2 * HOUR + 60);
    let said = run(one, "run", 1);
    assert!(said.contains("tank/none is in the configuration and does not exist"), "{said}");
    assert!(said.contains("the pool nopool is not imported"), "{said}");
    assert_eq!(snapshots(one, "tank/a").len(), 3);
    // Nothing is done by a configuration that is broken.
    sh(one, "echo 'hourly = [' >> /etc/replicator/replicator.toml");
    let before = state(one);
    set_clock(one, NOON + 3 * HOUR + 60);
    for command in ["run", "snapshot", "prune"] {
        run(one, command, 8);
    }
    assert_eq!(before, state(one));
}

/// Over the zfs command and through an agent, which has to be told that it may.
#[test]
fn a_target_is_pruned_by_the_sender_where_that_is_allowed() {
    let cluster = pair();
    let (one, two) = (cluster.node(1), cluster.node(2));
    sh(one, "zfs create tank/a; zfs create tank/a/x");
    let mut time = NOON + LATE;
    for far_end in ["zfs", "agent"] {
        let target = format!("back/{far_end}");
        let retention = "retention = { hourly = 2 }\n";
        let jobs = job("out", "tank/a", &format!("node2:{target}"), "recursive = true");
        let ssh = format!("[replication.target.ssh]\nfar_end = \"{far_end}\"\n");
        configure(one, &format!("{POLICY}{jobs}{retention}{ssh}"));
        for _ in 0..6 {
            time += STEP;
            set_clock(one, time);
            let record = record(one, "", 0);
            assert_eq!(record["phases"]["prune"]["at_targets"][0]["failed"], 0, "{record:#}");
        }
        // Younger than two hours, and the newest two.
        let there = snapshots(two, &format!("{target}/x"));
        assert_eq!(there.len(), 3, "{there:?}");
        assert_eq!(there.last(), snapshots(one, "tank/a/x").last());
        assert_eq!(snapshots(one, "tank/a/x").len(), 5);
        // A hold keeps one there, and the others go.
        sh(two, &format!("zfs hold mine {target}/x@{}", there[0]));
        time += 4 * HOUR;
        set_clock(one, time);
        // A dry run tells what would go there, to programs as well.
        for arguments in ["prune --dry-run --json", "run --dry-run --json"] {
            let output = replicator(one, arguments);
            judged(arguments, &output, 0);
            let said: serde_json::Value = serde_json::from_str(&output.out()).expect("JSON");
            let would = said.get("at_targets").unwrap_or(&said["phases"]["prune"]["at_targets"]);
            let goes = would[0]["goes"].to_string();
            assert!(goes.contains(&format!("{target}/x@{}", there[0])), "{said:#}");
        }
        assert_eq!(snapshots(two, &format!("{target}/x")), there);
        let said = run(one, "run", 1);
        assert!(said.contains(&format!("{target}/x@{} was not destroyed", there[0])), "{said}");
        let left = snapshots(two, &format!("{target}/x"));
        assert_eq!(left[0], there[0]);
        assert!(!left.contains(&there[1]), "{left:?}");
        sh(two, &format!("zfs release mine {target}/x@{}", there[0]));
    }
}

/// The power goes while snapshots are taken, and while they are destroyed; the next run does the rest.
#[test]
fn a_power_cut_while_taking_or_pruning_leaves_nothing_half_done() {
    let cluster = alone();
    let node = cluster.node(1);
    let mut random = Random::seeded();
    let text = "[[dataset]]\nname = \"tank\"\nrecursive = \"atomic\"\nchildren_only = false\nhourly = 2\n";
    sh(node, "for i in $(seq 40); do zfs create tank/d$i; done; zpool sync");
    let mut time = NOON;
    let (mut cut_taking, mut cut_pruning) = (0, 0);
    for round in 0..6 {
        configure(node, text);
        time += HOUR;
        set_clock(node, time);
        let taking = round % 2 == 0;
        if !taking {
            // Much to destroy: hours that nobody pruned.
            for _ in 0..5 {
                time += HOUR;
                set_clock(node, time);
                run(node, "snapshot", 0);
            }
            // Three hours older than what is kept.
            time += 3 * HOUR;
            set_clock(node, time);
        }
        let command = if taking { "snapshot" } else { "prune" };
        let process = node.script(&format!("exec replicator {command}")).spawn().expect("started");
        std::thread::sleep(Duration::from_millis(random.below(400)));
        let finished = process.finished();
        node.power_cut();
        drop(process);
        match (taking, finished) {
            (true, false) => cut_taking += 1,
            (false, false) => cut_pruning += 1,
            _ => {}
        }
        node.boot().expect("it boots");
        sh(node, "zpool import -f -d /dev tank; zpool import -f -d /dev back || true");
        configure(node, text);
        set_clock(node, time + 60);
        // A tree was taken as a whole or not at all.
        let counts = sh(
            node,
            "zfs list -H -t snapshot -o name | sed 's/.*@//' | sort | uniq -c | awk '{print $1}' | sort -u",
        );
        if taking {
            assert!(counts.lines().all(|count| count == "41"), "round {round}: {counts}");
        }
        run(node, "run", 0);
        let left = snapshots(node, "tank/d40");
        assert_eq!(left.len(), left.iter().collect::<BTreeSet<_>>().len());
        let again = run(node, "run", 0);
        assert!(again.contains("snapshot: 0 taken") && again.contains("prune: 0 destroyed"), "{again}");
        for dataset in ["tank", "tank/d1", "tank/d7"] {
            assert_eq!(snapshots(node, dataset), left, "round {round}: {dataset}");
        }
        assert!(left.len() <= 4, "{left:?}");
    }
    println!("cut while taking: {cut_taking}, while pruning: {cut_pruning}");
    assert!(cut_taking + cut_pruning > 0, "no run was ever cut");
}
