//! What sanoid decides, held against what we decide from the same sanoid.conf, clock and snapshots: the same snapshots
//! are due and the same may go, except where a mistake of sanoid was mended, and each of those is shown to be one.
//!
//! The real sanoid 2.3 runs here, unchanged, with its clock set by libfaketime. Its `zfs` and `zpool` are a stand-in
//! that answers with the snapshots of a case and notes what it is told to take or destroy: so hundreds of cases take
//! minutes, and dates can be anything. That both act alike on real pools is shown in `cluster::sanoid`.

mod case;
mod compare;
mod fixes;
mod ours;
mod real;
mod theirs;

use std::collections::BTreeMap;

use replicator::model::Random;

use self::case::Case;

/// Cases in the short set.
const FEW: u64 = 20;
/// Cases in the long set.
const MANY: u64 = 500;

#[test]
fn the_same_snapshots_are_due_and_may_go_in_random_cases() {
    // As in the comparison with the model: the short set is always the same, the long one looks for what is new.
    let long = std::env::var_os("LAB_LONG").is_some();
    let seed = std::env::var("LAB_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        if long { now.as_secs() } else { 1 }
    });
    println!("LAB_SEED={seed}");
    let mut counts = BTreeMap::new();
    let mut failed = Vec::new();
    for seed in seed..seed + if long { MANY } else { FEW } {
        let mut random = Random::new(seed);
        let case = Case::random(&mut random);
        // What it prints and what it does must be the same, and printing alone is much quicker.
        let act = random.once_in(5);
        let differences = compare::compare(&case, &real::run(&case, act), &mut counts);
        if !differences.is_empty() {
            failed.push(seed);
            if failed.len() <= 5 {
                println!("---- LAB_SEED={seed}\n{case}\n{}", differences.join("\n"));
            }
        }
    }
    println!("{counts:#?}");
    assert!(failed.is_empty(), "sanoid and we differ; LAB_SEED is one of {failed:?}");
    // A comparison of nothing would show nothing.
    for (what, least) in [("due", 100), ("not due", 50), ("goes", 100), ("stays", 100)] {
        assert!(counts.get(what).is_some_and(|count| *count >= least), "{what}: {counts:?}");
    }
}
