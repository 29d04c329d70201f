//! A machine that has only the `zfs` command, reached over a [`Transport`]. What it prints is read strictly
//! ([`super::listing`]), what it is told is quoted by one function ([`crate::transport::quote`]).

use bytes::Bytes;
use bytes::BytesMut;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::Base;
use super::Host;
use super::HostError;
use super::Incoming;
use super::Inventory;
use super::Next;
use super::Outgoing;
use super::ReceiveSpec;
use super::SendSpec;
use super::listing::DatasetListing;
use super::listing::FIELDS;
use super::listing::Lines;
use super::listing::Misunderstood;
use crate::transport::Exit;
use crate::transport::Process;
use crate::transport::Transport;
use crate::transport::TransportError;
use crate::transport::quote::NO_ZFS;
use crate::transport::quote::Script;

/// How many estimates are asked for in one command line, which must stay below 128 KiB.
const ESTIMATES_AT_ONCE: usize = 60;

/// A machine with a `zfs` command.
pub struct ZfsCli {
    transport: Box<dyn Transport>,
    label: String,
}

impl ZfsCli {
    /// Over this transport.
    #[must_use]
    pub fn new(transport: Box<dyn Transport>) -> Self {
        let label = transport.peer().to_string();
        Self { transport, label }
    }

    /// Runs a script and gives each line of its output to `take`; the answer is whole, or there is an error.
    fn list(
        &mut self,
        operation: &'static str,
        subject: &str,
        script: Script,
        take: &mut dyn FnMut(&str) -> Result<(), Misunderstood>,
    ) -> Result<(), HostError> {
        let process = self.transport.start(&script.marking_end().command_line())?;
        let mut lines = Lines::default();
        let mut misunderstood = None;
        let exit = process.finish(&mut |bytes| {
            if let Err(why) = lines.push(bytes, take) {
                misunderstood = Some(why);
                // Ends the command: there is nothing more to learn from it.
                return Err(TransportError::Cancelled);
            }
            Ok(())
        });
        let bad = |host: &str, why| HostError::BadAnswer { host: host.to_string(), operation, why };
        if let Some(why) = misunderstood {
            return Err(bad(&self.label, why));
        }
        self.check(operation, subject, &exit?)?;
        lines.finish().map_err(|why| bad(&self.label, why))
    }

    fn check(&self, operation: &'static str, subject: &str, exit: &Exit) -> Result<(), HostError> {
        check(&self.label, operation, subject, exit)
    }

    /// Proves that a dataset does not exist: the list of its parent does not have it, or the parent does not exist
    /// either, up to the pool. The words "does not exist" alone prove nothing.
    fn absent(&mut self, dataset: &DatasetName) -> Result<Inventory, HostError> {
        let mut wanted = dataset.clone();
        let mut parent_exists = true;
        while let Some(parent) = wanted.parent() {
            let mut found = false;
            let arguments =
                ["list", "-Hp", "-d", "1", "-t", "filesystem,volume", "-o", "name", parent.as_str()];
            let listed = self.list("list", parent.as_str(), script(arguments)?, &mut |line| {
                found |= line == wanted.as_str();
                DatasetName::try_from(line).map(drop).map_err(|error| error.to_string())
            });
            match listed {
                Ok(()) if found => {
                    return Err(HostError::BadAnswer {
                        host: self.label.clone(),
                        operation: "list",
                        why: format!("{wanted} is in the list of {parent} and cannot be opened"),
                    });
                }
                Ok(()) => return Ok(Inventory::Absent { ancestor: parent, parent_exists }),
                Err(error) if says_absent(&error) => {
                    parent_exists = false;
                    wanted = parent;
                }
                Err(error) => return Err(error),
            }
        }
        Err(HostError::NoPool {
            host: self.label.clone(),
            pool: dataset.pool().to_string(),
            dataset: dataset.to_string(),
        })
    }
}

