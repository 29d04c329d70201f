//! What the command line says of the way to another machine.

use std::path::PathBuf;

use zfs_core::Zfs;

use super::Failure;
use super::Outcome;
use crate::agent::Listen;
use crate::cancel::Cancel;
use crate::config::job;
use crate::config::job::Link;
use crate::connect;
use crate::endpoint::Endpoint;
use crate::host::Host;
use crate::transport::quote::Elevate;

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

    /// How data goes to an agent (--far-end agent or auto): in the ssh session, or over a TLS connection of its own to a
    /// port there, which takes less of the processor. Where that cannot be had, it goes over ssh.
    #[arg(long, value_enum, default_value_t)]
    streams: Streams,

    /// Where the agent that is started there may listen for that connection.
    #[arg(long, value_name = "[ADDRESS:]PORT[-PORT]")]
    listen: Option<Listen>,

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

/// How data goes to an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Streams {
    /// In the ssh session.
    #[default]
    Ssh,
    /// Over a connection of its own.
    Tls,
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
    /// As a configuration would say it.
    fn link(&self) -> Result<Link, Failure> {
        if self.transport == Carrier::Libssh2 && !self.ssh_option.is_empty() {
            let hint = "add --transport ssh".to_string();
            return Err(Failure::new(Outcome::Usage, "--ssh-option is for the ssh program only").hinted(hint));
        }
        Ok(Link {
            carrier: match self.transport {
                Carrier::Libssh2 => job::Carrier::Libssh2,
                Carrier::Ssh => job::Carrier::Ssh,
            },
            port: self.port,
            identities: self.identity.clone(),
            known_hosts: self.known_hosts.clone(),
            ssh_options: self.ssh_option.clone(),
            far_end: match self.far_end {
                FarEnd::Zfs => job::FarEnd::Zfs,
                FarEnd::Agent => job::FarEnd::Agent,
                FarEnd::Auto => job::FarEnd::Auto,
            },
            elevate: match self.elevate {
                Elevation::No => Elevate::No,
                Elevation::Sudo => Elevate::Sudo,
                Elevation::Doas => Elevate::Doas,
            },
            streams: match self.streams {
                Streams::Ssh => job::Streams::Ssh,
                Streams::Tls => job::Streams::Tls,
            },
            listen: self.listen.clone(),
            connect_timeout: self.connect_timeout,
            idle_timeout: self.idle_timeout,
        })
    }

    /// The host of an endpoint.
    pub(super) fn host(
        &self,
        endpoint: &Endpoint,
        local: Option<&Zfs>,
        cancel: &Cancel,
    ) -> Result<Box<dyn Host>, Failure> {
        Ok(connect::host(&self.link()?, endpoint, local, cancel)?)
    }

    /// The hosts of a source and a target.
    pub(super) fn hosts(
        &self,
        source: &Endpoint,
        target: &Endpoint,
        cancel: &Cancel,
    ) -> Result<Ends, Failure> {
        let link = self.link()?;
        // The local side first: without ZFS here there is no reason to connect anywhere.
        let local = match (&source.machine, &target.machine) {
            (Some(_), Some(_)) => None,
            _ => Some(Zfs::open()?),
        };
        let host = |endpoint| connect::host(&link, endpoint, local.as_ref(), cancel);
        Ok((host(source)?, host(target)?))
    }
}
