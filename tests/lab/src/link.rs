//! A link between two nodes, and what a test can do to it: cut, heal, delay, narrow, fall silent after so
//! many bytes. Frames come from and go to the ports of `switch`; counters let a test show that its fault took
//! place.

use crate::switch::Port;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Frames a narrow or slow link holds before it drops the newest, as a router would.
const QUEUE_FRAMES: usize = 16 * 1024;

/// How long a frame may wait for bandwidth alone before it is dropped.
const QUEUE_TIME: Duration = Duration::from_millis(300);

/// What passed, and what did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames passed on, in both directions.
    pub frames: u64,
    /// TCP payload passed on, in both directions, in bytes.
    pub payload: u64,
    /// Frames dropped because the link was cut or had fallen silent.
    pub dropped: u64,
    /// Frames dropped because the queue of a delayed or narrow link was full.
    pub overflow: u64,
    /// How often a [`Link::drop_after`] took effect.
    pub silenced: u64,
}

/// A link, shared by its two directions. Clones are the same link.
#[derive(Clone, Debug)]
pub struct Link(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    queues: [Arc<Queue>; 2],
}

#[derive(Debug, Default)]
struct State {
    cut: bool,
    silent: bool,
    drop_after: Option<u64>,
    delay: Duration,
    bandwidth: Option<u64>,
    /// When each direction has sent what it was given.
    free: [Option<Instant>; 2],
    counters: Counters,
}

impl Link {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), queues: Default::default() }))
    }

    /// Nothing passes any more, in either direction, and nobody is told.
    pub fn cut(&self) {
        self.state().cut = true;
    }

    /// Ends a cut or a silence. Delay and bandwidth stay.
    pub fn heal(&self) {
        let mut state = self.state();
        state.cut = false;
        state.silent = false;
        state.drop_after = None;
    }

    /// Every frame takes so much longer, one way.
    pub fn delay(&self, time: Duration) {
        self.state().delay = time;
    }

    /// Each direction carries at most so many bytes a second; `None` for no limit.
    pub fn bandwidth(&self, bytes_per_second: Option<u64>) {
        self.state().bandwidth = bytes_per_second;
    }

    /// After so many more bytes of TCP payload (both directions together) the link falls silent, until
    /// [`Link::heal`].
    pub fn drop_after(&self, bytes: u64) {
        self.state().drop_after = Some(bytes);
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.state().counters
    }

    /// Waits until a [`Link::drop_after`] took effect; false when it did not within the limit.
    pub fn wait_silent(&self, limit: Duration) -> bool {
        let start = Instant::now();
        while !self.state().silent {
            if start.elapsed() > limit {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// Carries a frame in one direction (0 or 1), at once or later.
    pub(crate) fn carry(&self, direction: usize, frame: &[u8], to: &Arc<Port>) {
        let due = {
            let mut state = self.state();
            let payload = tcp_payload(frame);
            if state.drop_after.is_some_and(|left| payload > left) {
                state.drop_after = None;
                state.silent = true;
                state.counters.silenced += 1;
            }
            if state.cut || state.silent {
                state.counters.dropped += 1;
                return;
            }
            let now = Instant::now();
            let mut due = now + state.delay;
            if let Some(rate) = state.bandwidth {
                let begin = state.free[direction].map_or(now, |free| free.max(now));
                if begin - now > QUEUE_TIME {
                    state.counters.overflow += 1;
                    return;
                }
                let end = begin + Duration::from_secs_f64(frame.len() as f64 / rate.max(1) as f64);
                state.free[direction] = Some(end);
                due = end + state.delay;
            }
            if let Some(left) = &mut state.drop_after {
                *left -= payload;
            }
            state.counters.frames += 1;
            state.counters.payload += payload;
            (due > now).then_some(due)
        };
        let queue = &self.0.queues[direction];
        match due {
            // Nothing may overtake what already waits.
            None if queue.is_empty() => to.send(frame),
            due => {
                if !queue.push(due.unwrap_or_else(Instant::now), frame, to) {
                    self.state().counters.overflow += 1;
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frames on their way, in order. A thread carries them while there are any.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<(Instant, Vec<u8>, Arc<Port>)>,
    carried: bool,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.lock().frames.is_empty()
    }

    fn push(self: &Arc<Self>, due: Instant, frame: &[u8], to: &Arc<Port>) -> bool {
        let mut waiting = self.lock();
        if waiting.frames.len() >= QUEUE_FRAMES {
            return false;
        }
        waiting.frames.push_back((due, frame.to_vec(), Arc::clone(to)));
        if !waiting.carried {
            waiting.carried = true;
            let queue = Arc::clone(self);
            thread::spawn(move || queue.carry());
        }
        self.changed.notify_one();
        true
    }

    fn carry(&self) {
        let mut waiting = self.lock();
        let mut idle = false;
        loop {
            let Some((due, ..)) = waiting.frames.front() else {
                // Stay for a moment: a busy link would otherwise start a thread for every frame.
                if idle {
                    waiting.carried = false;
                    return;
                }
                idle = true;
                waiting = self
                    .changed
                    .wait_timeout(waiting, Duration::from_millis(200))
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
                continue;
            };
            idle = false;
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                if let Some((_, frame, to)) = waiting.frames.front().cloned() {
                    drop(waiting);
                    to.send(&frame);
                    waiting = self.lock();
                    waiting.frames.pop_front();
                }
            } else {
                drop(waiting);
                thread::sleep(left);
                waiting = self.lock();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes a TCP segment over IPv4 carries; 0 for every other frame.
fn tcp_payload(frame: &[u8]) -> u64 {
    let payload = || {
        let ip = frame.get(14..)?;
        if frame.get(12..14)? != [8, 0] || *ip.get(9)? != 6 {
            return None;
        }
        let header = usize::from(ip.first()? & 15) * 4;
        let total = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
        let offset = usize::from(ip.get(header + 12)? >> 4) * 4;
        total.checked_sub(header + offset)
    };
    payload().unwrap_or(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_only_what_tcp_carries() {
        let mut frame = vec![0; 14 + 20 + 20 + 7];
        frame[12] = 8;
        frame[14] = 0x45;
        frame[17] = 47;
        frame[23] = 6;
        frame[46] = 0x50;
        assert_eq!(tcp_payload(&frame), 7);
        frame[23] = 17;
        assert_eq!(tcp_payload(&frame), 0);
        for length in 0..frame.len() {
            tcp_payload(&frame[..length]);
        }
    }
}
