//! A machine that has only the `zfs` command, reached over a [`Transport`]. What it prints is read strictly
//! ([`super::listing`]), what it is told is quoted by one function ([`crate::transport::quote`]).

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::Depth;
use super::HostError;
use super::Inventory;
use super::listing::FIELDS;
use super::listing::Lines;
use super::listing::Misunderstood;
use super::listing::TreeListing;
use crate::transport::Exit;
use crate::transport::Transport;
use crate::transport::TransportError;
use crate::transport::direct::Direct;
use crate::transport::quote::END;
use crate::transport::quote::Elevate;
use crate::transport::quote::NO_ZFS;
use crate::transport::quote::Script;
use crate::transport::quote::pipes::Codec;

mod changes;
mod content;
mod deeds;
mod holds;
mod questions;
mod streams;

use streams::guid_arguments;

/// How many names stand in one command line, which must stay below 128 KiB.
const NAMES_AT_ONCE: usize = 100;

/// How long a command may say nothing: it is stopped, or waits for a pool that does not answer. A listing of a large pool
/// may take minutes. What a stream has to move is watched by the transfer.
const SILENCE: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(600) };

/// A machine with a `zfs` command.
pub struct ZfsCli {
    transport: Box<dyn Transport>,
    label: String,
    elevate: Elevate,
    far: bool,
    /// What compresses its streams.
    codec: Codec,
    /// Programs that were looked for.
    programs: BTreeMap<&'static str, bool>,
    /// Where streams go if not over the transport.
    direct: Option<Direct>,
    /// What the last receive has made, as it was read back there.
    read_back: Option<(SnapshotName, Guid)>,
}

impl ZfsCli {
    /// Over this transport.
    #[must_use]
    pub fn new(transport: Box<dyn Transport>) -> Self {
        let label = transport.peer().to_string();
        Self {
            transport,
            label,
            elevate: Elevate::No,
            far: true,
            codec: Codec::ZSTD,
            programs: BTreeMap::new(),
            direct: None,
            read_back: None,
        }
    }

    /// Lets streams go over a connection of their own, which is not encrypted.
    #[must_use]
    pub fn over(self, direct: Direct) -> Self {
        Self { direct: Some(direct), ..self }
    }

    /// Runs the commands there with other rights.
    #[must_use]
    pub fn elevated(self, elevate: Elevate) -> Self {
        Self { elevate, ..self }
    }

    /// As the commands of this machine itself: nothing that is sent goes over a line.
    #[must_use]
    pub fn here(self) -> Self {
        Self { far: false, ..self }
    }

    fn script<S: AsRef<str>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Script, HostError> {
        Script::elevated(self.elevate).and_zfs(arguments).map_err(nul)
    }

    /// Runs a script and gives each line of its output to `take`; the answer is whole, or there is an error.
    fn list(
        &mut self,
        operation: &'static str,
        subject: &str,
        script: Script,
        take: &mut dyn FnMut(&str) -> Result<(), Misunderstood>,
    ) -> Result<(), HostError> {
        let bad = |host: &str, why| HostError::BadAnswer { host: host.to_string(), operation, why };
        let mut process = self.transport.start(&script.marking_end().command_line())?;
        let mut lines = Lines::default();
        let mut buffer = vec![0; 64 * 1024];
        let (mut heard, mut first) = (Instant::now(), true);
        loop {
            match process.read(&mut buffer)? {
                Some(0) => break,
                Some(n) => {
                    heard = Instant::now();
                    if std::mem::take(&mut first) && is_agent(&buffer[..n]) {
                        let why = "an agent answers there instead of the zfs command (use --far-end agent)";
                        return Err(bad(&self.label, why.to_string()));
                    }
                    // Leaving it ends the command: there is nothing more to learn from it.
                    lines.push(&buffer[..n], take).map_err(|why| bad(&self.label, why))?;
                }
                None if heard.elapsed() < SILENCE => {}
                None => {
                    let (peer, phase) = (self.label.clone(), "waiting for a command");
                    return Err(TransportError::Timeout { peer, phase, limit: SILENCE }.into());
                }
            }
        }
        let exit = process.finish(&mut |_| Ok(()));
        self.check(operation, subject, &exit?)?;
        lines.finish().map_err(|why| bad(&self.label, why))
    }

    fn check(&self, operation: &'static str, subject: &str, exit: &Exit) -> Result<(), HostError> {
        check(&self.label, operation, subject, exit)
    }

