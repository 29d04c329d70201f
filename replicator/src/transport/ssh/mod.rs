//! SSH over libssh2. All channels of a libssh2 session share one lock, so there is one session for each transfer,
//! used by one thread at a time; it never blocks inside libssh2 but in poll(2), where timeouts, keepalives and
//! cancellation are looked after. How a connection comes to be is in `connect`, who we are in `auth`, one running
//! command in `process`.

use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use ssh2::BlockDirections;
use ssh2::ErrorCode;
use ssh2::Session;

use super::Process;
use super::Timeouts;
use super::Transport;
use super::TransportError;
use crate::cancel::Cancel;
use crate::cancel::TICK;

mod auth;
mod connect;
mod keyfile;
mod process;

/// libssh2's "would block": the call is to be repeated, a write with the very same bytes.
const EAGAIN: ErrorCode = ErrorCode::Session(-37);

/// Where and as whom to connect.
#[derive(Clone, Debug)]
pub struct SshOptions {
    /// The user there; `None` is the name of the local user.
    pub user: Option<String>,
    /// A name or an address.
    pub host: String,
    /// The port of sshd.
    pub port: u16,
    /// Private keys to use. When there are any, only these are offered (from the agent, if it has them).
    pub identities: Vec<PathBuf>,
    /// Files to look the host key up in; empty stands for OpenSSH's four.
    pub known_hosts: Vec<PathBuf>,
    /// The limits of each phase.
    pub timeouts: Timeouts,
    /// Looked at by everything that waits.
    pub cancel: Cancel,
}

impl SshOptions {
    /// A connection to port 22 of `host` with everything else as OpenSSH has it.
    #[must_use]
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            user: None,
            host: host.into(),
            port: 22,
            identities: Vec::new(),
            known_hosts: Vec::new(),
            timeouts: Timeouts::default(),
            cancel: Cancel::new(),
        }
    }
}

/// One SSH connection, made when it is first needed and made again after a command was abandoned.
pub struct SshTransport {
    /// Their flag is this connection's own.
    options: SshOptions,
    run: Cancel,
    user: String,
    peer: String,
    link: Option<Link>,
}

impl SshTransport {
    /// Prepares a connection without making it.
    ///
    /// # Errors
    /// When no user is given and the local one has no name.
    pub fn new(mut options: SshOptions) -> Result<Self, TransportError> {
        let user = match &options.user {
            Some(user) => user.clone(),
            None => auth::local_user()?,
        };
        let peer = format!("{user}@{}", options.host);
        let own = options.cancel.child();
        let run = std::mem::replace(&mut options.cancel, own);
        Ok(Self { options, run, user, peer, link: None })
    }

    /// Connects now, to fail early.
    ///
    /// # Errors
    /// Whatever keeps the connection from being made.
    pub fn connect(&mut self) -> Result<(), TransportError> {
        self.link().map(drop)
    }

    fn link(&mut self) -> Result<&mut Link, TransportError> {
        if self.link.as_ref().is_some_and(|link| link.broken) {
            self.link = None;
        }
        match &mut self.link {
            Some(link) => Ok(link),
            empty => {
                let mut link = connect::connect(&self.options, &self.peer)?;
                auth::authenticate(&mut link, &self.user, &self.options)?;
                Ok(empty.insert(link))
            }
        }
    }
}

impl Transport for SshTransport {
    fn peer(&self) -> &str {
        &self.peer
    }

    fn start<'a>(&'a mut self, command_line: &str) -> Result<Box<dyn Process + 'a>, TransportError> {
        let link = self.link()?;
        Ok(Box::new(process::SshProcess::start(link, command_line)?))
    }

    fn breaker(&self) -> Option<Cancel> {
        Some(self.options.cancel.clone())
    }

    fn another(&self) -> Result<Box<dyn Transport>, TransportError> {
        Ok(Box::new(Self::new(SshOptions { cancel: self.run.clone(), ..self.options.clone() })?))
    }
}

/// A session with its socket, and the bookkeeping of who was heard when.
struct Link {
    session: Session,
    /// A second handle of the session's socket, to poll and to shut down.
    socket: TcpStream,
    peer: String,
    timeouts: Timeouts,
    cancel: Cancel,
    /// When the socket last had something to read.
    heard: Instant,
    keepalive_due: Instant,
    /// A command was abandoned half-way: the session's state is not to be trusted any more.
    broken: bool,
}

impl Link {
    /// Repeats a libssh2 call until it does not say "would block", for at most `limit`.
    fn drive<T>(
        &mut self,
        phase: &'static str,
        limit: Duration,
        mut call: impl FnMut(&mut Session) -> Result<T, ssh2::Error>,
    ) -> Result<T, TransportError> {
        let deadline = Instant::now() + limit;
        loop {
            match call(&mut self.session) {
                Ok(value) => return Ok(value),
                Err(error) if error.code() == EAGAIN => self.wait_until(phase, deadline, limit)?,
                Err(error) => return Err(self.lost(phase, &error)),
            }
        }
    }

