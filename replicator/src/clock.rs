//! The time of this machine, as policies need it.

use jiff::SignedDuration;
use jiff::Timestamp;

/// Longer than a tick of any kernel.
const TICK: SignedDuration = SignedDuration::from_millis(20);

/// The time a moment ago. The kernel dates snapshots by its coarse clock, which is behind by up to a tick: one that is
/// taken after this is never dated before it.
#[must_use]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    now.checked_sub(TICK).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_now() {
        let (before, found, after) = (jiff::Timestamp::now(), super::now(), jiff::Timestamp::now());
        let tick = super::TICK;
        assert!(before - tick <= found && found <= after - tick, "{before} {found} {after}");
    }
}
