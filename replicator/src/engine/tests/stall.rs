//! An end that hangs in a call, in the middle of a stream: the transfer is ended at both ends, what came is kept, and
//! the run goes on from there.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::*;
use crate::host::About;
use crate::host::Change;
use crate::host::Incoming;
use crate::host::Inventory;
use crate::host::Next;
use crate::host::Outgoing;
use crate::host::Properties;
use crate::host::ReceiveSpec;
use crate::host::SendSpec;
use crate::model::ModelHost;
use crate::transfer::Patience;

/// A host whose first stream stands still, in a call that only the breaker gets out of.
struct Hanging<'t> {
    host: ModelHost,
    breaker: Cancel,
    /// Hangs after so many calls of the first stream.
    after: usize,
    hung: AtomicBool,
    resumed: &'t AtomicBool,
}

impl<'t> Hanging<'t> {
    fn new(host: ModelHost, run: &Cancel, after: usize, resumed: &'t AtomicBool) -> Self {
        Self { host, breaker: run.child(), after, hung: AtomicBool::new(after == usize::MAX), resumed }
    }

    /// The calls after which this stream hangs.
    fn next_hangs(&self) -> usize {
        if self.hung.swap(true, Ordering::SeqCst) { usize::MAX } else { self.after }
    }
}

fn hang(breaker: &Cancel) -> HostError {
    while !breaker.is_cancelled() {
        std::thread::sleep(Duration::from_millis(1));
    }
    HostError::Cancelled
}

struct Stream<T> {
    inner: T,
    breaker: Cancel,
    left: usize,
}

impl<T> Stream<T> {
    fn call(&mut self) -> Result<(), HostError> {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return Err(hang(&self.breaker)),
        }
        Ok(())
    }
}

impl Outgoing for Stream<Box<dyn Outgoing + '_>> {
    fn next(&mut self, limit: usize) -> Result<Next, HostError> {
        self.call()?;
        self.inner.next(limit)
    }

    fn idle(&mut self) -> Result<(), HostError> {
        self.inner.idle()
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        self.inner.finish()
    }
}

impl Incoming for Stream<Box<dyn Incoming + '_>> {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        self.call()?;
        self.inner.write(block)
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        self.inner.idle()
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        self.inner.finish()
    }
}

impl Host for Hanging<'_> {
    fn label(&self) -> &str {
        self.host.label()
    }

    fn breaker(&self) -> Option<Cancel> {
        Some(self.breaker.clone())
    }

    fn inventory(&mut self, root: &DatasetName, depth: crate::host::Depth) -> Result<Inventory, HostError> {
        assert!(!self.breaker.is_cancelled(), "it was taken back");
        self.host.inventory(root, depth)
    }

    fn about(&mut self, pool: &str) -> Result<About, HostError> {
        self.host.about(pool)
    }

    fn removal_cost(&mut self, dataset: &DatasetName) -> Result<crate::host::RemovalCost, HostError> {
        self.host.removal_cost(dataset)
    }

    fn properties(&mut self, root: &DatasetName, depth: crate::host::Depth) -> Result<Properties, HostError> {
        self.host.properties(root, depth)
    }

    fn dates(
        &mut self,
        root: &DatasetName,
        depth: crate::host::Depth,
    ) -> Result<Vec<(SnapshotName, i64)>, HostError> {
        self.host.dates(root, depth)
    }

    fn snapshot_guids(&mut self, snapshots: &[SnapshotName]) -> Result<Vec<Option<Guid>>, HostError> {
        self.host.snapshot_guids(snapshots)
    }

    fn estimate(&mut self, streams: &[SendSpec]) -> Result<Vec<Option<u64>>, HostError> {
        self.host.estimate(streams)
    }

    fn has_zstd(&mut self) -> Result<bool, HostError> {
        Ok(false)
    }

    fn send<'a>(&'a mut self, spec: &SendSpec) -> Result<Box<dyn Outgoing + 'a>, HostError> {
        self.resumed.fetch_or(spec.resume.is_some(), Ordering::SeqCst);
        let (left, breaker) = (self.next_hangs(), self.breaker.clone());
        Ok(Box::new(Stream { inner: self.host.send(spec)?, breaker, left }))
    }

    fn receive<'a>(&'a mut self, spec: &ReceiveSpec) -> Result<Box<dyn Incoming + 'a>, HostError> {
        let (left, breaker) = (self.next_hangs(), self.breaker.clone());
        Ok(Box::new(Stream { inner: self.host.receive(spec)?, breaker, left }))
    }

    fn apply(&mut self, change: &Change) -> Result<(), HostError> {
        self.host.apply(change)
    }

    fn read(
        &mut self,
        snapshot: &SnapshotName,
        kind: crate::host::DatasetKind,
        take: &mut crate::compare::content::Take<'_>,
    ) -> Result<(), HostError> {
        self.host.read(snapshot, kind, take)
    }

    fn holds(
        &mut self,
        root: &DatasetName,
        depth: crate::host::Depth,
    ) -> Result<Vec<crate::inspect::holds::Held>, HostError> {
        self.host.holds(root, depth)
    }

    fn release(&mut self, holds: &[(SnapshotName, zfs_core::name::HoldTag)]) -> Result<(), HostError> {
        self.host.release(holds)
    }

    fn another(&self) -> Result<Box<dyn Host>, HostError> {
        self.host.another()
    }
}

#[test]
fn an_end_that_hangs_in_a_call_is_left_and_the_stream_goes_on_from_where_it_was() {
    const NEVER: usize = usize::MAX;
    for (send, receive, side) in [(NEVER, 5, "receiving"), (5, NEVER, "sending")] {
        let (world, told, cancel) = (world(), Told::default(), Cancel::new());
        let resumed = AtomicBool::new(false);
        let mut source = Hanging::new(world.host("here"), &cancel, send, &resumed);
        let mut target = Hanging::new(world.host("there"), &cancel, receive, &resumed);
        let plan = planned(&mut source, &mut target);
        let mut run = quick();
        run.transfer.patience = Patience { bytes: Some(Duration::from_secs(1)), end: None };
        let options = request().options;
        let report = execute(&plan, &options, &mut source, &mut target, &run, &told, &cancel);
        assert_eq!(report.expect("a report").failures().count(), 0, "{side}: {:?}", told.retries);
        let said = told.retries.lock().expect("no panic").first().cloned().expect("it was tried again");
        assert!(said.contains("no byte moved") && said.contains(side), "{said}");
        assert!(resumed.into_inner(), "{side}: what came was kept");
        assert!(!cancel.is_cancelled(), "the run as a whole went on");
        assert_same(&world);
    }
}
