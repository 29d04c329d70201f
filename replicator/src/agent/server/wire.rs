//! The two directions of the connection: frames in, frames out.

use super::trouble::ServeError;
use super::trouble::protocol;
use crate::agent::answer::Answer;
use crate::agent::answer::Part;
use crate::agent::frame::Frame;
use crate::agent::frame::Frames;
use crate::agent::frame::Kind;
use crate::agent::frame::header;
use crate::agent::frame::whole;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;
use std::time::Instant;

pub(super) struct Input<R> {
    reader: R,
    frames: Frames,
    piece: Vec<u8>,
}

impl<R: Read + AsFd> Input<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, frames: Frames::default(), piece: vec![0; 64 * 1024] }
    }

    /// The next frame; none at the end between two frames. While it waits, `output` tells that it does.
    pub(super) fn next<W: Write>(&mut self, output: &mut Output<W>) -> Result<Option<Frame>, ServeError> {
        loop {
            if let Some(frame) = self.frames.next()? {
                return Ok(Some(frame));
            }
            if !self.comes(output.alive)? {
                output.alive()?;
                continue;
            }
            if !self.read()? {
                return if self.frames.is_empty() { Ok(None) } else { Err(gone()) };
            }
        }
    }

    /// The next frame, if it is whole within that time; waits again for every piece of it. Here the end is an error:
    /// somebody waits for an answer.
    pub(super) fn within(&mut self, limit: Duration) -> Result<Option<Frame>, ServeError> {
        loop {
            if let Some(frame) = self.frames.next()? {
                return Ok(Some(frame));
            }
            if !self.comes(limit)? {
                return Ok(None);
            }
            if !self.read()? {
                return Err(gone());
            }
        }
    }

    /// Whether there is something to read, or the end, within that time.
    fn comes(&self, limit: Duration) -> Result<bool, ServeError> {
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        let mut fds = [PollFd::from_borrowed_fd(self.reader.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&limit)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(false),
            Ok(_) => Ok(true),
            Err(errno) => Err(ServeError::Connection(errno.into())),
        }
    }

    /// Reads some; false at the end.
    fn read(&mut self) -> Result<bool, ServeError> {
        loop {
            match self.reader.read(&mut self.piece) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    self.frames.push(&self.piece[..n]);
                    return Ok(true);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ServeError::Connection(error)),
            }
        }
    }
}

fn gone() -> ServeError {
    ServeError::Connection(std::io::ErrorKind::UnexpectedEof.into())
}

pub(super) struct Output<W> {
    writer: W,
    /// How often a waiting agent says that it is there.
    alive: Duration,
    written: Instant,
}

impl<W: Write> Output<W> {
    pub(super) fn new(writer: W, alive: Duration) -> Self {
        Self { writer, alive, written: Instant::now() }
    }

    /// How often it says that it is there.
    pub(super) fn every(&self) -> Duration {
        self.alive
    }

    /// Whether nothing was written for long.
    pub(super) fn is_due(&self) -> bool {
        self.written.elapsed() >= self.alive
    }

    /// A sign of life, when the last one was long ago.
    pub(super) fn alive(&mut self) -> Result<(), ServeError> {
        if !self.is_due() {
            return Ok(());
        }
        self.write(&header(Kind::Alive, 0, 0))?;
        self.writer.flush().map_err(ServeError::Connection)
    }

    pub(super) fn message(
        &mut self,
        kind: Kind,
        id: u32,
        message: &impl serde::Serialize,
    ) -> Result<(), ServeError> {
        let text = serde_json::to_vec(message).map_err(protocol)?;
        // Every message is cut so that it fits; one that does not would be refused at the other end anyway.
        let frame =
            whole(kind, id, &text).ok_or_else(|| protocol("an answer is larger than a frame may be"))?;
        self.write(&frame).and_then(|()| self.writer.flush().map_err(ServeError::Connection))
    }

    pub(super) fn part(&mut self, id: u32, part: &Part) -> Result<(), ServeError> {
        self.message(Kind::Part, id, part)
    }

    pub(super) fn answer(&mut self, id: u32, answer: &Answer) -> Result<(), ServeError> {
        self.message(Kind::Answer, id, answer)
    }

    pub(super) fn data(&mut self, id: u32, block: &[u8]) -> Result<(), ServeError> {
        self.write(&header(Kind::Data, id, block.len()))?;
        self.write(block)?;
        self.writer.flush().map_err(ServeError::Connection)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ServeError> {
        self.written = Instant::now();
        self.writer.write_all(bytes).map_err(ServeError::Connection)
    }
}