fn script<'s>(arguments: impl IntoIterator<Item = &'s str>) -> Result<Script, HostError> {
    Script::zfs(arguments).map_err(nul)
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

/// The arguments of `zfs send` for a stream.
fn send_arguments(spec: &SendSpec, dry: bool) -> Vec<String> {
    let mut arguments = vec!["send".to_string()];
    if dry {
        arguments.push("-nvP".to_string());
    }
    if let Some(partial) = &spec.resume {
        // The planner compared the token with the stream; it carries the flags of the stream itself.
        arguments.extend(["-t".to_string(), partial.token.clone()]);
        return arguments;
    }
    // The same flags as the native sender: a chain must be sent with large blocks always or never (openzfs #6224).
    arguments.extend(["-L", "-c"].map(str::to_string));
    if spec.raw {
        arguments.push("-w".to_string());
    }
    if let Some(from) = &spec.from {
        let name = match from {
            Base::Snapshot(name, _) => name.as_str(),
            Base::Bookmark(name, _) => name.as_str(),
        };
        arguments.extend(["-i".to_string(), name.to_string()]);
    }
    arguments.push(spec.to.name.to_string());
    arguments
}

impl Host for ZfsCli {
    fn label(&self) -> &str {
        &self.label
    }

    fn inventory(&mut self, dataset: &DatasetName) -> Result<Inventory, HostError> {
        let mut listing = DatasetListing::new(dataset.clone());
        let arguments = ["list", "-Hp", "-d", "1", "-t", "all", "-o", FIELDS, dataset.as_str()];
        let listed = self.list("list", dataset.as_str(), script(arguments)?, &mut |line| listing.take(line));
        match listed {
            Ok(()) => {
                let (host, operation) = (self.label.clone(), "list");
                let state = listing.finish();
                state.map(Inventory::Present).map_err(|why| HostError::BadAnswer { host, operation, why })
            }
            Err(error) if says_absent(&error) => self.absent(dataset),
            Err(error) => Err(error),
        }
    }

    fn snapshot_guid(&mut self, snapshot: &SnapshotName) -> Result<Option<Guid>, HostError> {
        let mut guid = None;
        let arguments = ["list", "-Hp", "-t", "snapshot", "-o", "name,guid", snapshot.as_str()];
        let listed = self.list("list", snapshot.as_str(), script(arguments)?, &mut |line| match line
            .split_once('\t')
        {
            Some((name, number)) if name == snapshot.as_str() && guid.is_none() => {
                guid = Some(number.parse().map_err(|_| "the guid is not a number".to_string())?);
                Ok(())
            }
            _ => Err("a line that was not asked for".to_string()),
        });
        match listed {
            Ok(()) => Ok(guid),
            Err(error) if says_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn estimate(&mut self, streams: &[SendSpec]) -> Result<Vec<Option<u64>>, HostError> {
        let mut sizes = Vec::with_capacity(streams.len());
        for batch in streams.chunks(ESTIMATES_AT_ONCE) {
            let mut script = Script::default();
            for spec in batch {
                script = script.and_zfs(send_arguments(spec, true)).map_err(nul)?;
            }
            let mut found = Vec::new();
            let answer = self.list("estimate", batch[0].to.name.as_str(), script, &mut |line| {
                if let Some(size) = line.strip_prefix("size\t") {
                    found.push(size.trim().parse::<u64>().ok());
                }
                Ok(())
            });
            match answer {
                Ok(()) if found.len() == batch.len() => sizes.extend(found),
                // An estimate that cannot be had is no reason not to send.
                Ok(()) | Err(HostError::Remote { .. } | HostError::BadAnswer { .. }) => {
                    sizes.extend(batch.iter().map(|_| None));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(sizes)
    }

    fn send<'a>(&'a mut self, spec: &SendSpec) -> Result<Box<dyn Outgoing + 'a>, HostError> {
        let script = Script::zfs(send_arguments(spec, false)).map_err(nul)?;
        let (host, subject) = (self.label.clone(), spec.to.name.to_string());
        let process = self.transport.start(&script.command_line())?;
        Ok(Box::new(CliOutgoing { process, host, subject }))
    }

    fn receive<'a>(&'a mut self, spec: &ReceiveSpec) -> Result<Box<dyn Incoming + 'a>, HostError> {
        let mut arguments = vec!["receive".to_string(), "-s".to_string(), "-u".to_string()];
        for (name, value) in &spec.set {
            arguments.extend(["-o".to_string(), format!("{name}={value}")]);
        }
        arguments.push(spec.to.to_string());
        let script = Script::zfs(arguments).map_err(nul)?;
        let (host, subject) = (self.label.clone(), spec.to.to_string());
        let process = self.transport.start(&script.command_line())?;
        Ok(Box::new(CliIncoming { process, host, subject }))
    }

    fn discard_partial(&mut self, dataset: &DatasetName) -> Result<(), HostError> {
        let operation = "throw away the partial receive of";
        self.list(operation, dataset.as_str(), script(["receive", "-A", dataset.as_str()])?, &mut |_| Ok(()))
    }
}

struct CliOutgoing<'a> {
    process: Box<dyn Process + 'a>,
    host: String,
    subject: String,
}

impl Outgoing for CliOutgoing<'_> {
    fn next(&mut self, limit: usize) -> Result<Next, HostError> {
        let mut block = BytesMut::zeroed(limit);
        let mut filled = 0;
        while filled < limit {
            match self.process.read(&mut block[filled..])? {
                Some(0) if filled == 0 => return Ok(Next::End),
                Some(0) | None => break,
                Some(n) => filled += n,
            }
        }
        block.truncate(filled);
        Ok(if filled == 0 { Next::Nothing } else { Next::Block(block.freeze()) })
    }

    fn idle(&mut self) -> Result<(), HostError> {
        self.process.idle()?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        let exit = self.process.finish(&mut |_| Ok(()))?;
        check(&self.host, "send", &self.subject, &exit)
    }
}

struct CliIncoming<'a> {
    process: Box<dyn Process + 'a>,
    host: String,
    subject: String,
}

impl Incoming for CliIncoming<'_> {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        Ok(self.process.write(block)?)
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        Ok(self.process.idle()?)
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        let exit = self.process.finish(&mut |_| Ok(()))?;
        check(&self.host, "receive into", &self.subject, &exit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(status: Result<i32, &str>, stderr: &str) -> Exit {
        Exit { status: status.map_err(str::to_string), stderr: stderr.as_bytes().to_vec() }
    }

    #[test]
    fn exits_become_errors_that_name_machine_and_subject() {
        assert!(check("h", "list", "p", &exit(Ok(0), "a warning")).is_ok());
        let error = check("h", "list", "p", &exit(Ok(1), "cannot open 'p': \u{1b}[31mno\n")).expect_err("1");
        assert_eq!(error.to_string(), "h: list p: cannot open 'p': \\u{1b}[31mno");
        let error = check("h", "list", "p", &exit(Err("KILL"), "")).expect_err("killed");
        assert!(error.to_string().contains("SIGKILL"), "{error}");
        let error = check("h", "list", "p", &exit(Ok(127), &format!("{NO_ZFS}\n"))).expect_err("none");
        assert!(matches!(error, HostError::NoZfs { .. }) && error.hint().is_some());
        // Another program that ends with 127 is not "no zfs".
        assert!(matches!(check("h", "list", "p", &exit(Ok(127), "x")), Err(HostError::Remote { .. })));
    }
}
