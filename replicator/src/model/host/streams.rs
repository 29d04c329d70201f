//! Both ends of a stream of the model, with what a test has them meet.

use bytes::Bytes;
use zfs_core::ErrorKind;
use zfs_core::name::SnapshotName;
use zfs_core::send::IncrementalSource;

use super::ModelHost;
use crate::host::Base;
use crate::host::HostError;
use crate::host::Incoming;
use crate::host::Next;
use crate::host::Outgoing;
use crate::host::SendSpec;
use crate::model::receive::Receiver;
use crate::model::send::Stream;
use crate::pair::fence::Admitted;
use crate::transport::TransportError;

/// How much of a stream comes at once: less than two records, so that streams of a few blocks come in several pieces.
const CHUNK: usize = 500;

pub(super) fn stream(spec: &SendSpec) -> Stream {
    let from = spec.from.as_ref().map(|from| match from {
        Base::Snapshot(name, _) => IncrementalSource::from(name.clone()),
        Base::Bookmark(name, _) => IncrementalSource::from(name.clone()),
    });
    let resume = spec.resume.as_ref().and_then(|partial| partial.token.parse().ok());
    Stream { to: spec.to.name.clone(), from, raw: spec.raw, resume }
}

pub(super) struct ModelOutgoing {
    pub(super) host: ModelHost,
    pub(super) bytes: Bytes,
    pub(super) sent: u64,
    pub(super) failed: Option<HostError>,
}

impl Outgoing for ModelOutgoing {
    fn next(&mut self, limit: usize) -> Result<Next, HostError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut inner = self.host.world.lock();
        inner.enter(self.host.process, &self.host.machine)?;
        inner.answered(&self.host.machine)?;
        let length = self.bytes.len().min(limit).min(CHUNK);
        if length == 0 {
            return Ok(Next::End);
        }
        let cut = inner.faults.cut(self.sent, length as u64);
        let length = cut.map_or(length, |left| usize::try_from(left).unwrap_or(length));
        if cut.is_some() {
            self.bytes.truncate(length);
            let (peer, cause) = (self.host.machine.clone(), "a fault of the test".to_string());
            let lost = TransportError::Lost { peer, phase: "reading the stream", cause };
            self.failed = Some(lost.into());
            if length == 0 {
                return Err(self.failed.take().unwrap_or(HostError::Cancelled));
            }
        }
        self.sent += length as u64;
        Ok(Next::Block(self.bytes.split_to(length)))
    }

    fn idle(&mut self) -> Result<(), HostError> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        self.failed.map_or(Ok(()), Err)
    }
}

pub(super) struct ModelIncoming {
    pub(super) host: ModelHost,
    pub(super) into: SnapshotName,
    pub(super) receiver: Option<Receiver>,
    pub(super) taken: u64,
    pub(super) admitted: Option<Admitted>,
}

impl Incoming for ModelIncoming {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        let Some(receiver) = &mut self.receiver else { return Ok(()) };
        let mut inner = self.host.world.lock();
        inner.enter(self.host.process, &self.host.machine)?;
        self.taken += block.len() as u64;
        let full = inner.faults.full(self.taken);
        let (into, taken) = (&self.into, self.taken);
        inner.effect(
            &self.host.machine,
            || format!("receive {into} up to byte {taken}"),
            |machine| {
                if full {
                    receiver.break_off(machine, ErrorKind::NoSpace);
                }
                receiver.write(machine, block).map_err(|refused| self.host.error(refused))
            },
        )
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        Ok(false)
    }

    fn finish(mut self: Box<Self>) -> Result<(), HostError> {
        let mut inner = self.host.world.lock();
        inner.enter(self.host.process, &self.host.machine)?;
        let Some(receiver) = self.receiver.take() else { return Ok(()) };
        receiver.finish(inner.machine(&self.host.machine)).map_err(|refused| self.host.error(refused))?;
        inner.answered(&self.host.machine)?;
        drop(inner);
        match self.admitted.take() {
            Some(admitted) => admitted.done(&mut self.host.unfenced()),
            None => Ok(()),
        }
    }
}

impl Drop for ModelIncoming {
    /// The kernel sees the end of the pipe, whoever died.
    fn drop(&mut self) {
        let Some(mut receiver) = self.receiver.take() else { return };
        let mut inner = self.host.world.lock();
        if receiver.running().is_some()
            && let Some(calls) = inner.faults.linger()
        {
            if let Some(id) = receiver.linger() {
                inner.lingers(&self.host.machine, id, calls);
            }
            return;
        }
        receiver.break_off(inner.machine(&self.host.machine), ErrorKind::StreamTruncated);
    }
}
