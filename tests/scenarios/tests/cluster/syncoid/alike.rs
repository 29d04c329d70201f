//! Random scenarios through both programs.

use lab::Node;
use replicator::model::Random;

use super::case::Case;
use super::*;
use crate::support::long;

/// Cases in the short set.
const FEW: u64 = 12;
/// Cases in the long set.
const MANY: u64 = 300;
/// Seeds that once showed a difference: a clone whose origin lies in the pool of the target, and not below the target.
const FOUND: [u64; 2] = [1_795_812_408, 1_795_812_418];

#[test]
fn both_leave_the_same_in_random_scenarios() {
    let seed = std::env::var("LAB_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        if long() { now.as_secs() } else { 1 }
    });
    let count = std::env::var("LAB_CASES").ok().and_then(|count| count.parse().ok());
    println!("LAB_SEED={seed}");
    let cluster = pools();
    let node = cluster.node(1);
    let (mut failed, mut statuses) = (Vec::new(), std::collections::BTreeMap::<String, u64>::new());
    let seeds = seed..seed + count.unwrap_or(if long() { MANY } else { FEW });
    // A few asked for by number stand alone.
    for seed in seeds.chain(FOUND.into_iter().filter(|_| count.is_none())) {
        let case = Case::random(&mut Random::new(seed));
        let differences = compare(node, &case, &mut statuses, &mut Vec::new());
        if !differences.is_empty() {
            println!("---- LAB_SEED={seed}\n{case}\n{}", differences.join("\n"));
            failed.push(seed);
        }
    }
    println!("{statuses:?}");
    assert!(failed.is_empty(), "syncoid and we differ; LAB_SEED is one of {failed:?}");
    // A comparison of nothing would show nothing.
    let of = |status: &str| statuses.get(status).copied().unwrap_or_default();
    assert!(count.is_some() || of("0") >= 5 && of("hangs") < of("0"), "{statuses:?}");
}

/// Runs a case on both pools, and says where they differ after each run. `last` is what ours has left in the end.
pub(super) fn compare(
    node: &Node,
    case: &Case,
    statuses: &mut std::collections::BTreeMap<String, u64>,
    last: &mut Vec<String>,
) -> Vec<String> {
    let mut differences = Vec::new();
    let each = |commands: &[String]| {
        for (pool, _) in BOTH {
            // What has failed on one has failed on the other, too.
            let done = node.sh(&format!("P={pool}; {{ {}\n}}", commands.join("\n"))).expect("it runs");
            assert!(done.success() || done.code() < 128, "{pool}: {}", done.err());
        }
    };
    each(&case.setup);
    for round in &case.rounds {
        each(&round.before);
        let [ours, real] = BOTH.map(|(pool, program)| {
            let run = format!("timeout -k 5 60 {program} {} {pool}/c/src {pool}/c/dst/t", round.options);
            let done = node.sh(&run).expect("it runs");
            // What perl dies of has no number of its own.
            let status = match done.code() {
                124 | 137 => "hangs".to_string(),
                3.. => "dead".to_string(),
                code => code.to_string(),
            };
            (status, state(node, pool, "c"), done.out(), done.err())
        });
        *statuses.entry(real.0.clone()).or_default() += 1;
        last.clone_from(&ours.1);
        if real.0 == "hangs" {
            // It does where a receive fails at once and mbuffer still has something for it. What it did so far says
            // nothing.
            assert_ne!(ours.0, "hangs", "{case}");
            break;
        }
        if ours.0 != real.0 {
            differences.push(format!("{}: status {}, syncoid has {}", round.options, ours.0, real.0));
        }
        for line in ours.1.iter().filter(|line| !real.1.contains(line)) {
            differences.push(format!("{}: + {line}", round.options));
        }
        for line in real.1.iter().filter(|line| !ours.1.contains(line)) {
            differences.push(format!("{}: - {line}", round.options));
        }
        let [we, they] = [told("ours", &ours.2), told("real", &real.2)];
        if we != they {
            differences.push(format!("{}: INFO lines differ:\n{we:#?}\n{they:#?}", round.options));
        }
        if ours.1.iter().any(|line| line.contains("#replicator") || line.contains("held by replicator")) {
            differences.push("something of our own replications is left".to_string());
        }
        if !differences.is_empty() {
            differences.push(format!("ours said:\n{}{}", ours.2, ours.3));
            differences.push(format!("syncoid said:\n{}{}", real.2, real.3));
            break;
        }
    }
    each(&["zfs release -r keep $P/c/dst/t@x $P/c/src@s1 2>/dev/null".to_string(), clean()]);
    for (pool, _) in BOTH {
        // What is left of one would be in the way of the next.
        let left =
            node.sh(&format!("zfs list -r {pool}/c 2>/dev/null && cat /tmp/clean.{pool}")).expect("it runs");
        assert!(!left.success(), "{case}{}", left.out());
    }
    differences
}

/// Destroys all of a case, whatever is held.
fn clean() -> String {
    "zfs list -Hp -t snapshot -o userrefs,name -r $P/c | grep -v '^0' | cut -f 2 |
     while IFS= read -r s; do zfs holds -H \"$s\" | cut -f 2 | while IFS= read -r t; do zfs release \"$t\" \"$s\"; done; done
     for i in 1 2 3 4 5; do zfs destroy -Rf $P/c && break; sleep 1; done 2>/tmp/clean.$P"
        .to_string()
}
