//! The memory that the blocks of all transfers of a run may take together. Every block in flight holds a permit.
//! No transfer can keep another from going on: each lane may always have one block, whatever the others hold,
//! and what is left of the total is for all transfers in equal parts.

use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use super::BLOCK;
use crate::cancel::TICK;

/// What the transfers of a run may hold together, where nothing else is said: 128 MiB.
pub const DEFAULT_TOTAL: u64 = 128 << 20;

/// Bytes for the blocks of all transfers of a run; clones are the same budget.
///
/// What is in use stays below the total, or below what the lanes are promised (one block each, and the memory of
/// the compression) where that is more. A transfer that starts while others hold all of it adds its promise until
/// they gave some back.
#[derive(Clone, Debug)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    total: u64,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    accounts: u64,
    /// Promised to lanes and compressors, used or not.
    promised: u64,
    /// In use beyond what was promised.
    common: u64,
    /// In use, all of it; and the most that it ever was.
    used: u64,
    peak: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(DEFAULT_TOTAL)
    }
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(total: u64) -> Self {
        Self { shared: Arc::new(Shared { total, state: Mutex::default(), freed: Condvar::new() }) }
    }

    /// What it was made with.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.shared.total
    }

    /// How many bytes blocks hold now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.shared.lock().used
    }

    /// The most that blocks ever held.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.shared.lock().peak
    }

    /// For one transfer.
    pub(super) fn account(&self) -> Account {
        self.shared.lock().accounts += 1;
        Account { inner: Arc::new(AccountInner { shared: self.shared.clone(), common: Mutex::new(0) }) }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The numbers are right after each statement: a thread that panicked left nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one account may hold beyond its promise.
    fn part(&self, state: &State) -> u64 {
        self.total.saturating_sub(state.promised) / state.accounts.max(1)
    }
}

/// The part of one transfer.
#[derive(Clone, Debug)]
pub(super) struct Account {
    inner: Arc<AccountInner>,
}

#[derive(Debug)]
struct AccountInner {
    shared: Arc<Shared>,
    /// In use beyond what was promised; looked at with the lock of `shared` held.
    common: Mutex<u64>,
}

impl AccountInner {
    fn common(&self) -> MutexGuard<'_, u64> {
        self.common.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AccountInner {
    fn drop(&mut self) {
        self.shared.lock().accounts -= 1;
        self.shared.freed.notify_all();
    }
}

impl Account {
    /// Memory that the transfer needs beside its blocks, taken from what all may have until this is dropped.
    pub(super) fn set_aside(&self, bytes: u64) -> Aside {
        self.inner.shared.lock().promised += bytes;
        Aside { shared: self.inner.shared.clone(), bytes }
    }

    /// For the blocks that one stage makes. It may always have one of them.
    pub(super) fn lane(&self) -> Lane {
        self.inner.shared.lock().promised += BLOCK as u64;
        Lane { inner: Arc::new(LaneInner { account: self.inner.clone(), own: Mutex::new(false) }) }
    }
}

/// Memory of a transfer that holds no blocks: that of a compressor.
#[derive(Debug)]
pub(super) struct Aside {
    shared: Arc<Shared>,
    bytes: u64,
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.shared.lock().promised -= self.bytes;
        self.shared.freed.notify_all();
    }
}

/// The blocks that one stage of a transfer makes.
#[derive(Debug)]
pub(super) struct Lane {
    inner: Arc<LaneInner>,
}

#[derive(Debug)]
struct LaneInner {
    account: Arc<AccountInner>,
    /// Whether the block that was promised is in use; looked at with the lock of the budget held.
    own: Mutex<bool>,
}

impl LaneInner {
    fn own(&self) -> MutexGuard<'_, bool> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LaneInner {
    fn drop(&mut self) {
        let shared = &self.account.shared;
        shared.lock().promised -= BLOCK as u64;
        shared.freed.notify_all();
    }
}

impl Lane {
    /// Room for a block of up to [`BLOCK`] bytes, if there is some now.
    pub(super) fn try_acquire(&self) -> Option<Permit> {
        self.take(&mut self.inner.account.shared.lock())
    }

    /// Room for a block of up to [`BLOCK`] bytes. While there is none, `waiting` is called each [`TICK`] at least; the
    /// error it returns ends the waiting.
    pub(super) fn acquire<E>(&self, waiting: &mut dyn FnMut() -> Result<(), E>) -> Result<Permit, E> {
        let shared = &self.inner.account.shared;
        loop {
            let mut state = shared.lock();
            if let Some(permit) = self.take(&mut state) {
                return Ok(permit);
            }
            drop(shared.freed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner));
            // Without the lock: what is called may take its time, and may panic.
            waiting()?;
        }
    }

    fn take(&self, state: &mut State) -> Option<Permit> {
        let bytes = BLOCK as u64;
        let account = &self.inner.account;
        let mut own = self.inner.own();
        let promised = !*own;
        if promised {
            *own = true;
        } else {
            let mut common = account.common();
            let room = account.shared.total.saturating_sub(state.promised);
            if *common + bytes > account.shared.part(state) || state.common + bytes > room {
                return None;
            }
            *common += bytes;
            state.common += bytes;
        }
        state.used += bytes;
        state.peak = state.peak.max(state.used);
        Some(Permit { lane: self.inner.clone(), bytes, promised })
    }
}

