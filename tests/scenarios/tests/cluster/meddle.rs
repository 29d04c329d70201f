//! How a test gets between two machines while they work: something happens in the middle of a run, or the far end
//! is not what it says. What a test makes of it stands in the test.

use std::thread::sleep;
use std::time::Duration;

use lab::Node;
use lab::Output;
use lab::Process;

use crate::replicas::*;
use crate::ways::Route;

/// Bytes a second over a line on which a test has time to act.
const SLOW: u64 = 150_000;

/// What has passed by the time a stream is under way: more than any conversation before it.
const UNDER_WAY: u64 = 400_000;

/// Changes a file so that its stream is a long way on a slow line, and takes snapshot `s<n>`.
pub(crate) fn change_a_lot(node: &Node, dataset: &str, n: usize) {
    sh(node, &format!("head -c 2000000 /dev/urandom > '/{dataset}/big'; zfs snapshot '{dataset}@s{n}'"));
}

/// Starts a replication over a slow line and gives it back in the middle of its first large stream.
pub(crate) fn under_way(route: &Route<'_>, more: &str) -> Process {
    let link = route.cluster.link(1, 2);
    link.bandwidth(Some(SLOW));
    let before = link.counters().payload;
    let run = route.here.script(&format!("replicator replicate {}", route.arguments("", more)));
    let process = run.limit(Duration::from_secs(120)).spawn().expect("started");
    while link.counters().payload - before < UNDER_WAY {
        assert!(
            !process.finished(),
            "it ended before its stream: {:?}",
            String::from_utf8_lossy(&process.stderr())
        );
        sleep(Duration::from_millis(20));
    }
    process
}

/// Does something in the middle of the first large stream of a run, and lets the run come to its end.
pub(crate) fn meanwhile(route: &Route<'_>, more: &str, act: impl FnOnce()) -> Output {
    let process = under_way(route, more);
    act();
    assert!(!process.finished(), "the run was over before anything was done to it");
    route.cluster.link(1, 2).bandwidth(None);
    process.wait().expect("it ends")
}

/// From now on whoever comes over ssh gets this shell script in place of `zfs`, as far as it ends by itself; what it
/// leaves alone goes to the real one, which it knows as `$real`.
pub(crate) fn deceive(node: &Node, script: &str) {
    let zfs = sh(node, "z=$(readlink -f $(command -v zfs)); [ -e $z.real ] || mv $z $z.real; echo $z");
    // zfs is a link to nothing else, and the first line of a script is not changed by where it lies.
    let wrapper = format!(
        "#!/bin/sh\nreal={zfs}.real\n[ -n \"$SSH_CONNECTION\" ] || exec $real \"$@\"\n{script}\nexec $real \"$@\"\n"
    );
    node.write_file(&zfs, wrapper).expect("written");
    sh(node, &format!("chmod 755 {zfs}"));
}

/// The real `zfs` is back.
pub(crate) fn be_honest(node: &Node) {
    sh(
        node,
        "for z in /sbin/zfs /usr/sbin/zfs /usr/local/sbin/zfs; do [ ! -e $z.real ] || mv $z.real $z; done",
    );
}

/// The conflicts and failures that `--json` tells of, each as the source below the root and the kind of conflict, or
/// the message where it is none.
pub(crate) fn failures(route: &Route<'_>, run: &Output) -> Vec<(String, String)> {
    let json: serde_json::Value = serde_json::from_str(&run.out())
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", run.out(), run.err()));
    let list = json["result"]["failures"].as_array().expect("failures");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_string();
    let one = |failure: &serde_json::Value| {
        let source = text(&failure["source"]);
        let below = source.strip_prefix(&route.source).expect("a dataset below the root").to_string();
        let kind = &failure["conflict"]["kind"];
        (below, if kind.is_string() { text(kind) } else { text(&failure["message"]) })
    };
    list.iter().map(one).collect()
}

/// Runs a replication of a tree with `--json` and compares which datasets failed, and how: each as the dataset below
/// the root and a part of its conflict or message.
pub(crate) fn fails_with(route: &Route<'_>, more: &str, code: i32, expected: &[(&str, &str)]) {
    let run = route.run(&format!("{more} --json"));
    assert_eq!(run.code(), code, "{more}\n{}\n{}", run.out(), run.err());
    let found = failures(route, &run);
    assert_eq!(found.len(), expected.len(), "{found:#?}\n{}", run.err());
    for (below, what) in expected {
        let fits = found.iter().any(|(dataset, how)| dataset == below && how.contains(what));
        assert!(fits, "{below:?} with {what:?} is not in {found:#?}");
    }
}

/// A run that finds nothing to do, as its plan says.
pub(crate) fn nothing_is_left(route: &Route<'_>, more: &str) {
    let plan = route.as_planned(more, "");
    assert_eq!(actions(&plan), Vec::<String>::new(), "{plan}");
}

/// Both sides of one dataset below the root are the same.
pub(crate) fn assert_same_below(route: &Route<'_>, below: &str) {
    assert_same(
        (route.from, &format!("{}{below}", route.source)),
        (route.to, &format!("{}{below}", route.target)),
    );
}

/// Makes a second key on the machine where the program runs, for which the other one starts this command and nothing
/// else. Gives the option that uses it.
pub(crate) fn forced(route: &Route<'_>, command: &str) -> &'static str {
    let key = sh(
        route.here,
        "[ -e /root/.ssh/forced ] || ssh-keygen -q -t ed25519 -N '' -C forced -f /root/.ssh/forced; cat /root/.ssh/forced.pub",
    );
    let keys = "/root/.ssh/authorized_keys";
    let others = sh(route.far, &format!("grep -v ' forced$' {keys}"));
    let command = command.replace('"', "\\\"");
    let all = format!("{others}\nrestrict,command=\"{command}\" {key}\n");
    route.far.write_file(keys, all).expect("written");
    "-i /root/.ssh/forced"
}
