//! SSH by the program `ssh` of this machine, for what libssh2 does not know: ssh_config, jump hosts, certificates,
//! hardware keys. How it is called is in `arguments`, what it says when it fails in `failure`, the connection that
//! successive commands share in `control`, one running command in `process`.

use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use super::Process;
use super::Timeouts;
use super::Transport;
use super::TransportError;
use crate::cancel::Cancel;

mod arguments;
mod control;
mod failure;
pub(in crate::transport) mod process;
#[cfg(test)]
mod tests;

use control::Control;

/// Where and as whom to connect. What is not given is left to ssh_config.
#[derive(Clone, Debug)]
pub struct SystemSshOptions {
    /// The user there.
    pub user: Option<String>,
    /// A name, an address, or a `Host` of ssh_config.
    pub host: String,
    /// The port of sshd.
    pub port: Option<u16>,
    /// The ssh_config to read in place of the usual ones.
    pub config: Option<PathBuf>,
    /// Private keys to use. When there are any, no others are offered.
    pub identities: Vec<PathBuf>,
    /// Files to look the host key up in; empty stands for those of ssh_config.
    pub known_hosts: Vec<PathBuf>,
    /// More options, each as `-o` takes it. What keeps a run safe (strict host keys, no questions) cannot be changed.
    pub ssh_options: Vec<String>,
    /// The program, looked for in `PATH` when it has no slash.
    pub program: PathBuf,
    /// Whether the commands share one connection. Without it each makes its own.
    pub share: bool,
    /// The limits of each phase. ssh itself watches `connect`, `keepalive` and `idle`, in whole seconds.
    pub timeouts: Timeouts,
    /// Looked at by everything that waits.
    pub cancel: Cancel,
}

impl SystemSshOptions {
    /// A connection to `host` as ssh_config has it.
    #[must_use]
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            user: None,
            host: host.into(),
            port: None,
            config: None,
            identities: Vec::new(),
            known_hosts: Vec::new(),
            ssh_options: Vec::new(),
            program: PathBuf::from("ssh"),
            share: true,
            timeouts: Timeouts::default(),
            cancel: Cancel::new(),
        }
    }
}

/// The `ssh` program, with one connection for all commands, made when it is first needed and ended on drop.
pub struct SystemSsh {
    /// Their flag is this connection's own.
    options: SystemSshOptions,
    run: Cancel,
    arguments: Vec<std::ffi::OsString>,
    peer: String,
    control: Control,
}

impl SystemSsh {
    /// Prepares a connection without making it.
    ///
    /// # Errors
    /// A name or a path that cannot be given to ssh safely, or no private folder.
    pub fn new(mut options: SystemSshOptions) -> Result<Self, TransportError> {
        let arguments = arguments::common(&options)?;
        let peer = match &options.user {
            Some(user) => format!("{user}@{}", options.host),
            None => options.host.clone(),
        };
        let control = Control::new(options.share)?;
        let own = options.cancel.child();
        let run = std::mem::replace(&mut options.cancel, own);
        Ok(Self { options, run, arguments, peer, control })
    }

    /// Connects now, to fail early. Does nothing where connections are not shared.
    ///
    /// # Errors
    /// Whatever keeps the connection from being made.
    pub fn connect(&mut self) -> Result<(), TransportError> {
        self.open_shared()
    }

    /// `ssh` with what all its runs have in common; the caller adds options of its own and then [`Self::host`].
    fn command(&self) -> Command {
        let mut command = Command::new(&self.options.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Its messages are read, in English.
        command.env("LC_ALL", "C");
        // The ssh of a jump host does not get our options: whatever it asks is answered with no.
        command.env("SSH_ASKPASS", "/bin/false").env("SSH_ASKPASS_REQUIRE", "force");
        // Ctrl-C in a terminal is for us, who end ssh in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
    }

    /// Ends the options and names the host, which therefore never is one.
    fn host(&self, command: &mut Command) {
        command.arg("--").arg(&self.options.host);
    }

    fn no_program(&self, error: &std::io::Error) -> TransportError {
        TransportError::NoSsh { program: self.options.program.clone(), cause: error.to_string() }
    }
}

impl Transport for SystemSsh {
    fn peer(&self) -> &str {
        &self.peer
    }

    fn start<'a>(&'a mut self, command_line: &str) -> Result<Box<dyn Process + 'a>, TransportError> {
        self.open_shared()?;
        Ok(Box::new(process::SystemProcess::start(self, command_line)?))
    }

    fn breaker(&self) -> Option<Cancel> {
        Some(self.options.cancel.clone())
    }

    /// With a connection of its own: one ssh encrypts on one processor only.
    fn another(&self) -> Result<Box<dyn Transport>, TransportError> {
        Ok(Box::new(Self::new(SystemSshOptions { cancel: self.run.clone(), ..self.options.clone() })?))
    }
}