    /// Whether a program that compresses is there.
    fn has(&mut self, codec: &Codec) -> Result<bool, HostError> {
        if let Some(known) = self.programs.get(codec.program) {
            return Ok(*known);
        }
        let process = self.transport.start(&Script::asking_for(codec))?;
        let mut said = Vec::new();
        let exit = process.finish(&mut |bytes| {
            // Whatever a login shell may print first, the answer is short.
            said.extend_from_slice(&bytes[..bytes.len().min(65536 - said.len().min(65536))]);
            Ok(())
        })?;
        self.check("ask for what compresses on", "the machine", &exit)?;
        let found = String::from_utf8_lossy(&said).lines().any(|line| line == END);
        self.programs.insert(codec.program, found);
        Ok(found)
    }

    /// Proves that a dataset does not exist: the list of its parent does not have it, or the parent does not exist
    /// either, up to the pool. The words "does not exist" alone prove nothing.
    fn absent(&mut self, dataset: &DatasetName) -> Result<Inventory, HostError> {
        let mut wanted = dataset.clone();
        while let Some(parent) = wanted.parent() {
            let mut children = Vec::new();
            let mut listing = TreeListing::new(parent.clone(), Depth::One);
            let arguments =
                ["list", "-Hp", "-d", "1", "-t", "filesystem,volume", "-o", FIELDS, parent.as_str()];
            let script = self.script(arguments)?;
            let listed = self.list("list", parent.as_str(), script, &mut |line| {
                listing.take(line)?;
                let name = line.split('\t').next().unwrap_or_default();
                let name = DatasetName::try_from(name).map_err(|error| error.to_string())?;
                if name != parent {
                    children.push(name);
                }
                Ok(())
            });
            match listed {
                Ok(()) if children.contains(&wanted) => {
                    let why = format!("{wanted} is in the list of {parent} and cannot be opened");
                    return Err(self.misunderstood("list", why));
                }
                Ok(()) => {
                    let tree = listing.finish().map_err(|why| self.misunderstood("list", why))?;
                    return Ok(Inventory::Absent { ancestor: Box::new(tree.root().clone()), children });
                }
                Err(error) if says_absent(&error) => wanted = parent,
                Err(error) => return Err(error),
            }
        }
        Err(HostError::NoPool {
            host: self.label.clone(),
            pool: dataset.pool().to_string(),
            dataset: dataset.to_string(),
        })
    }

    fn misunderstood(&self, operation: &'static str, why: Misunderstood) -> HostError {
        HostError::BadAnswer { host: self.label.clone(), operation, why }
    }

    /// Runs a script that prints nothing of interest.
    fn run(&mut self, operation: &'static str, subject: &str, script: Script) -> Result<(), HostError> {
        self.list(operation, subject, script, &mut |_| Ok(()))
    }
}

/// Whether this is the beginning of what an agent says: a key may be for an agent alone, which waits for ever then.
fn is_agent(first: &[u8]) -> bool {
    // No name of ZFS has a quotation mark in it.
    let hello = format!("\"{}\"", crate::agent::MAGIC);
    first[..first.len().min(64)].windows(hello.len()).any(|part| part == hello.as_bytes())
}

/// `-o name=value` for each property.
fn options(properties: &[(String, String)]) -> impl Iterator<Item = String> {
    properties.iter().flat_map(|(name, value)| ["-o".to_string(), format!("{name}={value}")])
}

fn nul(error: crate::transport::quote::NulArgument) -> HostError {
    TransportError::Local { what: "cannot make a command".to_string(), cause: error.to_string() }.into()
}

/// Whether zfs said that what was asked for does not exist. Only a reason to look further up.
fn says_absent(error: &HostError) -> bool {
    matches!(error, HostError::Remote { message, .. } if message.contains("dataset does not exist"))
}

fn check(host: &str, operation: &'static str, subject: &str, exit: &Exit) -> Result<(), HostError> {
    if exit.success() {
        return Ok(());
    }
    let host = host.to_string();
    let said = exit.message();
    if exit.status == Ok(127) && said.contains(NO_ZFS) {
        return Err(HostError::NoZfs { host });
    }
    let message = match (&exit.status, said.is_empty()) {
        (Ok(status), true) => format!("the command ended with status {status}"),
        (Ok(_), false) => said,
        (Err(signal), true) => format!("the command was ended by SIG{signal}"),
        (Err(signal), false) => format!("{said} (ended by SIG{signal})"),
    };
    Err(HostError::Remote { host, operation, subject: subject.to_string(), message })
}

#[cfg(test)]
mod silence_tests;
#[cfg(test)]
mod tests;
