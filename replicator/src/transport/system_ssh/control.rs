//! The connection that successive commands share: an ssh in the background (`ControlMaster`) that listens on a socket
//! in a folder of ours. It ends with us, and when we are killed a minute after its last command.

use std::fs::File;
use std::fs::Permissions;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use rustix::process::Pid;
use rustix::process::Signal;
use tempfile::TempDir;

use super::SystemSsh;
use super::arguments::expandable;
use super::failure::classify;
use crate::transport::TransportError;

/// The longest path that ssh can listen on: 108 bytes with the NUL, and ssh first makes a name 17 bytes longer.
const SOCKET_PATH_LIMIT: usize = 90;
/// How much of a log is read; the end of it tells the cause.
const LOG_LIMIT: u64 = 16 * 1024;
/// How long a question to the background ssh may take: it is on this machine.
const ASK_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Control {
    /// Holds the socket and the logs; private, and gone with us.
    folder: TempDir,
    /// The socket as ssh is told it; `None` where connections are not shared.
    socket: Option<String>,
}

impl Control {
    pub(super) fn new(share: bool) -> Result<Self, TransportError> {
        let folder = tempfile::Builder::new()
            .prefix("replicator-ssh-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|error| TransportError::Local {
                what: "cannot make a private folder for ssh".to_string(),
                cause: error.to_string(),
            })?;
        let path = folder.path().join("s");
        let fits = share && path.as_os_str().len() <= SOCKET_PATH_LIMIT;
        Ok(Self { socket: expandable(&path).filter(|_| fits), folder })
    }

    pub(super) fn shares(&self) -> bool {
        self.socket.is_some()
    }

    fn listens(&self) -> bool {
        self.folder.path().join("s").exists()
    }

    fn master_log(&self) -> PathBuf {
        self.folder.path().join("connection.log")
    }

    /// Where the ssh of a command writes what it says itself, apart from what the command says.
    pub(super) fn command_log(&self) -> PathBuf {
        self.folder.path().join("command.log")
    }
}

impl SystemSsh {
    /// Adds the socket, or that there is none, whatever ssh_config says about it.
    pub(super) fn sharing(&self, command: &mut Command) {
        match &self.control.socket {
            Some(socket) => command.arg("-S").arg(socket),
            None => command.args(["-S", "none"]),
        };
    }

    /// Makes the shared connection where it does not stand.
    pub(super) fn open_shared(&mut self) -> Result<(), TransportError> {
        if !self.control.shares() || self.control.listens() {
            return Ok(());
        }
        let path = self.control.master_log();
        let log = fresh(&path)?;
        let mut command = self.command();
        self.sharing(&mut command);
        command.args(["-M", "-N", "-E"]).arg(&path).stderr(Stdio::from(log));
        self.host(&mut command);
        let mut child = command.spawn().map_err(|error| self.no_program(&error))?;
        // It goes into the background, and so ends for us, when the connection stands.
        let timeouts = self.options.timeouts;
        // Each address may take `connect`; there are rarely more than two.
        let limit = timeouts.connect * 2 + timeouts.handshake;
        let deadline = Instant::now() + limit;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => {}
                Err(error) => return Err(waiting(&error)),
            }
            if self.options.cancel.is_cancelled() {
                kill(&mut child);
                return Err(TransportError::Cancelled);
            }
            // Where ssh cannot listen it says so, and stays.
            if ["disabling multiplexing", "mux listener"].iter().any(|words| tail(&path).contains(words)) {
                kill(&mut child);
                self.control.socket = None;
                return Ok(());
            }
            if Instant::now() >= deadline {
                kill(&mut child);
                let peer = self.peer.clone();
                return Err(TransportError::Timeout { peer, phase: "connecting", limit });
            }
            std::thread::sleep(PAUSE);
        };
        if !status.success() {
            return Err(self.failed(&path, None));
        }
        if !self.control.listens() {
            self.control.socket = None;
        }
        Ok(())
    }

    /// Whether the ssh in the background answers.
    pub(super) fn is_shared_alive(&self) -> bool {
        self.ask("check")
    }

    fn ask(&self, what: &str) -> bool {
        let mut command = self.command();
        self.sharing(&mut command);
        command.args(["-O", what]);
        self.host(&mut command);
        let Ok(mut child) = command.spawn() else { return false };
        let deadline = Instant::now() + ASK_LIMIT;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return status.success(),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(PAUSE),
                _ => {
                    kill(&mut child);
                    return false;
                }
            }
        }
    }

    /// The error that a log tells of.
    pub(super) fn failed(&self, log: &Path, phase: Option<&'static str>) -> TransportError {
        classify(&tail(log), &self.options, &self.peer, phase)
    }

    /// Judges an exit status: `None` when it is the command's, an error when it is ssh's own.
    ///
    /// Both use 255. Their texts do not mix, because ssh writes its own into a file: when that has something, ssh
    /// failed. When it is empty, either the ssh in the background is gone, and with it the connection, or the command
    /// itself ended with 255 or by a signal, which ssh does not name.
    pub(super) fn own_failure(&self, status: ExitStatus, phase: &'static str) -> Option<TransportError> {
        let lost = |cause: String| TransportError::Lost { peer: self.peer.clone(), phase, cause };
        match status.code() {
            None => Some(lost(format!("ssh itself was ended ({status})"))),
            Some(255) => {
                let log = self.control.command_log();
                if !tail(&log).trim().is_empty() {
                    return Some(self.failed(&log, Some(phase)));
                }
                if self.control.shares() && !self.is_shared_alive() {
                    return Some(self.failed(&self.control.master_log(), Some(phase)));
                }
                None
            }
            Some(_) => None,
        }
    }
}

impl Drop for SystemSsh {
    fn drop(&mut self) {
        if self.control.shares() && self.control.listens() {
            // Nothing depends on it: without an answer it ends by itself.
            let _ = self.ask("exit");
        }
    }
}

/// An empty file of this name, to append to.
pub(super) fn fresh(path: &Path) -> Result<File, TransportError> {
    let cannot = |error: std::io::Error| TransportError::Local {
        what: format!("cannot write {}", path.display()),
        cause: error.to_string(),
    };
    File::create(path).map_err(cannot)?;
    File::options().append(true).open(path).map_err(cannot)
}

/// The end of a log; one that cannot be read is empty.
fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_LIMIT)))?;
        let mut text = Vec::new();
        file.take(LOG_LIMIT).read_to_end(&mut text)?;
        Ok(text)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// Ends a child of ours with all it started (a ProxyCommand, the ssh of a jump host), and reaps it.
pub(super) fn kill(child: &mut Child) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    // Not reaped yet, so the id is still this child's; its group has the same.
    let _ = rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.kill();
    let _ = child.wait();
}

pub(super) fn waiting(error: &std::io::Error) -> TransportError {
    TransportError::Local { what: "cannot wait for ssh".to_string(), cause: error.to_string() }
}