    fn wait_until(
        &mut self,
        phase: &'static str,
        deadline: Instant,
        limit: Duration,
    ) -> Result<(), TransportError> {
        if Instant::now() >= deadline {
            self.broken = true;
            return Err(TransportError::Timeout { peer: self.peer.clone(), phase, limit });
        }
        self.poll(phase)
    }

    /// Waits for the socket while a command runs, where any sign of life puts off the idle timeout.
    fn wait_alive(&mut self, phase: &'static str) -> Result<(), TransportError> {
        self.poll(phase)?;
        self.keep_alive(phase)
    }

    /// Sends a keepalive when one is due, and gives the other side up when it was silent for too long.
    fn keep_alive(&mut self, phase: &'static str) -> Result<(), TransportError> {
        let now = Instant::now();
        if now.duration_since(self.heard) > self.timeouts.idle {
            self.broken = true;
            return Err(TransportError::Timeout {
                peer: self.peer.clone(),
                phase,
                limit: self.timeouts.idle,
            });
        }
        // With a half-written packet waiting, libssh2 can send nothing else, and needs no keepalive either.
        if now >= self.keepalive_due && !self.blocked_outbound() {
            self.keepalive_due = now + self.timeouts.keepalive;
            match self.session.keepalive_send() {
                Ok(_) => {}
                Err(error) if error.code() == EAGAIN => {}
                Err(error) => return Err(self.lost(phase, &error)),
            }
        }
        Ok(())
    }

    fn blocked_outbound(&self) -> bool {
        matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both)
    }

    /// One poll(2) of at most [`TICK`].
    fn poll(&mut self, phase: &'static str) -> Result<(), TransportError> {
        self.poll_cancel()?;
        let mut flags = PollFlags::IN;
        if self.blocked_outbound() {
            flags |= PollFlags::OUT;
        }
        self.poll_for(phase, flags, TICK.subsec_nanos())
    }

    fn poll_for(
        &mut self,
        phase: &'static str,
        flags: PollFlags,
        nanoseconds: u32,
    ) -> Result<(), TransportError> {
        let tick = Timespec { tv_sec: 0, tv_nsec: nanoseconds.into() };
        let mut fds = [PollFd::from_borrowed_fd(self.socket.as_fd(), flags)];
        match poll(&mut fds, Some(&tick)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => {
                self.broken = true;
                return Err(TransportError::Lost {
                    peer: self.peer.clone(),
                    phase,
                    cause: errno.to_string(),
                });
            }
        }
        if fds[0].revents().contains(PollFlags::IN) {
            self.heard = Instant::now();
        }
        Ok(())
    }

    /// Looks at the cancel flag without waiting.
    fn poll_cancel(&mut self) -> Result<(), TransportError> {
        if self.cancel.is_cancelled() {
            self.broken = true;
            return Err(TransportError::Cancelled);
        }
        Ok(())
    }

    /// Notes whether the other side says something, without waiting for it.
    fn take_in(&mut self, phase: &'static str) -> Result<(), TransportError> {
        self.poll_for(phase, PollFlags::IN, 0)
    }

    /// Makes an error of what libssh2 said; the connection is not used again.
    fn lost(&mut self, phase: &'static str, error: &ssh2::Error) -> TransportError {
        self.lost_because(phase, error.message().to_string())
    }

    fn lost_because(&mut self, phase: &'static str, mut cause: String) -> TransportError {
        self.broken = true;
        if let Ok(Some(error)) = self.socket.take_error() {
            cause = format!("{cause} ({error})");
        }
        TransportError::Lost { peer: self.peer.clone(), phase, cause }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if !self.broken {
            let limit = Duration::from_secs(1);
            let said = self.drive("closing the connection", limit, |s| s.disconnect(None, "done", None));
            // Nothing depends on a polite goodbye.
            drop(said);
        }
        // libssh2 may try to send once more when the session is freed: a closed socket makes that fail at once.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Real servers are met by the scenarios on nodes; this one takes the connection and says nothing.
    #[test]
    fn the_breaker_ends_what_waits_here_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let run = Cancel::new();
        let options = SshOptions { port, cancel: run.clone(), ..SshOptions::new("127.0.0.1") };
        let mut ssh = SshTransport::new(SshOptions { user: Some("x".into()), ..options }).expect("prepared");
        let (breaker, other) = (ssh.breaker(), ssh.another().expect("prepared").breaker());
        let (breaker, other) = (breaker.expect("it has one"), other.expect("it has one, too"));
        std::thread::scope(|scope| {
            let connecting = scope.spawn(|| ssh.connect());
            let _taken = listener.accept().expect("a connection");
            breaker.cancel();
            let outcome = connecting.join().expect("no panic");
            assert!(matches!(outcome, Err(TransportError::Cancelled)), "{outcome:?}");
        });
        assert!(!run.is_cancelled() && !other.is_cancelled());
    }
}
