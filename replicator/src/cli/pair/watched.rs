//! A send that looks before each of its steps whether it may still be taken, and ends everything where it may not. Who a
//! cluster or a timer has started sends like this: the service can leave while a stream is on its way.

use std::time::Duration;

use zfs_core::name::DatasetName;

use crate::cancel::Cancel;
use crate::engine::Observer;
use crate::engine::Place;
use crate::engine::RunError;
use crate::plan::Step;
use crate::role::watch::Fence;
use crate::transfer::Moved;

/// An observer, behind a fence.
pub(in crate::cli) struct Watched<'f> {
    inner: &'f dyn Observer,
    fence: &'f Fence,
    /// Ends the send.
    cancel: &'f Cancel,
}

impl<'f> Watched<'f> {
    /// `cancel` is set where the fence says no: it has to end this send, and nothing else.
    pub(in crate::cli) fn new(inner: &'f dyn Observer, fence: &'f Fence, cancel: &'f Cancel) -> Self {
        Self { inner, fence, cancel }
    }
}

impl Observer for Watched<'_> {
    fn step_started(&self, place: Place, step: &Step) {
        if self.fence.check().is_err() {
            self.cancel.cancel();
        }
        self.inner.step_started(place, step);
    }

    fn progress(&self, place: Place, moved: Moved) {
        self.inner.progress(place, moved);
    }

    fn step_finished(&self, place: Place, step: &Step, moved: Moved) {
        self.inner.step_finished(place, step, moved);
    }

    fn retry(&self, dataset: &DatasetName, error: &RunError, after: Duration) {
        self.inner.retry(dataset, error, after);
    }

    fn note(&self, text: &str) {
        self.inner.note(text);
    }
}
