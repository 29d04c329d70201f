//! The two directions of a stream over the connection to an agent.

use super::RECEIVE;
use super::SEND;
use super::link::Link;
use crate::agent::DATA_LIMIT;
use crate::agent::Kind;
use crate::agent::header;
use crate::host::HostError;
use crate::host::Incoming;
use crate::host::Next;
use crate::host::Outgoing;
use crate::transport::TransportError;
use bytes::Bytes;

pub(super) struct AgentOutgoing<'a> {
    link: &'a mut Link,
    id: u32,
    /// Of a block that was larger than was asked for.
    rest: Bytes,
    /// How it ended.
    outcome: Option<Result<(), HostError>>,
}

impl<'a> AgentOutgoing<'a> {
    pub(super) fn new(link: &'a mut Link, id: u32) -> Self {
        Self { link, id, rest: Bytes::new(), outcome: None }
    }
}

impl Outgoing for AgentOutgoing<'_> {
    fn next(&mut self, limit: usize) -> Result<Next, HostError> {
        if self.rest.is_empty() {
            if self.outcome.is_some() {
                return Ok(Next::End);
            }
            let Some(frame) = self.link.reply(self.id, SEND)? else { return Ok(Next::Nothing) };
            match frame.kind {
                Kind::Data => self.rest = frame.payload,
                Kind::Answer => {
                    let answer = self.link.parse(&frame, SEND)?;
                    self.outcome = Some(self.link.outcome(answer, SEND));
                    return Ok(Next::End);
                }
                kind => return Err(self.link.broken(SEND, format!("{kind} in a stream"))),
            }
        }
        Ok(Next::Block(self.rest.split_to(self.rest.len().min(limit))))
    }

    fn idle(&mut self) -> Result<(), HostError> {
        match self.link.worker.idle() {
            Ok(_) => Ok(()),
            Err(error) => Err(self.link.transport(error)),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<(), HostError> {
        match self.outcome.take() {
            Some(outcome) => {
                self.outcome = Some(Ok(()));
                outcome
            }
            None => Err(self.link.broken(SEND, "the stream was not read to its end")),
        }
    }
}

impl Drop for AgentOutgoing<'_> {
    fn drop(&mut self) {
        if self.outcome.is_none() {
            self.link.give_up(self.id);
        }
    }
}

pub(super) struct AgentIncoming<'a> {
    link: &'a mut Link,
    id: u32,
    /// How it ended, where that was read already.
    settled: Option<Result<(), HostError>>,
}

impl<'a> AgentIncoming<'a> {
    pub(super) fn new(link: &'a mut Link, id: u32) -> Self {
        Self { link, id, settled: None }
    }

    /// Looks for the answer: true when it is there.
    fn look(&mut self) -> Result<bool, HostError> {
        if self.settled.is_some() {
            return Ok(true);
        }
        match self.link.reply(self.id, RECEIVE) {
            Ok(None) => return Ok(false),
            Ok(Some(frame)) if frame.kind == Kind::Answer => {
                let answer = self.link.parse(&frame, RECEIVE)?;
                self.settled = Some(self.link.outcome(answer, RECEIVE));
            }
            Ok(Some(frame)) => {
                let error = self.link.broken(RECEIVE, format!("{} while a stream is received", frame.kind));
                self.settled = Some(Err(error));
            }
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => self.settled = Some(Err(error)),
        }
        Ok(true)
    }

    fn stopped(&self) -> HostError {
        TransportError::StdinClosed { peer: self.link.label.clone() }.into()
    }
}

impl Incoming for AgentIncoming<'_> {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        if self.settled.is_some() {
            return Err(self.stopped());
        }
        let mut rest = block.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(DATA_LIMIT));
            // An agent whose receive fails ends, and by that the writing, too.
            self.link.write(Bytes::copy_from_slice(&header(Kind::Data, self.id, piece.len())))?;
            self.link.write(piece)?;
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        self.look()
    }

    fn finish(mut self: Box<Self>) -> Result<(), HostError> {
        if self.settled.is_none() {
            match self.link.write(Bytes::copy_from_slice(&header(Kind::End, self.id, 0))) {
                Ok(()) | Err(HostError::Transport(TransportError::StdinClosed { .. })) => {}
                Err(error) => {
                    self.settled = Some(Ok(()));
                    return Err(error);
                }
            }
            while !self.look()? {}
        }
        match self.settled.replace(Ok(())) {
            Some(outcome) => outcome,
            None => Ok(()),
        }
    }
}

impl Drop for AgentIncoming<'_> {
    fn drop(&mut self) {
        // What arrived is kept there, to go on from.
        if self.settled.is_none() {
            self.link.give_up(self.id);
        }
    }
}
