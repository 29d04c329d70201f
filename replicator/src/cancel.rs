//! A flag that says "stop": set once, by a signal or by a failure at the other end of a pipeline, and looked at by
//! every loop that waits.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The longest that a loop waits before it looks at its [`Cancel`] again.
pub const TICK: Duration = Duration::from_millis(200);

/// A shared flag; clones are the same flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    flag: Arc<AtomicBool>,
    whole: Option<Arc<AtomicBool>>,
}

impl Cancel {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag for a part of the work: this one sets it as well, but not the other way round. A part of a part belongs
    /// to the same whole.
    #[must_use]
    pub fn part(&self) -> Self {
        Self { flag: Arc::default(), whole: Some(Arc::clone(self.whole.as_ref().unwrap_or(&self.flag))) }
    }

    /// Sets the flag. It stays set, unless it is that of a part.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Release);
    }

    /// Makes the part usable again that was cancelled for itself. The whole stays as it is.
    pub fn reset(&self) {
        if self.whole.is_some() {
            self.flag.store(false, Ordering::Release);
        }
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let set = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        set(&self.flag) || self.whole.as_deref().is_some_and(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_stops_for_itself_and_with_the_whole() {
        let whole = Cancel::new();
        let (one, other) = (whole.part(), whole.part().part());
        one.cancel();
        assert!(one.is_cancelled() && !other.is_cancelled() && !whole.is_cancelled());
        one.reset();
        assert!(!one.is_cancelled());
        whole.cancel();
        one.reset();
        whole.reset();
        assert!(one.is_cancelled() && other.is_cancelled() && whole.is_cancelled());
    }
}
