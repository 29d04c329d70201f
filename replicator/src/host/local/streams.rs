//! The kernel's ends of a stream.

use std::time::Duration;

use bytes::Buf;
use bytes::Bytes;
use zfs_core::receive::Receiver;
use zfs_core::send::SendStream;

use crate::cancel::Cancel;
use crate::cancel::TICK;
use crate::host::HostError;
use crate::host::Incoming;
use crate::host::Next;
use crate::host::Outgoing;
use crate::transport::TransportError;

/// The typed error inside an I/O error, where there is one.
fn unwrap(error: std::io::Error, doing: &'static str) -> HostError {
    match error.downcast::<zfs_core::Error>() {
        Ok(error) => HostError::Zfs(error),
        Err(error) => {
            TransportError::Local { what: format!("cannot {doing}"), cause: error.to_string() }.into()
        }
    }
}

/// How long a block that has begun waits for more: the kernel fills the pipe again as soon as there is room.
const GATHER: Duration = Duration::from_millis(20);

pub(super) struct LocalOutgoing {
    pub(super) stream: SendStream,
}

impl Outgoing for LocalOutgoing {
    fn next(&mut self, limit: usize) -> Result<Next, HostError> {
        let failed = |error| unwrap(error, "read the stream");
        if !self.stream.wait(TICK).map_err(failed)? {
            return Ok(Next::Nothing);
        }
        // A read gives at most what is in the pipe; a block is what a few of them bring.
        let mut block = Vec::with_capacity(limit);
        while block.len() < limit && (block.is_empty() || self.stream.wait(GATHER).map_err(failed)?) {
            match self.stream.append_to(&mut block) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(if block.is_empty() { Next::End } else { Next::Block(block.into()) })
    }

    fn idle(&mut self) -> Result<(), HostError> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        self.stream.finish()?;
        Ok(())
    }
}

pub(super) struct LocalIncoming {
    pub(super) receiver: Receiver,
    pub(super) cancel: Cancel,
}

impl Incoming for LocalIncoming {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        let mut rest = block.clone();
        while !rest.is_empty() {
            let count = self.offer(&rest)?;
            rest.advance(count);
        }
        Ok(())
    }

    fn offer(&mut self, block: &Bytes) -> Result<usize, HostError> {
        if self.cancel.is_cancelled() {
            return Err(HostError::Cancelled);
        }
        match self.receiver.write_within(block, TICK) {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(unwrap(error, "write the stream")),
        }
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        Ok(false)
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        self.receiver.finish()?;
        Ok(())
    }
}
