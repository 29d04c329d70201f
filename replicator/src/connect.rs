//! From an endpoint and the way to it to a host that can be asked: this machine, or another one over SSH.

use std::time::Duration;

use zfs_core::Zfs;

use crate::cancel::Cancel;
use crate::config::job::Carrier;
use crate::config::job::FarEnd;
use crate::config::job::Link;
use crate::config::job::Streams;
use crate::endpoint::Endpoint;
use crate::endpoint::Machine;
use crate::host::Host;
use crate::host::HostError;
use crate::host::agent::AgentCommand;
use crate::host::agent::AgentHost;
use crate::host::local::Local;
use crate::host::zfs_cli::ZfsCli;
use crate::transport::Timeouts;
use crate::transport::Transport;
use crate::transport::TransportError;
use crate::transport::ssh::SshOptions;
use crate::transport::ssh::SshTransport;
use crate::transport::system_ssh::SystemSsh;
use crate::transport::system_ssh::SystemSshOptions;

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// This machine has no usable ZFS.
    #[error("this machine has no usable ZFS: {0}")]
    NoZfs(#[from] zfs_core::OpenError),
    /// The other machine cannot be reached, or has nobody who answers.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl From<TransportError> for ConnectError {
    fn from(error: TransportError) -> Self {
        Self::Host(error.into())
    }
}

impl ConnectError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoZfs(error) => Some(error.hint().to_string()),
            Self::Host(error) => error.hint(),
        }
    }
}

/// A connection that stands.
///
/// # Errors
/// When the machine cannot be reached, is not the one we know, or does not let us in.
pub fn transport(
    link: &Link,
    machine: &Machine,
    cancel: &Cancel,
) -> Result<Box<dyn Transport>, TransportError> {
    let defaults = Timeouts::default();
    let idle = Duration::from_secs(link.idle_timeout);
    let timeouts = Timeouts {
        connect: Duration::from_secs(link.connect_timeout),
        idle,
        // Several chances to answer before time is up.
        keepalive: defaults.keepalive.min(idle / 3).max(Duration::from_secs(1)),
        ..defaults
    };
    match link.carrier {
        Carrier::Ssh => {
            let mut transport = SystemSsh::new(SystemSshOptions {
                user: machine.user.clone(),
                port: link.port,
                identities: link.identities.clone(),
                known_hosts: link.known_hosts.clone(),
                ssh_options: link.ssh_options.clone(),
                timeouts,
                cancel: cancel.clone(),
                ..SystemSshOptions::new(&machine.host)
            })?;
            transport.connect()?;
            Ok(Box::new(transport))
        }
        Carrier::Libssh2 => {
            let mut transport = SshTransport::new(SshOptions {
                user: machine.user.clone(),
                host: machine.host.clone(),
                port: link.port.unwrap_or(22),
                identities: link.identities.clone(),
                known_hosts: link.known_hosts.clone(),
                timeouts,
                cancel: cancel.clone(),
            })?;
            transport.connect()?;
            Ok(Box::new(transport))
        }
    }
}

/// The host of an endpoint. `local` is an open handle of this machine's ZFS, where there is one.
///
/// # Errors
/// When nobody there can be asked.
pub fn host(
    link: &Link,
    endpoint: &Endpoint,
    local: Option<&Zfs>,
    cancel: &Cancel,
) -> Result<Box<dyn Host>, ConnectError> {
    let Some(machine) = &endpoint.machine else {
        let zfs = match local {
            Some(zfs) => zfs.clone(),
            None => Zfs::open()?,
        };
        return Ok(Box::new(Local::new(zfs).cancelled_by(cancel.clone())));
    };
    let carrier = transport(link, machine, cancel)?;
    if link.far_end == FarEnd::Zfs {
        return Ok(Box::new(ZfsCli::new(carrier).elevated(link.elevate)));
    }
    let mut command = AgentCommand { elevate: link.elevate, ..AgentCommand::default() };
    if link.streams == Streams::Tls {
        command.fast = Some(machine.host.clone());
        if let Some(listen) = &link.listen {
            command.arguments.extend(["--listen".to_string(), listen.to_string()]);
        }
    }
    let mut agent = AgentHost::new(carrier, command)?;
    match agent.start() {
        Ok(()) => Ok(Box::new(agent)),
        Err(HostError::NoAgent { .. }) if link.far_end == FarEnd::Auto => {
            Ok(Box::new(ZfsCli::new(transport(link, machine, cancel)?).elevated(link.elevate)))
        }
        Err(error) => Err(error.into()),
    }
}
