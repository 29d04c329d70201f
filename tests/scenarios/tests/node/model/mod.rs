//! The model of ZFS that the replication is tested with, against the real one: the same random operations on both must
//! be allowed or refused alike, for the same reason, and leave the same behind. `LAB_SEED` repeats a failure.

mod apply;
mod choose;
mod compare;
mod op;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use replicator::model::Machine;
use zfs_core::DatasetKind;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::PropertySet;
use zfs_core::name::DatasetName;

use self::op::Op;
use crate::pool::Pool;

/// Operations in one sequence.
const LENGTH: usize = 40;

/// Sequences that are made on one pair of pools.
const SEQUENCES_A_POOL: usize = 50;

/// Sequences at the same time.
const SIDE_BY_SIDE: usize = 8;

#[test]
fn agrees_with_the_kernel_on_random_sequences() {
    // The short set is always the same, so that it fails for what was changed; the long one looks for what is new.
    let long = std::env::var_os("LAB_LONG").is_some();
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let count = number("LAB_SEQUENCES").unwrap_or(if long { 2_000 } else { 50 });
    let seed = number("LAB_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        if long { now.as_secs() } else { 1 }
    });
    println!("LAB_SEED={seed}");
    let (mut counts, mut failed) = (Counts::default(), Vec::new());
    let seeds: Vec<_> = (seed..seed + count).collect();
    // What earlier sequences left must not become too much.
    for (nth, some) in seeds.chunks(SEQUENCES_A_POOL).enumerate() {
        failed.extend(side_by_side(some, &mut counts));
        println!("{} sequences, {} failed", nth * SEQUENCES_A_POOL + some.len(), failed.len());
    }
    let Counts { allowed, refused } = counts;
    // A comparison of refusals only, or of one kind of operation only, would show nothing.
    println!("allowed {allowed:?}\nrefused {refused:?}");
    let kinds: BTreeSet<_> = allowed.keys().copied().collect();
    assert!(failed.is_empty(), "the kernel and the model differ; LAB_SEED is one of {failed:?}");
    // A replay of one sequence need not come to everything.
    assert!(kinds.len() >= 18 || count < 50, "only {kinds:?} were ever allowed");
}

/// The sequences of these seeds on one pair of pools, each with datasets of its own; the seeds that failed. Nearly all
/// of their time is waiting for the pool to have written something, and many can wait for the same.
fn side_by_side(seeds: &[u64], counts: &mut Counts) -> Vec<u64> {
    let pools = [Pool::new(), Pool::new()];
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut counts, mut failed) = (Counts::default(), Vec::new());
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let run = || Sequence::new(*seed, [&pools[0], &pools[1]]).run(&mut counts);
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
                failed.push(*seed);
            }
        }
        (counts, failed)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(work)).collect();
        let done = workers.into_iter().map(|worker| worker.join().expect("panics are caught"));
        done.flat_map(|(some, failed)| {
            counts.add(some);
            failed
        })
        .collect()
    })
}

/// How often each operation was allowed, and refused for which reason.
#[derive(Default)]
struct Counts {
    allowed: BTreeMap<&'static str, u64>,
    refused: BTreeMap<(&'static str, String), u64>,
}

impl Counts {
    fn add(&mut self, other: Self) {
        for (kind, count) in other.allowed {
            *self.allowed.entry(kind).or_default() += count;
        }
        for (kind, count) in other.refused {
            *self.refused.entry(kind).or_default() += count;
        }
    }
}

/// One sequence with what it has done so far.
struct Sequence<'p> {
    seed: u64,
    random: u64,
    pools: [&'p Pool; 2],
    model: Machine,
    /// GUIDs of the kernel and of the model that mean the same.
    guids: BTreeMap<Guid, Guid>,
    written: u64,
    log: String,
}

impl<'p> Sequence<'p> {
    fn new(seed: u64, pools: [&'p Pool; 2]) -> Self {
        let mut model = Machine::new(seed);
        for pool in pools {
            model.create_pool(pool.root().as_str());
            let root = pool.dataset(&root(seed));
            // Devices of volumes come and go by themselves, and would make them busy.
            pool.zfs.create_filesystem(&root, &PropertySet::new().text("volmode", "none")).expect("create");
            model.create(&root, DatasetKind::Filesystem, &[]).expect("create");
        }
        let (guids, log) = (BTreeMap::new(), String::new());
        let mut sequence = Self { seed, random: seed, pools, model, guids, written: 0, log };
        for _ in 0..20 {
            sequence.below(2);
        }
        sequence
    }

    fn run(mut self, counts: &mut Counts) {
        for _ in 0..LENGTH {
            let Some(op) = self.choose() else { continue };
            let kind = op.kind();
            let _ = writeln!(self.log, "{op:?}");
            let (real, model) = self.apply(&op);
            let _ = writeln!(self.log, "    {real:?}");
            assert_eq!(
                real, model,
                "the kernel (left) and the model differ; LAB_SEED={}\n{}",
                self.seed, self.log
            );
            // What is refused changes nothing, or it is found with the next one; a stream leaves something all the same.
            if real.is_ok() || matches!(op, Op::Send { .. }) {
                self.compare();
            }
            match real {
                Ok(()) => *counts.allowed.entry(kind).or_default() += 1,
                Err(error) => *counts.refused.entry((kind, format!("{error:?}"))).or_default() += 1,
            }
        }
        self.compare();
    }

    /// What this sequence works below, in each pool.
    fn roots(&self) -> [DatasetName; 2] {
        self.pools.map(|pool| pool.dataset(&root(self.seed)))
    }
}

fn root(seed: u64) -> String {
    format!("w{seed}")
}

/// Done, or why not.
type Outcome = Result<(), ErrorKind>;
