//! The time of this machine, as policies need it.

use jiff::Timestamp;
use rustix::time::ClockId;
use rustix::time::clock_gettime;

/// The time by the kernel's coarse clock, which dates snapshots: one that is taken after this is never dated before it.
#[must_use]
pub fn now() -> Timestamp {
    let time = clock_gettime(ClockId::RealtimeCoarse);
    let nanoseconds = i32::try_from(time.tv_nsec).unwrap_or(0);
    // A date that no calendar has is one that nobody can act on; the first is the one that lets nothing go.
    Timestamp::new(time.tv_sec, nanoseconds).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_now() {
        let difference = super::now().as_second() - jiff::Timestamp::now().as_second();
        assert!(difference.abs() <= 1, "{difference}");
    }
}
