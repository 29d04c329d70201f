//! What the scenarios of `replicator replicate` share: nodes with a pool each, datasets with real files, runs of the
//! program and what must come of them, and fingerprints of what there is.

use std::time::Duration;

use lab::Cluster;
use lab::Node;
use lab::Output;

/// The pool `tank` on the first disk of a node.
pub(crate) const TANK: &str = "zpool create -O mountpoint=/tank tank /dev/ubdb";
/// The pool that receives, `back`, on the second disk.
pub(crate) const BACK: &str = "zpool create -O mountpoint=/back back /dev/ubdc";

/// One node with both pools.
pub(crate) fn alone() -> Cluster {
    let cluster = Cluster::boot(1).expect("a node");
    sh(cluster.node(1), &format!("{TANK}; {BACK}"));
    cluster
}

/// node1 with `tank` and node2 with `back`.
pub(crate) fn pair() -> Cluster {
    let cluster = Cluster::boot(2).expect("two nodes");
    sh(cluster.node(1), TANK);
    sh(cluster.node(2), BACK);
    cluster
}

/// Runs a script that must succeed, line by line.
pub(crate) fn sh(node: &Node, script: &str) -> String {
    let output = node.sh(&format!("set -e\n{script}")).expect("the node answers");
    output.ok().expect("the script succeeds").out()
}

/// Runs the program and does not judge.
pub(crate) fn replicator(node: &Node, arguments: &str) -> Output {
    let command = node.script(&format!("replicator {arguments}")).limit(Duration::from_secs(120));
    command.run().expect("the node answers")
}

/// Runs a replication that must succeed; gives standard output and standard error in one.
pub(crate) fn replicate(node: &Node, arguments: &str) -> String {
    let output = replicator(node, &format!("replicate {arguments}"));
    assert_eq!(output.code(), 0, "replicate {arguments}\n{}\n{}", output.out(), output.err());
    format!("{}\n{}", output.out(), output.err())
}

/// Runs a replication that must end with this exit status and a message that holds all of these words.
pub(crate) fn refused(node: &Node, arguments: &str, code: i32, words: &[&str]) -> String {
    let output = replicator(node, &format!("replicate {arguments}"));
    let err = output.err();
    assert_eq!(output.code(), code, "replicate {arguments}\n{}\n{err}", output.out());
    for word in words {
        assert!(err.contains(word), "replicate {arguments}: {word:?} is not in\n{err}");
    }
    assert!(!err.contains("panicked"), "{err}");
    // The code of the message is one of this status.
    assert!(err.contains(&format!("[R{code}")), "replicate {arguments}: no code in\n{err}");
    err
}

/// A filesystem with files in folders, and a snapshot of each state of them.
pub(crate) fn fill(node: &Node, dataset: &str, snapshots: usize) {
    sh(node, &format!("zfs create '{dataset}'"));
    for n in 1..=snapshots {
        change(node, dataset, n);
    }
}

/// Changes the files and takes snapshot `s<n>`.
pub(crate) fn change(node: &Node, dataset: &str, n: usize) {
    sh(
        node,
        &format!(
            "cd '/{dataset}'; mkdir -p dir{n}; head -c 700000 /dev/urandom > dir{n}/random; \
             seq 1 20000 > dir{n}/text; echo {n} >> changed; ln -f dir{n}/text link{n}; \
             [ {n} = 1 ] || rm -f dir$(({n}-1))/text; zfs snapshot '{dataset}@s{n}'"
        ),
    );
}

/// Names and GUIDs of the snapshots of a dataset, in the order they were taken; never empty.
pub(crate) fn guids(node: &Node, dataset: &str) -> Vec<String> {
    let list = sh(node, &format!("zfs list -Hp -t snapshot -d 1 -s createtxg -o name,guid '{dataset}'"));
    let guids: Vec<String> =
        list.lines().map(|line| line.split_once('@').expect("a snapshot").1.to_string()).collect();
    assert!(!guids.is_empty(), "{dataset} has no snapshots to compare");
    guids
}

/// Checksums, kinds, modes and link counts of all files of a snapshot, mounted for the purpose.
pub(crate) fn files(node: &Node, dataset: &str, snapshot: &str) -> String {
    let found = sh(
        node,
        &format!(
            "at=$(mktemp -d); mount -t zfs -o ro '{dataset}@{snapshot}' $at; cd $at
             find . -printf '%p %y %m %n\\n' -type f -exec sha256sum {{}} +; cd /; umount $at"
        ),
    );
    let mut lines: Vec<&str> = found.lines().collect();
    assert!(lines.len() > 4, "nothing was compared: {found}");
    lines.sort_unstable();
    lines.join("\n")
}

