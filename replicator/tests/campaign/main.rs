//! The campaign: random histories of two machines of the model, replications between them, and everything that can go
//! wrong with each replication.
//!
//! A **step** is one effect: a change that a history or a replication makes on one of the machines (a call that changes
//! something, or one piece of a stream that is received). After every step of a replication the invariants are checked
//! that `invariants.rs` lists, after every replication those of `results.rs`, and after every step of a history that
//! the machines still are what machines can be.
//!
//! For each replication of a history, the process dies after **every single one** of its effects, and the next run must
//! bring what the undisturbed one brought. The states after a crash are those that the undisturbed run went through, with
//! the receives ended that nobody writes to any more; that this is what a dying process leaves is shown by one that
//! does die, for each replication. Further runs are cut, run out of space, are interrupted, lack rights, have somebody
//! else change both sides between plan and execution or in the middle, lose a listing, or carry several datasets at once.
//!
//! `CAMPAIGN_STEPS` says how many steps are made (100,000, or ten million with `LAB_LONG`), `CAMPAIGN_SEED` with which
//! seed the histories begin. A failure prints the seed of its history: with it as `CAMPAIGN_SEED` it comes first. Only
//! the order in which several datasets at once get on is not of the seed.

mod counts;
mod explore;
mod history;
mod invariants;
mod past;
mod results;
mod run;

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use counts::Counts;
use explore::Explorer;
use history::History;

/// Steps in every run of the tests, and in the long one.
const SHORT: u64 = 100_000;
const LONG: u64 = 10_000_000;

/// After how many steps it says how far it is.
const PROGRESS: u64 = 500_000;

/// Replications of one history.
const ROUNDS: u64 = 5;

/// One history with all its replications.
fn campaign(seed: u64) -> Counts {
    let mut counts = Counts::default();
    counts.histories = 1;
    let mut history = History::new(seed, &mut counts);
    for _ in 0..ROUNDS {
        Explorer { history: &mut history, counts: &mut counts }.explore();
        history.go_on(&mut counts);
    }
    counts
}

#[test]
fn the_campaign_mends_every_crash() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let long = std::env::var_os("LAB_LONG").is_some();
    let wanted = number("CAMPAIGN_STEPS").unwrap_or(if long { LONG } else { SHORT });
    let next = AtomicU64::new(number("CAMPAIGN_SEED").unwrap_or(1));
    let (done, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let all = Mutex::new(Counts::default());
    let work = || {
        while done.load(Ordering::Relaxed) < wanted && !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let ended = std::panic::catch_unwind(|| campaign(seed));
            match ended {
                Ok(counts) => {
                    let before = done.fetch_add(counts.steps, Ordering::Relaxed);
                    if before / PROGRESS < (before + counts.steps) / PROGRESS {
                        println!("{} of {wanted} steps, at seed {seed}", before + counts.steps);
                    }
                    all.lock().expect("no panic").add(counts);
                }
                Err(_) => {
                    eprintln!("CAMPAIGN_SEED={seed}");
                    failed.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let counts = all.into_inner().expect("no panic");
    println!("{counts}");
    assert!(!failed.load(Ordering::Relaxed), "an invariant was broken; see above, and CAMPAIGN_SEED there");
    assert!(counts.steps >= wanted);
    // A short look at one seed need not come to everything.
    let missed = counts.missed();
    assert!(missed.is_empty() || wanted < SHORT, "the campaign never came to {missed:?}");
}
