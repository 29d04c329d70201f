//! From what the command line says to a host that can be asked: this machine, or another one over SSH.

use std::path::PathBuf;
use std::time::Duration;

use zfs_core::Zfs;

use super::Failure;
use super::Outcome;
use crate::cancel::Cancel;
use crate::compare::read::Reader;
use crate::config::job;
use crate::config::job::Link;
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
use crate::transport::quote::Elevate;
use crate::transport::ssh::SshOptions;
use crate::transport::ssh::SshTransport;
use crate::transport::system_ssh::SystemSsh;
use crate::transport::system_ssh::SystemSshOptions;

/// How to reach another machine.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "SSH")]
pub(super) struct SshArguments {
    /// What carries the connection.
    #[arg(long, value_enum, default_value_t)]
    transport: Carrier,

    /// An option for the ssh program, as its -o takes it. May be given several times. Host keys stay strictly checked.
    #[arg(long, value_name = "OPT")]
    ssh_option: Vec<String>,

    /// The port of sshd on the other machine: 22, or what ssh_config says to the ssh program.
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,

    /// A private key; only named keys are offered then. May be given several times.
    #[arg(short, long, value_name = "FILE")]
    identity: Vec<PathBuf>,

    /// A file to look the host key up in, instead of ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts.
    #[arg(long, value_name = "FILE")]
    known_hosts: Vec<PathBuf>,

    /// Who answers on the other machine. An agent is one process for everything, checks each stream before the kernel
    /// sees it, and can be limited to a part of the pools (see `replicator agent --help`).
    #[arg(long, value_enum, default_value_t)]
    far_end: FarEnd,

    /// How the user there comes to the rights that zfs needs.
    #[arg(long, value_enum, default_value_t)]
    elevate: Elevation,

    /// How many seconds connecting may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=86400))]
    connect_timeout: u64,

    /// How many seconds the other machine may be silent, also to keepalives, before it is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..=86400))]
    idle_timeout: u64,
}

/// Who answers on the other machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum FarEnd {
    /// The zfs command: nothing else is needed there.
    #[default]
    Zfs,
    /// `replicator agent`, installed there.
    Agent,
    /// The agent where there is one, else the zfs command.
    Auto,
}

/// Ways to other rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Elevation {
    /// None: it is root, or has rights by `zfs allow`.
    #[default]
    No,
    /// `sudo -n zfs …`.
    Sudo,
    /// `doas -n zfs …`.
    Doas,
}

/// The two clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Carrier {
    /// The library inside this program; it reads no ssh_config.
    #[default]
    Libssh2,
    /// The ssh program of this machine, with its ssh_config, jump hosts, certificates and hardware keys.
    Ssh,
}

/// The hosts of a source and a target.
pub(super) type Ends = (Box<dyn Host>, Box<dyn Host>);

impl SshArguments {
    /// The way that a configuration describes.
    pub(super) fn of(link: &Link) -> Self {
        Self {
            transport: match link.carrier {
                job::Carrier::Libssh2 => Carrier::Libssh2,
                job::Carrier::Ssh => Carrier::Ssh,
            },
            ssh_option: link.ssh_options.clone(),
            port: link.port,
            identity: link.identities.clone(),
            known_hosts: link.known_hosts.clone(),
            far_end: match link.far_end {
                job::FarEnd::Zfs => FarEnd::Zfs,
                job::FarEnd::Agent => FarEnd::Agent,
                job::FarEnd::Auto => FarEnd::Auto,
            },
            elevate: match link.elevate {
                Elevate::No => Elevation::No,
                Elevate::Sudo => Elevation::Sudo,
                Elevate::Doas => Elevation::Doas,
            },
            connect_timeout: link.connect_timeout,
            idle_timeout: link.idle_timeout,
        }
    }

