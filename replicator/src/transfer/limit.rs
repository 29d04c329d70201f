//! A limit in bytes per second that all transfers of a run share: a bucket that fills with time, from which each
//! piece takes its bytes before it goes. Who waits is told nothing of time; it looks at its own reasons to stop.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use super::BLOCK;
use crate::cancel::TICK;

/// Where the time comes from; tests make their own.
pub trait Clock: Send + Sync {
    /// The time since a moment that stays the same.
    fn now(&self) -> Duration;

    /// Lets so much time pass.
    fn sleep(&self, time: Duration);
}

/// The clock of the system, which does not jump.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A limit for all transfers of a run; clones are the same limit.
#[derive(Clone, Default)]
pub struct Limiter {
    bucket: Option<Arc<Bucket>>,
}

struct Bucket {
    rate: NonZeroU64,
    clock: Arc<dyn Clock>,
    level: Mutex<Level>,
}

struct Level {
    /// Bytes that may go now. Below zero after a piece that was larger than what was there.
    bytes: f64,
    at: Duration,
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").field("rate", &self.rate()).finish_non_exhaustive()
    }
}

impl Limiter {
    /// No limit.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// So many bytes per second.
    #[must_use]
    pub fn new(rate: NonZeroU64) -> Self {
        Self::with_clock(rate, Arc::new(SystemClock::default()))
    }

    /// With another clock.
    #[must_use]
    pub fn with_clock(rate: NonZeroU64, clock: Arc<dyn Clock>) -> Self {
        let level = Mutex::new(Level { bytes: 0.0, at: clock.now() });
        Self { bucket: Some(Arc::new(Bucket { rate, clock, level })) }
    }

    /// Bytes per second, where there is a limit.
    #[must_use]
    pub fn rate(&self) -> Option<NonZeroU64> {
        self.bucket.as_ref().map(|bucket| bucket.rate)
    }

    /// The largest piece that should go at once: a tenth of a second's worth, so that a low rate flows evenly.
    pub(super) fn grain(&self) -> usize {
        let Some(rate) = self.rate() else { return BLOCK };
        usize::try_from(rate.get() / 10).unwrap_or(BLOCK).clamp(4096, BLOCK)
    }

    /// Returns when so many bytes may go. While they may not, `waiting` is called each [`TICK`] at least; the error
    /// it returns ends the waiting.
    pub(super) fn take<E>(&self, bytes: usize, waiting: &mut dyn FnMut() -> Result<(), E>) -> Result<(), E> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        loop {
            let pause = match bucket.try_take(bytes) {
                Ok(()) => return Ok(()),
                Err(pause) => pause,
            };
            bucket.clock.sleep(pause.min(TICK));
            waiting()?;
        }
    }
}

impl Bucket {
    /// Takes the bytes once the level is above zero, or says how long that will take.
    fn try_take(&self, bytes: usize) -> Result<(), Duration> {
        let rate = self.rate.get() as f64;
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let passed = now.saturating_sub(level.at).as_secs_f64();
        level.at = now;
        // What was not used in the last tenth of a second is lost: a limit is not a mean over the whole run.
        level.bytes = (level.bytes + passed * rate).min(rate / 10.0);
        if level.bytes > 0.0 {
            level.bytes -= bytes as f64;
            return Ok(());
        }
        // At least a millisecond: rounding must not make a loop of it.
        Err(Duration::try_from_secs_f64(-level.bytes / rate).unwrap_or(TICK).max(Duration::from_millis(1)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;

    use super::*;

    /// Time passes when somebody sleeps, and only then.
    #[derive(Default)]
    pub(crate) struct Asleep {
        nanoseconds: AtomicU64,
    }

    impl Clock for Asleep {
        fn now(&self) -> Duration {
            Duration::from_nanos(self.nanoseconds.load(Ordering::SeqCst))
        }

        fn sleep(&self, time: Duration) {
            self.nanoseconds.fetch_add(time.as_nanos() as u64, Ordering::SeqCst);
        }
    }

    fn limiter(rate: u64) -> (Limiter, Arc<Asleep>) {
        let clock = Arc::new(Asleep::default());
        (Limiter::with_clock(NonZeroU64::new(rate).expect("not zero"), clock.clone()), clock)
    }

    fn take(limiter: &Limiter, bytes: usize) {
        let Ok(()) = limiter.take::<Infallible>(bytes, &mut || Ok(()));
    }

    #[test]
    fn the_rate_is_kept_whatever_the_size_of_the_pieces() {
        for (rate, piece) in [(1_000_000, 1000), (1_000_000, 1 << 20), (50_000_000, 1 << 20), (7, 4096)] {
            let (limiter, clock) = limiter(rate);
            let total = rate as usize * 20;
            let mut gone = 0;
            while gone < total {
                take(&limiter, piece);
                gone += piece;
            }
            take(&limiter, 1);
            let seconds = clock.now().as_secs_f64();
            let expected = gone as f64 / rate as f64;
            // What the bucket holds, and the last piece's rounding up.
            assert!((seconds - expected).abs() < 0.3, "{rate}/{piece}: {seconds} s, expected {expected}");
        }
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let (limiter, clock) = limiter(1_000_000);
        clock.sleep(Duration::from_secs(3600));
        let before = clock.now();
        for _ in 0..1000 {
            take(&limiter, 10_000);
        }
        assert!(clock.now() - before > Duration::from_millis(9_800));
    }

    #[test]
    fn two_who_share_it_get_one_rate() {
        let (limiter, clock) = limiter(1_000_000);
        let other = limiter.clone();
        for _ in 0..500 {
            take(&limiter, 10_000);
            take(&other, 10_000);
        }
        assert!(clock.now() > Duration::from_millis(9_800));
    }

    #[test]
    fn waiting_looks_up_each_tick_and_can_be_ended() {
        let (limiter, clock) = limiter(1000);
        take(&limiter, 1);
        take(&limiter, 100_000);
        let mut looked = 0;
        let mut last = clock.now();
        let ended = limiter.take(1, &mut || {
            assert!(clock.now() - last <= TICK);
            last = clock.now();
            looked += 1;
            if looked == 20 { Err("stop") } else { Ok(()) }
        });
        assert_eq!((ended, looked), (Err("stop"), 20));
        assert!(clock.now() < Duration::from_secs(5));
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let ended: Result<(), &str> = Limiter::none().take(usize::MAX, &mut || Err("waited"));
        assert_eq!(ended, Ok(()));
        assert_eq!(Limiter::none().grain(), BLOCK);
        assert_eq!(limiter(1).0.grain(), 4096);
        assert_eq!(limiter(100_000_000).0.grain(), BLOCK);
    }
}