/// Both sides have the same snapshots, and the same files in each of them.
pub(crate) fn assert_same(source: (&Node, &str), target: (&Node, &str)) {
    let (from, to) = (guids(source.0, source.1), guids(target.0, target.1));
    assert_eq!(from, to, "{} and {}", source.1, target.1);
    for line in &from {
        let snapshot = line.split('\t').next().expect("a name");
        assert_eq!(
            files(source.0, source.1, snapshot),
            files(target.0, target.1, snapshot),
            "{} and {} differ at @{snapshot}",
            source.1,
            target.1
        );
    }
}

/// The plan in what `--json` prints, for comparing. The time in names of what is set
/// aside and in marks goes.
pub(crate) fn plan_in(json: &str) -> String {
    let json: serde_json::Value =
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let mut plan = format!("{:#}", json.get("plan").unwrap_or(&json));
    for before in ["_diverged_", "replicator:gone=1:"] {
        let mut parts = plan.split(before);
        let mut out = parts.next().unwrap_or_default().to_string();
        for part in parts {
            let time = part.find(|c: char| !c.is_ascii_digit() && c != 'T').unwrap_or(part.len());
            out.push_str(&format!("{before}TIME{}", &part[time..].trim_start_matches('Z')));
        }
        plan = out;
    }
    plan
}

/// Plans, checks that planning changed nothing, runs, and checks that this was the plan; gives the plan. `what` are
/// the arguments for both, `how` those for the run alone.
pub(crate) fn as_planned(node: &Node, all: &[&Node], what: &str, how: &str) -> String {
    let before: Vec<String> = all.iter().map(|node| state(node)).collect();
    let plan = replicator(node, &format!("plan {what} --json"));
    assert_eq!(plan.code(), 0, "plan {what}\n{}\n{}", plan.out(), plan.err());
    let planned = plan_in(&plan.out());
    let after: Vec<String> = all.iter().map(|node| state(node)).collect();
    assert_eq!(before, after, "planning {what} changed something");
    let run = replicator(node, &format!("replicate {what} {how} --json"));
    assert_eq!(run.code(), 0, "replicate {what} {how}\n{}", run.err());
    let executed = plan_in(&run.out());
    assert_eq!(planned, executed, "replicate {what} {how}");
    executed
}

/// The same, and then there is nothing left to do.
pub(crate) fn completely(node: &Node, all: &[&Node], what: &str) -> String {
    let plan = as_planned(node, all, what, "");
    let rest = as_planned(node, all, what, "");
    assert_eq!(actions(&rest), Vec::<String>::new(), "{what}: something is left: {rest}");
    plan
}

/// The sum of the content of a volume as it is now.
pub(crate) fn volume(node: &Node, dataset: &str) -> String {
    // Nodes have no udev: the device is found by its size, which each volume of a test has alone.
    sh(
        node,
        &format!(
            "size=$(zfs get -Hp -o value volsize '{dataset}'); found=
             for i in $(seq 50); do
               for d in /dev/zd*; do
                 [ -b $d ] && [ \"$(blockdev --getsize64 $d)\" = $size ] && found=$d
               done
               [ -z \"$found\" ] || break; sleep 0.1
             done
             [ -n \"$found\" ]; sha256sum < $found"
        ),
    )
}

/// The actions in the plan that `--json` prints, in the order in which they are carried out.
pub(crate) fn actions(json: &str) -> Vec<String> {
    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let plan = json.get("plan").unwrap_or(&json);
    let steps = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let datasets = steps(&plan["datasets"]);
    let all = steps(&plan["before"])
        .into_iter()
        .chain(datasets.iter().flat_map(|dataset| steps(&dataset["steps"])))
        .chain(steps(&plan["after"]));
    all.map(|step| step["action"].as_str().expect("an action").to_string()).collect()
}

/// The bookmarks of a dataset that are ours, oldest first, by the GUID in their names.
pub(crate) fn our_bookmarks(node: &Node, dataset: &str) -> Vec<String> {
    let list = sh(node, &format!("zfs list -H -t bookmark -d 1 -s createtxg -o name '{dataset}'"));
    list.lines().filter(|line| line.contains("#replicator_1_")).map(str::to_string).collect()
}

/// Everything that a refused run must leave as it was.
pub(crate) fn state(node: &Node) -> String {
    sh(
        node,
        "zpool sync
         zfs list -Hp -t all -o name,guid,createtxg,written,receive_resume_token,readonly,userrefs |
             while IFS=$'\\t' read -r name rest; do
                 echo \"$name $rest\"; case $rest in *$'\\t'-|*$'\\t'0) ;; *) zfs holds -H \"$name\";; esac; done",
    )
}