    /// A connection that stands.
    fn transport(&self, machine: &Machine, cancel: &Cancel) -> Result<Box<dyn Transport>, Failure> {
        if self.transport == Carrier::Libssh2 && !self.ssh_option.is_empty() {
            let hint = "add --transport ssh".to_string();
            return Err(Failure::new(Outcome::Usage, "--ssh-option is for the ssh program only").hinted(hint));
        }
        let defaults = Timeouts::default();
        let idle = Duration::from_secs(self.idle_timeout);
        let timeouts = Timeouts {
            connect: Duration::from_secs(self.connect_timeout),
            idle,
            // Several chances to answer before time is up.
            keepalive: defaults.keepalive.min(idle / 3).max(Duration::from_secs(1)),
            ..defaults
        };
        if self.transport == Carrier::Ssh {
            let mut transport = SystemSsh::new(SystemSshOptions {
                user: machine.user.clone(),
                port: self.port,
                identities: self.identity.clone(),
                known_hosts: self.known_hosts.clone(),
                ssh_options: self.ssh_option.clone(),
                timeouts,
                cancel: cancel.clone(),
                ..SystemSshOptions::new(&machine.host)
            })?;
            transport.connect()?;
            return Ok(Box::new(transport));
        }
        let mut transport = SshTransport::new(SshOptions {
            user: machine.user.clone(),
            host: machine.host.clone(),
            port: self.port.unwrap_or(22),
            identities: self.identity.clone(),
            known_hosts: self.known_hosts.clone(),
            timeouts,
            cancel: cancel.clone(),
        })?;
        transport.connect()?;
        Ok(Box::new(transport))
    }

    /// The host of an endpoint.
    pub(super) fn host(
        &self,
        endpoint: &Endpoint,
        local: Option<&Zfs>,
        cancel: &Cancel,
    ) -> Result<Box<dyn Host>, Failure> {
        let elevate = self.elevate();
        match (&endpoint.machine, local) {
            (Some(machine), _) => self.far_host(machine, elevate, cancel),
            (None, Some(zfs)) => Ok(Box::new(Local::new(zfs.clone()).cancelled_by(cancel.clone()))),
            (None, None) => Ok(Box::new(Local::new(Zfs::open()?).cancelled_by(cancel.clone()))),
        }
    }

    fn elevate(&self) -> Elevate {
        match self.elevate {
            Elevation::No => Elevate::No,
            Elevation::Sudo => Elevate::Sudo,
            Elevation::Doas => Elevate::Doas,
        }
    }

    /// What reads the contents of snapshots of an endpoint.
    pub(super) fn reader(&self, endpoint: &Endpoint, cancel: &Cancel) -> Result<Reader, Failure> {
        match &endpoint.machine {
            Some(machine) => Ok(Reader::There(self.transport(machine, cancel)?, self.elevate())),
            None => Ok(Reader::Here(Zfs::open()?)),
        }
    }

    fn far_host(
        &self,
        machine: &Machine,
        elevate: Elevate,
        cancel: &Cancel,
    ) -> Result<Box<dyn Host>, Failure> {
        let transport = self.transport(machine, cancel)?;
        if self.far_end == FarEnd::Zfs {
            return Ok(Box::new(ZfsCli::new(transport).elevated(elevate)));
        }
        let mut agent = AgentHost::new(transport, AgentCommand { elevate, ..AgentCommand::default() })?;
        match agent.start() {
            Ok(()) => Ok(Box::new(agent)),
            Err(HostError::NoAgent { .. }) if self.far_end == FarEnd::Auto => {
                Ok(Box::new(ZfsCli::new(self.transport(machine, cancel)?).elevated(elevate)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The hosts of a source and a target.
    pub(super) fn hosts(
        &self,
        source: &Endpoint,
        target: &Endpoint,
        cancel: &Cancel,
    ) -> Result<Ends, Failure> {
        // The local side first: without ZFS here there is no reason to connect anywhere.
        let local = match (&source.machine, &target.machine) {
            (Some(_), Some(_)) => None,
            _ => Some(Zfs::open()?),
        };
        Ok((self.host(source, local.as_ref(), cancel)?, self.host(target, local.as_ref(), cancel)?))
    }
}
