//! One command on an SSH channel: bytes in, bytes out, and how it ended. All buffers are bounded by the channel's
//! window and by [`STDERR_LIMIT`].

use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::time::Instant;

use bytes::Bytes;
use ssh2::Channel;
use ssh2::ErrorCode;

use super::Link;
use crate::transport::Exit;
use crate::transport::Process;
use crate::transport::STDERR_LIMIT;
use crate::transport::TransportError;

/// How much the other side may send before we read it. It bounds libssh2's queue, and over a long line the rate:
/// window divided by round-trip time.
const WINDOW: u32 = 8 * 1024 * 1024;
const PACKET: u32 = 32 * 1024;

pub(super) struct SshProcess<'a> {
    link: &'a mut Link,
    channel: Channel,
    stderr: Vec<u8>,
    /// What the command printed while we were writing; kept for [`Process::finish`], bounded.
    stdout: Vec<u8>,
    reads: u32,
    /// Somebody reads standard output: what comes there is theirs, and must not be drained away.
    reading: bool,
    ended: bool,
}

/// More than this on standard output is not expected from a command that is being written to.
const EARLY_STDOUT_LIMIT: usize = 64 * 1024;

/// How libssh2 says that the server wants no channel, or no command on it.
const DENIED: [ErrorCode; 2] = [ErrorCode::Session(-21), ErrorCode::Session(-22)];

fn refused(error: TransportError, denied: bool) -> TransportError {
    match error {
        TransportError::Lost { peer, cause, .. } if denied => TransportError::Refused { peer, cause },
        other => other,
    }
}

impl<'a> SshProcess<'a> {
    pub(super) fn start(link: &'a mut Link, command_line: &str) -> Result<Self, TransportError> {
        let limit = link.timeouts.handshake;
        link.heard = Instant::now();
        // The server's no is to be told from a connection that ends just now, which may pass.
        let mut denied = false;
        let mut note = |error: &ssh2::Error| denied = DENIED.contains(&error.code());
        let channel = link.drive("opening a channel", limit, |s| {
            s.channel_open("session", WINDOW, PACKET, None).inspect_err(&mut note)
        });
        let channel = channel.map_err(|error| refused(error, denied))?;
        let mut process = Self {
            link,
            channel,
            stderr: Vec::new(),
            stdout: Vec::new(),
            reads: 0,
            reading: false,
            ended: false,
        };
        let channel = &mut process.channel;
        let mut note = |error: &ssh2::Error| denied = DENIED.contains(&error.code());
        let started = process
            .link
            .drive("starting a command", limit, |_| channel.exec(command_line).inspect_err(&mut note));
        started.map_err(|error| refused(error, denied))?;
        Ok(process)
    }

    /// Takes in standard error, keeping the head of it.
    fn drain_stderr(&mut self, phase: &'static str) -> Result<(), TransportError> {
        let mut buf = [0; 4096];
        loop {
            match self.channel.stderr().read(&mut buf) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    let room = STDERR_LIMIT.saturating_sub(self.stderr.len());
                    self.stderr.extend_from_slice(&buf[..n.min(room)]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(self.link.lost_because(phase, error.to_string())),
            }
        }
    }

