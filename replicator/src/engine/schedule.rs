//! Which dataset is next: the first one whose predecessors succeeded. Shared by the threads of a run.

use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Done,
    Failed,
}

/// What a thread gets when it asks for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Work on this one.
    Run(usize),
    /// This one cannot be worked on, because the other failed.
    Refuse(usize, usize),
    /// There is no more.
    Finished,
}

pub(super) struct Schedule {
    after: Vec<Vec<usize>>,
    states: Mutex<Vec<State>>,
    changed: Condvar,
}

impl Schedule {
    /// Of datasets with the places of their predecessors.
    pub(super) fn new(after: Vec<Vec<usize>>) -> Self {
        let states = Mutex::new(vec![State::Waiting; after.len()]);
        Self { after, states, changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next one, waiting for predecessors that others work on.
    pub(super) fn next(&self) -> Next {
        let mut states = self.lock();
        loop {
            let mut waiting = None;
            for at in 0..states.len() {
                if states[at] != State::Waiting {
                    continue;
                }
                waiting.get_or_insert(at);
                let state = |place: &usize| states.get(*place).copied().unwrap_or(State::Failed);
                if let Some(failed) = self.after[at].iter().find(|place| state(place) == State::Failed) {
                    let failed = *failed;
                    states[at] = State::Failed;
                    return Next::Refuse(at, failed);
                }
                if self.after[at].iter().all(|place| state(place) == State::Done) {
                    states[at] = State::Running;
                    return Next::Run(at);
                }
            }
            let Some(stuck) = waiting else { return Next::Finished };
            if !states.contains(&State::Running) {
                // They wait for each other; the planner makes no such plans.
                states[stuck] = State::Failed;
                return Next::Refuse(stuck, self.after[stuck].first().copied().unwrap_or(stuck));
            }
            states = self.changed.wait(states).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says what became of it.
    pub(super) fn done(&self, at: usize, success: bool) {
        self.lock()[at] = if success { State::Done } else { State::Failed };
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predecessors_come_first_and_their_failure_is_passed_on() {
        let schedule = Schedule::new(vec![vec![], vec![0], vec![3], vec![], vec![1]]);
        assert_eq!(schedule.next(), Next::Run(0));
        assert_eq!(schedule.next(), Next::Run(3));
        schedule.done(0, false);
        assert_eq!(schedule.next(), Next::Refuse(1, 0));
        assert_eq!(schedule.next(), Next::Refuse(4, 1));
        schedule.done(3, true);
        assert_eq!(schedule.next(), Next::Run(2));
        schedule.done(2, true);
        assert_eq!(schedule.next(), Next::Finished);
    }

    #[test]
    fn a_circle_ends() {
        let schedule = Schedule::new(vec![vec![1], vec![0]]);
        assert_eq!(schedule.next(), Next::Refuse(0, 1));
        assert_eq!(schedule.next(), Next::Refuse(1, 0));
        assert_eq!(schedule.next(), Next::Finished);
    }

    #[test]
    fn a_thread_waits_for_what_another_works_on() {
        let schedule = Schedule::new(vec![vec![], vec![0]]);
        assert_eq!(schedule.next(), Next::Run(0));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| schedule.next());
            schedule.done(0, true);
            assert_eq!(other.join().expect("no panic"), Next::Run(1));
        });
    }
}