/// Room for one block, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    lane: Arc<LaneInner>,
    bytes: u64,
    /// It is the block that every lane may have.
    promised: bool,
}

impl Permit {
    /// Gives back what the block does not need.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let back = self.bytes.saturating_sub(bytes as u64);
        self.give_back(back, false);
        self.bytes -= back;
    }

    /// In one go with the promise: between the two another block could be taken.
    fn give_back(&self, bytes: u64, ends: bool) {
        let account = &self.lane.account;
        let mut state = account.shared.lock();
        state.used -= bytes;
        if ends && self.promised {
            *self.lane.own() = false;
        }
        if !self.promised {
            *account.common() -= bytes;
            state.common -= bytes;
        }
        drop(state);
        account.shared.freed.notify_all();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back(self.bytes, true);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_lane_may_have_one_block_however_small_the_budget() {
        let budget = Budget::new(0);
        let account = budget.account();
        let (one, two) = (account.lane(), account.lane());
        let first = one.try_acquire().expect("the first of a lane");
        assert!(one.try_acquire().is_none());
        let _second = two.try_acquire().expect("the first of the other lane");
        assert_eq!(budget.used(), 2 * MIB);
        drop(first);
        assert_eq!(budget.used(), MIB);
        assert!(one.try_acquire().is_some());
    }

    #[test]
    fn the_total_is_never_passed_and_comes_back_whole() {
        let budget = Budget::new(10 * MIB);
        let account = budget.account();
        let aside = account.set_aside(3 * MIB);
        let lane = account.lane();
        let mut held: Vec<Permit> = std::iter::from_fn(|| lane.try_acquire()).collect();
        assert_eq!(held.len(), 7, "10 without the 3 of the compression");
        held[6].shrink(1000);
        assert_eq!(budget.used(), 6 * MIB + 1000);
        assert!(lane.try_acquire().is_none());
        drop(held);
        drop((lane, aside, account));
        assert_eq!(budget.used(), 0);
        assert_eq!(budget.peak(), 7 * MIB);
        let state = budget.shared.lock();
        assert_eq!((state.promised, state.accounts, state.common), (0, 0, 0));
    }

    #[test]
    fn nobody_holds_more_than_an_equal_part() {
        let budget = Budget::new(20 * MIB);
        let (greedy, other) = (budget.account(), budget.account());
        let (lane, second) = (greedy.lane(), other.lane());
        let held: Vec<Permit> = std::iter::from_fn(|| lane.try_acquire()).collect();
        let rest: Vec<Permit> = std::iter::from_fn(|| second.try_acquire()).collect();
        assert_eq!((held.len(), rest.len()), (10, 10));
        // When the other transfer is over, its part is free for who is left.
        drop((rest, second, other));
        let more: Vec<Permit> = std::iter::from_fn(|| lane.try_acquire()).collect();
        assert_eq!(held.len() + more.len(), 20);
    }

    #[test]
    fn waiting_ends_by_what_the_caller_says_or_by_room() {
        let budget = Budget::new(0);
        let account = budget.account();
        let lane = account.lane();
        let held = lane.try_acquire().expect("room");
        assert_eq!(lane.acquire(&mut || Err("stop")).expect_err("no room"), "stop");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| lane.acquire::<Infallible>(&mut || Ok(())).map(drop));
            drop(held);
            waiting.join().expect("no panic").expect("room came");
        });
    }

    /// Two stages each, the second of which needs room while it holds what it got from the first: what deadlocks
    /// when the room is simply counted.
    #[test]
    fn many_transfers_with_a_tiny_budget_all_end() {
        for total in [0, MIB, 5 * MIB] {
            let budget = Budget::new(total);
            // All of them before the first one takes something: a promise that is made later comes on top of what is held.
            let lanes: Vec<_> = (0..16)
                .map(|_| {
                    let account = budget.account();
                    (account.lane(), account.lane())
                })
                .collect();
            std::thread::scope(|scope| {
                for (first, second) in lanes {
                    let (sender, receiver) = crossbeam_channel::bounded::<Permit>(8);
                    let (out, last) = crossbeam_channel::bounded::<Permit>(8);
                    scope.spawn(move || {
                        for _ in 0..200 {
                            let Ok(permit) = first.acquire::<Infallible>(&mut || Ok(()));
                            sender.send(permit).expect("somebody takes it");
                        }
                    });
                    scope.spawn(move || {
                        for held in receiver {
                            let Ok(permit) = second.acquire::<Infallible>(&mut || Ok(()));
                            drop(held);
                            out.send(permit).expect("somebody takes it");
                        }
                    });
                    scope.spawn(move || assert_eq!(last.into_iter().count(), 200));
                }
            });
            assert_eq!(budget.used(), 0);
            assert!(budget.peak() <= total.max(32 * MIB), "{}", budget.peak());
        }
    }
}
