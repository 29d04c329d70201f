//! A TLS connection over a socket that never blocks. Everything waits for a moment at most, so that the caller can look at
//! other things. What came in plain and was not read yet stays in the library, whose buffers are bounded.

use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::io::Errno;
use rustls::Connection;

use crate::cancel::TICK;

/// How much that is encrypted may wait to be sent.
const WAITING: usize = 256 * 1024;

/// How much may lie unread where only writing goes on: the library takes in no more than twice that.
const UNREAD: usize = 8 * 1024;

/// How much is taken from the socket at once: the library alone would take 4 KiB.
const AT_ONCE: usize = 128 * 1024;

/// What reading gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The other end said that there is no more.
    End,
}

/// A connection, encrypted from its first byte on.
pub(crate) struct TlsStream {
    connection: Connection,
    socket: TcpStream,
    /// What came from the socket, of which the library has not taken what begins at `taken`.
    came: Vec<u8>,
    taken: usize,
    /// What came in plain and was not read yet.
    unread: usize,
    /// The other end said that there is no more.
    ended: bool,
}

impl TlsStream {
    /// Before the handshake.
    ///
    /// # Errors
    /// When the socket cannot be set up.
    pub(crate) fn new(connection: impl Into<Connection>, socket: TcpStream) -> std::io::Result<Self> {
        let mut connection = connection.into();
        connection.set_buffer_limit(Some(WAITING));
        socket.set_nonblocking(true)?;
        // Small frames are questions, and who asks waits for the answer.
        socket.set_nodelay(true)?;
        Ok(Self { connection, socket, came: Vec::new(), taken: 0, unread: 0, ended: false })
    }

    /// Goes on with the handshake as far as it can without waiting. Whether it is done: then the other end has shown the
    /// certificate that it must have. Not a byte of it was given to anybody before.
    ///
    /// # Errors
    /// When the other end is not the right one, speaks something else, or is gone.
    pub(crate) fn handshake(&mut self) -> std::io::Result<bool> {
        while self.connection.is_handshaking() {
            self.flush()?;
            if !self.connection.is_handshaking() {
                break;
            }
            if !self.take_in()? {
                return Ok(false);
            }
        }
        self.flush()?;
        Ok(!self.connection.wants_write())
    }

    /// What there is. What waits to be sent goes on meanwhile.
    ///
    /// # Errors
    /// When the connection broke, was changed on its way, or ended without a word.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<Got> {
        // Where the other end is gone, what it said before that is still to be read, and then says so, too.
        let sent = self.flush();
        loop {
            match self.connection.reader().read(buffer) {
                Ok(0) => return Ok(Got::End),
                Ok(n) => {
                    self.unread = self.unread.saturating_sub(n);
                    return Ok(Got::Bytes(n));
                }
                Err(error) if is_for_later(&error) => {}
                Err(error) => return Err(error),
            }
            if !self.take_in()? {
                return sent.map(|_| Got::Nothing);
            }
        }
    }

    /// Takes some of it; 0 when nothing can be taken now.
    ///
    /// # Errors
    /// When the connection broke.
    pub(crate) fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.flush()?;
        let taken = self.connection.writer().write(data)?;
        self.flush()?;
        Ok(taken)
    }

    /// Whether the other end has said that there is no more, for who only writes. What comes in meanwhile is kept, within
    /// bounds.
    ///
    /// # Errors
    /// When the connection broke.
    pub(crate) fn has_ended(&mut self) -> std::io::Result<bool> {
        if !self.ended && self.unread < UNREAD {
            self.take_in()?;
        }
        Ok(self.ended)
    }

    /// Says that there is no more, and sends what waits, as far as that can be done without waiting.
    ///
    /// # Errors
    /// When the connection broke.
    pub(crate) fn close(&mut self) -> std::io::Result<bool> {
        self.connection.send_close_notify();
        self.flush()?;
        Ok(!self.connection.wants_write())
    }

    /// Sends what waits. True when nothing waits any more.
    ///
    /// # Errors
    /// When the connection broke.
    pub(crate) fn flush(&mut self) -> std::io::Result<bool> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut self.socket) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Takes in some of what the socket has. False when it has nothing.
    fn take_in(&mut self) -> std::io::Result<bool> {
        if self.taken == self.came.len() {
            self.taken = 0;
            self.came.resize(AT_ONCE, 0);
            match self.socket.read(&mut self.came) {
                // Of an end the library is told by a read that gives nothing.
                Ok(n) => self.came.truncate(n),
                Err(error) => {
                    self.came.clear();
                    return if is_for_later(&error) { Ok(false) } else { Err(error) };
                }
            }
        }
        let taken = self.connection.read_tls(&mut &self.came[self.taken..])?;
        self.taken += taken;
        if taken == 0 && self.connection.is_handshaking() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        // What an end means is told by the next look for bytes: it was said, or it is a cut.
        match self.connection.process_new_packets() {
            Ok(state) => {
                self.unread = state.plaintext_bytes_to_read();
                self.ended = state.peer_has_closed();
                Ok(true)
            }
            Err(error) => {
                // The other end learns why, if it still listens.
                let _ = self.flush();
                Err(std::io::Error::new(std::io::ErrorKind::InvalidData, error))
            }
        }
    }

    /// What is to be waited for, besides what the caller waits for.
    pub(crate) fn wants(&self, reading: bool) -> PollFlags {
        let mut flags = PollFlags::empty();
        if reading {
            flags |= PollFlags::IN;
        }
        if self.connection.wants_write() {
            flags |= PollFlags::OUT;
        }
        flags
    }

    /// Waits for at most a moment until there may be more to read, or until what waits can be sent.
    ///
    /// # Errors
    /// When it cannot wait.
    pub(crate) fn wait(&self, reading: bool) -> std::io::Result<()> {
        pause(&mut [PollFd::new(&self.socket, self.wants(reading))], TICK)
    }
}

impl AsFd for TlsStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Waits for at most `limit`, and not longer than a [`TICK`].
pub(crate) fn pause(fds: &mut [PollFd<'_>], limit: Duration) -> std::io::Result<()> {
    let limit = Timespec { tv_sec: 0, tv_nsec: limit.min(TICK).subsec_nanos().into() };
    match poll(fds, Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

pub(crate) fn is_for_later(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted)
}