    /// Takes in what a command says that should rather be reading. Not while a packet waits to be sent: reading may
    /// have to open the window, and libssh2 cannot begin another packet then.
    fn drain(&mut self, phase: &'static str) -> Result<(), TransportError> {
        if self.link.blocked_outbound() {
            return Ok(());
        }
        let mut buf = [0; 4096];
        loop {
            match self.channel.read(&mut buf) {
                Ok(0) => break,
                Ok(n) => {
                    let room = EARLY_STDOUT_LIMIT.saturating_sub(self.stdout.len());
                    self.stdout.extend_from_slice(&buf[..n.min(room)]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(self.link.lost_because(phase, error.to_string())),
            }
        }
        self.drain_stderr(phase)
    }
}

impl Process for SshProcess<'_> {
    fn write(&mut self, data: &Bytes) -> Result<(), TransportError> {
        const PHASE: &str = "sending";
        let mut rest = data.as_ref();
        while !rest.is_empty() {
            match self.channel.write(rest) {
                Ok(0) if self.channel.eof() => return self.stdin_closed(),
                Ok(0) => self.link.wait_alive(PHASE)?,
                Ok(n) => {
                    rest = &rest[n..];
                    self.link.heard = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.drain(PHASE)?;
                    if self.channel.eof() {
                        return self.stdin_closed();
                    }
                    self.link.wait_alive(PHASE)?;
                }
                Err(_) if self.channel.eof() => return self.stdin_closed(),
                Err(error) => return Err(self.link.lost_because(PHASE, error.to_string())),
            }
        }
        // A stream that never makes us wait must still notice Ctrl-C.
        if self.link.cancel.is_cancelled() {
            self.link.broken = true;
            return Err(TransportError::Cancelled);
        }
        Ok(())
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, TransportError> {
        const PHASE: &str = "receiving";
        self.reading = true;
        if !self.stdout.is_empty() {
            let n = buf.len().min(self.stdout.len());
            buf[..n].copy_from_slice(&self.stdout[..n]);
            self.stdout.drain(..n);
            return Ok(Some(n));
        }
        for waited in [false, true] {
            match self.channel.read(buf) {
                Ok(0) => {}
                Ok(n) => {
                    self.link.heard = Instant::now();
                    // Unread standard error uses up the window that both streams share.
                    self.reads = self.reads.wrapping_add(1);
                    if self.reads.is_multiple_of(64) {
                        self.drain_stderr(PHASE)?;
                        self.link.poll_cancel()?;
                    }
                    return Ok(Some(n));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(self.link.lost_because(PHASE, error.to_string())),
            }
            // A channel is at its end only when standard error was taken in too.
            self.drain_stderr(PHASE)?;
            if self.channel.eof() {
                return Ok(Some(0));
            }
            if !waited {
                self.link.wait_alive(PHASE)?;
            }
        }
        Ok(None)
    }

    fn idle(&mut self) -> Result<bool, TransportError> {
        const PHASE: &str = "waiting for data to send";
        self.link.poll_cancel()?;
        self.link.take_in(PHASE)?;
        if self.reading {
            self.drain_stderr(PHASE)?;
        } else {
            self.drain(PHASE)?;
        }
        self.link.keep_alive(PHASE)?;
        Ok(self.channel.eof())
    }

    fn finish(
        mut self: Box<Self>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), TransportError>,
    ) -> Result<Exit, TransportError> {
        const PHASE: &str = "waiting for the command to end";
        // What comes here is no data: the command may take its time (a receive ends with a sync of the pool), and
        // the keepalives tell whether the machine is there.
        loop {
            match self.channel.send_eof() {
                Ok(()) => break,
                Err(error) if error.code() == super::EAGAIN => self.link.wait_alive(PHASE)?,
                // The command is gone already: its exit status is still to be had.
                Err(_) if self.channel.eof() => break,
                Err(error) => return Err(self.link.lost(PHASE, &error)),
            }
        }
        let mut buf = vec![0; 64 * 1024];
        loop {
            match self.read(&mut buf)? {
                Some(0) => break,
                Some(n) => sink(&buf[..n])?,
                None => {}
            }
        }
        loop {
            match self.channel.close() {
                Ok(()) => break,
                Err(error) if error.code() == super::EAGAIN => self.link.wait_alive(PHASE)?,
                Err(error) => return Err(self.link.lost(PHASE, &error)),
            }
        }
        loop {
            match self.channel.wait_close() {
                Ok(()) => break,
                Err(error) if error.code() == super::EAGAIN => self.link.wait_alive(PHASE)?,
                Err(error) => return Err(self.link.lost(PHASE, &error)),
            }
        }
        self.drain_stderr(PHASE)?;
        let signal = self.channel.exit_signal().ok().and_then(|signal| signal.exit_signal);
        let status = match signal {
            Some(signal) => Err(signal),
            None => Ok(self.channel.exit_status().map_err(|error| self.link.lost(PHASE, &error))?),
        };
        self.ended = true;
        Ok(Exit { status, stderr: std::mem::take(&mut self.stderr) })
    }
}

impl SshProcess<'_> {
    fn stdin_closed(&mut self) -> Result<(), TransportError> {
        Err(TransportError::StdinClosed { peer: self.link.peer.clone() })
    }
}

impl Drop for SshProcess<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // Closing the socket is what ends the command there, whatever state libssh2 is in.
            self.link.broken = true;
            let _ = self.link.socket.shutdown(std::net::Shutdown::Both);
        }
    }
}
