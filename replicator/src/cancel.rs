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
    parent: Option<Arc<Cancel>>,
}

impl Cancel {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another flag, which counts as set when this one is, too. Setting it does not set this one: it ends a part of
    /// the work.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { flag: Arc::default(), parent: Some(Arc::new(self.clone())) }
    }

    /// Sets the flag. It stays set until [`Self::reset`].
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Release);
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::Acquire) || self.parent.as_ref().is_some_and(|parent| parent.is_cancelled())
    }

    /// Takes back what was set here, for the next part of the work. What is set above stays.
    pub fn reset(&self) {
        self.flag.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_set_with_its_parent_and_never_sets_it() {
        let run = Cancel::new();
        let (one, other) = (run.child(), run.child());
        one.cancel();
        assert!(one.clone().is_cancelled() && !other.is_cancelled() && !run.is_cancelled());
        one.reset();
        assert!(!one.is_cancelled());
        run.cancel();
        assert!(one.is_cancelled() && other.child().is_cancelled());
        one.reset();
        assert!(one.is_cancelled(), "the whole run is to stop");
    }
}
